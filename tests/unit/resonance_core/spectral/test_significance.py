# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest

from fakes.beats import red_noise
from resonance_core.spectral.significance import LineTest, median


def centred(series: np.ndarray) -> np.ndarray:
    return series - series.mean()


@pytest.mark.parametrize("memory", [0.0, 0.9])
def test_noise_of_any_colour_is_as_rarely_significant_as_it_says(memory: float) -> None:
    generator = np.random.default_rng(1)
    values = []
    for _ in range(60):
        test = LineTest(centred(red_noise(generator, memory, 1024)))
        values += [test.p(cycles) for cycles in np.arange(0.05, 0.45, 0.02)]
    for level in (0.1, 0.01):
        assert np.mean(np.array(values) < level) <= 1.5 * level


def test_a_line_in_red_noise_is_significant() -> None:
    generator = np.random.default_rng(2)
    noise = red_noise(generator, 0.95)
    line = 1.0 * np.cos(2.0 * np.pi * 0.1 * np.arange(4096))
    assert LineTest(centred(noise + line)).p(0.1) < 1e-6
    assert LineTest(centred(noise)).p(0.1) > 1e-3


def test_of_independent_events_it_is_rayleighs_test() -> None:
    generator = np.random.default_rng(3)
    counts = generator.poisson(0.05, 4096).astype(np.float64)
    cycles = 0.2345
    z = abs(np.exp(-2j * np.pi * cycles * np.flatnonzero(counts)).sum()) ** 2 / counts.sum()
    assert LineTest(centred(counts)).p(cycles) >= 0.5 * math.exp(-z)


def test_a_line_without_noise_is_certain_and_one_without_neighbours_never() -> None:
    line = np.cos(2.0 * np.pi * 0.1 * np.arange(4096))
    assert LineTest(centred(line)).p(0.1) < 1e-12
    assert LineTest(centred(line)).p(1.0 / 4096) == 1.0


@pytest.mark.parametrize("beside", [0.0, 0.25, 0.5])
def test_the_power_of_a_line_is_seen_between_two_bins(beside: float) -> None:
    line = np.cos(2.0 * np.pi * (20.0 + beside) / 256 * np.arange(256))
    power = LineTest(line).power((20.0 + beside) / 256)
    assert 0.70 * 64.0**2 <= power <= 1.01 * 64.0**2
    assert LineTest(line).power(60 / 256) < 1e-3


@pytest.mark.parametrize("count", [1, 2, 7, 50])
def test_a_median_is_that_of_numpy(count: int) -> None:
    values = np.random.default_rng(count).random((3, count))
    assert np.array_equal(median(values), np.median(values, axis=1))
