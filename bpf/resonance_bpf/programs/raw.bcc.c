// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/*
 * The programs for BCC on raw tracepoints: the algorithms of runqueue.h, socket.h and
 * canary.h. An accepted socket takes its cgroup from the table of listeners, where CO-RE
 * lets it inherit a note. Goes behind bcc.h and tables.bcc.c.
 */
BPF_TABLE("array", u32, u32, canary_subject, 1);
BPF_TABLE("array", u32, struct rs_canary, canary_result, 1);

static __always_inline struct rs_canary *canary_at(u32 i) { return canary_result.lookup(&i); }

static __always_inline u32 settings_canary_pid(void)
{
	u32 zero = 0, *pid = canary_subject.lookup(&zero);

	return pid ? *pid : 0;
}

BPF_TABLE("array", u32, u64, runqueue_of_cpu, POSSIBLE_CPUS);

/* A CPU's run queue never moves, so its address is followed once: two probe reads less. */
static __always_inline u64 task_clock_ns(struct task_struct *task)
{
	u32 cpu = bpf_get_smp_processor_id();
	u64 *known = runqueue_of_cpu.lookup(&cpu);
	struct cfs_rq *cfs_rq;

	if (!known)
		return 0;
	if (!*known) {
		cfs_rq = KERNEL_READ(&task->se.cfs_rq);
		*known = (u64)KERNEL_READ(&cfs_rq->rq);
	}
	return KERNEL_READ(&((struct rq *)*known)->clock);
}

#include "canary.h"

#define STATE_SYN_RECV 3 /* include/net/tcp_states.h */

static __always_inline void inherit_note(struct sock *sk)
{
	u32 port = socket_port(sk), network_namespace = socket_network_namespace(sk);
	struct rs_listener *listener = listener_at(listener_position(port, network_namespace));
	struct rs_socket_note *note;

	if (!listener || listener->port != port || listener->network_namespace != network_namespace)
		return;
	note = socket_note_of(sk, 1);
	if (note)
		note->cgroup_id = listener->cgroup_id;
}

static __always_inline void follow_socket(struct sock *sk, u32 cpu, int before, int after)
{
	observe_state(sk, cpu, before, after);
	if (after == STATE_CLOSE)
		forget_socket(sk);
	else if (before == STATE_SYN_RECV && after == STATE_ESTABLISHED && settings_is_v1())
		inherit_note(sk);
}

int runqueue_switch(struct bpf_raw_tracepoint_args *ctx)
OBSERVE(PROGRAM_RUNQUEUE_SWITCH, observe_switch((struct task_struct *)ctx->args[2], cpu))

int socket_srtt(struct bpf_raw_tracepoint_args *ctx)
OBSERVE(PROGRAM_SOCKET_SRTT, observe_segment((struct sock *)ctx->args[0], cpu, socket_srtt_us((struct sock *)ctx->args[0])))

int socket_connect(struct bpf_raw_tracepoint_args *ctx)
OBSERVE(PROGRAM_SOCKET_CONNECT,
	follow_socket((struct sock *)ctx->args[0], cpu, ctx->args[1], ctx->args[2]))

int socket_ready(struct bpf_raw_tracepoint_args *ctx)
OBSERVE(PROGRAM_SOCKET_READY, observe_ready((struct sock *)ctx->args[0]))

int socket_receive(struct bpf_raw_tracepoint_args *ctx)
OBSERVE(PROGRAM_SOCKET_RECEIVE, observe_receive((struct sock *)ctx->args[0], cpu))

int socket_retransmit(struct bpf_raw_tracepoint_args *ctx)
OBSERVE(PROGRAM_SOCKET_RETRANSMIT, observe_retransmit((struct sock *)ctx->args[0], cpu))

int canary_switch(struct bpf_raw_tracepoint_args *ctx)
{
	observe_canary((struct task_struct *)ctx->args[2]);
	return 0;
}
