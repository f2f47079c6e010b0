# SPDX-License-Identifier: MIT
"""The statistics of the benches: what they report, and when they say that they cannot."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench import paired
from bench.paired import Estimate, Result

SURE = Estimate(1.0, 1.0, 1.0)


def _last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return line


def test_every_arm_runs_once_per_round_and_the_order_changes() -> None:
    order: list[str] = []
    arms = {name: lambda name=name: order.append(name) for name in "abcde"}
    values = paired.interleave(arms, rounds=20)
    rounds = [tuple(order[start : start + 5]) for start in range(0, 100, 5)]
    assert all(sorted(each) == list("abcde") for each in rounds)
    assert len(set(rounds)) > 10
    assert {name: len(of) for name, of in values.items()} == dict.fromkeys("abcde", 20)


def test_the_order_is_the_same_in_every_run() -> None:
    def run() -> list[str]:
        order: list[str] = []
        paired.interleave({name: lambda name=name: order.append(name) for name in "abc"}, 9)
        return order

    assert run() == run()


def test_no_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="0 rounds"):
        paired.interleave({"a": lambda: 1.0}, 0)


def test_a_ratio_is_taken_within_a_round() -> None:
    drifting = [1.0, 10.0, 100.0, 1_000.0]
    estimate = paired.compare([3.0 * value for value in drifting], drifting)
    assert estimate == Estimate(3.0, 3.0, 3.0)


def test_arms_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        paired.compare([1.0, 2.0], [1.0])


def test_the_interval_holds_the_median_and_narrows_with_more_rounds() -> None:
    few = paired.summarize([0.8, 0.9, 1.0, 1.1, 1.2])
    many = paired.summarize([0.8, 0.9, 1.0, 1.1, 1.2] * 20)
    for estimate in (few, many):
        assert estimate.low <= estimate.ratio <= estimate.high
    assert many.high - many.low < few.high - few.low


def test_one_outlier_does_not_move_the_median() -> None:
    assert paired.summarize([1.0] * 8 + [50.0]).ratio == 1.0


def test_a_placebo_counts_deviations_down_like_deviations_up() -> None:
    up = paired.placebo([1.25] * 5, [1.0] * 5)
    down = paired.placebo([1.0] * 5, [1.25] * 5)
    assert up.ratio == pytest.approx(1.25)
    assert down.ratio == pytest.approx(1.25)


def test_a_placebo_that_is_as_often_above_as_below_may_be_nothing() -> None:
    estimate = paired.placebo([0.9, 1.1, 0.9, 1.1, 1.0], [1.0] * 5)
    assert estimate.low == 1.0
    assert estimate.high > 1.0


def test_a_placebo_share_has_no_sign() -> None:
    estimate = paired.placebo_share([-40.0, -50.0, -60.0], [1_000.0] * 3)
    assert estimate.ratio == pytest.approx(0.05)
    assert 0.0 < estimate.low <= estimate.ratio <= estimate.high


def test_an_absolute_bar_becomes_a_ratio() -> None:
    assert paired.within([0.5, 0.5], 2.0).ratio == 0.25


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_a_value_that_was_measured(share: float, value: int) -> None:
    assert paired.percentile([float(each) for each in range(100, 0, -1)], share) == value


def test_a_missed_bar_is_still_a_measurement(capsys: pytest.CaptureFixture[str]) -> None:
    missed = Result("ours", "theirs", Estimate(2.0, 1.9, 2.1), bar=1.0)
    status = paired.conclude("bpf", [Result("A/A", "again", SURE, 1.1, is_placebo=True), missed])
    assert status == 0
    line = _last_line(capsys)
    assert line["bench"] == "bpf"
    assert line["machine"]
    assert line["results"][1] == {
        "what": "ours",
        "against": "theirs",
        "ratio": 2.0,
        "low": 1.9,
        "high": 2.1,
        "bar": 1.0,
        "met": False,
    }


def test_a_wide_placebo_rejects_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    wide = Result("A/A", "again", Estimate(1.3, 1.2, 1.4), bar=1.1, is_placebo=True)
    status = paired.conclude("bpf", [wide, Result("ours", "theirs", SURE, bar=2.0)])
    assert status == paired.TOO_NOISY
    assert [row["what"] for row in _last_line(capsys)["results"]] == ["A/A"]


def test_the_interval_is_the_same_for_the_same_values() -> None:
    values = [1.0, 1.5, 0.7, 1.1, 1.3]
    assert paired.summarize(values) == paired.summarize(values)
