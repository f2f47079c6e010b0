# SPDX-License-Identifier: MIT
from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from fakes.snapshots import OTHER, WEB, snapshot
from resonance_bpf.catalogue import SLOTS
from resonance_bpf.layouts import BIN, CLOCK_PAIR, HISTOGRAM, bucket_index
from resonance_bpf.reader import Maps
from resonance_core.control.records import Decision, GroupState, Mode
from resonanced.model import Rhythm
from resonanced.phase.loop import PhaseLoop, parameters_of
from resonanced.phase.others import Load
from resonanced.phase.registry import Registry
from resonanced.phase.settings import PhaseSettings

START_NS = 500_000_000_000
TICK_NS = 100_000_000


class Kernel:
    """One CPU whose two clocks are one."""

    def __init__(self) -> None:
        self.cells = np.zeros((1, 1_024, SLOTS), BIN)
        self.clock = np.zeros(1, CLOCK_PAIR)
        self.clock["runqueue_ns"] = self.clock["monotonic_ns"] = START_NS
        self.histograms = np.zeros((1, SLOTS), HISTOGRAM)
        self.opened: list[str] = []

    def maps(self, *, has_bpf: bool = True) -> Maps:
        nothing: Any = None
        return Maps(
            cpus=1,
            has_buckets=has_bpf,
            runqueue=self.histograms,
            clock=self.clock,
            candidates=nothing,
            costs=nothing,
            socket=None,
            socket_counters=None,
            listeners=None,
            open_bins=self._open if has_bpf else lambda _: None,
        )

    def _open(self, name: str) -> Any:
        self.opened.append(name)
        return self.cells

    def wait(self, at_ns: int, slot: int, wait_ns: int, count: int = 1) -> None:
        epoch = at_ns // 1_000_000
        cell = self.cells[0, epoch % 1_024, slot]
        if cell["epoch"] != epoch:
            cell["epoch"], cell["n"], cell["sum_ns"] = epoch, 0, 0
        cell["n"] += count
        cell["sum_ns"] += count * wait_ns
        self.histograms["buckets"][0, slot, bucket_index(wait_ns)] += count


class Sources:
    """Stands for the registry: remembers what it was told, decides what it is told to."""

    def __init__(self, *hosts: int) -> None:
        self.configured_mode = "shadow"
        self.mode: Mode = "shadow"
        self.commands = {"grant": 2, "slew": 0, "home": 0, "shadowed": 7}
        self.hosts = set(hosts)
        self.ticks: list[float] = []
        self.waits: list[tuple[float, list[float], list[float]]] = []
        self.bins: list[tuple[float, float, float]] = []
        self.loads: list[float] = []
        self.groups: tuple[GroupState, ...] = ()
        self.trips = {"anti_herd": 0}
        self.due_seconds = -np.inf if hosts else np.inf

    def __len__(self) -> int:
        return len(self.hosts)

    def cgroup_ids(self) -> set[int]:
        return self.hosts

    def counts(self) -> dict[str, int]:
        return {"registered": len(self.hosts), "eligible": 0, "held": 0}

    def tick(self, now: float) -> Decision:
        self.ticks.append(now)
        return Decision(
            at_seconds=now,
            mode=self.mode,
            commands=(),
            shadowed=7,
            groups=self.groups,
            trips=dict(self.trips),
        )

    def observe_waits(self, now: float, seconds: Any, counts: Any) -> None:
        self.waits.append((now, seconds.tolist(), counts.tolist()))

    def observe_bins(self, start: float, width: float, events: Any, waits: Any) -> None:
        self.bins.append((start, float(events.sum()), float(waits.sum())))

    def observe_load(self, busy_ratio: float) -> None:
        self.loads.append(busy_ratio)


class Node:
    """A loop at work, tick after tick."""

    def __init__(
        self,
        sources: Sources,
        stat: Path,
        settings: PhaseSettings | None = None,
        *,
        has_bpf: bool = True,
    ) -> None:
        stat.write_text("cpu 0 0 0 0 0 0 0 0 0 0\n", encoding="ascii")
        self.kernel, self.sources = Kernel(), sources
        maps = self.kernel.maps(has_bpf=has_bpf)
        registry = cast("Registry", sources)
        self.loop = PhaseLoop(settings or PhaseSettings(), maps, registry, Load(stat))
        self.now_ns = START_NS

    def tick(self, ticks: int = 1) -> Rhythm | None:
        rhythm = None
        for _ in range(ticks):
            self.now_ns += TICK_NS
            rhythm = self.loop.observe(snapshot(monotonic_ns=self.now_ns))
        return rhythm


@pytest.fixture
def stat(tmp_path: Path) -> Path:
    return tmp_path / "stat"


def group(**changes: Any) -> GroupState:
    values: dict[str, Any] = {
        "period_seconds": 0.1,
        "origin_seconds": 500.01,
        "state": "acquire",
        "reason": "the plan is a quarter of what is",
        "sources": 8,
        "eligible": 6,
        "order_parameter": 0.9,
        "mean_phase_rad": 1.0,
        "effective_sources": 7.5,
        "is_armed": True,
        "coupling": 1.0,
        "discrepancy_seconds": 0.02,
        "natural_discrepancy_seconds": 0.02,
        "planned_discrepancy_seconds": 0.005,
        "profile_seconds": np.linspace(0.0, 0.063, 64),
        "peak_seconds": 500.2,
        "delay_bound_seconds": np.inf,
        "delay_bound_checks": 5,
        "delay_bound_violations": 1,
        "predicted_ratio": 0.3,
        "tail_ratio": np.nan,
    }
    return GroupState(**(values | changes))


def test_every_tick_is_a_decision_while_the_controller_has_something_to_do(stat: Path) -> None:
    node = Node(Sources(1), stat)
    node.tick(3)
    assert node.sources.ticks == [500.1, 500.2, 500.3]


def test_where_nothing_is_due_there_is_a_decision_twice_a_second(stat: Path) -> None:
    node = Node(Sources(1), stat)
    node.sources.due_seconds = np.inf
    node.tick(21)
    assert np.diff(node.sources.ticks) == pytest.approx(0.5)
    node.sources.due_seconds = 502.3
    node.tick(5)
    assert 502.3 in node.sources.ticks


def test_what_others_waited_is_told_before_it_is_judged(stat: Path) -> None:
    node = Node(Sources(WEB.cgroup_id), stat)
    node.sources.due_seconds = np.inf
    node.tick(13)
    node.kernel.wait(node.now_ns + 1, OTHER.index, 2_000_000, count=3)
    node.sources.due_seconds = 501.4
    node.tick()
    assert node.sources.ticks[-1] == 501.4
    at, _, counts = node.sources.waits[-1]
    assert (at, counts) == (501.4, [3])


def test_without_a_source_decisions_are_rare_but_another_mode_is_told_at_once(stat: Path) -> None:
    node = Node(Sources(), stat)
    node.tick(20)
    assert 3 <= len(node.sources.ticks) <= 5
    assert not node.sources.waits
    assert not node.sources.loads
    node.sources.mode = "active"
    rhythm = node.tick()
    assert rhythm is not None
    assert rhythm.mode == "active"
    node.sources.mode = "observe"
    rhythm = node.tick()
    assert rhythm is not None
    assert rhythm.mode == "observe"


def test_without_bins_and_without_sources_nothing_is_known(stat: Path) -> None:
    node = Node(Sources(), stat, has_bpf=False)
    assert node.tick() is None
    assert node.loop.spectrum() is None
    node.sources.hosts = {1}
    rhythm = node.tick()
    assert rhythm is not None
    assert rhythm.sources["registered"] == 1
    assert not node.sources.waits


def test_bins_are_only_mapped_where_they_are_analysed(stat: Path) -> None:
    assert Node(Sources(), stat).kernel.opened == ["runqueue_bins"]
    silent = Node(Sources(), stat, PhaseSettings(analysis=False))
    assert silent.tick() is None
    assert not silent.kernel.opened


def test_the_controller_sees_the_waits_of_those_who_host_no_source(stat: Path) -> None:
    node = Node(Sources(WEB.cgroup_id), stat)
    node.tick()
    node.kernel.wait(node.now_ns + 1, OTHER.index, 2_000_000, count=3)
    node.kernel.wait(node.now_ns + 1, WEB.index, 9_000_000)
    stat.write_text("cpu 30 0 30 40 0 0 0 0 0 0\n", encoding="ascii")
    node.tick(10)
    seen = [(seconds, counts) for _, seconds, counts in node.sources.waits if seconds]
    assert len(seen) == 1
    assert seen[0][0] == pytest.approx([2e-3], rel=1 / 15)
    assert seen[0][1] == [3]
    assert len(node.sources.waits) == 11
    assert sum(events for _, events, _ in node.sources.bins) == 3
    assert sum(waits for _, _, waits in node.sources.bins) == pytest.approx(0.006)
    assert node.sources.loads == [pytest.approx(0.6)]


def test_what_happened_before_the_first_source_came_is_not_told(stat: Path) -> None:
    node = Node(Sources(), stat)
    node.sources.hosts = {WEB.cgroup_id}
    node.tick()
    node.sources.hosts = set()
    node.tick()
    node.kernel.wait(node.now_ns + 1, OTHER.index, 2_000_000)
    stat.write_text("cpu 30 0 30 40 0 0 0 0 0 0\n", encoding="ascii")
    node.tick(20)
    node.sources.hosts = {WEB.cgroup_id}
    node.tick(5)
    assert not any(seconds for _, seconds, _ in node.sources.waits)
    assert not node.sources.loads


def test_bins_that_nobody_could_read_are_counted(stat: Path) -> None:
    node = Node(Sources(), stat)
    node.tick(9)
    node.now_ns += 3_000_000_000
    rhythm = node.tick()
    assert rhythm is not None
    assert 1_900 < rhythm.missed_bins < 2_300


def test_the_group_with_the_most_work_is_told(stat: Path) -> None:
    node = Node(Sources(1), stat)
    node.sources.groups = group(), group(period_seconds=0.3)
    rhythm = node.tick()
    assert rhythm is not None
    assert (rhythm.mode, rhythm.configured_mode) == ("shadow", "shadow")
    assert (rhythm.guard_state, rhythm.order_parameter) == ("acquire", 0.9)
    assert rhythm.predicted_peak_ns == 500_200_000_000
    assert rhythm.profile_origin_ns == 500_010_000_000
    assert rhythm.profile_period_seconds == 0.1
    assert len(rhythm.profile_seconds) == 64
    assert rhythm.delay_bound_seconds == np.inf
    assert rhythm.commands["shadowed"] == 7
    assert np.isnan(rhythm.dominant_period_seconds)


def test_a_peak_that_is_not_known_is_no_time(stat: Path) -> None:
    node = Node(Sources(1), stat)
    node.sources.groups = (group(peak_seconds=np.nan),)
    rhythm = node.tick()
    assert rhythm is not None
    assert rhythm.predicted_peak_ns == 0


def test_the_rhythm_is_the_same_record_until_something_may_have_changed(stat: Path) -> None:
    node = Node(Sources(), stat)
    first = node.tick()
    assert node.tick(4) is first
    node.sources.trips = {"anti_herd": 1}
    tripped = node.tick(5)
    assert tripped is not None
    assert tripped is not first
    assert tripped.trips == {"anti_herd": 1}


def test_a_periodic_queue_and_who_makes_it_are_heard(stat: Path) -> None:
    node = Node(Sources(), stat)
    random = np.random.default_rng(4)
    period_ns = 90_000_000
    until_ns, burst_ns = START_NS, START_NS
    for _ in range(150):
        while burst_ns < until_ns + TICK_NS:
            for step in range(10):
                node.kernel.wait(burst_ns + step * 1_000_000, WEB.index, 400_000)
                node.kernel.wait(burst_ns + (step + 5) * 1_000_000, OTHER.index, 3_000_000)
            burst_ns += period_ns
        for at in random.integers(until_ns, until_ns + TICK_NS, 3):
            node.kernel.wait(int(at), OTHER.index, 50_000)
        until_ns += TICK_NS
        node.tick()
    rhythm = node.tick()
    assert rhythm is not None
    assert rhythm.dominant_period_seconds == pytest.approx(0.09, rel=0.01)
    assert rhythm.entropy_excess > 0.15
    assert rhythm.neighbours[0].slot == WEB
    assert rhythm.neighbours[0].score > 0.5
    assert rhythm.neighbours[0].period_seconds == pytest.approx(0.09, rel=0.1)
    spectrum = node.loop.spectrum()
    assert spectrum is not None
    assert spectrum.cgroups == ("other", WEB.cgroup)
    assert spectrum.events.shape == spectrum.wait_seconds.shape == (2, spectrum.missing.size)
    assert spectrum.start_ns + spectrum.missing.size * 5_000_000 <= node.now_ns
    first_burst = int(np.argmax(spectrum.events[1] > 0))
    assert (spectrum.start_ns + first_burst * 5_000_000 - START_NS) % period_ns < 15_000_000


def test_an_idle_node_has_no_rhythm_though_somebody_wakes_up(stat: Path) -> None:
    node = Node(Sources(), stat)
    for _ in range(100):
        node.kernel.wait(node.now_ns + 1, OTHER.index, 5_000)
        node.tick()
    rhythm = node.tick()
    assert rhythm is not None
    assert np.isnan(rhythm.dominant_period_seconds)
    assert rhythm.neighbours == ()


def test_the_controller_gets_what_the_operator_chose() -> None:
    settings = PhaseSettings(
        r_band=(0.2, 0.5),
        k_min=0.1,
        k_max=0.9,
        max_slew_seconds=0.003,
        canary_ratio=0.5,
        harm_ratio=1.5,
        hold_anchored=True,
        max_sources=9,
    )
    parameters = parameters_of(settings)
    for name in settings.__struct_fields__:
        if name not in {"mode", "analysis", "protect"}:
            assert getattr(parameters, name) == getattr(settings, name)
    assert parameters.cores >= 1.0
