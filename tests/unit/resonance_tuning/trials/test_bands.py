# SPDX-License-Identifier: MIT
from __future__ import annotations

from resonance_tuning.guard import Guard
from resonance_tuning.trials.bands import Band, Starvation


def test_a_band_counts_windows_in_a_row_on_either_side() -> None:
    band = Band(Guard(leave_ratio=0.7))
    counts = []
    for load in (1.1, 1.1, 0.8, 0.6, 0.6, 1.0, 1.1):
        band.observe(load)
        counts.append((band.breaches, band.quiet))
    assert counts == [(1, 0), (2, 0), (0, 0), (0, 1), (0, 2), (0, 0), (1, 0)]


def test_what_nobody_knows_is_no_reason_to_go_on_nor_back() -> None:
    band = Band(Guard())
    for load in (0.1, 0.1, None):
        band.observe(load)
    assert (band.breaches, band.quiet) == (0, 2)
    for load in (1.5, None, 1.5):
        band.observe(load)
    assert band.breaches == 1


def test_batch_work_starves_when_it_stands_still_all_in_all_for_so_long() -> None:
    starvation = Starvation(Guard(batch_full_pressure_ratio=0.6, batch_full_pressure_seconds=10.0))
    seen = [starvation.observe(1.0, ratio) for ratio in [1.0] * 6 + [0.2] * 4]
    assert seen == [False] * 9 + [True]
    assert not any(starvation.observe(1.0, 1.0) for _ in range(9))
    assert starvation.observe(1.0, 1.0)


def test_a_short_stall_is_no_starvation() -> None:
    starvation = Starvation(Guard(batch_full_pressure_seconds=10.0))
    assert not any(starvation.observe(1.0, ratio) for ratio in [1.0] * 5 + [0.0] * 60)


def test_pressure_that_is_not_known_starves_nobody() -> None:
    starvation = Starvation(Guard(batch_full_pressure_seconds=1.0))
    assert not starvation.observe(10.0, None)
