# SPDX-License-Identifier: MIT
"""Laws of a timer's schedule, whatever is commanded and however late the loop is."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from resonance.periodic._records import OnLate
from resonance.periodic._schedule import Hold, Release, Schedule, longest_step_ns

SECOND_NS = 10**9

periods = st.integers(100_000, 3_600 * SECOND_NS)
origins = st.integers(0, 10**18)
policies: st.SearchStrategy[OnLate] = st.sampled_from(["skip", "catch_up"])


class Turn(NamedTuple):
    """What happens before one release: a command or none, and how late the loop comes."""

    hold: Hold | None
    is_trusted: bool
    lateness: float


class Story(NamedTuple):
    """A schedule and the releases it gave, each with the hold in force before it."""

    schedule: Schedule
    limit_ns: int
    turns: list[Turn]
    releases: list[Release]
    given_ns: list[int]
    offsets_ns: list[int]


@st.composite
def turns(draw: st.DrawFn, period_ns: int) -> Turn:
    hold = draw(
        st.none()
        | st.builds(
            Hold,
            st.integers(0, 2 * period_ns),
            st.integers(0, 10 * SECOND_NS),
            st.booleans(),
        )
    )
    return Turn(hold, draw(st.booleans()), draw(st.floats(0.0, 3.5)))


@st.composite
def stories(draw: st.DrawFn, policy: OnLate | None = None) -> Story:
    period_ns = draw(periods)
    limit_ns = draw(st.sampled_from([0, longest_step_ns(period_ns), period_ns - 1]))
    schedule = Schedule(period_ns, draw(origins), policy or draw(policies), limit_ns)
    now_ns = draw(st.integers(0, 10**18))
    schedule.start(now_ns)
    story = Story(schedule, limit_ns, [], [], [], [])
    for turn in draw(st.lists(turns(period_ns), min_size=1, max_size=30)):
        if turn.hold:
            schedule.hold = turn.hold
        schedule.is_trusted = turn.is_trusted
        story.offsets_ns.append(schedule.offset_ns)
        now_ns = max(now_ns, schedule.due_ns()) + round(turn.lateness * period_ns)
        release = schedule.release(now_ns)
        assert release is not None
        story.turns.append(turn)
        story.releases.append(release)
        story.given_ns.append(now_ns)
    return story


@given(stories())
def test_release_n_is_at_the_origin_and_n_periods_and_a_hold_within_its_limit(story: Story) -> None:
    schedule = story.schedule
    for release in story.releases:
        assert release.natural_ns == schedule.origin_ns + release.number * schedule.period_ns
        assert 0 <= release.due_ns - release.natural_ns <= story.limit_ns


@given(stories())
def test_nothing_is_released_before_it_is_due(story: Story) -> None:
    for release, given_ns in zip(story.releases, story.given_ns, strict=True):
        assert release.due_ns <= given_ns


@given(stories())
def test_releases_are_due_one_after_the_other(story: Story) -> None:
    for before, after in pairwise(story.releases):
        assert before.number < after.number
        assert before.due_ns < after.due_ns


@given(stories())
def test_every_point_is_given_or_counted_as_missed_once(story: Story) -> None:
    for before, after in pairwise(story.releases):
        assert after.number - before.number == after.missed + 1


@given(stories("catch_up"))
def test_catching_up_misses_nothing(story: Story) -> None:
    assert [release.missed for release in story.releases] == [0] * len(story.releases)


@given(stories("skip"))
def test_skipping_gives_the_newest_so_none_is_a_period_late(story: Story) -> None:
    for release, given_ns in zip(story.releases, story.given_ns, strict=True):
        assert given_ns - release.due_ns < story.schedule.period_ns


@given(stories())
def test_a_hold_changes_by_a_step_at_most_unless_it_is_set_at_once(story: Story) -> None:
    step_ns = longest_step_ns(story.schedule.period_ns)
    obeyed: Hold | None = None
    hold: Hold | None = None
    for turn, release, before_ns in zip(story.turns, story.releases, story.offsets_ns, strict=True):
        hold = turn.hold or hold
        is_new = turn.is_trusted and hold is not None and hold is not obeyed
        if not (is_new and hold is not None and hold.is_at_once):
            assert abs(release.due_ns - release.natural_ns - before_ns) <= step_ns
        if turn.is_trusted:
            obeyed = hold


@given(stories())
def test_latency_counts_from_no_later_than_due_and_no_earlier_than_natural(story: Story) -> None:
    for release in story.releases:
        assert release.natural_ns <= release.expected_ns <= release.due_ns


@given(periods, origins, st.integers(0, 10**18), st.data())
def test_without_trust_it_is_home_after_as_many_steps_as_it_takes(
    period_ns: int, origin_ns: int, start_ns: int, data: st.DataObject
) -> None:
    schedule = Schedule(period_ns, origin_ns, "skip", period_ns - 1)
    schedule.start(start_ns)
    granted_ns = data.draw(st.integers(0, period_ns - 1))
    schedule.hold = Hold(granted_ns, 1, is_at_once=True)
    schedule.release(schedule.due_ns())
    assert schedule.offset_ns == granted_ns
    schedule.is_trusted = False
    for _ in range(-(-granted_ns // longest_step_ns(period_ns))):
        assert schedule.offset_ns > 0
        schedule.release(schedule.due_ns())
    assert schedule.offset_ns == 0


@given(periods, origins, st.integers(0, 10**18))
def test_it_starts_with_the_first_point_that_is_not_past(
    period_ns: int, origin_ns: int, now_ns: int
) -> None:
    schedule = Schedule(period_ns, origin_ns, "skip", 0)
    schedule.start(now_ns)
    due_ns = schedule.due_ns()
    assert due_ns >= max(now_ns, origin_ns)
    assert due_ns - max(now_ns, origin_ns) < period_ns


@given(stories())
def test_a_release_that_is_not_due_is_none_and_changes_nothing(story: Story) -> None:
    due_ns, offset_ns = story.schedule.due_ns(), story.schedule.offset_ns
    assert story.schedule.release(due_ns - 1) is None
    assert (story.schedule.due_ns(), story.schedule.offset_ns) == (due_ns, offset_ns)
