# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import msgspec
import pytest

from fakes.bench_runs import run, scene, slot
from resonance.bench.comparing import FEWEST_PAIRS, Comparison, compare
from resonance.bench.digest import Outcome
from resonance.bench.errors import IncomparableError, ResultFormatError
from resonance.bench.records import Run, Slot
from resonance.bench.statistics import Estimate

BUCKET = 2e-3
"""A histogram of three digits."""


def _flat(name: str, values: list[float], calls: int = 400) -> Run:
    slots = [slot([value] * calls, repetition=place) for place, value in enumerate(values)]
    return run(name, slots=slots, rate_per_second=80.0)


def _p99(comparison: Comparison, name: str) -> Estimate:
    return comparison.row(name).against["p99"].estimate


def test_rows_are_baseline_placebo_and_arms() -> None:
    comparison = compare(scene())
    assert [(row.name, row.role) for row in comparison.rows] == [
        ("random", "baseline"),
        ("random again", "placebo"),
        ("batch idle", "arm"),
    ]
    assert comparison.rows[0].against == {}
    assert comparison.repetitions == 12
    assert comparison.is_believed


def test_a_scale_is_found_whatever_drifts() -> None:
    """Each repetition is slower by a half than the last; both arms meet that alike."""
    comparison = compare(scene(run("a", drift=0.5), run("b", scale=0.8, drift=0.5, turn=1)))
    estimate = _p99(comparison, "b")
    assert estimate.ratio == pytest.approx(0.8, rel=BUCKET)
    assert estimate.high - estimate.low < BUCKET


def test_the_ratio_is_the_median_of_ratios_and_not_the_ratio_of_medians() -> None:
    before = [0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.007]
    after = [0.0005, 0.0004, 0.0027, 0.002, 0.0045, 0.003, 0.0063]
    comparison = compare(scene(_flat("a", before), _flat("b", after)))
    assert _p99(comparison, "b").ratio == pytest.approx(0.5, rel=BUCKET)
    medians = [comparison.row(name).medians["p99"] for name in "ab"]
    assert medians == pytest.approx([0.004, 0.0027], rel=BUCKET)


def test_repetitions_are_paired_by_number_and_not_by_place() -> None:
    values = [0.001 * (1 + number) for number in range(8)]
    before, after = _flat("a", values), _flat("b", values)
    turned = msgspec.structs.replace(after, slots=after.slots[::-1])
    assert _p99(compare(scene(before, turned)), "b") == Estimate(1.0, 1.0, 1.0)


def test_a_doubtful_slot_takes_the_whole_repetition_with_it() -> None:
    comparison = compare(
        scene(
            run("a", repetitions=9),
            run("b", repetitions=9, turn=1, doubtful=[3]),
            run("c", repetitions=9, turn=2, doubtful=[3, 5]),
        )
    )
    assert comparison.repetitions == 7
    assert [line.split(":")[0] for line in comparison.excluded] == ["repetition 3", "repetition 5"]
    assert "b: 0.90 CPUs were used by others" in comparison.excluded[0]
    assert "c: 0.90 CPUs were used by others" in comparison.excluded[0]
    assert comparison.row("a").values["p99"].keys() == {0, 1, 2, 4, 6, 7, 8}
    assert comparison.row("b").against["p99"].pairs == 7


def test_a_repetition_that_one_arm_lacks_is_left_out() -> None:
    """Ctrl-C ends a run in the middle of a round."""
    comparison = compare(scene(run("a", repetitions=8), run("b", repetitions=7, turn=1)))
    assert comparison.repetitions == 7
    assert comparison.excluded == ["repetition 7: b: was not measured in it"]


def test_a_repetition_that_was_cut_short_is_left_out() -> None:
    whole = run("b", turn=1)
    short = slot([0.001] * 100, repetition=7, seconds=1.25)
    cut = msgspec.structs.replace(whole, slots=[*whole.slots[:7], short])
    comparison = compare(scene(run("a"), cut))
    assert comparison.excluded == ["repetition 7: b: was cut short, 1.25 s of 5 s"]


def test_a_slot_without_answers_is_left_out_also_where_nobody_doubted_it() -> None:
    empty = msgspec.structs.replace(slot([], repetition=7), planned=400, doubts=[])
    slots = [*run("b").slots[:7], empty]
    comparison = compare(scene(run("a"), run("b", slots=slots)))
    assert comparison.excluded == ["repetition 7: b: no call was answered"]


def test_nothing_left_is_a_comparison_that_knows_nothing() -> None:
    comparison = compare(scene(run("a", doubtful=range(8)), run("b", turn=1)))
    assert comparison.repetitions == 0
    assert comparison.too_few == "8 of 8 repetitions had to be left out"
    assert comparison.row("b").medians == {}
    assert comparison.row("b").absent["p50"] == "no repetition is left"
    assert comparison.row("b").costs == {}


def test_what_is_left_is_not_believed_where_most_had_to_be_left_out() -> None:
    runs = run("a", repetitions=14, doubtful=range(8)), run("b", repetitions=14, turn=1)
    comparison = compare(scene(*runs))
    assert comparison.repetitions == 6
    assert not comparison.is_believed
    assert comparison.too_few == "8 of 14 repetitions had to be left out"


def test_one_repetition_has_no_interval() -> None:
    comparison = compare(scene(run("a", repetitions=1), run("b", repetitions=1, scale=0.5)))
    effect = comparison.row("b").against["p99"]
    assert not effect.is_known
    assert effect.estimate.low == effect.estimate.ratio == effect.estimate.high
    assert effect.sign_probability == 1.0
    assert not comparison.is_believed


@pytest.mark.parametrize(
    ("repetitions", "is_known"), [(FEWEST_PAIRS - 1, False), (FEWEST_PAIRS, True)]
)
def test_an_interval_takes_six_repetitions(repetitions: int, is_known: bool) -> None:
    values = [0.001 * (1 + number) for number in range(repetitions)]
    flat = _flat("a", [0.001] * repetitions), _flat("b", values)
    effect = compare(scene(*flat)).row("b").against["p50"]
    assert effect.is_known == is_known
    spread = effect.estimate.high - effect.estimate.low
    assert (spread == pytest.approx(0.001 / 0.001 * (repetitions - 1), rel=1e-2)) != is_known


@pytest.mark.parametrize(
    ("calls", "known"),
    [
        (299, {"p50", "p95"}),
        (300, {"p50", "p95", "p99"}),
        (2_999, {"p50", "p95", "p99"}),
        (3_000, {"p50", "p95", "p99", "p99.9"}),
    ],
)
def test_a_quantile_takes_three_answers_beyond_it_in_every_slot(
    calls: int, known: set[str]
) -> None:
    least = [slot([0.001] * 3_000, repetition=0), slot([0.001] * calls, repetition=1)]
    comparison = compare(scene(_flat("a", [0.001] * 2, 3_000), run("b", slots=least)))
    row = comparison.row("b")
    assert row.medians.keys() == row.against.keys() == known
    assert comparison.row("a").medians.keys() == {"p50", "p95", "p99", "p99.9"}
    assert row.absent.keys() == {"p50", "p95", "p99", "p99.9"} - known
    assert all(f"{calls} answers in a slot" in reason for reason in row.absent.values())


def test_a_quantile_that_the_baseline_lacks_has_no_ratio() -> None:
    comparison = compare(scene(_flat("a", [0.001] * 6, 400), _flat("b", [0.001] * 6, 3_000)))
    row = comparison.row("b")
    assert "p99.9" in row.medians
    assert "p99.9" not in row.against
    assert row.absent["p99.9"].startswith("of the baseline, 400 answers")


def _losing(lost: int, outcome: Outcome) -> Run:
    slots = [
        slot([0.001] * (1_000 - lost), repetition=number, failed={outcome: lost})
        for number in range(6)
    ]
    return run("b", slots=slots)


def test_a_quantile_among_calls_that_never_ended_is_not_told() -> None:
    """One in fifty was reset: how long they would have taken nobody knows, and p99 is of them."""
    comparison = compare(scene(_flat("a", [0.001] * 6, 1_000), _losing(20, Outcome.RESET)))
    row = comparison.row("b")
    assert row.against.keys() == {"p50", "p95"}
    assert row.absent["p99"] == "2.00% of the calls of a slot were never answered"
    assert row.costs["failed_ratio"] == pytest.approx(0.02)


@pytest.mark.parametrize("outcome", [Outcome.STATUS, Outcome.RESET])
def test_an_arm_that_fails_more_is_told(outcome: Outcome) -> None:
    comparison = compare(scene(_flat("a", [0.001] * 6, 1_000), _losing(5, outcome)))
    assert any(
        line.startswith("b: 0.5% of the calls failed, 0.0% of a's") for line in comparison.warnings
    )
    assert "p99" in comparison.row("b").against


def test_service_times_stand_beside_response_times() -> None:
    waiting = [
        slot([0.004] * 300, repetition=number, queued_seconds=0.003, late_seconds=0.0)
        for number in range(6)
    ]
    row = compare(scene(_flat("a", [0.004] * 6), run("b", slots=waiting))).row("b")
    assert row.medians["p99"] == pytest.approx(0.004, rel=BUCKET)
    assert row.service_medians["p99"] == pytest.approx(0.001, rel=BUCKET)


def test_costs_are_medians_and_those_without_a_number_are_left_out() -> None:
    slots = [
        slot(
            [0.001] * 300,
            repetition=number,
            costs={"extra_ratio": number / 100, "job_p50_seconds": math.nan},
        )
        for number in range(7)
    ]
    row = compare(scene(_flat("a", [0.001] * 7), run("b", slots=slots))).row("b")
    assert row.costs == {"extra_ratio": 0.03, "failed_ratio": 0.0}


def test_a_placebo_that_differs_from_the_baseline_is_noise() -> None:
    comparison = compare(
        scene(run("a"), run("a again", scale=1.2, turn=1), run("b", turn=2), placebo="a again")
    )
    assert comparison.noisy == ["p50", "p95", "p99"]
    assert comparison.noise["p99"].estimate.ratio == pytest.approx(1.2, rel=BUCKET)
    assert not comparison.is_believed


def test_a_placebo_of_too_few_repetitions_says_nothing() -> None:
    runs = [
        run(name, scale=scale, repetitions=3, turn=turn)
        for turn, (name, scale) in enumerate({"a": 1.0, "again": 1.2, "b": 1.0}.items())
    ]
    assert compare(scene(*runs, placebo="again")).noisy == []


def test_arms_that_did_not_take_turns_are_told_with_the_minutes_between() -> None:
    later = run("b", turn=90)
    (warning,) = compare(scene(run("a"), later)).warnings
    assert warning.startswith("a was measured before b, 9.0 minutes apart, not in turn")
    assert "--versus" in warning


def test_arms_that_took_turns_are_not() -> None:
    assert compare(scene(run("a"), run("b", turn=1))).warnings == []


def test_a_generator_that_was_throttled_is_told() -> None:
    def throttled(each: Slot) -> Slot:
        generator = msgspec.structs.replace(each.generator, is_throttled=each.repetition < 2)
        return msgspec.structs.replace(each, generator=generator)

    plain = run("b", turn=1)
    seen = msgspec.structs.replace(plain, slots=[throttled(each) for each in plain.slots])
    warnings = compare(scene(run("a"), seen)).warnings
    assert [line[:51] for line in warnings] == [
        "b: the kernel kept the generator from its CPU in 2 "
    ]


def test_a_baseline_that_is_not_there_is_refused() -> None:
    wrong = msgspec.structs.replace(scene(run("a", repetitions=1)), baseline="x")
    with pytest.raises(IncomparableError, match="has no arm 'x'"):
        compare(wrong)


def test_a_histogram_that_is_none_is_refused() -> None:
    broken = msgspec.structs.replace(slot([0.001] * 300), response="HISTF")
    with pytest.raises(ResultFormatError, match="response"):
        compare(scene(run("a", repetitions=1), run("b", slots=[broken])))


def test_an_arm_that_there_is_not_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="x"):
        compare(scene(run("a", repetitions=1))).row("x")


@pytest.mark.parametrize("scale", [0.25, 0.9, 3.0])
@pytest.mark.parametrize("unit", [1.0, 7.0, 1_000.0])
def test_ratios_do_not_depend_on_how_slow_everything_is(scale: float, unit: float) -> None:
    values = [0.004, 0.031, 0.0007, 0.012, 0.9, 0.0031, 0.027]
    before = _flat("a", [unit * value for value in values], 60)
    after = _flat("b", [unit * scale * value for value in values], 60)
    estimate = compare(scene(before, after)).row("b").against["p50"].estimate
    assert [estimate.ratio, estimate.low, estimate.high] == pytest.approx([scale] * 3, rel=1e-2)
