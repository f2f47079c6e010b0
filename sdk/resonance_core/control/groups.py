# SPDX-License-Identifier: MIT
"""Which sources belong together, and whose turn is it?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from resonance_core.control.estimate import DRIFT_PERIODS
from resonance_core.control.group import Group
from resonance_core.control.records import GroupState
from resonance_core.control.report import group_state
from resonance_core.control.scene import Scene

__all__ = ["MOST_MULTIPLE", "Groups"]

MOST_MULTIPLE: Final = 16
"""Releases of a source per period of its group; beyond it two groups hardly feel each other."""
EMPTY_SECONDS: Final = 60.0
EMPTY_PERIODS: Final = 300.0
"""*Chosen*: how long a group without sources is kept, for those that are being restarted."""
MOST_EMPTY: Final = 64
"""*Chosen*: and how many such groups are kept, the newest: whoever registers and leaves with ever
other periods shall not fill the memory."""
MOST_DECISIONS: Final = 3
"""*Chosen*: groups that are looked at in one tick, so that a tick is short with any number."""


class Groups:
    """All groups of a controller.

    Parameters
    ----------
    scene : Scene
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._groups: list[Group] = []
        self._of: dict[int, Group] = {}
        self._told: dict[Group, tuple[int, GroupState]] = {}

    def __iter__(self) -> Iterator[Group]:
        """Go through the groups, those without sources included."""
        return iter(self._groups)

    def of(self, row: int) -> Group:
        """Return the group of a source."""
        return self._of[row]

    def join(self, row: int) -> Group:
        """Find a group for a source, or begin one, and return it."""
        source = self._scene.roster.source(row)
        found = self._fitting(source.period_seconds) or self._rebased(source.period_seconds)
        if found is None:
            found = Group(source.period_seconds, source.origin_seconds, self._scene)
            self._groups.append(found)
        self._of[row] = found
        found.join(row, round(found.period_seconds / source.period_seconds))
        return found

    def leave(self, row: int) -> None:
        """Let a source go."""
        self._of.pop(row).leave(row)

    @property
    def is_quiet(self) -> bool:
        """Whether in none of them anything is about to happen."""
        return all(group.is_quiet for group in self._groups if group.multiples)

    @property
    def due_seconds(self) -> float:
        """When one of them has something to do; inf without sources."""
        due = (group.due_seconds for group in self._groups if group.multiples)
        return min(due, default=math.inf)

    def run(self) -> None:
        """Follow up what moves, and decide where it is due; at every tick."""
        now, due = self._scene.now_seconds, list[Group]()
        for group in self._groups:
            if group.multiples:
                group.follow()
                if now >= group.chunk_end_seconds:
                    due.append(group)
        if len(due) > MOST_DECISIONS:  # the others wait for a tick or two
            due.sort(key=lambda each: each.chunk_end_seconds)
        for group in due[:MOST_DECISIONS]:
            group.decide()
        self._drop_empty()

    def states(self) -> tuple[GroupState, ...]:
        """Return what is known of the groups that have sources, the busiest first."""
        present = [group for group in self._groups if group.multiples]
        present.sort(key=lambda each: -each.work_rate)
        return tuple(self._state(group) for group in present)

    def _state(self, group: Group) -> GroupState:
        """Return what was told before while it is still so: a tick mostly changes nothing."""
        now = self._scene.now_seconds
        version, state = self._told.get(group, (-1, None))
        if state is None or version != group.version:
            state = group_state(self._scene, group)
        elif state.peak_seconds < now:
            state = replace(state, peak_seconds=group.forecast.peak_seconds(now))
        self._told[group] = (group.version, state)
        return state

    def _fitting(self, period_seconds: float) -> Group | None:
        for group in self._groups:
            multiple = round(group.period_seconds / period_seconds)
            if 1 <= multiple <= MOST_MULTIPLE and _is_near(
                group.period_seconds, multiple * period_seconds
            ):
                return group
        return None

    def _rebased(self, period_seconds: float) -> Group | None:
        """Return a group of a longer common period, in place of one that divides it.

        Only while nothing of the old one is in force: its phases mean nothing in the new one.
        """
        for index, old in enumerate(self._groups):
            factor = round(period_seconds / old.period_seconds)
            most = factor * max(old.multiples.values(), default=1)
            is_whole = factor >= 2 and _is_near(period_seconds, factor * old.period_seconds)
            if not is_whole or most > MOST_MULTIPLE or old.state != "shadow":
                continue
            new = Group(period_seconds, old.origin_seconds, self._scene)
            for row, multiple in old.multiples.items():
                self._of[row] = new
                new.join(row, factor * multiple)
            self._groups[index] = new
            self._told.pop(old, None)
            return new
        return None

    def _drop_empty(self) -> None:
        now = self._scene.now_seconds
        empty = [each for each in self._groups if not each.multiples]
        empty.sort(key=lambda each: each.empty_since_seconds)
        for newer, group in enumerate(reversed(empty)):
            kept = max(EMPTY_SECONDS, EMPTY_PERIODS * group.period_seconds)
            if newer >= MOST_EMPTY or now - group.empty_since_seconds >= kept:
                self._groups.remove(group)
                self._told.pop(group, None)


def _is_near(one: float, other: float) -> bool:
    return abs(one - other) <= DRIFT_PERIODS * other
