# SPDX-License-Identifier: MIT
from __future__ import annotations

import numpy as np
import pytest

from resonance_core.errors import InvalidSampleError
from resonance_core.spectral.lines import is_known, known_lines


@pytest.mark.parametrize(
    ("bin_seconds", "tick_hz", "lines"),
    [
        (0.001, [250], (250.0, 500.0)),
        (0.001, [100], (100.0, 200.0, 300.0, 400.0, 500.0)),
        (0.001, [1000], ()),  # one tick per bin: it is everywhere and nowhere
        (0.005, [250], (50.0, 100.0)),
        (0.005, [100], (100.0,)),
        (0.001, [300], (100.0, 200.0, 300.0, 400.0, 500.0)),
        (0.001, [], ()),
    ],
)
def test_the_tick_shows_up_where_the_bins_fold_it(
    bin_seconds: float, tick_hz: list[float], lines: tuple[float, ...]
) -> None:
    assert known_lines(bin_seconds, tick_hz) == lines


def test_all_ticks_are_known_by_default() -> None:
    assert known_lines(0.001) == (100.0, 200.0, 250.0, 300.0, 400.0, 500.0)


@pytest.mark.parametrize("tick", [100, 250, 300])
def test_a_simulated_tick_is_where_it_is_said_to_be(tick: int) -> None:
    width, bins = 0.001, 4096
    ticks = np.arange(0.0003, bins * width, 1.0 / tick)
    counts = np.bincount((ticks / width).astype(np.int64), minlength=bins)[:bins]
    power = np.abs(np.fft.rfft((counts - counts.mean()) * np.hanning(bins))) ** 2
    frequencies = np.fft.rfftfreq(bins, width)
    strong = frequencies[power > 0.02 * power.max()]
    lines = known_lines(width, [tick])
    assert all(is_known(each, lines, 1.0) for each in strong)
    assert is_known(float(frequencies[power.argmax()]), lines, 1.0)


def test_a_line_is_known_within_the_resolution() -> None:
    assert is_known(49.5, (50.0, 100.0), 0.6)
    assert not is_known(49.5, (50.0, 100.0), 0.5)
    assert not is_known(49.5, (), 10.0)


@pytest.mark.parametrize(
    ("width", "tick"),
    [(0.0, 100.0), (0.001, 0.0), (float("nan"), 100.0), (1e-12, 100.0), (1e-320, 100.0)],
)
def test_what_has_no_lines_is_refused(width: float, tick: float) -> None:
    with pytest.raises(InvalidSampleError):
        known_lines(width, [tick])
