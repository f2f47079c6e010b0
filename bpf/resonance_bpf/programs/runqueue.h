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
 * Costs about 1.4 times an empty program; see the table in README.md.
 */
#ifndef RESONANCE_RUNQUEUE_H
#define RESONANCE_RUNQUEUE_H

#include "wait.h"

#define POLICY_IDLE 5 /* SCHED_IDLE, include/uapi/linux/sched.h */
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

static __always_inline void observe_switch(struct task_struct *next, u32 cpu)
{
	struct rs_queue_times times = task_queue_times(next);
	u64 queued_ns = times.last_queued_ns;
	struct rs_histogram *histogram;
	struct rs_baseline *baseline;
	struct rs_clock_pair *clock;
	struct rs_bin *bin;
	u64 now_ns, cgroup_id;
	s64 wait_ns;
	u32 pid, slot, epoch;

	if (!queued_ns) /* the idle task is never queued */
		return;
	now_ns = task_clock_ns(next);
	pid = task_pid(next);
	clock = clock_at(cpu);
	baseline = baseline_at(pid & (BASELINES - 1));
	if (!clock || !baseline)
		return;
	wait_ns = wait_of(times.run_delay_ns, pid, now_ns - queued_ns, baseline,
			  &clock->baseline_collisions);
	if (wait_ns < 0) {
		clock->negative_waits++;
		wait_ns = 0;
	} else if (wait_ns >> 40) {
		clock->saturations++;
	}

	cgroup_id = task_cgroup_id(next);
	slot = slot_of(cgroup_id);
	if (slot == OTHER_SLOT)
		clock->unassigned_events++;
	histogram = runqueue_histogram_at(cpu * SLOTS + slot);
	if (!histogram)
		return;
	record(histogram, class_of(next), wait_ns);

	epoch = now_ns / BIN_NS;
	bin = runqueue_bin_at((cpu * (settings_bins_mask() + 1) + (epoch & settings_bins_mask())) * SLOTS + slot);
	if (bin && record_bin(bin, epoch, wait_ns) && now_ns - clock->runqueue_ns > CLOCK_PAIR_NS) {
		clock->runqueue_ns = now_ns;
		clock->monotonic_ns = bpf_ktime_get_ns();
	}
}

#endif
