/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/*
 * TCP: smoothed round-trip time per received segment, connect latency, the wait of received
 * data for its reader, and retransmits, per cgroup of the socket.
 *
 * srtt     tcp_probe: the kernel's srtt_us at each segment received on an established
 *          connection; so a busy connection weighs more than an idle one.
 * connect  SYN_SENT to ESTABLISHED, at inet_sock_set_state.
 * receive  first sk_data_ready since the last read, to tcp_rcv_space_adjust after the copy.
 *          Kernels without sk_data_ready (before 6.3): since tcp_mstamp, which sends move
 *          too, so an underestimate for a socket that sends while data waits.
 *
 * Whose socket it is: on cgroup v2 the kernel says (set at creation; a passed socket stays
 * with its creator). The v1 cpu hierarchy is unknown to sockets, so process context
 * (connect, listen, read) writes it into the socket's storage, which accepted sockets
 * inherit; until then events count in slot 0.
 *
 * Missed: accept-queue wait, UDP, MPTCP, and connects begun before the program attached.
 * Costs about twice an empty program per received segment, more per read where sk_data_ready
 * is there; see the table in README.md.
 */
#ifndef RESONANCE_SOCKET_H
#define RESONANCE_SOCKET_H

#define PROTOCOL_TCP 6
#define STATE_ESTABLISHED 1 /* include/net/tcp_states.h */
#define STATE_SYN_SENT 2
#define STATE_CLOSE 7
#define STATE_CLOSE_WAIT 8
#define STATE_LISTEN 10
#define FAMILY_INET 2
#define FAMILY_INET6 10

static __always_inline u32 socket_slot(struct sock *sk, struct rs_socket_note *note)
{
	u64 cgroup_id;

	if (!settings_is_v1())
		cgroup_id = socket_cgroup_id(sk);
	else
		cgroup_id = note ? note->cgroup_id : 0;
	return cgroup_id ? slot_of(cgroup_id) : OTHER_SLOT;
}

static __always_inline void record_socket(u32 kind, u32 cpu, u32 slot, u64 wait_ns)
{
	struct rs_histogram *histogram;

	histogram = socket_histogram_at((kind * settings_possible_cpus() + cpu) * SLOTS + slot);
	if (histogram)
		record(histogram, 0, wait_ns);
}

static __always_inline void observe_segment(struct sock *sk, u32 cpu, u32 srtt_us)
{
	struct rs_socket_note *note = 0;

	if (!srtt_us)
		return;
	if (settings_is_v1())
		note = socket_note_of(sk, 0);
	record_socket(KIND_SRTT, cpu, socket_slot(sk, note), srtt_us * 1000ULL);
}

static __always_inline u32 listener_position(u32 port, u32 network_namespace)
{
	return ((port * 0x9E3779B1u) ^ (network_namespace * 0x85EBCA6Bu)) >> 20;
}

static __always_inline void listening_begins(struct sock *sk, struct rs_socket_note *note)
{
	u32 network_namespace = socket_network_namespace(sk), port = socket_port(sk);
	struct rs_listener *listener = listener_at(listener_position(port, network_namespace));

	note->cgroup_id = current_cgroup_id();
	note->listening_port = port;
	if (!listener)
		return;
	listener->network_namespace = network_namespace;
	listener->port = port;
	listener->cgroup_id = note->cgroup_id;
}

static __always_inline void listening_ends(struct sock *sk, struct rs_socket_note *note)
{
	u32 network_namespace = socket_network_namespace(sk), port = note->listening_port;
	struct rs_listener *listener = listener_at(listener_position(port, network_namespace));

	if (listener && listener->port == port && listener->network_namespace == network_namespace)
		listener->cgroup_id = 0;
}

static __always_inline void observe_state(struct sock *sk, u32 cpu, int before, int after)
{
	struct rs_socket_note *note;

	if (socket_protocol(sk) != PROTOCOL_TCP)
		return;
	if (after == STATE_SYN_SENT) {
		note = socket_note_of(sk, 1);
		if (note) {
			note->cgroup_id = current_cgroup_id();
			note->connect_ns = bpf_ktime_get_ns();
		}
	} else if (before == STATE_SYN_SENT && after == STATE_ESTABLISHED) {
		note = socket_note_of(sk, 0);
		if (note && note->connect_ns)
			record_socket(KIND_CONNECT, cpu, socket_slot(sk, note),
				      bpf_ktime_get_ns() - note->connect_ns);
	} else if (after == STATE_LISTEN) {
		note = socket_note_of(sk, 1);
		if (note)
			listening_begins(sk, note);
	} else if (before == STATE_LISTEN && after == STATE_CLOSE) {
		/* Not every way out of LISTEN: an accepted socket starts there too. */
		note = socket_note_of(sk, 0);
		if (note)
			listening_ends(sk, note);
	}
}

/* Every protocol's sockets pass here; only TCP that can hold data is worth a note. */
static __always_inline void observe_ready(struct sock *sk)
{
	struct rs_socket_note *note;
	u32 family = socket_family(sk), state;

	if ((family != FAMILY_INET && family != FAMILY_INET6) || socket_protocol(sk) != PROTOCOL_TCP)
		return;
	state = socket_tcp_state(sk);
	if (state != STATE_ESTABLISHED && state != STATE_CLOSE_WAIT)
		return;
	note = socket_note_of(sk, 1);
	if (note && !note->ready_ns)
		note->ready_ns = bpf_ktime_get_ns();
}

static __always_inline void observe_receive(struct sock *sk, u32 cpu)
{
	struct rs_socket_note *note = 0;
	u64 now_ns, since_ns;
	struct rs_bin *bin;
	u32 slot, epoch;

	if (settings_is_v1() || settings_has_data_ready())
		note = socket_note_of(sk, 1);
	if (settings_is_v1() && note)
		note->cgroup_id = current_cgroup_id();
	if (settings_has_data_ready()) {
		if (!note || !note->ready_ns)
			return;
		since_ns = note->ready_ns;
		note->ready_ns = 0;
	} else {
		since_ns = socket_mstamp_us(sk) * 1000;
	}
	now_ns = bpf_ktime_get_ns();
	if (!since_ns || now_ns < since_ns)
		return;
	slot = socket_slot(sk, note);
	record_socket(KIND_RECEIVE, cpu, slot, now_ns - since_ns);
	epoch = now_ns / BIN_NS;
	bin = socket_bin_at((cpu * (settings_bins_mask() + 1) + (epoch & settings_bins_mask())) * SLOTS + slot);
	if (bin)
		record_bin(bin, epoch, now_ns - since_ns);
}

static __always_inline void observe_retransmit(struct sock *sk, u32 cpu)
{
	struct rs_socket_note *note = settings_is_v1() ? socket_note_of(sk, 0) : 0;
	u64 *counter = socket_counter_at(cpu * SLOTS + socket_slot(sk, note));

	if (counter)
		(*counter)++;
}

#endif
