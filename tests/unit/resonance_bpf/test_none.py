# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fakes.kernel import FakeKernel
from resonance_bpf.backends.none import LOOK_SECONDS, PLACE_LOOKS, Sampler
from resonance_bpf.catalogue import CANDIDATES, SCHEDULING_CLASSES, SOCKET_KINDS
from resonance_bpf.diag import EstablishedSocket
from resonance_bpf.errors import ToolchainError
from resonance_bpf.hierarchy import find_hierarchy

FAIR = SCHEDULING_CLASSES.index("fair")
SRTT = SOCKET_KINDS.index("srtt")


class Host:
    """A fake kernel, a clock that a test turns, and the sampler that looks at both."""

    def __init__(self, root: Path, kernel: FakeKernel | None = None) -> None:
        self.kernel = kernel or FakeKernel(root)
        self.now_ns = 10**12
        self.cost_ns = 0
        self.policy = os.SCHED_OTHER
        self.sockets: list[EstablishedSocket] = []
        self.error: ToolchainError | None = None

    def read_sockets(self) -> list[EstablishedSocket]:
        if self.error:
            raise self.error
        return self.sockets

    def sampler(self) -> Sampler:
        return Sampler(
            find_hierarchy(self.kernel.root),
            proc=self.kernel.proc,
            clock=lambda: self.now_ns,
            cost_clock=lambda: self.cost_ns,
            policy_of=lambda _tid: self.policy,
            read_sockets=self.read_sockets,
        )

    def look(self, sampler: Sampler, seconds: float = 1.0) -> None:
        self.now_ns += int(seconds * 1e9)
        assert sampler.refresh()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def _sums(sampler: Sampler, slot: int) -> tuple[int, int]:
    cell = sampler.maps.runqueue[0, slot]
    return int(cell["n"].sum()), int(cell["sum_ns"].sum())


def _candidates(sampler: Sampler) -> dict[int, int]:
    cells = sampler.maps.candidates
    return {int(cell["cgroup_id"]): int(cell["votes"]) for cell in cells if cell["votes"]}


def test_waits_count_in_the_slot_of_the_cgroup(host: Host) -> None:
    web, batch = host.kernel.make_cgroup("/web"), host.kernel.make_cgroup("/batch")
    host.kernel.make_task(7, "/web")
    host.kernel.make_task(8, "/batch")
    sampler = host.sampler()
    assert sampler.assign(3, web)
    assert sampler.assign(4, batch)
    sampler.refresh()
    host.kernel.run_task(7, run_delay_ns=5_000, timeslices=2)
    host.look(sampler)
    host.kernel.run_task(7, run_delay_ns=5_500, timeslices=3)
    host.look(sampler)
    assert _sums(sampler, 3) == (3, 5_500)
    assert _sums(sampler, 4) == (0, 0)
    assert _sums(sampler, 0) == (0, 0)


def test_what_a_task_waited_before_the_first_look_is_not_counted(host: Host) -> None:
    host.kernel.make_task(7, "/")
    host.kernel.run_task(7, run_delay_ns=9_000, timeslices=9)
    sampler = host.sampler()
    sampler.refresh()
    host.look(sampler)
    assert _sums(sampler, 0) == (0, 0)


def test_all_of_a_task_born_between_looks_is_counted(host: Host) -> None:
    sampler = host.sampler()
    sampler.refresh()
    host.kernel.make_task(7, "/")
    host.kernel.run_task(7, run_delay_ns=9_000, timeslices=9)
    host.look(sampler)
    assert _sums(sampler, 0) == (9, 9_000)


def test_a_reused_task_number_begins_at_zero(host: Host) -> None:
    host.kernel.make_task(7, "/")
    host.kernel.run_task(7, run_delay_ns=9_000, timeslices=9)
    sampler = host.sampler()
    sampler.refresh()
    host.kernel.run_task(7, run_delay_ns=100, timeslices=1)
    host.look(sampler)
    assert _sums(sampler, 0) == (1, 100)


def test_each_thread_counts_in_its_own_cgroup(host: Host) -> None:
    ids = [host.kernel.make_cgroup("/a"), host.kernel.make_cgroup("/b")]
    host.kernel.make_task(7, "/a")
    host.kernel.make_task(7, "/b", tid=8)
    sampler = host.sampler()
    for slot, cgroup_id in enumerate(ids, start=1):
        sampler.assign(slot, cgroup_id)
    sampler.refresh()
    (host.kernel.proc / "7/cgroup").write_text("0::/a\n")
    host.kernel.run_task(7, run_delay_ns=10, timeslices=1)
    host.kernel.run_task(7, run_delay_ns=20, timeslices=1, tid=8)
    host.look(sampler)
    assert (_sums(sampler, 1), _sums(sampler, 2)) == ((1, 10), (1, 20))


def test_a_moved_task_is_found_again_in_ten_looks(host: Host) -> None:
    ids = [host.kernel.make_cgroup("/a"), host.kernel.make_cgroup("/b")]
    host.kernel.make_task(7, "/a")
    sampler = host.sampler()
    for slot, cgroup_id in enumerate(ids, start=1):
        sampler.assign(slot, cgroup_id)
    sampler.refresh()
    host.kernel.make_task(7, "/b")
    for _ in range(PLACE_LOOKS):
        host.look(sampler)
    host.kernel.run_task(7, run_delay_ns=10, timeslices=1)
    host.look(sampler)
    assert (_sums(sampler, 1), _sums(sampler, 2)) == ((0, 0), (1, 10))


def test_an_ended_task_is_forgotten(host: Host) -> None:
    host.kernel.make_task(7, "/")
    host.kernel.make_task(8, "/")
    host.kernel.make_task(8, "/", tid=9)
    sampler = host.sampler()
    sampler.refresh()
    host.kernel.end_task(7)
    host.kernel.end_task(8, tid=9)
    host.look(sampler)
    assert set(sampler._tasks) == {8}


@pytest.mark.parametrize(
    ("policy", "name"),
    [
        (os.SCHED_OTHER, "fair"),
        (os.SCHED_BATCH, "fair"),
        (os.SCHED_FIFO, "realtime"),
        (os.SCHED_RR, "realtime"),
        (os.SCHED_IDLE, "idle"),
        (6, "deadline"),
    ],
)
def test_waits_count_in_their_scheduling_class(host: Host, policy: int, name: str) -> None:
    host.policy = policy
    sampler = host.sampler()
    sampler.refresh()
    host.kernel.make_task(7, "/")
    host.kernel.run_task(7, run_delay_ns=10, timeslices=1)
    host.look(sampler)
    counts = sampler.maps.runqueue[0, 0]["n"].tolist()
    assert counts == [int(known == name) for known in SCHEDULING_CLASSES]


def test_busy_cgroups_without_a_slot_vote(host: Host) -> None:
    web = host.kernel.make_cgroup("/web")
    host.kernel.make_task(7, "/web")
    sampler = host.sampler()
    sampler.refresh()
    host.kernel.run_task(7, run_delay_ns=10, timeslices=5)
    host.look(sampler)
    assert _candidates(sampler) == {web: 5}
    assert sampler.maps.clock["unassigned_events"][0] == 5
    sampler.assign(1, web)
    host.look(sampler)
    assert _candidates(sampler) == {}
    sampler.release(web)
    host.kernel.run_task(7, run_delay_ns=10, timeslices=6)
    host.look(sampler)
    assert _candidates(sampler) == {web: 1}


def test_candidates_are_bounded_and_those_without_tasks_leave(host: Host) -> None:
    sampler = host.sampler()
    sampler.refresh()
    for number in range(CANDIDATES + 5):
        host.kernel.make_cgroup(f"/job-{number}")
        host.kernel.make_task(100 + number, f"/job-{number}")
        host.kernel.run_task(100 + number, run_delay_ns=1, timeslices=1)
    host.look(sampler)
    assert len(_candidates(sampler)) == CANDIDATES
    for number in range(CANDIDATES + 5):
        host.kernel.end_task(100 + number)
    host.look(sampler)
    assert _candidates(sampler) == {}


def test_looks_are_limited(host: Host) -> None:
    sampler = host.sampler()
    assert sampler.refresh()
    host.now_ns += int(LOOK_SECONDS * 0.9e9)
    assert not sampler.refresh()
    host.now_ns += int(LOOK_SECONDS * 0.1e9) + 1
    assert sampler.refresh()


def test_a_dear_look_makes_looks_rarer(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = host.sampler()

    def take_long() -> None:
        host.cost_ns += 100_000_000

    monkeypatch.setattr(sampler, "_look_at_tasks", take_long)
    sampler.refresh()
    assert sampler.look_seconds == pytest.approx(5.0)
    host.now_ns += 4_900_000_000
    assert not sampler.refresh()


def test_pressure_is_the_mean_number_waiting_cut_at_one(host: Host) -> None:
    ids = [host.kernel.make_cgroup("/a"), host.kernel.make_cgroup("/b")]
    host.kernel.make_task(7, "/a")
    host.kernel.make_task(8, "/b")
    sampler = host.sampler()
    for slot, cgroup_id in enumerate(ids, start=1):
        sampler.assign(slot, cgroup_id)
    sampler.refresh()
    assert np.isnan(sampler.pressure).all()
    host.kernel.run_task(7, run_delay_ns=500_000_000, timeslices=1)
    host.kernel.run_task(8, run_delay_ns=5_000_000_000, timeslices=1)
    host.look(sampler, 2.0)
    assert sampler.pressure[:3].tolist() == [0.0, 0.25, 1.0]


@pytest.mark.parametrize("hierarchy", ["v1-cpu", "v2"])
def test_psi(tmp_path: Path, hierarchy: str) -> None:
    kernel = FakeKernel(tmp_path, "v2" if hierarchy == "v2" else "v1-cpu")
    sampler = Host(tmp_path, kernel).sampler()
    kernel.make_cgroup("/web")
    assert sampler.psi("/") is None
    assert sampler.psi("/web") is None
    kernel.write_pressure(kernel.proc / "pressure/cpu", 12.5)
    kernel.write_pressure(kernel.mount / "web/cpu.pressure", 50.0)
    assert sampler.psi("/") == pytest.approx(0.125)
    assert sampler.psi("/web") == (pytest.approx(0.5) if hierarchy == "v2" else None)


def test_round_trips_are_sampled_from_connections_that_heard_something(host: Host) -> None:
    web = host.kernel.make_cgroup("/web")
    quiet = EstablishedSocket(1, web, 7_000, 10, 0)
    host.sockets = [quiet, EstablishedSocket(2, web, 2_000, 10, 5)]
    sampler = host.sampler()
    sampler.assign(3, web)
    sampler.refresh()
    host.sockets = [
        quiet,
        EstablishedSocket(2, web, 3_000, 11, 7),
        EstablishedSocket(3, 0, 9_000, 1, 1),
    ]
    host.look(sampler)
    assert sampler.maps.socket is not None
    assert sampler.maps.socket_counters is not None
    cells = sampler.maps.socket[SRTT, 0]
    assert (cells[3]["n"].sum(), cells[3]["sum_ns"].sum()) == (1, 3_000)
    assert (cells[0]["n"].sum(), cells[0]["sum_ns"].sum()) == (1, 9_000)
    assert sampler.maps.socket_counters[0, [0, 3]].tolist() == [1, 2]


def test_on_v1_sockets_count_in_other(tmp_path: Path) -> None:
    host = Host(tmp_path, FakeKernel(tmp_path, "v1-cpu"))
    sampler = host.sampler()
    sampler.assign(3, 99)
    host.sockets = [EstablishedSocket(2, 99, 3_000, 11, 0)]
    host.look(sampler)
    assert sampler.maps.socket is not None
    assert sampler.maps.socket[SRTT, 0, 0]["n"].sum() == 1
    assert sampler.maps.socket[SRTT, 0, 3]["n"].sum() == 0


def test_without_pyroute2_there_are_no_sockets_and_it_says_so(host: Host) -> None:
    host.error = ToolchainError("pyroute2", "No module named 'pyroute2'", "pip install it")
    sampler = host.sampler()
    host.look(sampler)
    assert sampler.maps.socket is None
    assert sampler.maps.socket_counters is None
    assert "pip install it" in sampler.unavailable["sockets"]


def _no_schedstat(kernel: FakeKernel) -> None:
    (kernel.proc / "self/schedstat").unlink()


def _idle_schedstat(kernel: FakeKernel) -> None:
    (kernel.proc / "self/schedstat").write_text("0 0 0\n")


def _hidden(kernel: FakeKernel) -> None:
    (kernel.proc / "1").rmdir()


@pytest.mark.parametrize(
    ("spoil", "what", "reason"),
    [
        (_no_schedstat, "runqueue", "SCHED_INFO"),
        (_idle_schedstat, "runqueue", "stands still"),
        (_hidden, "foreign tasks", "hidepid"),
    ],
)
def test_what_cannot_be_seen_is_named(
    host: Host, spoil: Callable[[FakeKernel], None], what: str, reason: str
) -> None:
    assert host.sampler().unavailable == {}
    spoil(host.kernel)
    assert reason in host.sampler().unavailable[what]


def test_unreadable_tasks_are_counted(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.kernel.make_task(7, "/")
    sampler = host.sampler()
    listdir = os.listdir

    def refuse(path: str | Path) -> list[str]:
        if str(path).endswith("/7/task"):
            raise PermissionError
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refuse)
    sampler.refresh()
    assert sampler.hidden_tasks == 1


def test_a_task_outside_of_our_cgroups_counts_in_other_and_does_not_vote(host: Host) -> None:
    host.kernel.make_task(7, "/../host")
    sampler = host.sampler()
    sampler.refresh()
    host.kernel.run_task(7, run_delay_ns=10, timeslices=1)
    host.look(sampler)
    assert _sums(sampler, 0) == (1, 10)
    assert _candidates(sampler) == {}


def test_this_host_is_readable_and_our_own_waits_are_in_it() -> None:
    sampler = Sampler(find_hierarchy(), read_sockets=list)
    sampler.refresh()
    before = sampler.maps.runqueue["n"].sum()
    for _ in range(3):
        os.sched_yield()
    sampler._next_ns = 0
    assert sampler.refresh()
    assert sampler.maps.runqueue["n"].sum() >= before
    assert os.getpid() in sampler._tasks
