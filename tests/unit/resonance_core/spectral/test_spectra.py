# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest

from resonance_core.errors import InvalidSampleError
from resonance_core.spectral.frames import stack_frames
from resonance_core.spectral.spectra import CrossSpectra, independent_frames


def noise(seed: int, channels: int, bins: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(channels, bins)).astype(np.float32)


@pytest.mark.parametrize(
    ("frames", "hop", "worth"), [(61, 64, 31.961), (31, 128, 29.418), (16, 256, 16.0), (1, 64, 1.0)]
)
def test_overlapping_frames_are_worth_fewer(frames: int, hop: int, worth: float) -> None:
    found = independent_frames(np.ones(frames), 256, hop)
    assert found == pytest.approx(worth, abs=1e-3)


def test_the_worth_of_overlapping_frames_is_what_their_scatter_says() -> None:
    # The mean of M exponential powers has a relative variance of 1 / M.
    powers = np.abs(stack_frames(noise(9, 2000, 1024))[:, :, 1:-1]) ** 2
    means = powers.mean(axis=1)[:, 10:100:10]
    scatter = float(means.var() / means.mean() ** 2)
    assert 1.0 / scatter == pytest.approx(independent_frames(np.ones(13), 256, 64), rel=0.05)


def test_no_frames_are_worth_nothing() -> None:
    assert independent_frames([], 256, 64) == 0.0


def test_running_spectra_are_sums_over_the_frames() -> None:
    x, y = stack_frames(noise(10, 3, 1024)), stack_frames(noise(11, 3, 1024))
    spectra = CrossSpectra(3, 256, 64)
    for place in range(x.shape[1]):
        spectra.update(x[:, place], y[:, place])
    assert spectra.x_power == pytest.approx((np.abs(x) ** 2).sum(axis=1), rel=1e-5)
    assert spectra.y_power == pytest.approx((np.abs(y) ** 2).sum(axis=1), rel=1e-5)
    assert spectra.cross == pytest.approx((x.conj() * y).sum(axis=1), abs=0.05)
    assert spectra.independent_frames() == pytest.approx(
        np.full(3, independent_frames(np.ones(13), 256, 64))
    )


def test_old_frames_fade() -> None:
    spectra = CrossSpectra(1, 256, 256, memory_frames=4.0)
    loud, soft = stack_frames(noise(12, 1, 256))[:, 0], np.full((1, 129), 1e-6, np.complex64)
    spectra.update(loud, loud)
    before = float(spectra.x_power.sum())
    for _ in range(4):
        spectra.update(soft, soft)
    assert float(spectra.x_power.sum()) == pytest.approx(before / math.e, rel=1e-3)
    for _ in range(200):
        spectra.update(soft, soft)
    keep = math.exp(-0.25)
    assert spectra.independent_frames()[0] == pytest.approx((1 + keep) / (1 - keep), rel=1e-3)


def test_a_frame_of_zeros_is_no_evidence_and_a_cleared_channel_has_none() -> None:
    spectra = CrossSpectra(2, 256, 256)
    x = stack_frames(noise(13, 2, 2560), hop=256)
    x[0, 5:] = 0.0
    for place in range(10):
        spectra.update(x[:, place], x[:, place])
    assert spectra.independent_frames().tolist() == [5.0, 10.0]
    spectra.clear(1)
    assert spectra.independent_frames().tolist() == [5.0, 0.0]
    assert not spectra.cross[1].any()


@pytest.mark.parametrize(
    ("channels", "hop", "memory_frames"),
    [(0, 64, 9.0), (1, 0, 9.0), (1, 64, 0.5), (1, 64, math.nan)],
)
def test_impossible_sizes_are_refused(channels: int, hop: int, memory_frames: float) -> None:
    with pytest.raises(InvalidSampleError):
        CrossSpectra(channels, 256, hop, memory_frames)
