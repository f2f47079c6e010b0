/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/*
 * Prelude of the bcc backend: settings that are constants of the compilation, and accessors
 * by explicit probe reads of generated structures (headers.py). Raw tracepoints hand out
 * untyped addresses, so every step is a helper call; that is what this backend costs more.
 *
 * BCC rewrites dereferences and map methods in the main file only, so nothing here needs
 * or suffers it: maps live in tables.bcc.c.
 */
#ifndef RESONANCE_BCC_H
#define RESONANCE_BCC_H

#include <resonance/kernel.h>
#include "layout.h"

#define __always_inline inline __attribute__((always_inline))

static __always_inline u32 settings_bins_mask(void) { return BINS_PER_CPU - 1; }
static __always_inline u32 settings_possible_cpus(void) { return POSSIBLE_CPUS; }
static __always_inline u32 settings_is_v1(void) { return IS_V1; }
static __always_inline u32 settings_has_data_ready(void) { return HAS_DATA_READY; }

#define KERNEL_READ(address)                                                    \
	({                                                                      \
		typeof(*(address)) value_ = 0;                                  \
		bpf_probe_read_kernel(&value_, sizeof(value_), address);        \
		value_;                                                         \
	})

static __always_inline u32 task_pid(struct task_struct *task) { return KERNEL_READ(&task->pid); }
static __always_inline int task_prio(struct task_struct *task) { return KERNEL_READ(&task->prio); }

static __always_inline u32 task_policy(struct task_struct *task)
{
	return KERNEL_READ(&task->policy);
}

/* Both in one read. */
static __always_inline struct rs_queue_times task_queue_times(struct task_struct *task)
{
	typeof(task->sched_info) info = {};
	struct rs_queue_times times;

	bpf_probe_read_kernel(&info, sizeof(info), &task->sched_info);
	times.last_queued_ns = info.last_queued;
	times.run_delay_ns = info.run_delay;
	return times;
}

/* In raw.bcc.c, because it remembers each CPU's run queue in a map. */
static __always_inline u64 task_clock_ns(struct task_struct *task);

static __always_inline u64 cgroup_id_of(struct cgroup *cgroup)
{
	struct kernfs_node *node = KERNEL_READ(&cgroup->kn);

	return KERNEL_READ(&node->id);
}

#if IS_V1
/* An autogroup has no cgroup of its own: its tasks are in the root. */
static __always_inline u64 task_cgroup_id(struct task_struct *task)
{
	struct task_group *group = KERNEL_READ(&task->sched_task_group);
	u64 id = cgroup_id_of(KERNEL_READ(&group->css.cgroup));

	return id ? id : ROOT_CGROUP_ID;
}

static __always_inline u64 socket_cgroup_id(struct sock *sk) { return 0; }
#else
static __always_inline u64 task_cgroup_id(struct task_struct *task)
{
	struct css_set *set = KERNEL_READ(&task->cgroups);

	return cgroup_id_of(KERNEL_READ(&set->dfl_cgrp));
}

static __always_inline u64 socket_cgroup_id(struct sock *sk)
{
	return cgroup_id_of(KERNEL_READ(&sk->sk_cgrp_data.cgroup));
}
#endif

static __always_inline u64 current_cgroup_id(void)
{
	return task_cgroup_id((struct task_struct *)bpf_get_current_task());
}

static __always_inline u64 socket_address(struct sock *sk) { return (u64)sk; }

static __always_inline u32 socket_srtt_us(struct sock *sk)
{
	return KERNEL_READ(&((struct tcp_sock *)sk)->srtt_us) >> 3;
}

static __always_inline u64 socket_mstamp_us(struct sock *sk)
{
	return KERNEL_READ(&((struct tcp_sock *)sk)->tcp_mstamp);
}

static __always_inline u32 socket_protocol(struct sock *sk)
{
	return KERNEL_READ(&sk->sk_protocol);
}

static __always_inline u32 socket_family(struct sock *sk)
{
	return KERNEL_READ(&sk->__sk_common.skc_family);
}

static __always_inline u32 socket_tcp_state(struct sock *sk)
{
	return KERNEL_READ(&sk->__sk_common.skc_state);
}

static __always_inline u32 socket_port(struct sock *sk)
{
	return KERNEL_READ(&sk->__sk_common.skc_num);
}

static __always_inline u32 socket_network_namespace(struct sock *sk)
{
	struct net *net = KERNEL_READ(&sk->__sk_common.skc_net.net);

	return KERNEL_READ(&net->ns.inum);
}

#endif
