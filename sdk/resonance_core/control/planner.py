# SPDX-License-Identifier: MIT
"""Is there a plan for a group that is worth setting out for?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from resonance_core.control.canary import Canary
from resonance_core.control.estimate import DRIFT_PERIODS, Bools
from resonance_core.control.picture import Picture, most_hold
from resonance_core.control.plan import Plan, hold_within_slack, make_plan, rms_discrepancy
from resonance_core.control.records import Floats
from resonance_core.control.roster import Rows
from resonance_core.control.scene import Scene
from resonance_core.control.steering import residue

__all__ = ["Planner", "Proposal"]

SAME: Final = 0.05
"""*Chosen*: a plan is not made anew while the discrepancy is within this share of what it was."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A plan, and what it promises.

    Attributes
    ----------
    plan : Plan
        Of all known members.
    may_move : (members,) bool
        Those that it moves.
    present_seconds : float
        Discrepancy now, under the holds that the group works on.
    """

    plan: Plan
    may_move: Bools
    present_seconds: float

    @property
    def is_far(self) -> bool:
        """Whether the sources are elsewhere, and not just a little off."""
        return self.present_seconds > 2.0 * self.plan.discrepancy_seconds


class Planner:
    """Makes plans for one group, and keeps the last.

    Parameters
    ----------
    scene : Scene

    Attributes
    ----------
    plan : Plan or None
        The last one made, of the members in `rows`.
    rows : (members,) intp
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._moved: Bools = np.zeros(0, np.bool_)
        self._present = math.nan
        self.plan: Plan | None = None
        self.rows: Rows = np.empty(0, np.intp)

    def forget(self) -> None:
        """Make the next plan anew."""
        self.plan = None
        self._present = math.nan

    def propose(self, picture: Picture, canary: Canary, *, in_force: bool) -> Proposal | str:
        """Return a plan that is worth it, or in one clause why there is none.

        Parameters
        ----------
        picture : Picture
        canary : Canary
        in_force : bool
            The sources are in the places of a plan already; then what no plan can remove, the
            errors of the estimates and the dead bands, is no reason to move again.

        Returns
        -------
        Proposal or str
            The reason is one clause.
        """
        scene, parameters = self._scene, self._scene.parameters
        chosen = canary.chosen(scene.roster.lots[picture.rows], picture.is_eligible)
        may_move = (chosen & scene.is_slewable(picture.rows))[picture.is_known]
        if not may_move.any():
            return _why_nobody(picture)
        holds = scene.holds.now_seconds[picture.known_rows]
        present = rms_discrepancy(picture.members, holds, parameters.cores)
        if present < parameters.floor_seconds:
            return "its work makes no queue worth speaking of"
        plan = self._planned(picture, may_move, holds, present)
        reached = plan.discrepancy_seconds
        if in_force:
            reached = math.hypot(reached, residue(picture, parameters))
        # a share of the sources can only bring a share of the gain
        if reached > (1.0 - (1.0 - parameters.act_ratio) * canary.share) * present:
            return "it lies about as well as a plan would have it"
        if scene.is_overloaded:
            return "the node is overloaded, and no placement helps then"
        return Proposal(plan, may_move, present)

    def plan_of(self, picture: Picture) -> Plan | None:
        """Return the last plan, if it is of the members of this picture."""
        return self.plan if np.array_equal(self.rows, picture.known_rows) else None

    def _planned(self, picture: Picture, may_move: Bools, holds: Floats, present: float) -> Plan:
        is_same = abs(present - self._present) <= SAME * self._present
        plan = self.plan_of(picture)
        if is_same and plan is not None and np.array_equal(may_move, self._moved):
            return plan
        plan = self._made(picture, may_move, holds)
        self.plan, self.rows, self._moved = plan, picture.known_rows, may_move
        self._present = present
        return plan

    def _made(self, picture: Picture, may_move: Bools, holds: Floats) -> Plan:
        scene, members = self._scene, picture.members
        sources = [scene.roster.source(row) for row in picture.known_rows.tolist()]
        most = np.array([most_hold(source, scene.parameters) for source in sources])
        is_free = most >= members.periods_seconds * (1.0 - DRIFT_PERIODS)
        plan = make_plan(members, holds, may_move & is_free, scene.parameters.cores)
        in_slack = np.where(may_move & ~is_free, most, 0.0)
        if not in_slack.any():
            return plan
        return hold_within_slack(members, plan, in_slack, scene.parameters.cores)


def _why_nobody(picture: Picture) -> str:
    if not picture.estimate.is_full.any():
        return "its sources have not been seen for long enough"
    if picture.is_eligible.any():
        return "its period is too long to slew through: its sources are placed when they register"
    return "no source of it may be moved"
