# SPDX-License-Identifier: MIT
from __future__ import annotations

import math
import random

import pytest

from resonance.cli.spectrum.spectrogram import LEAST_BINS, Spectrogram, banded, spectrogram

BIN_SECONDS = 0.005


def _series(bins: int = 4096, hz: float = 10.0, seed: int = 1) -> list[float]:
    dice = random.Random(seed)
    return [
        3.0 + math.cos(math.tau * hz * BIN_SECONDS * at) + dice.gauss(0.0, 0.3)
        for at in range(bins)
    ]


def _loudest(picture: Spectrogram, window: int) -> float:
    power = picture.decibels[window]
    assert power is not None
    return picture.hz[max(range(len(power)), key=power.__getitem__)]


@pytest.mark.parametrize("hz", [1.2, 3.7, 10.0, 62.5])
def test_a_rhythm_is_the_loudest_frequency_of_every_window(hz: float) -> None:
    picture = spectrogram(_series(hz=hz), BIN_SECONDS)
    assert picture is not None
    resolution = picture.hz[1] - picture.hz[0]
    for window in range(len(picture.decibels)):
        assert abs(_loudest(picture, window) - hz) <= resolution


def test_the_level_of_the_series_is_no_rhythm() -> None:
    stepped = [1.0 if at < 2048 else 9.0 for at in range(4096)]
    noise = [each + value for each, value in zip(stepped, _series(hz=25.0), strict=True)]
    picture = spectrogram(noise, BIN_SECONDS)
    assert picture is not None
    assert abs(_loudest(picture, 0) - 25.0) < 0.5
    assert abs(_loudest(picture, -1) - 25.0) < 0.5


def test_windows_that_were_not_recorded_are_not_silence() -> None:
    series = _series()
    series[1000:2200] = [math.nan] * 1200
    picture = spectrogram(series, BIN_SECONDS)
    assert picture is not None
    torn = [window is None for window in picture.decibels]
    assert torn[0] is torn[-1] is False
    assert any(torn)
    starts = [at - picture.seconds[0] for at in picture.seconds]
    for start, is_torn in zip(starts, torn, strict=True):
        inside = start >= 5.0 and start + 512 * BIN_SECONDS <= 11.0
        assert is_torn or not inside


def test_the_median_of_every_window_is_zero_decibels() -> None:
    picture = spectrogram(_series(), BIN_SECONDS)
    assert picture is not None
    for window in filter(None, picture.decibels):
        assert abs(sorted(window)[len(window) // 2]) < 0.5


def test_a_busy_second_hides_no_rhythm() -> None:
    dice = random.Random(3)
    series = _series()
    series[:600] = [value + dice.gauss(0.0, 30.0) for value in series[:600]]
    picture = spectrogram(series, BIN_SECONDS)
    assert picture is not None
    assert abs(_loudest(picture, -1) - 10.0) < 0.5
    assert max(picture.decibels[0] or ()) < max(picture.decibels[-1] or ()) - 10.0


def test_rounding_is_no_rhythm() -> None:
    series = _series(2048) + [0.1 + 0.2] * 2048
    picture = spectrogram(series, BIN_SECONDS)
    assert picture is not None
    assert max(picture.decibels[-1] or ()) < 0.0


@pytest.mark.parametrize(
    "series", [[], [1.0] * (LEAST_BINS - 1), [2.5] * 4096, [0.0] * 4096, [math.nan] * 4096]
)
def test_nothing_to_show_is_none(series: list[float]) -> None:
    assert spectrogram(series, BIN_SECONDS) is None


@pytest.mark.parametrize("bins", [LEAST_BINS, 100, 1000, 1024, 5000])
def test_any_length_makes_a_picture(bins: int) -> None:
    picture = spectrogram(_series(bins), BIN_SECONDS)
    assert picture is not None
    assert len(picture.decibels) == len(picture.seconds) >= 8
    assert picture.seconds[-1] <= bins * BIN_SECONDS


@pytest.mark.parametrize(("rows", "columns"), [(5, 57), (7, 20), (96, 256), (1, 1)])
def test_a_picture_fits_rows_and_columns(rows: int, columns: int) -> None:
    picture = spectrogram(_series(), BIN_SECONDS)
    assert picture is not None
    hz, cells = banded(picture, rows, columns)
    assert len(hz) == len(cells) == rows
    assert {len(row) for row in cells} == {min(columns, len(picture.decibels))}
    assert hz == sorted(hz, reverse=True)


def test_a_cell_shows_the_strongest_of_what_falls_into_it() -> None:
    picture = Spectrogram(
        hz=(1.0, 2.0, 4.0, 8.0),
        seconds=(0.0, 1.0, 2.0),
        decibels=((0.0, 20.0, 1.0, 2.0), None, None),
    )
    _, cells = banded(picture, 2, 3)
    assert cells[1] == [20.0, None, None]
    assert banded(picture, 2, 1)[1][1] == [20.0]
