/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/*
 * Prelude of the bcc backend for a kernel without BTF: what an event's fields say, which
 * tracefs describes on every kernel, dressed as the structures the algorithms ask.
 *
 * Known without types: pids, priorities, socket addresses, srtt. A cgroup is known only of
 * the current task, only on v2: so a task's is learnt when it is switched out, a socket's
 * when a process connects, reads or listens. Until then, and always on v1, events count in
 * slot 0. Network namespaces are not known, so listeners are recorded under namespace 0.
 */
#ifndef RESONANCE_TRACEFS_H
#define RESONANCE_TRACEFS_H

#include <linux/types.h>
#include "layout.h"

#define __always_inline inline __attribute__((always_inline))
#define WITHOUT_BASELINE /* a wakeup stamp survives migration */

struct task_struct {
	u64 queued_ns;
	u64 now_ns;
	u64 cgroup_id;
	u32 pid;
	int prio;
};

struct sock {
	u64 address;
	u32 srtt_us;
	u32 port;
	u16 protocol;
	u16 family;
};

static __always_inline u32 settings_bins_mask(void) { return BINS_PER_CPU - 1; }
static __always_inline u32 settings_possible_cpus(void) { return POSSIBLE_CPUS; }
/* As on v1, a socket's note says whose it is. */
static __always_inline u32 settings_is_v1(void) { return 1; }
static __always_inline u32 settings_has_data_ready(void) { return 1; }

static __always_inline u32 task_pid(struct task_struct *task) { return task->pid; }
static __always_inline int task_prio(struct task_struct *task) { return task->prio; }
static __always_inline u32 task_policy(struct task_struct *task) { return 0; }
static __always_inline u64 task_clock_ns(struct task_struct *task) { return task->now_ns; }
static __always_inline u64 task_cgroup_id(struct task_struct *task) { return task->cgroup_id; }

static __always_inline struct rs_queue_times task_queue_times(struct task_struct *task)
{
	struct rs_queue_times times = {task->queued_ns, 0};

	return times;
}

static __always_inline u64 current_cgroup_id(void)
{
	return IS_V1 ? 0 : bpf_get_current_cgroup_id();
}

static __always_inline u64 socket_address(struct sock *sk) { return sk->address; }
static __always_inline u64 socket_cgroup_id(struct sock *sk) { return 0; }
static __always_inline u32 socket_srtt_us(struct sock *sk) { return sk->srtt_us; }
static __always_inline u64 socket_mstamp_us(struct sock *sk) { return 0; }
static __always_inline u32 socket_protocol(struct sock *sk) { return sk->protocol; }
static __always_inline u32 socket_family(struct sock *sk) { return sk->family; }
static __always_inline u32 socket_tcp_state(struct sock *sk) { return 1; /* ESTABLISHED */ }
static __always_inline u32 socket_port(struct sock *sk) { return sk->port; }
static __always_inline u32 socket_network_namespace(struct sock *sk) { return 0; }

#endif
