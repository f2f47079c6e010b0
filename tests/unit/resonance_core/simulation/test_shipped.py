# SPDX-License-Identifier: MIT
from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest

from resonance_core.control.controller import Controller
from resonance_core.control.records import Floats, Mode, Releases
from resonance_core.simulation.run import Trace, run
from resonance_core.simulation.scenario import Scenario, reference_scenario
from resonance_core.simulation.shipped import Shipped
from resonance_core.simulation.workload import Workload, draw_workload

SHORT = reference_scenario(8, 0.75, cycles=120, warmup_cycles=60)


def _played(scenario: Scenario, mode: Mode = "active", seed: int = 1) -> tuple[Trace, Shipped]:
    workload = draw_workload(scenario, seed)
    arm = Shipped(workload, seed, mode)
    return run(workload, arm), arm


def _holds(trace: Trace) -> Floats:
    return trace.release_seconds - trace.workload.bursts.natural_seconds


def test_in_shadow_nothing_happens_and_everything_is_decided() -> None:
    trace, arm = _played(SHORT, "shadow")
    assert not _holds(trace).any()
    assert arm.decision is not None
    assert arm.decision.shadowed > 0
    assert [state for _, state in arm.states][:2] == ["shadow", "acquire"]


def test_active_moves_the_sources_and_ends_active() -> None:
    trace, arm = _played(SHORT)
    assert _holds(trace).max() > 0.02
    assert arm.states[-1][1] == "active"


def test_steps_are_the_ones_that_were_commanded() -> None:
    trace, _ = _played(SHORT)
    source = trace.workload.bursts.source
    for each in range(8):
        steps = np.diff(_holds(trace)[source == each], prepend=0.0)
        assert np.abs(steps).max() <= 0.007 + 1e-12


def test_a_lasting_hold_is_no_latency_and_a_step_is() -> None:
    trace, _ = _played(SHORT)
    bursts = trace.workload.bursts
    own = bursts.source == bursts.source[_holds(trace).argmax()]
    hold = _holds(trace)[own]
    late = (trace.release_seconds - trace.intended_seconds)[own]
    assert late == pytest.approx(np.maximum(np.diff(hold, prepend=0.0), 0.0), abs=1e-12)
    assert late[-20:] == pytest.approx(np.zeros(20), abs=1e-12)
    assert hold[-1] > 0.01


def test_an_anchored_source_is_held_only_where_the_scenario_lets_it_and_pays() -> None:
    # Seven milliseconds are enough of such a period to be worth a plan.
    anchored = reference_scenario(
        8,
        0.6,
        periods_seconds=(0.02,),
        cycles=500,
        warmup_cycles=60,
        phase_free=False,
        slack_seconds=0.007,
    )
    trace, _ = _played(anchored)
    assert not _holds(trace).any()
    trace, _ = _played(replace(anchored, hold_anchored=True))
    held = _holds(trace)
    assert 0.0 < held.max() <= 0.007 + 1e-12
    assert trace.intended_seconds == pytest.approx(trace.workload.bursts.natural_seconds)


def test_after_a_restart_the_old_places_are_granted() -> None:
    scenario = replace(SHORT, duration_seconds=14.0, restart_seconds=10.0)
    trace, _ = _played(scenario)
    bursts = trace.workload.bursts
    phases = (bursts.lattice_seconds + _holds(trace)) % 0.1
    for source in range(8):
        before = np.flatnonzero((bursts.source == source) & (bursts.generation == 0))[-1]
        after = np.flatnonzero((bursts.source == source) & (bursts.generation == 1))[0]
        apart = (phases[after] - phases[before] + 0.05) % 0.1 - 0.05
        assert abs(apart) < 0.005


class _Recorded(Controller):
    """Keeps what it is told."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.releases: list[Releases] = []
        self.waits: list[Floats] = []
        self.bins: list[tuple[float, Floats, Floats]] = []

    def observe(self, releases: Releases) -> None:
        self.releases.append(releases)
        super().observe(releases)

    def observe_waits(self, now_seconds: float, seconds: Floats, counts: Floats) -> None:
        self.waits.append(seconds)
        super().observe_waits(now_seconds, seconds, counts)

    def observe_bins(
        self, start_seconds: float, bin_seconds: float, events: Floats, wait_seconds: Floats
    ) -> None:
        self.bins.append((start_seconds, events, wait_seconds))
        super().observe_bins(start_seconds, bin_seconds, events, wait_seconds)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> tuple[Workload, Trace, _Recorded]:
    monkeypatch.setattr("resonance_core.simulation.shipped.Controller", _Recorded)
    trace, arm = _played(SHORT)
    assert isinstance(arm._controller, _Recorded)
    return trace.workload, trace, arm._controller


def test_the_controller_hears_natural_releases_and_true_work(
    recorded: tuple[Workload, Trace, _Recorded],
) -> None:
    workload, trace, controller = recorded
    bursts = workload.bursts
    own = np.flatnonzero(bursts.source == 3)
    parts = [each for each in controller.releases if each.key == 3]
    at = np.concatenate([each.at_seconds for each in parts])
    work = np.concatenate([each.work_seconds for each in parts])
    taken = np.concatenate([each.completion_seconds for each in parts])
    count = len(at)
    assert count >= len(own) - 6
    assert np.array_equal(at, bursts.natural_seconds[own[:count]])
    sums = np.add.reduceat(workload.job_seconds, bursts.first_job)
    assert work == pytest.approx(sums[own[:count]])
    ends = np.maximum.reduceat(trace.job_end_seconds, bursts.first_job)
    assert taken == pytest.approx((ends - trace.intended_seconds)[own[:count]])
    assert len(parts) <= 12 / 0.5


def test_the_controller_hears_every_wait_once_and_in_its_bin(
    recorded: tuple[Workload, Trace, _Recorded],
) -> None:
    _, trace, controller = recorded
    waits = np.concatenate(controller.waits)
    assert np.unique(waits[waits > 0.0]).size == (waits > 0.0).sum()
    assert waits.size >= 0.99 * trace.request_wait_seconds.size
    starts = [start for start, _, _ in controller.bins]
    assert starts == pytest.approx([0.5 * k for k in range(24)])
    assert all(len(events) == 500 for _, events, _ in controller.bins)
    assert sum(events.sum() for _, events, _ in controller.bins) == waits.size
    assert sum(sums.sum() for _, _, sums in controller.bins) == pytest.approx(waits.sum())


@pytest.mark.parametrize("mode", get_args(Mode))
def test_the_same_seed_gives_the_same_run(mode: Mode) -> None:
    first, again = (_played(SHORT, mode)[0] for _ in range(2))
    assert np.array_equal(first.request_end_seconds, again.request_end_seconds)
    assert np.array_equal(first.release_seconds, again.release_seconds)


def test_adaptive_begins_with_some_of_the_sources() -> None:
    scenario = reference_scenario(16, 0.75, cycles=55, warmup_cycles=40)
    (adaptive, arm), (active, _) = _played(scenario, "adaptive"), _played(scenario)
    moved = [
        len({int(s) for s in trace.workload.bursts.source[_holds(trace) > 0.0]})
        for trace in (adaptive, active)
    ]
    assert 0 < moved[0] <= moved[1] / 2
    assert "acquire" in {state for _, state in arm.states}
