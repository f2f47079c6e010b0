# SPDX-License-Identifier: MIT
"""Where does a source begin that has just registered, and is that for us to say?

A grant is a new schedule: it may be of any size and costs no latency. It is the only way to
place sources with periods beyond a second, and after a restart of all sources at once it is
what keeps them from being aligned again.
"""

from __future__ import annotations

import numpy as np

from resonance_core.control.group import Group
from resonance_core.control.memory import Memory, golden_point
from resonance_core.control.picture import most_hold
from resonance_core.control.records import Command, Source
from resonance_core.control.scene import Scene

__all__ = ["Grants"]


class Grants:
    """Gives newcomers their places.

    Parameters
    ----------
    scene : Scene
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._memory = Memory(scene.parameters.max_sources)
        self._given = 0

    def remember(self, row: int, group: Group) -> None:
        """Keep the place of a source that leaves, if it was one of a plan."""
        holds = self._scene.in_force
        if group.state not in {"active", "acquire"} or not holds.target_seconds[row] >= 0.0:
            return
        source = self._scene.roster.source(row)
        turn = float(holds.ordered_seconds[row]) / source.period_seconds
        place = (_own_phase(source, group) + turn) % 1.0
        self._memory.keep(source.name, source.period_seconds, place)

    def grant(self, row: int, group: Group) -> Command | None:
        """Give a newcomer its place at once, where there is one for it."""
        scene = self._scene
        source = scene.roster.source(row)
        if not scene.is_live or most_hold(source, scene.parameters) < source.period_seconds:
            return None
        if group.state in {"rollback", "lockout"} or scene.roster.lots[row] >= group.canary.share:
            return None
        found = self._place(source, group, row)
        if found is None:
            return None
        place, reason = found
        hold = ((place - _own_phase(source, group)) % 1.0) * source.period_seconds
        holds = scene.in_force
        holds.jump(row, hold if hold < source.period_seconds else 0.0)
        return Command(
            key=source.key,
            kind="grant",
            offset_seconds=float(holds.now_seconds[row]),
            max_step_seconds=float(holds.step_seconds[row]),
            reason=reason,
        )

    def _place(self, source: Source, group: Group, row: int) -> tuple[float, str] | None:
        """Return a phase from 0 to 1 in its own period; ``None`` where it keeps its own."""
        scene = self._scene
        remembered = self._memory.take(source.name, source.period_seconds)
        if remembered is not None:
            return remembered, "it had this place before it was restarted"
        if group.wildness == "wild and in step":
            return scene.random.random(), "its group is in step, but too jittered to place"
        is_slow = not scene.is_slewable(np.array([row], dtype=np.intp))[0]
        # a group whose sources were found in place has no plan yet, and this may be one of them
        is_placed = group.state in {"active", "acquire"} and group.planner.plan is not None
        if is_slow or is_placed:
            self._given += 1
            return golden_point(self._given), "the next point that keeps newcomers apart"
        return None


def _own_phase(source: Source, group: Group) -> float:
    """Return where a source's natural releases are in its own period, 0 to 1."""
    elapsed = source.origin_seconds - group.origin_seconds
    return (elapsed % source.period_seconds) / source.period_seconds
