# SPDX-License-Identifier: MIT
from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from fakes.beats import BIN_SECONDS, bursts, red_noise
from resonance_core.errors import InvalidSampleError
from resonance_core.spectral.lines import known_lines
from resonance_core.spectral.period import averaged_periodogram, dominant_period

RUNS = 20


@pytest.mark.parametrize("period_seconds", [0.02, 0.05, 0.0733, 0.1, 0.25])
def test_bursts_are_confirmed_with_their_period(period_seconds: float) -> None:
    generator = np.random.default_rng(1)
    for _ in range(RUNS):
        found = dominant_period(bursts(generator, period_seconds), BIN_SECONDS)
        assert found.is_confirmed, found
        assert found.seconds == pytest.approx(period_seconds, rel=2e-3)
        assert found.frequency_hz == pytest.approx(1.0 / found.seconds)


@pytest.mark.parametrize("period_seconds", [0.5, 1.0])
def test_twenty_cycles_of_a_long_period_suffice(period_seconds: float) -> None:
    generator = np.random.default_rng(2)
    for _ in range(RUNS):
        series = bursts(generator, period_seconds, events=20.0)
        found = dominant_period(series, BIN_SECONDS)
        assert found.is_confirmed, found
        assert found.seconds == pytest.approx(period_seconds, rel=5e-3)


def test_a_jitter_of_a_twentieth_of_the_period_does_no_harm() -> None:
    generator = np.random.default_rng(3)
    for _ in range(RUNS):
        found = dominant_period(bursts(generator, 0.1, jitter_seconds=0.005), BIN_SECONDS)
        assert found.is_confirmed
        assert found.seconds == pytest.approx(0.1, rel=5e-3)


def _clumps(generator: np.random.Generator) -> np.ndarray:
    series = np.zeros(4096)
    for start in np.flatnonzero(generator.random(4086) < 0.02):
        series[start : start + 10] += generator.poisson(5.0, 10)
    return series


@pytest.mark.parametrize(
    "noise",
    [
        lambda generator: generator.normal(size=4096),
        lambda generator: generator.poisson(0.1, 4096),
        lambda generator: red_noise(generator, 0.9),
        lambda generator: red_noise(generator, 0.99),
        lambda generator: red_noise(generator, 1.0),
        lambda generator: np.arange(4096) + generator.normal(size=4096),
        lambda generator: (np.arange(4096) > 2000) + generator.normal(size=4096),
        _clumps,
    ],
    ids=["white", "rare", "red", "redder", "walk", "trend", "step", "clumps"],
)
def test_what_has_no_period_is_not_confirmed(
    noise: Callable[[np.random.Generator], np.ndarray],
) -> None:
    generator = np.random.default_rng(4)
    found = [dominant_period(noise(generator), BIN_SECONDS) for _ in range(RUNS)]
    assert not any(each.is_confirmed for each in found)
    assert all(each.reason for each in found)


def test_the_fundamental_is_told_from_a_stronger_harmonic() -> None:
    times = np.arange(4096) * BIN_SECONDS
    angles = 2.0 * np.pi * times / 0.4
    series = np.cos(angles) + 2.0 * np.cos(3.0 * angles)
    assert dominant_period(series, BIN_SECONDS).seconds == pytest.approx(0.4, rel=1e-3)


def test_a_tick_is_passed_over_for_the_rhythm_below_it() -> None:
    times = np.arange(4096) * BIN_SECONDS
    tick = 20.0 * np.cos(2.0 * np.pi * 50.0 * times)
    series = bursts(np.random.default_rng(5), 0.0733) + tick
    assert dominant_period(series, BIN_SECONDS).seconds == pytest.approx(0.02, rel=1e-3)
    lines = known_lines(BIN_SECONDS, [250])
    below = dominant_period(series, BIN_SECONDS, lines)
    assert below.seconds == pytest.approx(0.0733, rel=2e-3)


def test_nothing_is_left_where_every_frequency_is_known() -> None:
    series = np.random.default_rng(10).normal(size=512)
    found = dominant_period(series, BIN_SECONDS, np.arange(0.0, 100.0, 0.1).tolist())
    assert "known lines" in found.reason
    assert not found.is_confirmed


def test_missing_bins_are_no_rhythm_and_hide_none() -> None:
    generator = np.random.default_rng(6)
    gaps = np.arange(4096) % 40 < 6  # 30 ms of every 200 are never read
    noise = generator.poisson(5.0, 4096).astype(np.float64)
    noise[gaps] = math.nan
    assert not dominant_period(noise, BIN_SECONDS).is_confirmed
    series = bursts(generator, 0.0733, events=12.0)
    series[gaps] = math.nan
    found = dominant_period(series, BIN_SECONDS)
    assert found.is_confirmed
    assert found.seconds == pytest.approx(0.0733, rel=2e-3)


def test_an_amplitude_comes_in_the_unit_of_the_series() -> None:
    times = np.arange(4096) * BIN_SECONDS
    generator = np.random.default_rng(7)
    series = 1e-6 * (3.0 * np.cos(2.0 * np.pi * times / 0.1) + 0.1 * generator.normal(size=4096))
    assert dominant_period(series, BIN_SECONDS).amplitude == pytest.approx(3e-6, rel=0.01)


@pytest.mark.parametrize(
    ("series", "reason"),
    [
        (np.zeros(0), "fewer"),
        (np.ones(63), "fewer"),
        (np.full(4096, math.nan), "fewer"),
        (np.zeros(4096), "the same"),
        (np.full(4096, 7.0), "the same"),
        (np.where(np.arange(4096) % 3, math.nan, np.arange(4096) % 7), "missing"),
    ],
)
def test_what_says_nothing_has_no_period_and_a_reason(series: np.ndarray, reason: str) -> None:
    found = dominant_period(series, BIN_SECONDS)
    assert reason in found.reason
    assert not found.is_confirmed
    assert math.isnan(found.seconds)
    assert math.isnan(found.entropy_excess)
    assert found.rayleigh_p == 1.0


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
def test_the_unit_of_a_series_does_not_matter(scale: float) -> None:
    series = bursts(np.random.default_rng(9), 0.1)
    found = dominant_period(series * scale, BIN_SECONDS)
    plain = dominant_period(series, BIN_SECONDS)
    assert found.is_confirmed
    assert found.seconds == pytest.approx(plain.seconds)
    assert found.amplitude == pytest.approx(plain.amplitude * scale)


def test_one_event_is_no_period() -> None:
    found = dominant_period((np.arange(4096) == 777).astype(np.float64), BIN_SECONDS)
    assert not found.is_confirmed


@pytest.mark.parametrize(
    ("series", "width"),
    [(np.ones((2, 100)), 0.005), (np.full(100, math.inf), 0.005), (np.ones(100), 0.0)],
)
def test_bad_input_is_refused(series: np.ndarray, width: float) -> None:
    with pytest.raises(InvalidSampleError):
        dominant_period(series, width)


def test_an_averaged_periodogram_of_white_noise_is_flat() -> None:
    series = np.random.default_rng(8).normal(size=256 * 400)
    power, segments = averaged_periodogram(series, 64, 32)
    assert len(power) == 31
    assert segments == pytest.approx(3199.0 / 1.0556, rel=1e-3)
    # Taking off the mean of each window takes a sixth of the first bin with it.
    assert np.abs(power[1:] / power[1:].mean() - 1.0).max() < 4.0 / math.sqrt(segments)
    assert power[0] / power[1:].mean() == pytest.approx(5.0 / 6.0, abs=0.05)


def test_a_periodogram_of_too_little_is_empty_of_evidence() -> None:
    power, segments = averaged_periodogram(np.ones(10), 64, 32)
    assert segments == 0.0
    assert not power.any()


def test_a_periodogram_wants_one_series() -> None:
    with pytest.raises(InvalidSampleError):
        averaged_periodogram(np.ones((2, 128)), 64, 32)
