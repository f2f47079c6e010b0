# SPDX-License-Identifier: MIT
from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from mne_connectivity import spectral_connectivity_epochs

from resonance_core.errors import InvalidSampleError
from resonance_core.spectral.coupling import (
    coherence,
    coherence_floor,
    coupling_matrix,
    plv,
    ppc,
)


def noise(seed: int, *shape: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.normal(size=shape) + 1j * generator.normal(size=shape)


def test_consistency_of_fifty_pairs() -> None:
    # 25 pairs to either side of a direction, so far apart that the resultant is 0.3.
    phases = np.array([math.acos(0.3), -math.acos(0.3)] * 25) + 0.7
    assert plv(phases, np.zeros(50)) == pytest.approx(0.3)
    assert ppc(phases, np.zeros(50)) == pytest.approx(0.071429, abs=1e-6)


def test_a_constant_lag_is_perfect_locking_zero_included() -> None:
    phases = np.random.default_rng(1).uniform(0.0, 2.0 * np.pi, 40)
    for lag in (0.0, 1.0, math.pi):
        assert plv(phases, phases - lag) == pytest.approx(1.0)
        assert ppc(phases, phases - lag) == pytest.approx(1.0)


@pytest.mark.parametrize("count", [8, 32, 128])
def test_independent_phases_bias_plv_as_they_should_and_ppc_not(count: int) -> None:
    phases = np.random.default_rng(count).uniform(0.0, 2.0 * np.pi, (2, 4000, count))
    locked = np.array([plv(x, y) for x, y in zip(*phases, strict=True)])
    consistent = np.array([ppc(x, y) for x, y in zip(*phases, strict=True)])
    assert locked.mean() == pytest.approx(math.sqrt(math.pi / (4.0 * count)), rel=0.03)
    assert np.quantile(locked, 0.95) == pytest.approx(math.sqrt(3.0 / count), rel=0.04)
    assert abs(consistent.mean()) < 3.0 * consistent.std() / math.sqrt(4000)


@pytest.mark.parametrize("frames", [4, 16])
def test_the_floor_of_coherence_is_that_of_independent_series(frames: int) -> None:
    values = coherence(noise(1, frames, 20_000), noise(2, frames, 20_000))
    error = values.std() / math.sqrt(values.size)
    assert values.mean() == pytest.approx(coherence_floor(frames), abs=3.0 * error)


def test_coherence_of_a_signal_in_noise() -> None:
    signal, first, second = (noise(seed, 4000, 3) for seed in range(3))
    values = coherence(signal + first, signal + second)
    assert values == pytest.approx(np.full(3, 0.25), abs=0.03)


def test_a_delay_changes_no_coherence() -> None:
    signal = noise(1, 12, 5)
    assert coherence(signal, signal * np.exp(-0.7j)) == pytest.approx(np.ones(5))


def test_silence_is_coherent_with_nobody() -> None:
    assert np.isnan(coherence(np.zeros((4, 3)), noise(1, 4, 3))).all()


@pytest.mark.parametrize(("kind", "theirs"), [("plv", "plv"), ("ppc", "ppc"), ("coherence", "coh")])
def test_the_matrix_agrees_with_mne_connectivity(kind: Any, theirs: str) -> None:
    generator = np.random.default_rng(5)
    epochs = generator.normal(size=(24, 5, 256))
    epochs[:, 1] += epochs[:, 0]
    epochs[:, 3] += np.roll(epochs[:, 2], 7, axis=-1)
    found = spectral_connectivity_epochs(
        epochs, method=theirs, mode="fourier", sfreq=200.0, fmin=5.0, fmax=90.0, verbose=False
    )
    frequencies = np.fft.rfftfreq(256, 1.0 / 200.0)
    first = int(np.searchsorted(frequencies, found.freqs[0]))
    centred = epochs - epochs.mean(axis=-1, keepdims=True)
    spectra = np.fft.rfft(centred * np.hanning(256)).transpose(1, 0, 2)
    ours = coupling_matrix(spectra[:, :, first : first + len(found.freqs)], kind)
    rows, columns = np.tril_indices(5, -1)
    expected = found.get_data("dense").transpose(2, 0, 1)[:, rows, columns]
    values = ours[:, rows, columns]
    assert (np.sqrt(values) if kind == "coherence" else values) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("kind", ["plv", "ppc", "coherence"])
def test_one_frequency_is_a_slice_of_several(kind: Any) -> None:
    frames = noise(3, 4, 9, 2)
    several = coupling_matrix(frames, kind)
    assert several.shape == (2, 4, 4)
    assert coupling_matrix(frames[:, :, 1], kind) == pytest.approx(several[1])
    assert several == pytest.approx(several.transpose(0, 2, 1))


def test_the_matrix_agrees_with_the_pair() -> None:
    frames = noise(4, 2, 30)
    angles = np.angle(frames)
    assert coupling_matrix(frames, "plv")[0, 1] == pytest.approx(plv(*angles))
    assert coupling_matrix(frames, "ppc")[0, 1] == pytest.approx(ppc(*angles))
    pair = coherence(frames[0, :, np.newaxis], frames[1, :, np.newaxis])[0]
    assert coupling_matrix(frames, "coherence")[0, 1] == pytest.approx(pair)


def test_frames_without_power_are_left_out_of_their_pairs() -> None:
    frames = noise(6, 2, 30)
    frames[0, 10:] = 0.0
    angles = np.angle(frames[:, :10])
    assert coupling_matrix(frames)[0, 1] == pytest.approx(ppc(*angles))
    frames[0, 1:] = 0.0
    assert math.isnan(coupling_matrix(frames)[0, 1])
    assert coupling_matrix(frames, "plv")[0, 1] == pytest.approx(1.0)
    frames[0] = 0.0
    assert math.isnan(coupling_matrix(frames, "plv")[0, 1])
    assert math.isnan(coupling_matrix(frames, "coherence")[0, 1])


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([], []),
        ([1.0], [1.0, 2.0]),
        ([math.nan], [1.0]),
        ([math.inf], [math.inf]),
        ([[1.0]], [[1.0]]),
    ],
)
def test_phases_that_are_no_pairs_are_refused(x: list[float], y: list[float]) -> None:
    with pytest.raises(InvalidSampleError):
        plv(x, y)


def test_one_pair_has_no_consistency() -> None:
    with pytest.raises(InvalidSampleError):
        ppc([1.0], [2.0])


@pytest.mark.parametrize("frames", [np.ones(4), np.ones((2, 0)), np.full((2, 3), math.nan)])
def test_frames_that_are_none_are_refused(frames: np.ndarray) -> None:
    with pytest.raises(InvalidSampleError):
        coupling_matrix(frames)


@pytest.mark.parametrize("frames", [np.ones(4), np.ones((0, 3)), np.full((2, 3), math.inf)])
def test_coherence_of_no_frames_is_refused(frames: np.ndarray) -> None:
    with pytest.raises(InvalidSampleError):
        coherence(frames, frames)


@pytest.mark.parametrize("frames", [0.5, math.nan])
def test_less_than_a_frame_has_no_floor(frames: float) -> None:
    with pytest.raises(InvalidSampleError):
        coherence_floor(frames)
