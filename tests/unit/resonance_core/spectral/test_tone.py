# SPDX-License-Identifier: MIT
"""The estimators against the Cramer-Rao bound: RMSE by bound, seeds fixed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from resonance_core.errors import InvalidSampleError
from resonance_core.spectral.tone import aboutanios_mulgrew, fourier_sum, phase_at

SAMPLES = 4096
TRIALS = 600


def bounds(decibel: float) -> tuple[float, float]:
    """Return the least standard deviations of frequency (cycles per sample) and phase (rad)."""
    power = 10.0 ** (decibel / 10.0)
    frequency = math.sqrt(12.0 / (power * SAMPLES * (SAMPLES**2 - 1))) / (2.0 * math.pi)
    phase = math.sqrt(2.0 * (2 * SAMPLES - 1) / (power * SAMPLES * (SAMPLES + 1)))
    return frequency, phase


def test_the_bounds_are_those_of_the_reference() -> None:
    frequency, phase = bounds(0.0)
    assert frequency * 1000.0 == pytest.approx(0.0021033, abs=2e-7)
    assert phase == pytest.approx(0.03124, abs=5e-6)


@pytest.mark.parametrize("decibel", [-15.0, -10.0, 0.0, 10.0, 20.0, 30.0])
def test_frequency_and_phase_are_as_exact_as_noise_allows(decibel: float) -> None:
    generator = np.random.default_rng(round(100 + decibel))
    amplitude = math.sqrt(2.0 * 10.0 ** (decibel / 10.0))
    times = np.arange(SAMPLES)
    errors = np.empty((TRIALS, 2))
    for trial in range(TRIALS):
        cycles, phase = generator.uniform(0.02, 0.48), generator.uniform(-math.pi, math.pi)
        series = amplitude * np.cos(2.0 * np.pi * cycles * times + phase)
        tone = aboutanios_mulgrew(series + generator.normal(size=SAMPLES))
        drift = math.remainder(tone.phase_rad - phase, 2.0 * math.pi)
        errors[trial] = tone.cycles_per_sample - cycles, drift
    ratios = np.sqrt((errors**2).mean(axis=0)) / bounds(decibel)
    assert (ratios <= 1.15).all(), ratios


def test_at_twenty_decibel_below_the_line_is_still_found_most_of_the_time() -> None:
    generator = np.random.default_rng(20)
    times, amplitude = np.arange(SAMPLES), math.sqrt(2.0 * 0.01)
    found = 0
    for _ in range(200):
        cycles = generator.uniform(0.05, 0.45)
        series = amplitude * np.cos(2.0 * np.pi * cycles * times) + generator.normal(size=SAMPLES)
        found += abs(aboutanios_mulgrew(series).cycles_per_sample - cycles) < 1.0 / SAMPLES
    assert found >= 0.93 * 200


@pytest.mark.parametrize("cycles", [1.5 / 64, 0.1, 0.123456, 0.25, 0.4999 - 1 / 64])
def test_without_noise_the_fit_is_exact(cycles: float) -> None:
    series = 7.0 + 3.0 * np.cos(2.0 * np.pi * cycles * np.arange(512) + 0.7)
    tone = aboutanios_mulgrew(series, iterations=8)
    assert tone.cycles_per_sample == pytest.approx(cycles, abs=2e-5)
    assert tone.amplitude == pytest.approx(3.0, rel=2e-3)
    assert tone.phase_rad == pytest.approx(0.7, abs=0.02)


def test_the_band_decides_between_two_tones() -> None:
    times = np.arange(1024)
    series = 5.0 * np.cos(0.3 * times) + np.cos(1.3 * times)
    low = aboutanios_mulgrew(series)
    high = aboutanios_mulgrew(series, band=(0.15, 0.3))
    assert low.cycles_per_sample == pytest.approx(0.3 / (2.0 * np.pi), abs=1e-5)
    assert high.cycles_per_sample == pytest.approx(1.3 / (2.0 * np.pi), abs=1e-4)


def test_a_constant_has_no_amplitude() -> None:
    assert aboutanios_mulgrew(np.full(64, 3.0)).amplitude == 0.0


@pytest.mark.parametrize(("depth", "accepted"), [(0.3, 1.10), (0.6, 1.10), (0.9, 1.25)])
def test_the_phase_of_poisson_events_is_as_exact_as_their_number_allows(
    depth: float, accepted: float
) -> None:
    generator = np.random.default_rng(round(depth * 10))
    width, rate, seconds, frequency = 0.005, 1000.0, 4.0, 7.3
    edges = np.arange(0.0, seconds + width / 2, width)
    bound = 1.0 / math.sqrt(rate * seconds * (1.0 - math.sqrt(1.0 - depth**2)))
    errors = np.empty(1500)
    for trial in range(len(errors)):
        phase = generator.uniform(-math.pi, math.pi)
        angles = 2.0 * np.pi * frequency * edges + phase
        area = edges + depth * np.sin(angles) / (2.0 * np.pi * frequency)
        counts = generator.poisson(rate * np.diff(area))
        errors[trial] = math.remainder(phase_at(counts, width, frequency) - phase, 2.0 * math.pi)
    assert math.sqrt(float((errors**2).mean())) / bound <= accepted


@pytest.mark.parametrize("count", [1, 63, 64, 65, 1000])
def test_the_sum_is_a_coefficient_of_the_transform(count: int) -> None:
    series = np.random.default_rng(count).normal(size=count)
    spectrum = np.fft.fft(series)
    for place in range(0, count, max(1, count // 5)):
        assert fourier_sum(series, place / count) == pytest.approx(spectrum[place], abs=1e-9)


@pytest.mark.parametrize(
    ("samples", "iterations", "band"),
    [
        (np.ones(7), 3, (0.0, 0.5)),
        (np.ones(64), 0, (0.0, 0.5)),
        (np.full(64, math.nan), 3, (0.0, 0.5)),
        (np.arange(64.0), 3, (0.101, 0.102)),
    ],
)
def test_what_has_no_tone_is_refused(
    samples: np.ndarray, iterations: int, band: tuple[float, float]
) -> None:
    with pytest.raises(InvalidSampleError):
        aboutanios_mulgrew(samples, iterations, band)


@pytest.mark.parametrize(
    ("series", "width", "frequency"),
    [([], 1.0, 1.0), ([1.0], 0.0, 1.0), ([1.0], 1.0, -1.0), ([math.nan], 1.0, 1.0)],
)
def test_what_has_no_phase_is_refused(series: list[float], width: float, frequency: float) -> None:
    with pytest.raises(InvalidSampleError):
        phase_at(series, width, frequency)
