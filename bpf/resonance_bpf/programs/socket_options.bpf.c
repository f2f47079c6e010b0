// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/*
 * Gives the new TCP connections of a cgroup one socket option: a congestion control, a bound on
 * what is written and not yet sent, or a cap on pacing.
 *
 * Runs once per connection, when the handshake is over: at both ends that are in the cgroup, after
 * the application and the route had their say, and before the congestion control is initialised.
 * Left as they are: connections whose option the application, its listening socket or the route
 * chose; those whose handshake took less than the floor; and those outside the canary's share.
 *
 * Deliberately nothing is set on listening sockets: it would outlive the link, and what they
 * accept afterwards would inherit it.
 *
 * Missed: connections that existed before; on fast open, what is sent before the handshake ends.
 * Costs: three loads and a comparison per new connection, nothing per packet.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define SOL_SOCKET 1
#define SOL_TCP 6
#define SO_MAX_PACING_RATE 47
#define TCP_CONGESTION 13
#define TCP_NOTSENT_LOWAT 25

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* Packed by socket_options.py; libbpf refuses another size. */
struct rs_socket_option {
	u32 name;
	u32 value;	    /* of an option that is a number */
	char algorithm[16]; /* of TCP_CONGESTION */
	u64 canary;	    /* share of new connections, of 1 << 32 */
	u32 min_rtt_us;
	u32 reserved;
};

struct rs_option_counts {
	u64 taken;
	u64 own_choice;
	u64 too_near;
	u64 outside_canary;
	u64 failed;
	u64 last_error;
};

const volatile struct rs_socket_option option = {};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct rs_option_counts);
} option_counts SEC(".maps");

/* The kernel notes a setsockopt(TCP_CONGESTION) in a bit; a route's choice shows in the pointer. */
static __always_inline bool is_congestion_chosen(struct tcp_sock *tcp)
{
	struct inet_connection_sock *connection = &tcp->inet_conn;

	return BPF_CORE_READ_BITFIELD(connection, icsk_ca_setsockopt) ||
	       connection->icsk_ca_ops !=
		       connection->icsk_inet.sk.__sk_common.skc_net.net->ipv4.tcp_congestion_control;
}

static __always_inline bool is_chosen(struct tcp_sock *tcp)
{
	switch (option.name) {
	case TCP_CONGESTION:
		return is_congestion_chosen(tcp);
	case TCP_NOTSENT_LOWAT:
		return tcp->notsent_lowat != 0;
	default:
		return tcp->inet_conn.icsk_inet.sk.sk_max_pacing_rate != ~0UL;
	}
}

static __always_inline int set_option(struct bpf_sock_ops *context)
{
	char algorithm[sizeof(option.algorithm)];
	u32 value = option.value;

	if (option.name != TCP_CONGESTION)
		return bpf_setsockopt(context,
				      option.name == TCP_NOTSENT_LOWAT ? SOL_TCP : SOL_SOCKET,
				      option.name, &value, sizeof(value));
	for (u32 i = 0; i < sizeof(algorithm); i++)
		algorithm[i] = option.algorithm[i];
	return bpf_setsockopt(context, SOL_TCP, TCP_CONGESTION, algorithm, sizeof(algorithm));
}

SEC("sockops")
int socket_options(struct bpf_sock_ops *context)
{
	struct rs_option_counts *counts;
	struct bpf_sock *socket;
	struct tcp_sock *tcp;
	u32 zero = 0;
	int error;

	if (context->op != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB &&
	    context->op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		return 1;
	counts = bpf_map_lookup_elem(&option_counts, &zero);
	socket = context->sk;
	if (!counts || !socket)
		return 1;
	tcp = bpf_skc_to_tcp_sock(socket);
	if (!tcp)
		return 1;
	if (is_chosen(tcp)) {
		__sync_fetch_and_add(&counts->own_choice, 1);
		return 1;
	}
	if (context->srtt_us >> 3 < option.min_rtt_us) {
		__sync_fetch_and_add(&counts->too_near, 1);
		return 1;
	}
	if (bpf_get_prandom_u32() >= option.canary) {
		__sync_fetch_and_add(&counts->outside_canary, 1);
		return 1;
	}
	error = set_option(context);
	if (error) {
		counts->last_error = -error;
		__sync_fetch_and_add(&counts->failed, 1);
		return 1;
	}
	__sync_fetch_and_add(&counts->taken, 1);
	return 1;
}
