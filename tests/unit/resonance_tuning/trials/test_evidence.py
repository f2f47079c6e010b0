# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest

from fakes.tuned_node import window
from resonance_bpf.layouts import BUCKET_UPPER_NS
from resonance_tuning.trials.evidence import Reading, Verdict, Window, compare, quantile_ns


def judged(before: float, during: float, after: float, *, events: int = 3_000) -> Verdict:
    """Judge by steady windows with these p99, in seconds."""
    generator = np.random.default_rng(1)
    windows = [window(generator, [p99] * 20, events=events) for p99 in (before, during, after)]
    return compare(*windows, BUCKET_UPPER_NS)


def test_a_gain_before_and_after_is_kept_and_told_with_its_windows() -> None:
    verdict = judged(0.004, 0.002, 0.004)
    assert verdict.is_kept
    assert verdict.ratio == pytest.approx(0.5, rel=0.1)
    assert verdict.gain == pytest.approx(0.5, rel=0.1)
    assert verdict.p99_before_seconds == pytest.approx(0.004, rel=0.1)
    assert verdict.p99_during_seconds == pytest.approx(0.002, rel=0.1)
    assert verdict.p99_after_seconds == pytest.approx(0.004, rel=0.1)
    assert 59_000 < verdict.events_during < 61_000
    assert verdict.window_seconds == 20.0
    assert verdict.reason.startswith("p99 is 0.")


@pytest.mark.parametrize(
    ("p99", "word", "told"),
    [
        ((0.004, 0.0038, 0.004), "undone", "must take 10% off it"),
        ((0.004, 0.002, 0.0019), "undone", "may be chance"),
        ((0.003, 0.002, 0.0021), "undone", "of the time after it"),
        ((0.0021, 0.002, 0.003), "undone", "of the time before it"),
        ((0.004, 0.008, 0.004), "harm", "worse"),
    ],
    ids=["too little", "the load went away", "after", "before", "worse"],
)
def test_what_is_no_gain_goes_back_and_says_why(
    p99: tuple[float, float, float], word: str, told: str
) -> None:
    verdict = judged(*p99)
    assert (verdict.word, verdict.is_kept) == (word, False)
    assert told in verdict.reason


def test_a_steady_drift_cancels_out() -> None:
    assert judged(0.008, 0.004, 0.0052).is_kept
    assert not judged(0.008, 0.0062, 0.0048).is_kept


@pytest.mark.parametrize("quiet", [0, 1, 2])
def test_too_few_events_in_any_window_are_no_signal(quiet: int) -> None:
    generator = np.random.default_rng(1)
    windows = [
        window(generator, [0.004] * 20, events=3 if each == quiet else 300) for each in range(3)
    ]
    verdict = compare(*windows, BUCKET_UPPER_NS)
    assert verdict.word == "no-signal"
    assert verdict.reason.endswith("runqueue events; a p99 needs 500")
    assert math.isnan(verdict.ratio)


def test_too_few_parts_are_no_signal() -> None:
    short = window(np.random.default_rng(1), [0.004] * 7)
    assert compare(short, short, short, BUCKET_UPPER_NS).reason.startswith("a window has 7 parts")


def test_round_trips_that_are_not_measured_are_no_signal() -> None:
    unmeasured = window(np.random.default_rng(1), [0.004] * 20)
    verdict = compare(unmeasured, unmeasured, unmeasured, BUCKET_UPPER_NS, kind="srtt")
    assert verdict.reason == "a window has 0 srtt events; a p99 needs 500"


def test_events_in_few_seconds_only_are_judged_without_a_warning() -> None:
    counts = window(np.random.default_rng(1), [0.004] * 20, events=6_000).runqueue
    counts[1:] = 0
    burst = Window(counts, None, 0, 20.0)
    assert not compare(burst, burst, burst, BUCKET_UPPER_NS).is_kept


def test_a_window_with_a_gap_in_its_round_trips_has_none() -> None:
    counts = np.ones(4, np.uint64)
    mixed = Window.of([Reading(counts, counts, 2), Reading(counts, None, 3)], 2.0)
    assert (mixed.srtt, mixed.retransmits, mixed.events("srtt")) == (None, 5, 0)
    whole = Window.of([Reading(counts, counts)] * 2, 2.0)
    assert whole.waits("srtt").shape == (2, 4)


def test_a_quantile_of_nothing_is_zero() -> None:
    counts = np.zeros((2, len(BUCKET_UPPER_NS)), np.uint64)
    counts[1, 8] = 100  # waits in (8, 9] ns
    assert quantile_ns(counts, BUCKET_UPPER_NS, 0.5).tolist() == [0.0, 8.5]
