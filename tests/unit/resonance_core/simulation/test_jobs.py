# SPDX-License-Identifier: MIT
from __future__ import annotations

import numpy as np

from resonance_core.simulation.jobs import SETUP, Jobs, Progress, Setup
from resonance_core.simulation.scenario import Scenario, SourceBlock
from resonance_core.simulation.workload import draw_workload


def _jobs(arrival: list[float], number: list[int]) -> Jobs:
    return Jobs(np.array(arrival), np.ones(len(arrival)), np.array(number, dtype=np.int64))


def test_what_is_due_comes_in_order_and_what_is_not_stays() -> None:
    due, later = _jobs([3.0, 1.0, 2.0, 1.0], [0, 1, 2, 3]).until(2.0)
    assert due.number.tolist() == [1, 3]
    assert later.number.tolist() == [0, 2]
    assert len(Jobs.joined(due, later, Jobs.none())) == 4


def test_a_cold_burst_brings_one_job_more_and_a_warm_one_none() -> None:
    setup = Setup(0.006, 0.002, is_first=np.array([1, 0, 1, 1]))
    added = setup.added(_jobs([0.100, 0.100, 0.101, 0.2], [0, 1, 2, 3]))
    assert added.number.tolist() == [SETUP, 0, 1, 2, SETUP, 3]
    assert added.service_seconds.tolist() == [0.006, 1.0, 1.0, 1.0, 0.006, 1.0]
    assert setup.count == 2


def test_warmth_lasts_from_one_window_to_the_next() -> None:
    setup = Setup(0.006, 0.002, is_first=np.array([1, 1]))
    setup.added(_jobs([0.0999], [0]))
    assert setup.added(_jobs([0.1], [1])).number.tolist() == [1]


def test_a_burst_is_over_when_its_last_job_is() -> None:
    block = SourceBlock(work_seconds=0.002, jitter_seconds=0.0)
    scenario = Scenario(name="one", sources=(block,), duration_seconds=0.3, warmup_seconds=0.0)
    progress = Progress(draw_workload(scenario, 1))
    first, none = np.array([0, 1]), np.empty(0, dtype=np.int64)
    bursts, _ = progress.ended(first[:1], np.array([0.5]), 1.0)
    assert bursts.tolist() == []
    bursts, _ = progress.ended(first[1:], np.array([1.5]), 1.0)
    assert bursts.tolist() == []
    bursts, ends = progress.ended(none, np.empty(0), 2.0)
    assert (bursts.tolist(), ends.tolist()) == ([0], [1.5])
    bursts, _ = progress.ended(none, np.empty(0), 3.0)
    assert bursts.tolist() == []
