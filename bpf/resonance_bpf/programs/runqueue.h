/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/*
 * Run-queue latency: from the moment a task became runnable to the moment it is switched
 * in, per cgroup of that task.
 *
 * Measured at sched_switch alone, from the kernel's own account. sched_info.last_queued
 * holds when the task was queued, on the same lock-consistent clock as rq->clock, so there
 * is no wakeup hook, no timestamp map and no clock read. A task that is migrated while
 * queued has its partial wait moved into sched_info.run_delay and last_queued begins anew;
 * the baseline (run_delay at the task's previous switch) gives that part back, so that the
 * sum over a task equals its schedstat to the nanosecond.
 *
 * Missed: tasks already queued when the program attaches lose what they waited before
 * (first switch, no baseline); two tasks whose pids share a baseline cell count their last
 * segment only (baseline_collisions).
 * Costs about 1.6 times an empty program; see the table in README.md.
 */
#ifndef RESONANCE_RUNQUEUE_H
#define RESONANCE_RUNQUEUE_H

#include "wait.h"

#define POLICY_IDLE 5 /* SCHED_IDLE, include/uapi/linux/sched.h */
#define WAIT_LIMIT_BITS 40 /* of the last bucket: 2^40 ns */
#define PRIO_REALTIME_END 100 /* MAX_RT_PRIO, include/linux/sched/prio.h */

static __always_inline u32 class_of(struct task_struct *task)
{
	int prio = task_prio(task);

	if (prio < 0)
		return CLASS_DEADLINE;
	if (prio < PRIO_REALTIME_END)
		return CLASS_REALTIME;
	return task_policy(task) == POLICY_IDLE ? CLASS_IDLE : CLASS_FAIR;
}

/* Off the hot path: what bounds the trust in the numbers. */
static __always_inline void count_doubts(u32 cpu, int has_collided, s64 wait_ns, u32 slot)
{
	struct rs_clock_pair *clock = clock_at(cpu);

	if (!clock)
		return;
	clock->baseline_collisions += has_collided;
	clock->negative_waits += wait_ns < 0;
	clock->saturations += wait_ns >> WAIT_LIMIT_BITS > 0;
	clock->unassigned_events += slot == OTHER_SLOT;
}

static __always_inline void pair_clocks(u32 cpu, u64 now_ns)
{
	struct rs_clock_pair *clock = clock_at(cpu);

	if (clock && now_ns - clock->runqueue_ns > CLOCK_PAIR_NS) {
		clock->runqueue_ns = now_ns;
		clock->monotonic_ns = bpf_ktime_get_ns();
	}
}

static __always_inline void observe_switch(struct task_struct *next, u32 cpu)
{
	struct rs_queue_times times = task_queue_times(next);
	struct rs_histogram *histogram;
	struct rs_baseline *baseline;
	struct rs_bin *bin;
	u64 now_ns;
	s64 wait_ns;
	u32 pid, slot, epoch;
	int has_collided = 0;

	if (!times.last_queued_ns) /* the idle task is never queued */
		return;
	now_ns = task_clock_ns(next);
	pid = task_pid(next);
	baseline = baseline_at(pid & (BASELINES - 1));
	if (!baseline)
		return;
	wait_ns = wait_of(times.run_delay_ns, pid, now_ns - times.last_queued_ns, baseline,
			  &has_collided);
	slot = slot_of(task_cgroup_id(next));
	if (has_collided || (u64)wait_ns >> WAIT_LIMIT_BITS || slot == OTHER_SLOT)
		count_doubts(cpu, has_collided, wait_ns, slot);
	if (wait_ns < 0)
		wait_ns = 0;
	histogram = runqueue_histogram_at(cpu * SLOTS + slot);
	if (!histogram)
		return;
	record(histogram, class_of(next), wait_ns);

	epoch = now_ns / BIN_NS;
	bin = runqueue_bin_at((cpu * (settings_bins_mask() + 1) + (epoch & settings_bins_mask())) * SLOTS + slot);
	if (bin && record_bin(bin, epoch, wait_ns))
		pair_clocks(cpu, now_ns);
}

#endif
