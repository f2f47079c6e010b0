# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest

from resonance_core.calculus.curves import RateLatency, delay_bound
from resonance_core.calculus.fitting import Exceedance, fit_bucket, fit_burst, fit_latency
from resonance_core.errors import InvalidSampleError


def test_the_least_bucket_of_a_few_arrivals() -> None:
    assert fit_burst([0.0, 1.0, 10.0], [2.0, 2.0, 2.0], 1.0) == pytest.approx(3.0)
    assert fit_burst([0.0, 1.0, 10.0], [2.0, 2.0, 2.0], 0.0) == pytest.approx(6.0)
    assert fit_burst([5.0], [2.0], 9.0) == 2.0


def test_the_fit_is_the_largest_over_all_windows() -> None:
    generator = np.random.default_rng(1)
    times = np.sort(generator.uniform(0.0, 50.0, 40))
    work = generator.exponential(1.0, 40)
    windows = [
        work[i : j + 1].sum() - 0.7 * (times[j] - times[i]) for i in range(40) for j in range(i, 40)
    ]
    bucket = fit_bucket(times, work, 0.7)
    assert (bucket.burst, bucket.rate) == (pytest.approx(max(windows)), 0.7)


def test_a_server_is_as_late_as_its_latest_piece_of_work() -> None:
    came = np.array([0.0, 0.0, 10.0])
    work = np.array([1.0, 1.0, 1.0])
    assert fit_latency(came, came + np.array([1.0, 2.0, 1.0]), work, 1.0) == RateLatency(1.0, 0.0)
    assert fit_latency(came, came + np.array([1.0, 2.5, 4.0]), work, 1.0) == RateLatency(1.0, 3.0)


def test_a_bound_of_fitted_curves_holds_for_what_they_were_fitted_to() -> None:
    generator = np.random.default_rng(2)
    came = np.cumsum(generator.exponential(1.0, 500))
    work = generator.exponential(0.6, 500)
    before = np.concatenate(([0.0], np.cumsum(work)[:-1]))
    left = np.cumsum(work) + np.maximum.accumulate(came - before) + generator.uniform(0, 2, 500)
    bound = delay_bound(fit_bucket(came, work, 1.0), fit_latency(came, left, work, 1.0))
    assert (left - came).max() <= bound
    assert Exceedance().counting(left - came, bound) == Exceedance(500, 0)


def test_what_exceeds_a_bound_is_counted_and_what_is_not_known_is_not() -> None:
    record = Exceedance().counting([1.0, 2.0, 3.0, math.nan], 2.0)
    assert record == Exceedance(3, 1)
    assert record.ratio == pytest.approx(1.0 / 3.0)
    assert record.is_violated()
    assert not record.is_violated(0.5)
    assert not Exceedance().is_violated()
    assert record.counting([math.inf], 1.0) == Exceedance(4, 2)
    assert record.counting([9.0], math.inf) == Exceedance(4, 1)


@pytest.mark.parametrize(
    ("times", "work"),
    [([], []), ([1.0, 0.0], [1.0, 1.0]), ([0.0], [-1.0]), ([math.nan], [1.0]), ([0.0], [1.0, 1.0])],
    ids=["empty", "unsorted", "negative", "nan", "lengths"],
)
def test_measurements_without_sense_are_refused(times: list[float], work: list[float]) -> None:
    with pytest.raises(InvalidSampleError):
        fit_burst(times, work, 1.0)
    with pytest.raises(InvalidSampleError):
        fit_latency(times, times, work, 1.0)


def test_work_does_not_leave_before_it_came() -> None:
    with pytest.raises(InvalidSampleError, match="departures"):
        fit_latency([1.0], [0.5], [0.1], 1.0)
