# SPDX-License-Identifier: MIT
"""Which request is begun, which waits, and which is refused; told with numbers for times."""

from __future__ import annotations

from math import inf

import pytest

from resonance.errors import PolicyError
from resonance.policies import LimitPolicy
from resonance.server import AdmissionPolicy, Refusal, Ticket
from resonance.server._admission import Admission
from resonance.server._gate import FixedLimit

TARGET, INTERVAL = 0.005, 0.1


def _admission(limit: int = 1, queue: int = 100) -> Admission:
    policy = AdmissionPolicy(limit=limit, queue=queue, target=TARGET, interval=INTERVAL)
    return Admission(policy, FixedLimit(limit))


def _taken(admission: Admission) -> list[Ticket]:
    """Return what was decided, as a driver does."""
    decided = list(admission.decided)
    admission.decided.clear()
    return decided


def _standing(limit: int = 1, queue: int = 100) -> tuple[Admission, Ticket]:
    """Return one that is overloaded from second 0.1 on, and the request in service."""
    admission = _admission(limit, queue)
    running = admission.enter(0.0)
    admission.enter(0.0, importance="critical")
    return admission, running


def test_a_request_that_finds_room_is_begun_at_once() -> None:
    assert _admission().enter(0.0).stage == "running"


def test_no_more_than_the_limit_are_in_service() -> None:
    admission = _admission(limit=2)
    stages = [admission.enter(0.0).stage for _ in range(3)]
    assert stages == ["running", "running", "queued"]


def test_who_waits_is_begun_when_another_leaves() -> None:
    admission = _admission()
    first, second = admission.enter(0.0), admission.enter(0.0)
    admission.leave(first, 0.01)
    assert _taken(admission) == [second]
    assert second.stage == "running"


def test_a_short_queue_is_first_in_first_out() -> None:
    admission = _admission()
    running, older, newer = (admission.enter(0.0) for _ in range(3))
    admission.leave(running, 0.05)
    assert (older.stage, newer.stage) == ("running", "queued")


def test_a_standing_queue_is_last_in_first_out() -> None:
    admission, running = _standing()
    older = admission.enter(0.0999)
    newer = admission.enter(0.1)
    # The critical one goes first in any case, and is over its time now.
    admission.leave(running, 0.1)
    assert _taken(admission)[-1] is newer
    assert (older.stage, newer.stage) == ("queued", "running")


def test_a_standing_queue_lets_wait_for_the_target_only() -> None:
    admission, _ = _standing()
    older = admission.enter(0.094)
    newer = admission.enter(0.0999)
    admission.sweep(0.0999 + 0.001)
    assert older.refusal is Refusal.QUEUED_TOO_LONG
    assert newer.stage == "queued"


def test_a_queue_that_was_empty_lets_wait_for_the_interval() -> None:
    admission = _admission()
    admission.enter(0.0)
    waiting = admission.enter(0.05)
    admission.sweep(0.149)
    assert waiting.stage == "queued"
    admission.sweep(0.151)
    assert waiting.refusal is Refusal.QUEUED_TOO_LONG


def test_a_queue_that_empties_is_no_standing_one_any_more() -> None:
    admission, running = _standing()
    assert admission.is_overloaded(0.1)
    admission.sweep(0.1)
    assert admission.queued == 0
    waiting = admission.enter(0.2)
    assert not admission.is_overloaded(0.25)
    admission.leave(running, 0.25)
    assert waiting.stage == "running"


def test_no_place_stays_empty_because_all_that_wait_are_over_the_target() -> None:
    admission, running = _standing()
    waiting = admission.enter(0.05)
    admission.sweep(0.12)
    assert waiting.stage == "queued"
    admission.leave(running, 0.12)
    assert waiting.stage == "running"


def test_time_spent_waiting_for_a_cpu_is_no_queueing_time() -> None:
    admission = _admission()
    running = admission.enter(0.0, waited=5.0)
    waiting = admission.enter(0.0, waited=5.0)
    admission.leave(running, 0.5, waited=5.45)
    assert waiting.stage == "running"


def test_all_of_the_sojourn_counts_where_the_wait_for_a_cpu_is_not_known() -> None:
    admission = _admission()
    running, waiting = admission.enter(0.0), admission.enter(0.0)
    admission.leave(running, 0.5)
    assert waiting.refusal is Refusal.QUEUED_TOO_LONG


def test_more_waiting_for_a_cpu_than_time_is_no_negative_queueing_time() -> None:
    admission = _admission()
    admission.enter(0.0)
    waiting = admission.enter(0.0)
    admission.sweep(0.2, waited=0.4)
    assert waiting.stage == "queued"


@pytest.mark.parametrize("first", ["low", "normal", "high"])
def test_the_more_important_is_begun_first(first: str) -> None:
    admission = _admission()
    running = admission.enter(0.0)
    less = admission.enter(0.0, importance=first)  # type: ignore[arg-type]
    critical = admission.enter(0.001, importance="critical")
    admission.leave(running, 0.002)
    assert (less.stage, critical.stage) == ("queued", "running")


def test_in_a_full_queue_the_less_important_gives_way() -> None:
    admission = _admission(queue=2)
    admission.enter(0.0)
    low = admission.enter(0.0, importance="low")
    normal = admission.enter(0.0)
    high = admission.enter(0.0, importance="high")
    assert low.refusal is Refusal.DISPLACED
    assert (normal.stage, high.stage) == ("queued", "queued")
    assert _taken(admission) == [low]


def test_in_a_full_queue_of_equals_the_last_to_come_is_refused() -> None:
    admission = _admission(queue=1)
    tickets = [admission.enter(0.0) for _ in range(3)]
    assert [ticket.refusal for ticket in tickets] == [None, None, Refusal.QUEUE_FULL]


def test_in_a_full_standing_queue_of_equals_the_oldest_gives_way() -> None:
    admission, _ = _standing(queue=3)
    older, newer = admission.enter(0.0999), admission.enter(0.0999)
    newest = admission.enter(0.1)
    # The critical one has gone over its time, so one place is free.
    assert newest.stage == "queued"
    last = admission.enter(0.1)
    assert older.refusal is Refusal.DISPLACED
    assert (newer.stage, last.stage) == ("queued", "queued")


def test_the_less_important_never_displaces() -> None:
    admission = _admission(queue=1)
    admission.enter(0.0)
    critical = admission.enter(0.0, importance="critical")
    assert admission.enter(0.0, importance="high").refusal is Refusal.QUEUE_FULL
    assert critical.stage == "queued"


def test_a_queue_of_nobody_refuses_whatever_finds_no_room() -> None:
    admission = _admission(queue=0)
    admission.enter(0.0)
    assert admission.enter(0.0, importance="critical").refusal is Refusal.QUEUE_FULL


@pytest.mark.parametrize("deadline", [-1.0, 0.0])
def test_what_comes_too_late_is_refused_even_where_there_is_room(deadline: float) -> None:
    admission = _admission()
    assert admission.enter(0.0, deadline=deadline).refusal is Refusal.DEADLINE_OVER
    assert admission.inflight == 0


def test_a_deadline_that_passes_in_the_queue_is_seen_when_a_place_is_free() -> None:
    admission = _admission()
    running = admission.enter(0.0)
    late, other = admission.enter(0.0, deadline=0.01), admission.enter(0.0)
    admission.leave(running, 0.02)
    assert late.refusal is Refusal.DEADLINE_OVER
    assert other.stage == "running"


def _with_median(seconds: float) -> tuple[Admission, float]:
    """Return one whose requests took so long, and the time."""
    admission, now = _admission(), 0.0
    for _ in range(50):
        ticket = admission.enter(now)
        now += seconds
        admission.leave(ticket, now)
    return admission, now + 0.2


def test_what_waited_and_could_not_be_done_in_time_is_refused() -> None:
    admission, now = _with_median(0.05)
    running = admission.enter(now)
    tight, loose = admission.enter(now, deadline=now + 0.05), admission.enter(now)
    admission.leave(running, now + 0.01)
    assert tight.refusal is Refusal.DEADLINE_TOO_NEAR
    assert loose.stage == "running"


def test_what_finds_room_is_tried_even_where_most_take_longer_than_it_has() -> None:
    admission, now = _with_median(0.05)
    assert admission.enter(now, deadline=now + 0.01).stage == "running"


def test_few_samples_refuse_nobody() -> None:
    admission = _admission()
    first = admission.enter(0.0)
    admission.leave(first, 5.0)
    running, waiting = admission.enter(6.0), admission.enter(6.0, deadline=6.05)
    admission.leave(running, 6.01)
    assert waiting.stage == "running"


def test_a_request_that_is_taken_back_leaves_the_queue() -> None:
    admission = _admission()
    running, waiting = admission.enter(0.0), admission.enter(0.0)
    admission.withdraw(waiting)
    assert admission.queued == 0
    admission.leave(running, 0.01)
    assert (_taken(admission), waiting.stage, admission.inflight) == ([], "over", 0)


def test_nothing_leaves_twice() -> None:
    admission = _admission()
    ticket = admission.enter(0.0)
    admission.leave(ticket, 0.0)
    with pytest.raises(RuntimeError, match="is over"):
        admission.leave(ticket, 0.0)
    assert admission.inflight == 0


def test_what_runs_cannot_be_taken_back_nor_what_waits_leave() -> None:
    admission = _admission()
    running, waiting = admission.enter(0.0), admission.enter(0.0)
    with pytest.raises(RuntimeError, match="is running"):
        admission.withdraw(running)
    with pytest.raises(RuntimeError, match="is queued"):
        admission.leave(waiting, 0.0)


def test_an_importance_nobody_knows_is_an_error_and_does_not_enter() -> None:
    admission = _admission()
    with pytest.raises(PolicyError, match="low, normal, high, critical, not 'urgent'"):
        admission.enter(0.0, importance="urgent")  # type: ignore[arg-type]
    assert admission.counts.entered == 0


def test_a_clock_that_stands_still_refuses_nobody() -> None:
    admission = _admission()
    running = admission.enter(0.0)
    waiting = [admission.enter(0.0) for _ in range(10)]
    for ticket in (running, *waiting):
        admission.leave(ticket, 0.0)
    assert admission.counts.done == 11


class _Learning(FixedLimit):
    def __init__(self) -> None:
        super().__init__(1)
        self.seen: list[tuple[float, int, bool]] = []

    def observe(self, elapsed_seconds: float, inflight: int, is_drop: bool, now: float) -> None:
        self.seen.append((elapsed_seconds, inflight, is_drop))


def test_a_limit_learns_from_what_was_done_or_dropped_but_not_from_what_failed() -> None:
    limit = _Learning()
    admission = Admission(AdmissionPolicy(limit=1), limit)
    for ending in ("done", "failed", "dropped"):
        admission.leave(admission.enter(0.0), 0.5, ending=ending)  # type: ignore[arg-type]
    assert limit.seen == [(0.5, 1, False), (0.5, 1, True)]


def test_a_limit_that_grows_lets_in_all_it_has_room_for() -> None:
    limit = _Learning()
    admission = Admission(AdmissionPolicy(limit=1), limit)
    running, *waiting = (admission.enter(0.0) for _ in range(4))
    limit.limit = 2
    admission.leave(running, 0.01)
    assert [ticket.stage for ticket in waiting] == ["running", "running", "queued"]


def test_a_limit_that_shrinks_ends_nothing_and_begins_nothing() -> None:
    limit = FixedLimit(3)
    admission = Admission(AdmissionPolicy(limit=3), limit)
    running = [admission.enter(0.0) for _ in range(3)]
    waiting = admission.enter(0.0)
    limit.limit = 1
    admission.leave(running[0], 0.01)
    admission.leave(running[1], 0.01)
    assert (admission.inflight, waiting.stage) == (1, "queued")
    admission.leave(running[2], 0.01)
    assert waiting.stage == "running"


def test_nobody_is_due_while_nobody_waits() -> None:
    assert _admission().due_in(0.0) == inf


@pytest.mark.parametrize(("now", "due"), [(0.0, 0.1), (0.06, 0.04)])
def test_the_first_to_wait_is_due_after_an_interval(now: float, due: float) -> None:
    admission = _admission()
    admission.enter(0.0)
    admission.enter(0.0)
    assert admission.due_in(now) == pytest.approx(due)


def test_in_a_standing_queue_all_but_the_next_are_due_after_the_target() -> None:
    admission, _ = _standing()
    older, _ = admission.enter(0.098), admission.enter(0.0999)
    assert admission.due_in(0.1) == 0.0
    admission.sweep(0.1)
    assert older.stage == "queued"
    assert admission.due_in(0.1) == pytest.approx(0.003)


def test_those_refused_are_asked_back_when_those_here_are_done() -> None:
    admission, now = _with_median(0.5)
    for _ in range(4):
        admission.enter(now)
    assert admission.drain_seconds(now) == pytest.approx(2.0, rel=0.02)


def test_nobody_is_asked_back_sooner_than_after_an_interval() -> None:
    assert _admission().drain_seconds(0.0) == INTERVAL


def test_counts_say_what_became_of_each() -> None:
    admission = _admission(queue=1)
    running, waiting = admission.enter(0.0), admission.enter(0.0)
    admission.enter(0.0)
    admission.leave(running, 0.01, ending="failed")
    admission.leave(waiting, 0.02)
    counts = admission.counts
    assert (counts.entered, counts.run_at_once, counts.queued, counts.run_from_queue) == (
        3,
        1,
        1,
        1,
    )
    assert (counts.done, counts.failed, counts.refused[Refusal.QUEUE_FULL]) == (1, 1, 1)
    assert (counts.errors, counts.ended) == (2, 3)


BAD = [
    ({"limit": 0}, "limit"),
    ({"limit": True}, "limit"),
    ({"limit": 2.5}, "limit"),
    ({"queue": -1}, "queue"),
    ({"target": 0}, "target"),
    ({"target": inf}, "target"),
    ({"interval": "1"}, "interval"),
    ({"target": 0.2, "interval": 0.1}, "interval"),
]


@pytest.mark.parametrize(("fields", "key"), BAD)
def test_a_policy_that_cannot_be_says_which_field(fields: dict[str, object], key: str) -> None:
    with pytest.raises(PolicyError) as caught:
        AdmissionPolicy(**fields)  # type: ignore[arg-type]
    assert caught.value.key == f"AdmissionPolicy.{key}"


def test_by_default_the_limit_is_learned() -> None:
    assert isinstance(AdmissionPolicy().limit, LimitPolicy)
