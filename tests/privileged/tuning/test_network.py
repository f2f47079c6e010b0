# SPDX-License-Identifier: MIT
"""Socket options by BPF on this kernel: whose connections get them, whose do not, and how it ends.

Every connection is on the loopback device of a network namespace that the test made.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from privileged.tuning.network import (
    DEFAULT,
    SO_MAX_PACING_RATE,
    SOL_TCP,
    TCP_NOTSENT_LOWAT,
    Group,
    algorithm,
    algorithms_of_new_connection,
    connect,
    connection,
    in_own_namespace,
    kill,
    listen,
    sh,
)
from resonance_tuning.capabilities import drop_all_but
from resonance_tuning.errors import KnobUnavailableError, TargetVanishedError
from resonance_tuning.host import Host
from resonance_tuning.knobs.pacing import Pacing
from resonance_tuning.knobs.socket_ops import CongestionControl, NotsentLowat, SocketOptionKnob
from resonance_tuning.records import State, Target

HOST = Host()
AVAILABLE = Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text("ascii").split()
OTHERS = [name for name in AVAILABLE if name != DEFAULT]
OTHER = OTHERS[0]
CONNECTIONS = 401
"""A prime; each has two ends."""

every_algorithm = pytest.mark.parametrize("name", OTHERS)


@pytest.fixture
def group() -> Iterator[Group]:
    unified = HOST.unified
    assert unified
    directory = unified.directory / f"resonance-test-net-{os.getpid()}"
    directory.mkdir()
    yield Group(directory)
    with contextlib.suppress(FileNotFoundError):
        directory.rmdir()


def target(group: Group) -> Target:
    return Target("cgroup", group.name)


def held(knob: type[SocketOptionKnob], group: Group, value: str) -> SocketOptionKnob:
    holder = knob(HOST)
    assert holder.unavailable(target(group)) == ""
    holder.write(target(group), holder.canonical(target(group), value))
    return holder


@every_algorithm
def test_both_ends_in_the_group_get_the_algorithm_and_nobody_else(group: Group, name: str) -> None:
    def run() -> list[tuple[str, str]]:
        before = algorithms_of_new_connection(group)
        holder = held(CongestionControl, group, name)
        inside, outside = algorithms_of_new_connection(group), algorithms_of_new_connection()
        assert holder.read(target(group)) == State(name)
        assert holder.contradiction(target(group), name) == ""
        holder.restore(target(group), State(""))
        return [before, inside, outside, algorithms_of_new_connection(group)]

    plain = (DEFAULT, DEFAULT)
    assert in_own_namespace(run) == [plain, (name, name), plain, plain]


def test_each_end_goes_by_the_group_it_was_opened_in(group: Group) -> None:
    def run() -> list[tuple[str, str]]:
        held(CongestionControl, group, OTHER)
        with group.entered():
            listener_inside, client_inside = listen(), socket.socket()
        listener_outside, client_outside = listen(), socket.socket()
        return [
            connect(listener_outside, client_inside).algorithms(),
            connect(listener_inside, client_outside).algorithms(),
        ]

    assert in_own_namespace(run) == [(OTHER, DEFAULT), (DEFAULT, OTHER)]


def test_it_is_the_same_over_ipv6(group: Group) -> None:
    def run() -> tuple[str, str]:
        held(CongestionControl, group, OTHER)
        with group.entered():
            return connection("::1").algorithms()

    assert in_own_namespace(run) == (OTHER, OTHER)


@pytest.mark.parametrize("chosen", [DEFAULT, *OTHERS])
def test_what_an_application_chose_for_itself_stays(group: Group, chosen: str) -> None:
    def run() -> tuple[list[str], dict[str, int]]:
        holder = held(CongestionControl, group, OTHER)
        with group.entered():
            client, listener = socket.socket(), listen()
            client.setsockopt(SOL_TCP, socket.TCP_CONGESTION, chosen.encode())
            listener.setsockopt(SOL_TCP, socket.TCP_CONGESTION, chosen.encode())
            pair = connect(listener, client)
            later = connection()
            later.client.setsockopt(SOL_TCP, socket.TCP_CONGESTION, chosen.encode())
        return [*pair.algorithms(), algorithm(later.client)], holder.counters(target(group))

    found, counts = in_own_namespace(run)
    assert found == [chosen] * 3
    assert (counts["own_choice"], counts["taken"]) == (2, 2)


def test_what_a_route_says_stays(group: Group) -> None:
    def run() -> tuple[str, dict[str, int]]:
        holder = held(CongestionControl, group, OTHERS[-1])
        sh("ip route add local 192.0.2.7 dev lo table local", "ip addr add 192.0.2.7/32 dev lo")
        sh(f"ip route replace local 192.0.2.7 dev lo table local congctl {OTHER}")
        with group.entered():
            pair = connection("192.0.2.7")
        return pair.algorithms()[0], holder.counters(target(group))

    found, counts = in_own_namespace(run)
    assert found == OTHER
    assert counts["own_choice"] >= 1


def test_the_end_of_the_holder_ends_it_at_once(group: Group) -> None:
    def hold_in_a_child() -> int:
        ready, told = os.pipe()
        child = os.fork()
        if child == 0:
            held(CongestionControl, group, OTHER)
            os.write(told, b"!")
            time.sleep(60)
            os._exit(0)
        os.close(told)
        assert os.read(ready, 1) == b"!"
        os.close(ready)
        return child

    def run() -> tuple[tuple[str, str], tuple[str, str], tuple[str, str], float]:
        holder = hold_in_a_child()
        with group.entered():
            listener = listen()
        with group.entered():
            old = connect(listener)
        before = old.algorithms()
        kill(holder)
        killed = time.monotonic()
        while algorithms_of_new_connection(group) != (DEFAULT, DEFAULT):
            assert time.monotonic() < killed + 5
        took_seconds = time.monotonic() - killed
        with group.entered():
            from_old_listener = connect(listener).algorithms()
        assert old.algorithms() == before, "a connection keeps what it got"
        return before, from_old_listener, algorithms_of_new_connection(), took_seconds

    before, from_old_listener, outside, took_seconds = in_own_namespace(run)
    assert before == (OTHER, OTHER)
    assert from_old_listener == outside == (DEFAULT, DEFAULT)
    assert took_seconds < 1.0


def test_bytes_not_sent_are_bounded(group: Group) -> None:
    def run() -> list[tuple[int, int]]:
        held(NotsentLowat, group, "16384")
        with group.entered():
            inside, listener, client = connection(), listen(), socket.socket()
            client.setsockopt(SOL_TCP, TCP_NOTSENT_LOWAT, 4096)
            chosen = connect(listener, client)
        pairs = (inside, connection(), chosen)
        return [pair.number(SOL_TCP, TCP_NOTSENT_LOWAT) for pair in pairs]

    assert in_own_namespace(run) == [(16384, 16384), (0, 0), (4096, 16384)]


def test_the_pacing_rate_is_capped_without_any_qdisc(group: Group) -> None:
    def run() -> tuple[list[tuple[int, int]], float]:
        held(Pacing, group, "1000000")
        with group.entered():
            inside, listener, client = connection(), listen(), socket.socket()
            client.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, 5_000_000)
            chosen = connect(listener, client)
        started = time.monotonic()
        _send(inside.client, inside.server, 1_000_000)
        took_seconds = time.monotonic() - started
        pairs = (inside, connection(), chosen)
        rates = [pair.number(socket.SOL_SOCKET, SO_MAX_PACING_RATE) for pair in pairs]
        return rates, took_seconds

    rates, took_seconds = in_own_namespace(run)
    assert rates == [(1_000_000,) * 2, (-1, -1), (5_000_000, 1_000_000)]
    assert took_seconds > 0.4, "a million bytes at a million a second"


def _send(sender: socket.socket, receiver: socket.socket, size: int) -> None:
    child = os.fork()
    if child == 0:
        sender.sendall(bytes(size))
        os._exit(0)
    left = size
    while left:
        left -= len(receiver.recv(65536))
    os.waitpid(child, 0)


@pytest.mark.parametrize("share", [0.25, 0.9])
def test_the_canary_is_a_share_of_new_connections(group: Group, share: float) -> None:
    def run() -> tuple[int, dict[str, int]]:
        holder = held(CongestionControl, group, f"{OTHER} canary={share}")
        drawn = 0
        with group.entered(), listen() as listener:
            for _ in range(CONNECTIONS):
                pair = connect(listener)
                drawn += pair.algorithms().count(OTHER)
                pair.close()
        return drawn, holder.counters(target(group))

    drawn, counts = in_own_namespace(run)
    ends = 2 * CONNECTIONS
    assert counts["taken"] == drawn
    assert counts["taken"] + counts["outside_canary"] == ends
    five_sigma = 5 * (ends * share * (1 - share)) ** 0.5
    assert abs(drawn - ends * share) < five_sigma


def test_near_peers_are_left_alone(group: Group) -> None:
    def run() -> tuple[tuple[str, str], dict[str, int]]:
        holder = held(CongestionControl, group, f"{OTHER} min_rtt_seconds=10")
        return algorithms_of_new_connection(group), holder.counters(target(group))

    found, counts = in_own_namespace(run)
    assert found == (DEFAULT, DEFAULT)
    assert (counts["too_near"], counts["taken"]) == (2, 0)


def test_several_options_and_values_of_one_group_do_not_disturb_each_other(group: Group) -> None:
    def run() -> list[object]:
        one = held(CongestionControl, group, f"{OTHERS[-1]} canary=0.01")
        two = held(NotsentLowat, group, "16384")
        one.write(target(group), OTHER)
        with group.entered():
            pair = connection()
        two.restore(target(group), State(""))
        with group.entered():
            later = connection()
        return [
            pair.algorithms(),
            pair.number(SOL_TCP, TCP_NOTSENT_LOWAT),
            later.algorithms(),
            later.number(SOL_TCP, TCP_NOTSENT_LOWAT),
        ]

    got = (OTHER, OTHER)
    assert in_own_namespace(run) == [got, (16384, 16384), got, (0, 0)]


def test_a_refusal_of_the_kernel_is_counted_and_contradicts(group: Group) -> None:
    def run() -> tuple[dict[str, int], str]:
        holder = CongestionControl(HOST)
        holder.write(target(group), "nosuch")
        assert algorithms_of_new_connection(group) == (DEFAULT, DEFAULT)
        return holder.counters(target(group)), holder.contradiction(target(group), "nosuch")

    counts, why = in_own_namespace(run)
    assert (counts["failed"], counts["taken"]) == (2, 0)
    assert why == "the kernel refused it on 2 connections: No such file or directory"
    with pytest.raises(KnobUnavailableError, match="modprobe tcp_nosuch"):
        CongestionControl(HOST).canonical(target(group), "nosuch")


def test_a_group_that_is_removed_has_vanished_and_one_made_anew_is_another(group: Group) -> None:
    holder = held(CongestionControl, group, OTHER)
    before = holder.identity(target(group))
    group.directory.rmdir()
    with pytest.raises(TargetVanishedError):
        holder.read(target(group))
    with pytest.raises(TargetVanishedError):
        holder.write(target(group), OTHER)
    group.directory.mkdir()
    assert holder.identity(target(group)) != before
    assert holder.read(target(group)) == State("")


def test_a_link_whose_group_goes_first_holds_nothing_on_its_successor(group: Group) -> None:
    holder = held(CongestionControl, group, OTHER)
    group.directory.rmdir()
    group.directory.mkdir()
    deadline = time.monotonic() + 5
    while holder.read(target(group)) != State(""):
        assert time.monotonic() < deadline, "the kernel takes the program off a removed group"
        time.sleep(0.01)


def test_the_capabilities_it_names_are_enough(group: Group) -> None:
    def run() -> tuple[str, str]:
        with group.entered():
            listener, client = listen(), socket.socket()
        drop_all_but(CongestionControl.capabilities)
        held(CongestionControl, group, OTHER)
        return connect(listener, client).algorithms()

    assert {"CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"} == CongestionControl.capabilities
    assert in_own_namespace(run) == (OTHER, OTHER)


def test_a_capability_less_is_told_as_such(group: Group) -> None:
    def run() -> str:
        drop_all_but({"CAP_NET_ADMIN"})
        with pytest.raises((KnobUnavailableError, PermissionError)) as raised:
            held(CongestionControl, group, OTHER)
        return str(raised.value)

    said = in_own_namespace(run)
    assert "Operation not permitted: missing CAP_BPF and CAP_PERFMON; grant " in said
    assert "MEMLOCK" not in said


def test_a_hundred_turns_leave_no_descriptor_behind(group: Group) -> None:
    holder = CongestionControl(HOST)
    holder.write(target(group), OTHER)
    holder.restore(target(group), State(""))
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(100):
        holder.write(target(group), OTHER)
    holder.restore(target(group), State(""))
    assert sorted(os.listdir("/proc/self/fd")) == before
