# SPDX-License-Identifier: MIT
from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from resonance_core.control.records import Floats
from resonance_core.simulation.arms import Granted, Pacing, Releases, Window, untouched
from resonance_core.simulation.run import run
from resonance_core.simulation.scenario import Requests, Scenario, SourceBlock, reference_scenario
from resonance_core.simulation.workload import Bursts, Workload, draw_workload


@dataclass
class _Watching:
    """Holds everybody by the same time, and keeps what it is shown."""

    hold_seconds: float = 0.0
    window_seconds: float = 0.1
    windows: list[Window] = field(default_factory=list)
    restarts: list[tuple[int, float]] = field(default_factory=list)

    def release(self, bursts: Bursts) -> Releases:
        natural = bursts.natural_seconds
        return Releases(natural + self.hold_seconds, natural, np.zeros(len(natural)))

    def observe(self, window: Window) -> None:
        self.windows.append(window)

    def restart(self, generation: int, now_seconds: float) -> None:
        self.restarts.append((generation, now_seconds))


@pytest.fixture(params=["fifo", "sharing"])
def workload(request: pytest.FixtureRequest) -> Workload:
    return draw_workload(
        replace(reference_scenario(8, 0.75, cycles=40, warmup_cycles=5), discipline=request.param),
        1,
    )


def test_looking_changes_nothing(workload: Workload) -> None:
    blind, watched = run(workload, untouched(workload)), run(workload, _Watching())
    assert watched.request_end_seconds == pytest.approx(blind.request_end_seconds, abs=1e-9)
    assert watched.job_end_seconds == pytest.approx(blind.job_end_seconds, abs=1e-9)


def test_holds_over_several_windows_change_as_much_as_in_one(workload: Workload) -> None:
    granted = Granted(workload, np.full_like(workload.origin_seconds, 0.35))
    in_one, in_many = run(workload, granted), run(workload, _Watching(hold_seconds=0.35))
    assert in_many.job_end_seconds == pytest.approx(in_one.job_end_seconds, abs=1e-9)


def test_every_job_ends(workload: Workload) -> None:
    trace = run(workload, _Watching(hold_seconds=0.05))
    assert np.isfinite(trace.request_end_seconds).all()
    assert np.isfinite(trace.job_end_seconds).all()


def test_an_arm_sees_each_wait_and_each_burst_once(workload: Workload) -> None:
    watching = _Watching()
    trace = run(workload, watching)
    waits = np.concatenate([each.wait_seconds for each in watching.windows])
    bursts = np.concatenate([each.burst for each in watching.windows])
    ends = np.concatenate([each.end_seconds for each in watching.windows])
    assert np.unique(bursts).size == bursts.size
    assert bursts.size >= len(workload.bursts.jobs) - 16
    assert ends == pytest.approx(_burst_ends(workload, trace.job_end_seconds)[bursts])
    assert set(waits.tolist()) <= set(trace.request_wait_seconds.tolist())
    assert all((each.end_seconds <= each.now_seconds).all() for each in watching.windows)


def test_waits_are_known_in_the_window_in_which_they_are_over(workload: Workload) -> None:
    watching = _Watching()
    run(workload, watching)
    for before, each in zip(watching.windows, watching.windows[1:], strict=False):
        assert (each.waited_until_seconds > before.now_seconds).all()
        assert (each.waited_until_seconds <= each.now_seconds).all()


def _burst_ends(workload: Workload, job_end_seconds: Floats) -> Floats:
    return np.maximum.reduceat(job_end_seconds, workload.bursts.first_job)


def test_the_load_that_an_arm_sees_is_the_load(workload: Workload) -> None:
    watching = _Watching()
    run(workload, watching)
    work = workload.job_seconds.sum() + workload.request_service_seconds.sum()
    seen = np.mean([each.busy_ratio for each in watching.windows])
    assert seen == pytest.approx(work / (4 * 4.0), rel=0.03)


def test_a_restart_comes_between_two_windows() -> None:
    scenario = replace(reference_scenario(4, 0.3, cycles=20, warmup_cycles=2), restart_seconds=1.03)
    watching = _Watching()
    run(draw_workload(scenario, 1), watching)
    assert watching.restarts == [(1, 1.03)]
    assert [each.now_seconds for each in watching.windows][9:12] == pytest.approx([1.0, 1.03, 1.1])


def test_pacing_lets_the_jobs_of_a_burst_out_evenly() -> None:
    block = SourceBlock(
        work_seconds=0.007, service="constant", jitter_seconds=0.0, spread_seconds=0.0
    )
    scenario = Scenario(
        name="one",
        sources=(block,),
        requests=Requests(utilisation_ratio=0.0),
        cores=1,
        duration_seconds=1.0,
        warmup_seconds=0.0,
    )
    workload = draw_workload(scenario, 1)
    ends = run(workload, Pacing(workload)).job_end_seconds
    assert ends[:7] == pytest.approx(0.051 + 0.001 * np.arange(7))


def test_only_a_cold_burst_pays_for_the_setup() -> None:
    block = SourceBlock(count=3, jitter_seconds=0.0, spread_seconds=0.0, service="constant")
    scenario = Scenario(
        name="cold",
        sources=(block,),
        requests=Requests(utilisation_ratio=0.0),
        setup_seconds=0.006,
        duration_seconds=1.0,
        warmup_seconds=0.0,
    )
    workload = draw_workload(scenario, 1)
    together = run(workload, untouched(workload))
    apart = run(workload, Granted(workload, np.array([[0.0, 0.03, 0.06]])))
    assert (together.setups, apart.setups) == (10, 30)
    # Thirty jobs of 1 ms and 6 ms of setup on four cores, and the setup is at the front.
    assert together.job_end_seconds[:30].max() == pytest.approx(0.05 + 0.009)
