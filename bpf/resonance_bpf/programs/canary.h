/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/* The canary's algorithm: the run-queue probe's own wait_of() on one task. */
#ifndef RESONANCE_CANARY_H
#define RESONANCE_CANARY_H

#include "wait.h"

static __always_inline void observe_canary(struct task_struct *next)
{
	struct rs_canary *canary;
	struct rs_queue_times times;
	int ignored = 0;
	u32 pid = task_pid(next);

	if (pid != settings_canary_pid())
		return;
	canary = canary_at(0);
	times = task_queue_times(next);
	if (!canary || !times.last_queued_ns)
		return;
	canary->wait_ns += wait_of(times.run_delay_ns, pid,
				   task_clock_ns(next) - times.last_queued_ns,
				   &canary->baseline, &ignored);
	canary->switches++;
	canary->cgroup_id = task_cgroup_id(next);
	canary->prio = task_prio(next);
	canary->policy = task_policy(next);
}

#endif
