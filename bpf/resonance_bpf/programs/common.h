/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/*
 * What every program shares: which slot a cgroup has, which bucket a wait falls in, and
 * how an event is recorded. Written once, against the accessors that a prelude (core.h,
 * bcc.h) defines, so that both backends run the same algorithm.
 *
 * Increments are plain: scheduler events run with interrupts off on the CPU whose cells
 * they touch, and the kernel lets no program nest in itself on one CPU (it counts what it
 * skips). Each program writes cells of its own kind only.
 */
#ifndef RESONANCE_COMMON_H
#define RESONANCE_COMMON_H

#define GOLDEN_RATIO_64 0x9E3779B97F4A7C15ULL
#define CLOCK_PAIR_NS 1000000000ULL

/* Floor of the binary logarithm; there is no such instruction at -mcpu=v3. */
static __always_inline u32 log2_of(u64 value)
{
	u32 high = value >> 32, bits = 0, v = value;

	if (high) {
		bits = 32;
		v = high;
	}
	if (v >> 16) {
		bits += 16;
		v >>= 16;
	}
	if (v >> 8) {
		bits += 8;
		v >>= 8;
	}
	if (v >> 4) {
		bits += 4;
		v >>= 4;
	}
	if (v >> 2) {
		bits += 2;
		v >>= 2;
	}
	return bits + (v >> 1);
}

/* Buckets are closed above, (lower, upper], so that an upper edge is a Prometheus le. */
static __always_inline u32 bucket_of(u64 wait_ns)
{
	u64 below = wait_ns ? wait_ns - 1 : 0;
	u32 octave;

	if (below < SUB_BUCKETS)
		return below;
	octave = log2_of(below);
	return (octave - 2) * SUB_BUCKETS +
	       ((below >> (octave - SUB_BUCKET_BITS)) & (SUB_BUCKETS - 1));
}

/* An unassigned cgroup votes for itself; the daemon reads who is busy without a system call.
 * Two CPUs may lose a vote to each other: it is a ranking, not an account. */
static __always_inline void vote(u64 cgroup_id)
{
	struct rs_candidate *candidate = candidate_at((cgroup_id * GOLDEN_RATIO_64) >> (64 - SLOT_TABLE_BITS));

	if (!candidate)
		return;
	if (candidate->cgroup_id == cgroup_id) {
		candidate->votes++;
	} else if (candidate->votes) {
		candidate->votes--;
	} else {
		candidate->cgroup_id = cgroup_id;
		candidate->votes = 1;
	}
}

/* Returns 1 when the search is over: the owner was found, or nobody hashes here. */
static __always_inline int is_last_cell(u32 position, u64 cgroup_id, u32 *slot)
{
	struct rs_slot_cell *cell = slot_cell_at(position & (SLOT_TABLE - 1));

	if (!cell || !cell->cgroup_id)
		return 1;
	if (cell->cgroup_id != cgroup_id)
		return 0;
	*slot = cell->slot & (SLOTS - 1);
	return 1;
}

/* Linear probing over SLOT_PROBES cells; its one writer leaves no gap before a cell in use. */
static __always_inline u32 slot_of(u64 cgroup_id)
{
	u32 position = (cgroup_id * GOLDEN_RATIO_64) >> (64 - SLOT_TABLE_BITS);
	u32 slot = OTHER_SLOT;

	if (!is_last_cell(position, cgroup_id, &slot) &&
	    !is_last_cell(position + 1, cgroup_id, &slot) &&
	    !is_last_cell(position + 2, cgroup_id, &slot))
		is_last_cell(position + 3, cgroup_id, &slot);
	if (slot == OTHER_SLOT)
		vote(cgroup_id);
	return slot;
}

static __always_inline void record(struct rs_histogram *histogram, u32 class, u64 wait_ns)
{
	u64 bucket = bucket_of(wait_ns); /* wide: BCC compiles without 32-bit registers */

	/* Keeps clang from narrowing the check below, which would lose the verifier its range. */
	asm volatile("" : "+r"(bucket));
	if (bucket >= BUCKETS)
		bucket = BUCKETS - 1;
	histogram->n[class & (CLASSES - 1)]++;
	histogram->sum_ns[class & (CLASSES - 1)] += wait_ns;
	histogram->buckets[bucket]++;
}

/* Returns whether this event opened the bin. */
static __always_inline int record_bin(struct rs_bin *bin, u32 epoch, u64 wait_ns)
{
	int is_new = bin->epoch != epoch;

	if (is_new) {
		bin->n = 0;
		bin->sum_ns = 0;
		bin->epoch = epoch;
	}
	bin->n++;
	bin->sum_ns += wait_ns;
	return is_new;
}

/* One run in COST_SAMPLE_INTERVAL is timed. The second of two adjacent clock reads starts
 * the watch, put forward by their distance: what the closing read itself will cost. */
static __always_inline u64 cost_enter(struct rs_cost *cost)
{
	u64 first, second;

	if (++cost->runs & (COST_SAMPLE_INTERVAL - 1))
		return 0;
	first = bpf_ktime_get_ns();
	second = bpf_ktime_get_ns();
	return second + (second - first);
}

static __always_inline void cost_leave(struct rs_cost *cost, u64 started_ns)
{
	u64 now;

	if (!started_ns)
		return;
	now = bpf_ktime_get_ns();
	if (now > started_ns)
		cost->sampled_ns += now - started_ns;
	cost->sampled_runs++;
}

#endif
