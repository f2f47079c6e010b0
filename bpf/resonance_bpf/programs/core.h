/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/*
 * Prelude of the CO-RE backend: maps, and accessors by direct BTF-checked loads that libbpf
 * relocates to the running kernel. Sizes marked 1 are set by the loader.
 */
#ifndef RESONANCE_CORE_H
#define RESONANCE_CORE_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "layout.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

const volatile struct rs_settings settings = {};

static __always_inline u32 settings_bins_mask(void) { return settings.bins_mask; }
static __always_inline u32 settings_possible_cpus(void) { return settings.possible_cpus; }
static __always_inline u32 settings_is_v1(void) { return settings.is_v1; }
static __always_inline u32 settings_has_data_ready(void) { return settings.has_data_ready; }
static __always_inline u32 settings_canary_pid(void) { return settings.canary_pid; }

#define SHARED_ARRAY(name, value_type, entries)                        \
	struct {                                                       \
		__uint(type, BPF_MAP_TYPE_ARRAY);                      \
		__uint(map_flags, BPF_F_MMAPABLE);                     \
		__uint(max_entries, entries);                          \
		__type(key, u32);                                      \
		__type(value, value_type);                             \
	} name SEC(".maps")

#define ACCESSOR(name, map, value_type)                                \
	static __always_inline value_type *name(u32 position)          \
	{                                                              \
		return bpf_map_lookup_elem(&map, &position);           \
	}

SHARED_ARRAY(cgroup_slots, struct rs_slot_cell, SLOT_TABLE);
SHARED_ARRAY(cgroup_candidates, struct rs_candidate, CANDIDATES);
SHARED_ARRAY(probe_costs, struct rs_cost, 1);
ACCESSOR(slot_cell_at, cgroup_slots, struct rs_slot_cell)
ACCESSOR(candidate_at, cgroup_candidates, struct rs_candidate)
ACCESSOR(cost_at, probe_costs, struct rs_cost)

static __always_inline u32 task_pid(struct task_struct *task) { return task->pid; }
static __always_inline int task_prio(struct task_struct *task) { return task->prio; }
static __always_inline u32 task_policy(struct task_struct *task) { return task->policy; }

static __always_inline struct rs_queue_times task_queue_times(struct task_struct *task)
{
	struct rs_queue_times times = {task->sched_info.last_queued, task->sched_info.run_delay};

	return times;
}

static __always_inline u64 task_clock_ns(struct task_struct *task)
{
	return task->se.cfs_rq->rq->clock;
}

/* On v1, an autogroup has no cgroup of its own: its tasks are in the root. */
static __always_inline u64 task_cgroup_id(struct task_struct *task)
{
	u64 id;

	if (!settings.is_v1)
		return task->cgroups->dfl_cgrp->kn->id;
	id = task->sched_task_group->css.cgroup->kn->id;
	return id ? id : settings.root_cgroup_id;
}

#endif
