# SPDX-License-Identifier: MIT
from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fakes.kernel import FakeKernel
from resonance_bpf.catalogue import (
    CANDIDATES,
    LISTENERS,
    PROGRAMS,
    SLOTS,
    SOCKET_KINDS,
    slot_table_position,
)
from resonance_bpf.hierarchy import find_hierarchy
from resonance_bpf.layouts import (
    CANDIDATE,
    CLOCK_PAIR,
    COST,
    HISTOGRAM,
    LISTENER,
    bucket_index,
)
from resonance_bpf.reader import Maps
from resonanced.model import Snapshot
from resonanced.signals.reading import Signals, Source
from resonanced.signals.settings import SignalsSettings

CPUS = 2
SECOND_NS = 1_000_000_000


def _maps() -> Maps:
    return Maps(
        cpus=CPUS,
        has_buckets=True,
        runqueue=np.zeros((CPUS, SLOTS), HISTOGRAM),
        clock=np.zeros(CPUS, CLOCK_PAIR),
        candidates=np.zeros(CANDIDATES, CANDIDATE),
        costs=np.zeros((len(PROGRAMS), CPUS), COST),
        socket=np.zeros((len(SOCKET_KINDS), CPUS, SLOTS), HISTOGRAM),
        socket_counters=np.zeros((CPUS, SLOTS), np.uint64),
        listeners=np.zeros(LISTENERS, LISTENER),
    )


class World:
    """A kernel of files and arrays, a keeper that does as told, and signals that read them."""

    def __init__(self, root: Path, settings: SignalsSettings) -> None:
        self.kernel = FakeKernel(root)
        self.maps = _maps()
        self.table: dict[int, int] = {}
        self.is_full = False
        self.asked_for_misses = 0
        self.refreshed = 0
        source = Source(
            assign=self._assign,
            release=self._release,
            misses=self._misses,
            refresh=self._refresh,
            hidden=lambda: 9,
        )
        self.signals = Signals(
            settings, self.maps, find_hierarchy(root), source, {"runqueue_bins": 7}
        )
        self.now_ns = time.monotonic_ns()

    def _assign(self, slot: int, cgroup_id: int) -> bool:
        if not self.is_full:
            self.table[cgroup_id] = slot
        return not self.is_full

    def _release(self, cgroup_id: int) -> None:
        del self.table[cgroup_id]

    def _misses(self) -> dict[str, int]:
        self.asked_for_misses += 1
        return {"runqueue_switch": 3}

    def _refresh(self) -> None:
        self.refreshed += 1

    def run(self, cgroup_id: int, *waits_ns: int) -> None:
        """Let the programs see a task of a cgroup wait and run."""
        slot = self.table.get(cgroup_id, 0)
        for number, wait_ns in enumerate(waits_ns):
            cell = self.maps.runqueue[number % CPUS, slot]
            cell["n"][2] += np.uint64(1)
            cell["sum_ns"][2] += np.uint64(wait_ns)
            cell["buckets"][bucket_index(wait_ns)] += np.uint32(1)
            if not slot:
                candidate = self.maps.candidates[slot_table_position(cgroup_id)]
                candidate["cgroup_id"] = cgroup_id
                candidate["votes"] += np.uint64(1)

    def tick(self, seconds: float = 1.0) -> Snapshot:
        self.now_ns += round(seconds * SECOND_NS)
        return self.signals.tick(self.now_ns)

    def cgroups(self) -> list[str]:
        return [slot.cgroup for slot in self.tick().slots]


MakeWorld = Callable[..., World]


@pytest.fixture
def make_world(tmp_path: Path) -> MakeWorld:
    return lambda **settings: World(tmp_path, SignalsSettings(**settings))


def test_a_configured_cgroup_has_its_slot_in_the_first_snapshot(make_world: MakeWorld) -> None:
    world = make_world(cgroups=("/web*",))
    cgroup_id = world.kernel.make_cgroup("/web-1")
    world.kernel.make_cgroup("/batch")
    snapshot = world.tick(0.0)
    assert [slot.cgroup for slot in snapshot.slots] == ["other", "/web-1"]
    assert world.table == {cgroup_id: 1}


def test_a_busy_cgroup_gets_a_slot_and_its_waits_count_there_from_then_on(
    make_world: MakeWorld,
) -> None:
    world = make_world()
    cgroup_id = world.kernel.make_cgroup("/busy")
    looks = 0
    while cgroup_id not in world.table and looks < 5:
        world.run(cgroup_id, 1_000_000)
        snapshot = world.tick()
        looks += 1
    assert [slot.cgroup for slot in snapshot.slots] == ["other", "/busy"]
    assert snapshot.runqueue.count[1] == 0
    world.run(cgroup_id, 500, 700)
    snapshot = world.tick()
    assert (snapshot.runqueue.count[1], snapshot.runqueue.sum_ns[1]) == (2, 1_200)


def test_a_cgroup_that_comes_later_is_found_by_its_pattern_without_running(
    make_world: MakeWorld,
) -> None:
    world = make_world(cgroups=("/late",))
    assert world.cgroups() == ["other"]
    world.kernel.make_cgroup("/late")
    seen = [world.cgroups() for _ in range(8)]
    assert seen[-1] == ["other", "/late"]


def test_a_removed_cgroup_loses_its_slot_and_its_place_in_the_table(
    make_world: MakeWorld,
) -> None:
    world = make_world(cgroups=("/web",))
    world.kernel.make_cgroup("/web")
    assert world.cgroups() == ["other", "/web"]
    world.kernel.remove_cgroup("/web")
    assert world.cgroups() == ["other"]
    assert world.table == {}


def test_a_full_table_leaves_the_cgroup_in_other(make_world: MakeWorld) -> None:
    world = make_world(cgroups=("/web",))
    world.is_full = True
    world.kernel.make_cgroup("/web")
    assert world.tick().overhead.slot_refusals == 1
    assert world.cgroups() == ["other"]
    assert world.table == {}


def test_other_patterns_are_taken_at_once(make_world: MakeWorld) -> None:
    world = make_world()
    world.kernel.make_cgroup("/web")
    assert world.cgroups() == ["other"]
    world.signals.configure(SignalsSettings(cgroups=("/web",)))
    assert world.cgroups() == ["other", "/web"]


def test_pressure_is_new_at_each_tick_and_the_rest_once_a_second(make_world: MakeWorld) -> None:
    world = make_world(cgroups=("/web",))
    cgroup_id = world.kernel.make_cgroup("/web")
    first = world.tick()
    world.run(cgroup_id, 50_000_000)
    second = world.tick(0.1)
    assert second.pressure[1] > 0.1
    assert second.runqueue.count[1] == 0
    assert (second.sequence, second.monotonic_ns) == (first.sequence + 1, world.now_ns)
    third = world.tick(1.0)
    assert third.runqueue.count[1] == 1


def test_socket_waits_and_retransmits_are_per_kind_and_slot(make_world: MakeWorld) -> None:
    world = make_world()
    world.tick()
    assert world.maps.socket is not None
    assert world.maps.socket_counters is not None
    for row in range(len(SOCKET_KINDS)):
        cell = world.maps.socket[row, 1, 0]
        cell["n"][0] = row + 1
        cell["sum_ns"][0] = 1_000 * (row + 1)
        cell["buckets"][bucket_index(1_000)] = row + 1
    world.maps.socket_counters[:, 0] = 4
    snapshot = world.tick()
    counts = {kind: int(waits.count[0]) for kind, waits in snapshot.sockets.items()}
    assert counts == {"srtt": 1, "connect": 2, "receive": 3}
    assert snapshot.retransmits[0] == 8


def test_totals_per_cpu_and_class_are_those_of_all_slots(make_world: MakeWorld) -> None:
    world = make_world()
    world.run(99, 100, 200, 300)
    snapshot = world.tick()
    assert snapshot.cpu_count.tolist() == [2, 1]
    assert snapshot.cpu_sum_ns.tolist() == [400, 200]
    assert snapshot.class_count.tolist() == [0, 0, 3, 0]
    assert snapshot.class_sum_ns.tolist() == [0, 0, 600, 0]


def test_overhead_is_summed_over_cpus_and_scaled_from_the_sampled_runs(
    make_world: MakeWorld,
) -> None:
    world = make_world()
    cost = world.maps.costs[0]
    cost["runs"], cost["sampled_runs"], cost["sampled_ns"] = [1_000, 3_000], [1, 3], [100, 300]
    world.maps.clock["unassigned_events"] = [5, 6]
    world.maps.clock["negative_waits"] = [1, 0]
    overhead = world.tick().overhead
    assert overhead.runs["runqueue_switch"] == 4_000
    assert overhead.run_seconds["runqueue_switch"] == pytest.approx(400e-6)
    assert overhead.run_seconds["socket_srtt"] == 0.0
    assert (overhead.unassigned_events, overhead.negative_waits) == (11, 1)
    assert overhead.missed == {"runqueue_switch": 3}
    assert overhead.map_bytes == {"runqueue_bins": 7}
    assert overhead.hidden == 9


def test_the_keeper_is_asked_for_skipped_executions_every_ten_seconds_only(
    make_world: MakeWorld,
) -> None:
    world = make_world()
    for _ in range(20):
        world.tick()
    assert world.asked_for_misses == 2
    assert world.refreshed == 20


def test_a_snapshot_once_handed_out_stays_as_it_is(make_world: MakeWorld) -> None:
    world = make_world()
    world.run(99, 100)
    snapshot = world.tick()
    before = (snapshot.runqueue.count.copy(), snapshot.cpu_count.copy(), snapshot.pressure.copy())
    world.run(99, 10_000_000)
    world.tick()
    after = (snapshot.runqueue.count, snapshot.cpu_count, snapshot.pressure)
    assert all((one == other).all() for one, other in zip(before, after, strict=True))
