# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import digamma as scipy_digamma

from resonance_core.errors import InvalidSampleError
from resonance_core.spectral.entropy import (
    digamma,
    entropy_excess,
    entropy_floor,
    spectral_entropy,
)
from resonance_core.spectral.frames import frame


@pytest.mark.parametrize(
    ("bins", "segments", "floor"),
    [
        (127, 1, 0.913535),
        (127, 8, 0.987468),
        (63, 1, 0.899866),
        (63, 8, 0.985468),
        (255, 1, 0.924056),
    ],
)
def test_the_floor_is_that_of_white_noise(bins: int, segments: int, floor: float) -> None:
    assert entropy_floor(bins, segments) == pytest.approx(floor, abs=1e-6)


def test_simulated_white_noise_is_at_the_floor() -> None:
    noise = np.random.default_rng(1).normal(size=(20_000, 256))
    entropies = spectral_entropy(np.abs(np.fft.rfft(noise)[:, 1:-1]) ** 2)
    error = entropies.std() / math.sqrt(len(entropies))
    assert entropies.mean() == pytest.approx(entropy_floor(127), abs=3.0 * error)
    # A Hann window, whose neighbouring bins are not independent, moves it by less than 0.1 %.
    frames = frame(noise)
    assert frames is not None
    tapered = spectral_entropy(np.abs(frames[:, 1:-1]) ** 2)
    assert tapered.mean() == pytest.approx(entropy_floor(127), rel=1e-3)


def test_a_sinusoid_on_a_bin_has_three_lines() -> None:
    powers = np.zeros(127)
    powers[40:43] = 1 / 6, 4 / 6, 1 / 6
    assert spectral_entropy(powers) * math.log(127) == pytest.approx(0.867563, abs=1e-6)
    assert spectral_entropy(powers) == pytest.approx(0.179094, abs=1e-6)
    seen = frame(np.cos(2.0 * np.pi * 20 * np.arange(256) / 256)[np.newaxis])
    assert seen is not None
    assert spectral_entropy(np.abs(seen[0, 1:-1]) ** 2) == pytest.approx(0.179094, abs=1e-5)


def test_the_excess_is_one_for_a_line_and_none_for_the_floor() -> None:
    line = np.zeros(127)
    line[3] = 5.0
    assert entropy_excess(line) == 1.0
    flat = np.ones(127)
    assert entropy_excess(flat, 1e9) == pytest.approx(0.0, abs=1e-6)
    assert entropy_excess(flat) < 0.0


def test_silence_has_no_entropy() -> None:
    entropies = spectral_entropy([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    assert math.isnan(entropies[0])
    assert entropies[1] == pytest.approx(1.0)
    assert math.isnan(entropy_excess(np.zeros(4)))


@pytest.mark.parametrize("scale", [1e-300, 1e-12, 1.0, 1e300])
def test_the_scale_of_a_spectrum_does_not_matter(scale: float) -> None:
    powers = np.array([1.0, 2.0, 3.0, 4.0])
    assert spectral_entropy(powers * scale) == pytest.approx(float(spectral_entropy(powers)))


@pytest.mark.parametrize("x", [1e-3, 0.5, 1.0, 2.0, 9.999, 10.0, 127.3, 1e6])
def test_digamma_agrees_with_scipy(x: float) -> None:
    assert digamma(x) == pytest.approx(float(scipy_digamma(x)), abs=1e-11, rel=1e-12)


@pytest.mark.parametrize("x", [0.0, -1.0, math.inf, math.nan])
def test_digamma_of_nothing_positive_is_refused(x: float) -> None:
    with pytest.raises(InvalidSampleError):
        digamma(x)


@pytest.mark.parametrize(("bins", "segments"), [(1, 1.0), (8, 0.5), (8, math.nan), (8, math.inf)])
def test_a_floor_needs_bins_and_segments(bins: int, segments: float) -> None:
    with pytest.raises(InvalidSampleError):
        entropy_floor(bins, segments)


@pytest.mark.parametrize("power", [1.0, [1.0], [1.0, -1.0], [1.0, math.nan], [1.0, math.inf]])
def test_what_is_no_spectrum_is_refused(power: object) -> None:
    with pytest.raises(InvalidSampleError):
        spectral_entropy(power)  # type: ignore[arg-type]
