# SPDX-License-Identifier: MIT
"""Laws of the strategy, whatever the node does: few changes, one at a time, none that stays
without a gain.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from fakes.tuned_node import Apply, Node, knob, node

LADDER = [knob("idle", 1), knob("weight", 2), knob("cpus", 3)]
BAD_SECONDS, GOOD_SECONDS = 0.01, 0.0005
"""Five times the objective, and a quarter of it."""


def square(period_seconds: float, gain: float) -> Callable[[float, Collection[str]], float]:
    """A load that comes and goes, and a knob that may help."""

    def level(now: float, on: Collection[str]) -> float:
        is_good = int(now / period_seconds) % 2
        return (GOOD_SECONDS if is_good else BAD_SECONDS) * (gain if on else 1.0)

    return level


@pytest.mark.parametrize("most", [4, 8, 20])
@pytest.mark.parametrize("period_seconds", [1, 7, 30, 61, 100, 240])
@pytest.mark.parametrize("gain", [1.0, 0.2])
def test_a_square_wave_makes_no_more_changes_than_allowed(
    period_seconds: float, gain: float, most: int
) -> None:
    shown = node(LADDER, square(period_seconds, gain), max_changes_per_hour=most).run(600)
    assert len(shown.changes) <= most
    gaps = [b[0] - a[0] for a, b in pairwise(shown.changes)]
    assert all(gap >= 10.0 for gap in gaps)


def test_a_change_that_does_nothing_is_undone_after_its_window() -> None:
    shown = node(LADDER, lambda _now, _on: BAD_SECONDS).run(200)
    (applied_at, apply), (undone_at, _) = shown.changes[:2]
    assert isinstance(apply, Apply)
    assert 20.0 <= undone_at - applied_at <= 25.0
    assert shown.words[0] == ("idle", "undone")
    assert not {each.knob for each in shown.applied} & {"idle"}


def test_what_did_not_help_is_left_alone_for_longer_each_time() -> None:
    shown = node([LADDER[0]], lambda _now, _on: BAD_SECONDS).run(6 * 3_600)
    tried = [at for at, action in shown.changes if isinstance(action, Apply)]
    rests = [b - a for a, b in pairwise(tried)]
    assert 3_600 <= rests[0] < 3_900
    assert 7_200 <= rests[1] < 7_500


def test_a_gain_of_thirty_per_cent_is_kept() -> None:
    kept = 0
    for seed in range(20):
        shown = node(
            [LADDER[0]], lambda _now, on: BAD_SECONDS * (0.7 if on else 1.0), seed=seed
        ).run(200)
        kept += shown.words == [("idle", "kept")] and len(shown.applied) == 1
    print(f"30 % gain through the whole loop: {kept} of 20 kept")
    assert kept >= 18


def test_placebos_through_the_whole_loop_are_kept_less_than_once_in_twenty() -> None:
    words = [
        word
        for seed in range(100)
        for _, word in node(LADDER[:2], lambda _now, _on: BAD_SECONDS, seed=seed).run(250).words
    ]
    kept = words.count("kept")
    print(f"placebos through the whole loop: {kept} of {len(words)} kept")
    assert len(words) == 200
    assert kept < 0.05 * len(words)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.sampled_from([0.0002, 0.001, 0.0021, 0.01, 0.1]), min_size=5, max_size=40),
    st.dictionaries(st.sampled_from(["idle", "weight", "cpus"]), st.sampled_from([0.2, 0.7, 3.0])),
    st.integers(4, 20),
    st.sampled_from(["shadow", "adaptive", "active"]),
    st.sampled_from([0, 3, 300]),
    st.sampled_from([None, 0.0, 0.9]),
)
def test_whatever_happens(
    levels: list[float],
    effects: dict[str, float],
    most: int,
    mode: str,
    events: int,
    starving: float | None,
) -> None:
    def level(now: float, on: Collection[str]) -> float:
        value = levels[int(now / 60) % len(levels)]
        for name in on:
            value *= effects.get(name, 1.0)
        return value

    shown = node(LADDER, level, mode=mode, events=events, max_changes_per_hour=most)
    shown.more["batch_full_ratio"] = starving
    shown.run(60 * len(levels))
    _is_sane(shown, most, mode)


def _is_sane(shown: Node, most: int, mode: str) -> None:
    assert shown.most_changes_in_an_hour() <= most
    last = {}
    for _, judged in shown.verdicts:
        last[judged.settings[0].knob] = judged.verdict.word
    trying = shown.strategy._trial.step.knob if shown.strategy._trial else ""
    for each in shown.applied:
        assert each.knob == trying or last.get(each.knob) == "kept"
    if mode == "shadow":
        assert not shown.changes
    if mode == "adaptive":
        assert all(action.settings[0].knob != "cpus" for _, action in shown.changes)
