# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest

from resonance_core.calculus.waiting import (
    erlang_c,
    periodic_exceedance,
    periodic_exceedance_heavy_traffic,
    wait_quantile,
)
from resonance_core.errors import InvalidSampleError, UnstableQueueError


def test_four_servers() -> None:
    assert erlang_c(4, 0.6) == pytest.approx(0.287043, abs=1e-6)
    assert erlang_c(4, 0.8) == pytest.approx(0.596432, abs=1e-6)
    assert wait_quantile(4, 0.6, 0.01) == pytest.approx(2.0982, abs=5e-5)
    assert wait_quantile(4, 0.8, 0.01) == pytest.approx(5.1105, abs=5e-5)


def test_one_server_makes_as_many_wait_as_it_is_busy() -> None:
    assert erlang_c(1, 0.3) == pytest.approx(0.3)
    assert erlang_c(3, 0.0) == 0.0
    assert wait_quantile(1, 0.3, 0.5) == 0.0
    assert 0.0 < erlang_c(2_000, 0.99) < 1.0


def test_periodic_bursts_with_random_phases() -> None:
    exact = [periodic_exceedance(16, 20.0, x) for x in (0, 1, 2, 3, 5)]
    assert exact == pytest.approx([0.80000, 0.48027, 0.22201, 0.08063, 0.00515], abs=5e-6)
    rough = [periodic_exceedance_heavy_traffic(16, 20.0, x) for x in (1, 2, 3, 5)]
    assert rough == pytest.approx([0.5916, 0.2725, 0.0978, 0.0060], abs=1e-4)
    assert periodic_exceedance(16, 20.0, 16.0) == 0.0
    assert periodic_exceedance(1, 2.0, 0.0) == pytest.approx(0.5)


def test_the_exact_tail_is_that_of_a_simulated_queue() -> None:
    generator = np.random.default_rng(5)
    draws = 4_000
    exceeded = np.zeros(3)
    for _ in range(draws):
        # Backlog at time 0 of the periodic queue: over all windows that end there.
        ages = np.sort(generator.uniform(0.0, 20.0, 16))
        backlog = max(0.0, float((np.arange(1, 17) - ages).max()))
        exceeded += backlog > np.array([1.0, 2.0, 3.0])
    for share, x in zip(exceeded / draws, (1.0, 2.0, 3.0), strict=True):
        exact = periodic_exceedance(16, 20.0, x)
        assert abs(share - exact) < 3.0 * math.sqrt(exact * (1.0 - exact) / draws)


def test_a_jittered_lattice_has_a_count_variance_that_does_not_grow() -> None:
    formula = 2.0 * 16 * 2.0 / (math.sqrt(math.pi) * 100.0)
    assert formula == pytest.approx(0.361081, abs=1e-6)
    generator = np.random.default_rng(6)
    draws = 10_000
    for periods in (2, 6):  # of N sources; Poisson events would count 16 per period
        lattice = np.arange(-1, periods + 1) + generator.uniform(0.0, 1.0, (draws, 16, 1))
        times = 100.0 * lattice + 2.0 * generator.standard_normal((draws, 16, periods + 2))
        counts = ((times >= 0.0) & (times < 100.0 * periods)).sum(axis=(1, 2))
        squares = (counts - 16.0 * periods) ** 2
        assert abs(squares.mean() - formula) < 3.0 * squares.std() / math.sqrt(draws)


def test_queues_that_get_too_much_are_unstable() -> None:
    with pytest.raises(UnstableQueueError):
        erlang_c(4, 1.0)
    with pytest.raises(UnstableQueueError):
        periodic_exceedance(20, 20.0, 1.0)


def test_thousands_of_periodic_bursts_are_no_more_than_a_float_can_hold() -> None:
    exact = periodic_exceedance(5_000, 5_100.0, 40.0)
    assert exact == pytest.approx(periodic_exceedance_heavy_traffic(5_000, 5_100.0, 40.0), rel=0.25)


def test_queues_that_do_not_exist_are_refused() -> None:
    for call in (
        lambda: erlang_c(0, 0.5),
        lambda: erlang_c(1, -0.1),
        lambda: erlang_c(1, math.nan),
        lambda: wait_quantile(1, 0.5, 0.0),
        lambda: periodic_exceedance(0, 1.0, 1.0),
        lambda: periodic_exceedance(1, 2.0, -1.0),
        lambda: periodic_exceedance(1, math.inf, 1.0),
    ):
        with pytest.raises(InvalidSampleError):
            call()
