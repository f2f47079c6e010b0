// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* TCP latencies; what is measured, missed and paid: socket.h. */
#include "core.h"
#include "common.h"

SHARED_ARRAY(socket_histograms, struct rs_histogram, 1);
SHARED_ARRAY(socket_bins, struct rs_bin, 1);
SHARED_ARRAY(socket_counters, u64, 1);
SHARED_ARRAY(socket_listeners, struct rs_listener, LISTENERS);
ACCESSOR(socket_histogram_at, socket_histograms, struct rs_histogram)
ACCESSOR(socket_bin_at, socket_bins, struct rs_bin)
ACCESSOR(socket_counter_at, socket_counters, u64)
ACCESSOR(listener_at, socket_listeners, struct rs_listener)

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct rs_socket_note);
} socket_notes SEC(".maps");

static __always_inline struct rs_socket_note *socket_note_of(struct sock *sk, int create)
{
	return bpf_sk_storage_get(&socket_notes, sk, 0, create ? BPF_SK_STORAGE_GET_F_CREATE : 0);
}

static __always_inline u64 socket_cgroup_id(struct sock *sk)
{
	return sk->sk_cgrp_data.cgroup->kn->id;
}

static __always_inline u64 socket_mstamp_us(struct sock *sk)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);

	return tcp ? tcp->tcp_mstamp : 0;
}

static __always_inline u32 socket_protocol(struct sock *sk) { return sk->sk_protocol; }
static __always_inline u32 socket_family(struct sock *sk) { return sk->__sk_common.skc_family; }
static __always_inline u32 socket_tcp_state(struct sock *sk) { return sk->__sk_common.skc_state; }
static __always_inline u32 socket_port(struct sock *sk) { return sk->__sk_common.skc_num; }

static __always_inline u32 socket_network_namespace(struct sock *sk)
{
	return sk->__sk_common.skc_net.net->ns.inum;
}

static __always_inline u64 current_cgroup_id(void)
{
	return task_cgroup_id(bpf_get_current_task_btf());
}

#include "socket.h"

#define OBSERVE(program, call)                                                            \
	{                                                                                 \
		u32 cpu = bpf_get_smp_processor_id();                                     \
		struct rs_cost *cost = cost_at(program * settings.possible_cpus + cpu);      \
		u64 started_ns;                                                           \
		if (!cost)                                                                \
			return 0;                                                         \
		started_ns = cost_enter(cost);                                            \
		call;                                                                     \
		cost_leave(cost, started_ns);                                             \
		return 0;                                                                 \
	}

#ifdef WITHOUT_CAST
static __always_inline u32 srtt_us(struct sock *sk)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);

	return tcp ? tcp->srtt_us >> 3 : 0;
}
#else
/* Costs nothing at run time; see socket_without_cast.bpf.c. */
extern void *bpf_rdonly_cast(const void *object, u32 type) __ksym;

static __always_inline u32 srtt_us(struct sock *sk)
{
	struct tcp_sock *tcp = bpf_rdonly_cast(sk, bpf_core_type_id_kernel(struct tcp_sock));

	return tcp->srtt_us >> 3;
}
#endif

SEC("tp_btf/tcp_probe")
int BPF_PROG(socket_srtt, struct sock *sk)
OBSERVE(PROGRAM_SOCKET_SRTT, observe_segment(sk, cpu, srtt_us(sk)))

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(socket_connect, struct sock *sk, int before, int after)
OBSERVE(PROGRAM_SOCKET_CONNECT, observe_state(sk, cpu, before, after))

SEC("tp_btf/sk_data_ready")
int BPF_PROG(socket_ready, struct sock *sk)
OBSERVE(PROGRAM_SOCKET_READY, observe_ready(sk))

SEC("tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(socket_receive, struct sock *sk)
OBSERVE(PROGRAM_SOCKET_RECEIVE, observe_receive(sk, cpu))

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(socket_retransmit, struct sock *sk)
OBSERVE(PROGRAM_SOCKET_RETRANSMIT, observe_retransmit(sk, cpu))
