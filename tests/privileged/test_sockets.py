# SPDX-License-Identifier: MIT
"""Are the waits of sockets what applications and the kernel's own counters say they are?"""

from __future__ import annotations

import statistics
from importlib import resources
from pathlib import Path

import pytest

from privileged.agent import HERE, THERE
from privileged.conftest import MakeCgroup, StartTask
from privileged.probes import LOADER, Counted, Probes, Task, loaded
from resonance_bpf.catalogue import PROGRAMS, SOCKET_KINDS
from resonance_bpf.hierarchy import find_hierarchy
from resonance_bpf.layouts import BUCKET_UPPER_NS, bucket_index

SRTT, CONNECT, RECEIVE = (SOCKET_KINDS.index(kind) for kind in ("srtt", "connect", "receive"))
PORT = 7_919
ONE_WAY_SECONDS = 0.01
ROUND_TRIP_SECONDS = 2 * ONE_WAY_SECONDS


def _mean_seconds(counted: Counted) -> float:
    return counted.sum_ns / counted.n / 1e9


def _pair(start: StartTask) -> tuple[Task, Task]:
    """Return a server and a client in a network namespace of their own."""
    server, client = start(), start()
    server.do("enter_new_network")
    client.do("enter_network_of", server.pid)
    return server, client


def _distant_pair(start: StartTask, drop_every: int = 0) -> tuple[Task, Task]:
    """Return the same with a round trip of `ROUND_TRIP_SECONDS` between them."""
    server, client = _pair(start)
    link = start()
    link.do("enter_network_of", server.pid)
    link.do("delay_link", ONE_WAY_SECONDS, drop_every)
    return server, client


def test_every_program_of_the_catalogue_is_attached_to_this_kernel(probes: Probes) -> None:
    attached = {program.name: program.attached for program in probes.report.programs}
    has_data_ready = "btf_trace_sk_data_ready" in _names_in_btf()
    assert attached == {
        "runqueue_switch": True,
        "socket_srtt": True,
        "socket_connect": True,
        "socket_ready": has_data_ready,
        "socket_receive": True,
        "socket_retransmit": True,
    }


def _names_in_btf() -> set[str]:
    raw = Path("/sys/kernel/btf/vmlinux").read_bytes()
    return {name.decode() for name in raw.split(b"\0") if name.startswith(b"btf_trace_sk_data")}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_each_connect_is_counted_once_and_in_the_cgroup_that_connected(
    host: str, probes_of_each_hierarchy: Probes, make_cgroup: MakeCgroup, start: StartTask
) -> None:
    probes, connects = probes_of_each_hierarchy, 211
    servers, clients = make_cgroup(probes), make_cgroup(probes)
    server, client = start(), start()
    servers.add(server)
    clients.add(client)
    server.do("enter_new_network")
    client.do("enter_network_of", server.pid)
    server.do("listen", host, PORT)
    server.order("accept_and_close", connects)
    took = client.do("connect", host, PORT, connects)
    server.answer()
    counted = probes.sockets(CONNECT, clients.slot)
    assert counted.n == counted.buckets.sum() == connects
    assert probes.sockets(CONNECT, servers.slot).n == 0
    assert 0 < counted.sum_ns / 1e9 <= sum(took)


def test_connect_latency_over_a_distance_is_what_the_application_measures(
    probes: Probes, make_cgroup: MakeCgroup, start: StartTask
) -> None:
    cgroup = make_cgroup(probes)
    server, client = _distant_pair(start)
    cgroup.add(server, client)
    server.do("listen", HERE, PORT)
    server.order("accept_and_close", 17)
    took = client.do("connect", THERE, PORT, 17)
    server.answer()
    counted = probes.sockets(CONNECT, cgroup.slot)
    assert counted.n == 17
    assert _mean_seconds(counted) == pytest.approx(statistics.mean(took), rel=0.05)
    assert min(took) >= ROUND_TRIP_SECONDS


def test_mean_round_trip_time_is_that_of_the_kernels_tcp_info(
    probes: Probes, make_cgroup: MakeCgroup, start: StartTask
) -> None:
    messages = 53
    clients, servers = make_cgroup(probes), make_cgroup(probes)
    server, client = _distant_pair(start)
    clients.add(client)
    servers.add(server)
    server.do("listen", HERE, PORT)
    server.order("echo")
    rtt_us = client.do("converse", THERE, PORT, messages)
    server.answer()
    for cgroup in (clients, servers):
        counted = probes.sockets(SRTT, cgroup.slot)
        assert counted.n >= messages
        assert _mean_seconds(counted) == pytest.approx(statistics.mean(rtt_us) / 1e6, rel=0.05)
    assert min(rtt_us) / 1e6 >= ROUND_TRIP_SECONDS


def test_each_retransmitted_segment_is_counted(
    probes: Probes, make_cgroup: MakeCgroup, start: StartTask
) -> None:
    assert probes.maps.socket_counters is not None
    cgroup = make_cgroup(probes)
    server, client = _distant_pair(start, drop_every=3)
    cgroup.add(server, client)
    server.do("listen", HERE, PORT)
    server.order("echo")
    client.do("converse", THERE, PORT, 29)
    server.answer()
    kernel = client.do("retransmitted_segments")
    counted = int(probes.maps.socket_counters[:, cgroup.slot].sum())
    # A timer may send again while a silent task is current; see test_runqueue.py.
    assert kernel >= 20
    assert 0.85 * kernel <= counted <= kernel


@pytest.mark.parametrize("delay_seconds", [0.003, 0.03])
def test_data_left_unread_waits_as_long_as_the_reader_stayed_away(
    delay_seconds: float,
    probes_of_each_hierarchy: Probes,
    make_cgroup: MakeCgroup,
    start: StartTask,
) -> None:
    probes, count = probes_of_each_hierarchy, 29
    cgroup = make_cgroup(probes)
    task = start()
    cgroup.add(task)
    task.do("enter_new_network")
    before = probes.sockets(RECEIVE, cgroup.slot)
    lay_ns = task.do("read_late", count, delay_seconds)
    waits = probes.sockets(RECEIVE, cgroup.slot) - before
    assert waits.n == count
    assert waits.sum_ns == pytest.approx(sum(lay_ns), rel=0.1)
    # By its own clock the task read later than planned, never earlier.
    assert waits.buckets[: bucket_index(round(delay_seconds * 1e9)) - 1].sum() == 0
    slowest = BUCKET_UPPER_NS[waits.buckets.nonzero()[0].max()]
    assert slowest <= 1.3 * max(lay_ns)


def test_receive_waits_are_in_the_bins_too(
    probes: Probes, make_cgroup: MakeCgroup, start: StartTask
) -> None:
    assert probes.maps.socket_bins is not None
    cgroup = make_cgroup(probes)
    task = start()
    cgroup.add(task)
    task.do("enter_new_network")
    task.do("read_late", 31, 0.005)
    waits = probes.sockets(RECEIVE, cgroup.slot)
    bins = probes.maps.socket_bins[:, :, cgroup.slot]
    assert waits.n == waits.buckets.sum() == 31
    assert (int(bins["n"].sum()), int(bins["sum_ns"].sum())) == (waits.n, waits.sum_ns)


@pytest.mark.parametrize("port", [PORT, 0], ids=["chosen", "any-free"])
def test_a_listening_socket_is_known_with_its_network_and_cgroup_until_it_closes(
    probes: Probes, make_cgroup: MakeCgroup, start: StartTask, port: int
) -> None:
    cgroup = make_cgroup(probes)
    task = start()
    cgroup.add(task)
    task.do("enter_new_network")
    network = Path(f"/proc/{task.pid}/ns/net").stat().st_ino
    task.do("listen", "127.0.0.1", port)
    assert _listening_cgroups(probes, network) == [cgroup.id]
    task.do("stop_listening")
    assert _listening_cgroups(probes, network) == []


def _listening_cgroups(probes: Probes, network: int) -> list[int]:
    listeners = probes.maps.listeners
    assert listeners is not None
    is_ours = (listeners["network_namespace"] == network) & (listeners["cgroup_id"] != 0)
    cgroup_ids: list[int] = listeners["cgroup_id"][is_ours].tolist()
    return cgroup_ids


def test_a_kernel_without_the_cast_measures_round_trips_through_the_helper(
    bpffs: Path, start: StartTask
) -> None:
    """Its programs do not even name it: who may not read the BTF of modules could not load them."""
    objects = resources.files("resonance_bpf") / "objects"
    assert b"bpf_rdonly_cast" in (objects / "socket.bpf.o").read_bytes()
    assert b"bpf_rdonly_cast" not in (objects / "socket_without_cast.bpf.o").read_bytes()
    older = (
        "from resonance_bpf.libbpf import Library\n"
        "known = Library.has_type\n"
        "Library.has_type = lambda *where: where[2] != 'bpf_rdonly_cast' and known(*where)\n"
    )
    with loaded(bpffs / "older", find_hierarchy(), program=(older + LOADER, "")) as probes:
        assert {program.name for program in probes.report.programs if program.attached} == {
            program.name for program in PROGRAMS
        }
        server, client = _pair(start)
        server.do("listen", "127.0.0.1", PORT)
        server.order("echo")
        client.do("converse", "127.0.0.1", PORT, 31)
        server.answer()
        srtt = int(probes.maps.socket[SRTT]["n"].sum())
    assert srtt >= 31


def test_every_socket_program_counts_its_own_runs(
    probes: Probes, make_cgroup: MakeCgroup, start: StartTask
) -> None:
    cgroup = make_cgroup(probes)
    server, client = _distant_pair(start, drop_every=3)
    cgroup.add(server, client)
    before = probes.maps.costs["runs"].sum(axis=1)
    server.do("listen", HERE, PORT)
    server.order("echo")
    client.do("converse", THERE, PORT, 5)
    server.answer()
    grown = probes.maps.costs["runs"].sum(axis=1) - before
    ran = {program.name for row, program in enumerate(PROGRAMS) if grown[row] > 0}
    attached = {program.name for program in probes.report.programs if program.attached}
    assert ran == attached
