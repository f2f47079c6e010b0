# SPDX-License-Identifier: MIT
from __future__ import annotations

import numpy as np
import pytest

from resonance_core.control.replay import (
    backlog,
    backlog_again,
    cores_left,
    in_flight,
    in_flight_again,
    shared_ends,
)
from resonance_core.simulation.queues import ProcessorSharing


def test_a_burst_is_in_flight_from_its_begin_to_its_end() -> None:
    begin, end = np.array([-0.003, 0.001, 0.0022]), np.array([0.002, 0.004, 0.9])
    assert in_flight(begin, end, 6, 0.001).tolist() == [1.0, 2.0, 2.0, 2.0, 1.0, 1.0]


def test_one_burst_uses_as_many_cpus_as_it_can() -> None:
    assert shared_ends(np.array([1.0]), np.array([0.01]), 4.0, 1.0) == pytest.approx([1.01])
    assert shared_ends(np.array([1.0]), np.array([0.01]), 4.0, 2.0) == pytest.approx([1.005])
    assert shared_ends(np.array([1.0]), np.array([0.01]), 0.5, 2.0) == pytest.approx([1.02])


def test_bursts_share_as_in_the_simulated_queue() -> None:
    random = np.random.default_rng(1)
    begin = np.sort(random.uniform(0.0, 1.0, 200))
    work = random.exponential(0.012, 200)
    order, _, ends = ProcessorSharing(3).serve(begin, work, np.inf)
    assert shared_ends(begin, work, 3.0, 1.0)[order] == pytest.approx(ends)


def test_work_is_left_while_more_comes_than_is_served() -> None:
    left = backlog(np.array([0.0, 5.0, 0.0, 0.0, 0.0]), 2.0, 1.0)
    assert left.tolist() == [0.0, 3.0, 1.0, 0.0, 0.0]


def test_what_is_left_at_the_end_is_there_at_the_begin_of_the_next_lap() -> None:
    assert backlog_again(np.array([0.0, 0.0, 0.0, 5.0]), 2.0).tolist() == [1.0, 0.0, 0.0, 3.0]


def test_a_burst_that_lasts_into_the_next_lap_is_there_at_its_begin() -> None:
    count = in_flight_again(
        np.array([0.008]),
        np.array([0.004]),
        bins=10,
        bin_seconds=0.001,
        overlap_bins=10,
        cores=2.0,
        widest_cores=1.0,
    )
    assert count.tolist() == [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]


def test_the_cpus_that_are_left_are_found_from_how_long_bursts_took() -> None:
    begin, work = np.repeat(0.1 * np.arange(20.0), 8), np.full(160, 0.013)
    taken = float((shared_ends(begin, work, 1.6, 1.0) - begin).mean())
    assert cores_left(begin, work, taken, 2.0, 1.0) == pytest.approx(1.6, abs=0.04)
    assert cores_left(begin, work, 1e-6, 2.0, 1.0) == 2.0
