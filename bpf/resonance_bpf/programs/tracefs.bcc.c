// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/*
 * The programs for BCC on tracefs' own tracepoints, for a kernel without BTF.
 *
 * Run-queue latency goes from sched_wakeup, or from being switched out while runnable, to
 * sched_switch: two or three hooks and a clock read each, as classic tools do it. It runs a
 * few per cent below schedstat, because the kernel may kick the other CPU before the
 * wakeup event, and SCHED_IDLE tasks count as fair. Goes behind tracefs.h and tables.bcc.c.
 */
#define TASK_STATES 0xff /* TASK_REPORT | TASK_REPORT_IDLE, include/linux/sched.h */

struct rs_stamp {
	u64 queued_ns;
	u64 cgroup_id; /* when it last left a CPU */
	u32 pid;
	u32 pad;
};

BPF_TABLE("array", u32, struct rs_stamp, runqueue_stamps, BASELINES);

static __always_inline struct rs_stamp *stamp_of(u32 pid)
{
	u32 position = pid & (BASELINES - 1);
	struct rs_stamp *stamp = runqueue_stamps.lookup(&position);

	if (stamp && stamp->pid != pid) {
		stamp->pid = pid;
		stamp->cgroup_id = 0;
		stamp->queued_ns = 0;
	}
	return stamp;
}

static __always_inline void stamp_wakeup(u32 pid)
{
	struct rs_stamp *stamp = stamp_of(pid);

	if (stamp)
		stamp->queued_ns = bpf_ktime_get_ns();
}

static __always_inline void follow_switch(u32 cpu, u32 before, long state, u32 after, int prio)
{
	struct task_struct next = {.pid = after, .prio = prio};
	struct rs_stamp *stamp;

	next.now_ns = bpf_ktime_get_ns();
	stamp = before ? stamp_of(before) : 0;
	if (stamp) {
		stamp->cgroup_id = current_cgroup_id();
		stamp->queued_ns = state & TASK_STATES ? 0 : next.now_ns;
	}
	stamp = after ? stamp_of(after) : 0;
	if (!stamp)
		return;
	next.queued_ns = stamp->queued_ns;
	next.cgroup_id = stamp->cgroup_id;
	stamp->queued_ns = 0;
	observe_switch(&next, cpu);
}

static __always_inline void follow_socket(struct sock *sk, u32 cpu, int before, int after)
{
	observe_state(sk, cpu, before, after);
	if (after == STATE_CLOSE)
		forget_socket(sk);
}

int runqueue_switch(struct tracepoint__sched__sched_switch *args)
OBSERVE(PROGRAM_RUNQUEUE_SWITCH,
	follow_switch(cpu, args->prev_pid, args->prev_state, args->next_pid, args->next_prio))

int runqueue_wakeup(struct tracepoint__sched__sched_wakeup *args)
OBSERVE(PROGRAM_RUNQUEUE_SWITCH, stamp_wakeup(args->pid))

int runqueue_wakeup_new(struct tracepoint__sched__sched_wakeup_new *args)
OBSERVE(PROGRAM_RUNQUEUE_SWITCH, stamp_wakeup(args->pid))

#if HAS_SOCKET_SRTT
static __always_inline void follow_segment(u64 address, u32 srtt_us, u32 cpu)
{
	struct sock sk = {.address = address, .srtt_us = srtt_us};

	observe_segment(&sk, cpu, socket_srtt_us(&sk));
}

#if HAS_PROBE_ADDRESS
#define PROBE_ADDRESS (u64)args->skaddr
#else
#define PROBE_ADDRESS 0
#endif

int socket_srtt(struct tracepoint__tcp__tcp_probe *args)
OBSERVE(PROGRAM_SOCKET_SRTT, follow_segment(PROBE_ADDRESS, args->srtt, cpu))
#endif

#if HAS_SOCKET_CONNECT
int socket_connect(struct tracepoint__sock__inet_sock_set_state *args)
{
	struct sock sk = {.address = (u64)args->skaddr, .protocol = args->protocol, .port = args->sport};
	int before = args->oldstate, after = args->newstate;

	OBSERVE(PROGRAM_SOCKET_CONNECT, follow_socket(&sk, cpu, before, after))
}
#endif

#if HAS_SOCKET_READY
int socket_ready(struct tracepoint__sock__sk_data_ready *args)
{
	struct sock sk = {.address = (u64)args->skaddr, .protocol = args->protocol, .family = args->family};

	OBSERVE(PROGRAM_SOCKET_READY, observe_ready(&sk))
}
#endif

#if HAS_SOCKET_RECEIVE
int socket_receive(struct tracepoint__tcp__tcp_rcv_space_adjust *args)
{
	struct sock sk = {.address = (u64)args->skaddr};

	OBSERVE(PROGRAM_SOCKET_RECEIVE, observe_receive(&sk, cpu))
}
#endif

#if HAS_SOCKET_RETRANSMIT
int socket_retransmit(struct tracepoint__tcp__tcp_retransmit_skb *args)
{
	struct sock sk = {.address = (u64)args->skaddr};

	OBSERVE(PROGRAM_SOCKET_RETRANSMIT, observe_retransmit(&sk, cpu))
}
#endif
