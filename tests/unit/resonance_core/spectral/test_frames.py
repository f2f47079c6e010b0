# SPDX-License-Identifier: MIT
from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.signal import check_COLA
from scipy.signal.windows import hann as scipy_hann

from resonance_core.errors import InvalidSampleError
from resonance_core.spectral.frames import (
    OnlineFrames,
    frame,
    frequencies_hz,
    hann,
    stack_frames,
)


def noise(seed: int, channels: int, bins: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(channels, bins)).astype(np.float32)


def test_the_window_is_hanns_and_its_copies_add_up() -> None:
    taper = hann(256).astype(np.float64)
    assert taper == pytest.approx(scipy_hann(256, sym=False), abs=1e-7)
    assert [check_COLA(taper, 256, 256 - hop, tol=1e-6) for hop in (128, 64, 192)] == [
        True,
        True,
        False,
    ]
    assert sum(np.roll(taper, shift) for shift in range(0, 256, 64)) == pytest.approx(2.0)
    assert 256 * (taper**2).sum() / taper.sum() ** 2 == pytest.approx(1.5, abs=1e-6)
    assert taper.mean() == pytest.approx(0.5, abs=1e-6)


def test_the_loss_between_two_bins_is_as_large_as_it_must_be() -> None:
    taper, places = hann(256).astype(np.float64), np.arange(256)
    between = abs((taper * np.exp(1j * np.pi * places / 256)).sum()) / taper.sum()
    assert -20.0 * math.log10(between) == pytest.approx(1.4236, abs=1e-4)


def test_a_sinusoid_on_a_bin_has_three_lines_of_known_power() -> None:
    found = frame(np.cos(2.0 * np.pi * 32 * np.arange(256) / 256)[np.newaxis])
    assert found is not None
    power = np.abs(found[0]) ** 2
    assert power[31:34] / power.sum() == pytest.approx([1 / 6, 4 / 6, 1 / 6], abs=1e-6)
    assert found.dtype == np.complex64
    assert frequencies_hz(256, 0.005)[32] == pytest.approx(25.0)


def test_a_constant_has_no_spectrum() -> None:
    found = frame(np.full((1, 256), 1e6))
    assert found is not None
    assert not np.abs(found).any()


@pytest.mark.parametrize("sizes", [[1] * 700, [64] * 11, [700], [3, 500, 197]])
def test_pieces_give_the_frames_of_the_whole(sizes: list[int]) -> None:
    series = noise(1, 3, sum(sizes))
    online = OnlineFrames(3, 0.005)
    frames, start = [], 0
    for size in sizes:
        frames += online.push(series[:, start : start + size])
        start += size
    whole = stack_frames(series)
    assert np.stack(frames, axis=1) == pytest.approx(whole)


def test_a_frame_is_a_transform_of_the_latest_window() -> None:
    series = noise(2, 2, 320)
    first, second = OnlineFrames(2, 0.005).push(series)
    taper = hann(256).astype(np.float64)
    for found, window in ((first, series[:, :256]), (second, series[:, 64:])):
        centred = window - window.mean(axis=1, keepdims=True)
        assert found == pytest.approx(np.fft.rfft(centred * taper), abs=1e-4)


def test_many_channels_are_transformed_as_few_are() -> None:
    series = noise(3, 300, 256)
    together = frame(series)
    assert together is not None
    assert together[299] == pytest.approx(np.asarray(frame(series[299:]))[0], abs=1e-5)


def test_a_hole_adds_no_line_and_a_large_one_gives_no_frame() -> None:
    series = np.tile(np.float32(5.0), (2, 256))
    series[0, 10:50] = math.nan
    found = frame(series)
    assert found is not None
    assert not np.abs(found).any()
    series = noise(4, 2, 256)
    series[0, :65] = math.nan
    found = frame(series)
    assert found is not None
    assert not found[0].any()
    assert found[1].any()
    series[:, :65] = math.nan
    assert frame(series) is None
    assert stack_frames(series).shape == (2, 0, 129)


def test_a_torn_window_is_skipped_and_later_ones_are_not() -> None:
    series = noise(5, 1, 1024)
    series[:, 300:400] = math.nan
    frames = OnlineFrames(1, 0.005, hop=256).push(series)
    assert len(frames) == 3


def test_a_cleared_channel_is_missing_until_it_has_a_window_again() -> None:
    online = OnlineFrames(2, 0.005)
    online.push(noise(6, 2, 256))
    online.clear(0)
    (found,) = online.push(noise(7, 2, 64))
    assert not found[0].any()
    assert found[1].any()
    online.reset()
    assert online.push(noise(8, 2, 255)) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: OnlineFrames(0, 0.005),
        lambda: OnlineFrames(1, 0.0),
        lambda: OnlineFrames(1, math.nan),
        lambda: OnlineFrames(1, 0.005, window=3),
        lambda: OnlineFrames(1, 0.005, window=255),
        lambda: OnlineFrames(1, 0.005, hop=0),
        lambda: OnlineFrames(1, 0.005, hop=257),
        lambda: OnlineFrames(2, 0.005).push(np.ones((3, 4))),
        lambda: OnlineFrames(2, 0.005).push(np.ones(4)),
        lambda: OnlineFrames(1, 0.005).push([[math.inf]]),
        lambda: stack_frames(np.ones(512)),
        lambda: stack_frames(np.full((1, 512), math.inf)),
        lambda: frame(np.full((1, 256), -math.inf)),
        lambda: hann(3),
    ],
)
def test_impossible_sizes_and_samples_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidSampleError):
        make()


def test_a_refused_sample_leaves_everything_as_it_was() -> None:
    series = noise(14, 1, 256)
    online = OnlineFrames(1, 0.005)
    online.push(series[:, :200])
    with pytest.raises(InvalidSampleError):
        online.push([[1.0, math.inf]])
    (found,) = online.push(series[:, 200:])
    assert found == pytest.approx(np.asarray(frame(series)))
