// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/*
 * Follows one known task with the accessors the probes use, so that the loader can compare
 * what they read with what /proc says before it trusts them. Attached for a moment only.
 */
#include "core.h"
#include "common.h"

SHARED_ARRAY(canary_result, struct rs_canary, 1);
ACCESSOR(canary_at, canary_result, struct rs_canary)

#include "canary.h"

SEC("tp_btf/sched_switch")
int BPF_PROG(canary_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	observe_canary(next);
	return 0;
}
