// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/*
 * The maps, for BCC: those of the CO-RE objects, so that a reader cannot tell them apart.
 *
 * BCC rewrites map declarations and methods in the main file only. So this is no header:
 * the loader writes it into one text with raw.bcc.c or tracefs.bcc.c, behind their prelude.
 *
 * Socket storage takes typed pointers only, which neither has; notes live in an LRU hash by
 * socket address instead, and are dropped when the socket closes.
 */
#define BPF_LICENSE Dual MIT/GPL
#define SOCKET_NOTES 16384 /* chosen: 2 MB; a socket that falls out is noted anew */

BPF_F_TABLE("array", u32, struct rs_slot_cell, cgroup_slots, SLOT_TABLE, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct rs_candidate, cgroup_candidates, CANDIDATES, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct rs_cost, probe_costs, PROGRAMS * POSSIBLE_CPUS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct rs_histogram, runqueue_histograms, SLOTS * POSSIBLE_CPUS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct rs_bin, runqueue_bins, SLOTS * BINS_PER_CPU * POSSIBLE_CPUS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct rs_clock_pair, runqueue_clock, POSSIBLE_CPUS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct rs_baseline, runqueue_baseline, BASELINES, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct rs_histogram, socket_histograms, KINDS * SLOTS * POSSIBLE_CPUS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct rs_bin, socket_bins, SLOTS * BINS_PER_CPU * POSSIBLE_CPUS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, u64, socket_counters, SLOTS * POSSIBLE_CPUS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct rs_listener, socket_listeners, LISTENERS, BPF_F_MMAPABLE);
BPF_TABLE("lru_hash", u64, struct rs_socket_note, socket_notes, SOCKET_NOTES);

static __always_inline struct rs_slot_cell *slot_cell_at(u32 i) { return cgroup_slots.lookup(&i); }
static __always_inline struct rs_candidate *candidate_at(u32 i) { return cgroup_candidates.lookup(&i); }
static __always_inline struct rs_cost *cost_at(u32 i) { return probe_costs.lookup(&i); }
static __always_inline struct rs_histogram *runqueue_histogram_at(u32 i) { return runqueue_histograms.lookup(&i); }
static __always_inline struct rs_bin *runqueue_bin_at(u32 i) { return runqueue_bins.lookup(&i); }
static __always_inline struct rs_clock_pair *clock_at(u32 i) { return runqueue_clock.lookup(&i); }
static __always_inline struct rs_baseline *baseline_at(u32 i) { return runqueue_baseline.lookup(&i); }
static __always_inline struct rs_histogram *socket_histogram_at(u32 i) { return socket_histograms.lookup(&i); }
static __always_inline struct rs_bin *socket_bin_at(u32 i) { return socket_bins.lookup(&i); }
static __always_inline u64 *socket_counter_at(u32 i) { return socket_counters.lookup(&i); }
static __always_inline struct rs_listener *listener_at(u32 i) { return socket_listeners.lookup(&i); }

static __always_inline struct rs_socket_note *socket_note_of(struct sock *sk, int create)
{
	u64 address = socket_address(sk);
	struct rs_socket_note empty = {};

	if (create)
		return socket_notes.lookup_or_try_init(&address, &empty);
	return socket_notes.lookup(&address);
}

#include "common.h"
#include "runqueue.h"
#include "socket.h"

static __always_inline void forget_socket(struct sock *sk)
{
	u64 address = socket_address(sk);

	socket_notes.delete(&address);
}

#define OBSERVE(program, call)                                                          \
	{                                                                               \
		u32 cpu = bpf_get_smp_processor_id();                                   \
		struct rs_cost *cost = cost_at(program * POSSIBLE_CPUS + cpu);          \
		u64 started_ns;                                                         \
                                                                                        \
		if (!cost)                                                              \
			return 0;                                                       \
		started_ns = cost_enter(cost);                                          \
		call;                                                                   \
		cost_leave(cost, started_ns);                                           \
		return 0;                                                               \
	}
