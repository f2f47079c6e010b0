# SPDX-License-Identifier: MIT
from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.bench_runs import run
from resonance.bench.digest import Calls, Digest, Outcome, digest, doubts_of
from resonance.bench.records import Generator, Rule, read_result, write_result

OK = Outcome.OK
S = 1_000_000_000
MS = 1_000_000


def _digest(
    due: Sequence[int],
    took: Sequence[int | None],
    *,
    outcomes: Sequence[Outcome] | None = None,
    late: int = 0,
    parts: Sequence[int] | None = None,
    sent: Sequence[int] | None = None,
    **options: Any,
) -> Digest:
    return digest(
        Calls(
            due_ns=due,
            reached_ns=[at + late for at in due],
            sent_ns=[at + late for at in due] if sent is None else sent,
            ended_ns=[
                -1 if each is None else at + each for at, each in zip(due, took, strict=True)
            ],
            outcomes=outcomes or [OK] * len(due),
            parts=parts,
        ),
        **({"seconds": 1.0, "started_at": 0.0, "rule": Rule()} | options),
    )


def test_times_run_from_when_a_call_was_due_and_from_when_it_was_sent() -> None:
    slot = _digest([0], [10 * MS], late=4 * MS).slot
    medians = [slot.histogram(what).quantile(0.5) for what in ("response", "service", "lateness")]
    assert medians == pytest.approx([0.010, 0.006, 0.004], rel=1e-3)


def test_a_slot_in_which_nothing_was_due_is_doubted() -> None:
    slot, intervals = _digest([], [])
    assert (slot.planned, slot.sent, slot.answered, slot.failed) == (0, 0, 0, {})
    assert slot.achieved_ratio == 0.0
    assert slot.quantile(0.99) is None
    assert slot.doubts == ["no call was due after the warm-up"]
    assert [each.p99 for each in slot.timeline] == [None]
    assert [each.histogram.count for each in intervals] == [0]


def test_a_slot_in_which_nothing_was_answered_is_doubted() -> None:
    slot = _digest([0, 1], [None, None], outcomes=[Outcome.REFUSED, Outcome.NONE]).slot
    assert slot.failed == {"refused": 1, "none": 1}
    assert "no call was answered" in slot.doubts


@pytest.mark.parametrize(
    ("outcome", "is_timed"),
    [
        (Outcome.OK, True),
        (Outcome.STATUS, True),
        (Outcome.TIMEOUT, True),
        (Outcome.REFUSED, False),
        (Outcome.RESET, False),
        (Outcome.CUT, False),
        (Outcome.GARBAGE, False),
        (Outcome.NONE, False),
    ],
)
def test_only_an_answer_and_a_timeout_have_a_time(outcome: Outcome, is_timed: bool) -> None:
    slot = _digest([0], [MS], outcomes=[outcome]).slot
    assert slot.histogram("response").count == is_timed
    assert slot.answered == (outcome is OK)
    assert slot.failed == ({} if outcome is OK else {outcome.name.lower(): 1})
    assert slot.timeline[0].failed == (outcome is not OK)


def test_a_call_that_timed_out_before_it_was_sent_has_no_service_time() -> None:
    slot = _digest([0], [S], outcomes=[Outcome.TIMEOUT], sent=[-1]).slot
    assert slot.histogram("response").count == 1
    assert slot.histogram("service").count == 0
    assert slot.sent == 0


def test_the_warm_up_is_in_the_timeline_alone() -> None:
    due = [0, S, 2 * S, 3 * S - 1]
    slot, intervals = _digest(due, [MS] * 4, seconds=3.0, warm_up_seconds=1.0)
    assert (slot.seconds, slot.planned, slot.histogram("lateness").count) == (2.0, 3, 3)
    assert [each.planned for each in slot.timeline] == [1, 1, 2]
    assert [each.histogram.count for each in intervals] == [1, 1, 2]


@pytest.mark.parametrize(
    ("at_seconds", "is_in_time"), [(0.0, True), (1.0, True), (1.01, True), (1.02, False)]
)
def test_a_call_sent_after_its_slot_was_not_sent_in_time(
    at_seconds: float, is_in_time: bool
) -> None:
    slot = _digest([0], [2 * S], sent=[int(at_seconds * S)]).slot
    assert slot.sent == is_in_time


def test_an_end_before_it_was_due_is_no_time() -> None:
    """Clocks of two machines, say: it is answered, and nobody knows after how long."""
    slot = _digest([10], [-5]).slot
    assert slot.answered == 1
    assert slot.histogram("response").count == 0


def test_a_time_beyond_all_buckets_counts_as_the_longest_there_is() -> None:
    slot = _digest([0, 1], [2**62, MS]).slot
    assert slot.histogram("response").count == 2
    longest = slot.quantile(1.0)
    assert longest is not None
    assert longest > 100.0


def test_a_generator_that_came_too_early_was_not_late() -> None:
    calls = Calls([MS], [0], [0], [2 * MS], [OK])
    slot = digest(calls, seconds=1.0, started_at=0.0, rule=Rule()).slot
    assert slot.histogram("lateness").quantile(1.0) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("seconds", "number"),
    [(0.2, 1), (1.0, 1), (2.5, 3), (600.0, 600), (601.0, 301), (3_600.0, 360), (259_200.0, 600)],
)
def test_a_timeline_has_at_most_600_intervals_that_make_up_the_slot(
    seconds: float, number: int
) -> None:
    slot, intervals = _digest([0], [MS], seconds=seconds)
    assert len(slot.timeline) == len(intervals) == number
    assert sum(each.seconds for each in slot.timeline) == pytest.approx(seconds)
    assert [each.started_at for each in intervals] == [each.at_seconds for each in slot.timeline]


def test_a_call_due_at_the_very_end_is_in_the_last_interval() -> None:
    slot = _digest([0, 2 * S, 2 * S + 1], [MS] * 3, seconds=2.0).slot
    assert [each.planned for each in slot.timeline] == [1, 2]


def test_kinds_of_request_are_told_apart() -> None:
    slot = _digest(
        [0, 1, 2, 3],
        [MS, 5 * MS, 5 * MS, None],
        outcomes=[OK, OK, OK, Outcome.RESET],
        parts=[0, 1, 1, 0],
        names=["read", "write"],
    ).slot
    read, write = slot.parts["read"], slot.parts["write"]
    assert (read.planned, read.answered, read.failed) == (2, 1, 1)
    assert (write.planned, write.answered, write.failed) == (2, 2, 0)
    assert list(slot.parts) == ["read", "write"]


def test_a_kind_that_was_never_drawn_is_told_as_none() -> None:
    slot = _digest([0], [MS], parts=[0], names=["read", "rare"]).slot
    assert slot.parts["rare"].planned == 0


def test_a_cost_that_is_not_a_number_is_left_out_so_that_the_result_can_be_read(
    tmp_path: Path,
) -> None:
    costs = {"job_p50_seconds": math.nan, "extra_ratio": 0.0, "wasted_ratio": math.inf}
    slot = _digest([0], [MS], costs=costs).slot
    assert slot.costs == {"extra_ratio": 0.0}
    write_result(tmp_path / "run.json", run("a", slots=[slot]))
    assert read_result(tmp_path / "run.json")


def test_what_is_told_of_the_generator_is_kept() -> None:
    generator = Generator(processes=3, is_realtime=True, waited=7)
    assert _digest([0], [MS], generator=generator).slot.generator == generator


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3 * S - 1),
            st.integers(0, 2 * S),
            st.sampled_from(Outcome),
            st.integers(0, 1),
        ),
        max_size=60,
    )
)
def test_every_call_is_counted_once(calls: list[tuple[int, int, Outcome, int]]) -> None:
    calls.sort()
    slot, intervals = _digest(
        [due for due, *_ in calls],
        [took for _, took, *_ in calls],
        outcomes=[outcome for *_, outcome, _ in calls],
        parts=[part for *_, part in calls],
        names=["a", "b"],
        seconds=3.0,
    )
    assert slot.planned == len(calls) == slot.answered + sum(slot.failed.values())
    assert sum(each.planned for each in slot.timeline) == slot.planned
    assert sum(each.answered + each.failed for each in slot.timeline) == slot.planned
    assert sum(each.planned for each in slot.parts.values()) == slot.planned
    whole = slot.histogram("response").count
    assert sum(each.histogram.count for each in intervals) == whole
    assert whole >= slot.answered


def _doubts(**changed: Any) -> list[str]:
    told: dict[str, Any] = {
        "achieved_ratio": 1.0,
        "lateness_p99": 0.0001,
        "response_p99": 0.01,
        "foreign_cores": None,
    }
    rule = changed.pop("rule", Rule())
    return doubts_of(rule, **(told | changed))


def test_what_keeps_to_the_rule_is_not_doubted() -> None:
    assert _doubts() == []
    assert _doubts(achieved_ratio=0.99, lateness_p99=0.0005) == []


@pytest.mark.parametrize(
    ("changed", "doubt"),
    [
        ({"achieved_ratio": 0.98}, "98.0% of the calls were sent in time, at least 99% must be"),
        ({"lateness_p99": 0.0006}, "the generator was 600 us late at p99, more than 5%"),
        ({"response_p99": None}, "no call was answered"),
        (
            {"foreign_cores": 0.4, "rule": Rule(max_foreign_cores=0.3)},
            "0.40 CPUs were used by others, at most 0.30 may be",
        ),
    ],
)
def test_each_breach_is_a_doubt_with_its_number(changed: dict[str, Any], doubt: str) -> None:
    (told,) = _doubts(**changed)
    assert told.startswith(doubt)


@pytest.mark.parametrize(
    "changed",
    [{"foreign_cores": 9.0}, {"rule": Rule(max_foreign_cores=0.3)}, {"lateness_p99": None}],
)
def test_what_is_not_known_is_not_doubted(changed: dict[str, Any]) -> None:
    assert _doubts(**changed) == []


def test_all_doubts_are_told_at_once() -> None:
    rule = Rule(max_foreign_cores=0.1)
    assert len(_doubts(achieved_ratio=0.5, response_p99=None, foreign_cores=1.0, rule=rule)) == 3
