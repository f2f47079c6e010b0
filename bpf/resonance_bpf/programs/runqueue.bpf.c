// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* Run-queue latency at sched_switch; what is measured, missed and paid: runqueue.h. */
#include "core.h"
#include "common.h"

SHARED_ARRAY(runqueue_histograms, struct rs_histogram, 1);
SHARED_ARRAY(runqueue_bins, struct rs_bin, 1);
SHARED_ARRAY(runqueue_clock, struct rs_clock_pair, 1);
SHARED_ARRAY(runqueue_baseline, struct rs_baseline, BASELINES);
ACCESSOR(runqueue_histogram_at, runqueue_histograms, struct rs_histogram)
ACCESSOR(runqueue_bin_at, runqueue_bins, struct rs_bin)
ACCESSOR(clock_at, runqueue_clock, struct rs_clock_pair)
ACCESSOR(baseline_at, runqueue_baseline, struct rs_baseline)

#include "runqueue.h"

SEC("tp_btf/sched_switch")
int BPF_PROG(runqueue_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct rs_cost *cost = cost_at(PROGRAM_RUNQUEUE_SWITCH * settings.possible_cpus + cpu);
	u64 started_ns;

	if (!cost)
		return 0;
	started_ns = cost_enter(cost);
	observe_switch(next, cpu);
	cost_leave(cost, started_ns);
	return 0;
}
