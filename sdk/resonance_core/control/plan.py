# SPDX-License-Identifier: MIT
"""Where should each source be, and how long must it be held to get there?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from resonance_core.calculus.phasor import discrepancy
from resonance_core.calculus.placement import place_harmonic, rotate_to_least_delay, unfold
from resonance_core.control.estimate import Bools
from resonance_core.control.records import Floats

__all__ = [
    "Members",
    "Plan",
    "hold_within_slack",
    "make_plan",
    "rms_discrepancy",
    "rotate_to_least_travel",
]

Ints = npt.NDArray[np.int64]

SLACK_STEPS: Final = 8
"""*Chosen*: holds that are tried within a slack of a few milliseconds."""
MOST_ROTATIONS: Final = 192
"""*Chosen*: rotations that are tried at most; with 256 sources they take two milliseconds."""
_TURN: Final = 2.0 * math.pi


@dataclass(frozen=True, slots=True)
class Members:
    """Sources of one group whose phases are known, one value per source.

    Attributes
    ----------
    phase_rad : (n,) float64
        Of the natural releases, in the source's own period.
    work_seconds : (n,) float64
        Of one burst.
    multiples : (n,) int64
        Releases per period of the group.
    periods_seconds : (n,) float64
        The group's period by the multiple.
    """

    phase_rad: Floats
    work_seconds: Floats
    multiples: Ints
    periods_seconds: Floats

    def held(self, holds_seconds: Floats) -> Floats:
        """Return where one release of each is in the group's period.

        Parameters
        ----------
        holds_seconds : (n,) float64
            Of each, 0 to below its period.

        Returns
        -------
        (n,) float64
            Radians, 0 to 2 pi.
        """
        turned = np.mod(self.phase_rad + holds_seconds * (_TURN / self.periods_seconds), _TURN)
        phases: Floats = turned / self.multiples
        return phases

    def holds_to(self, phases_rad: Floats) -> Floats:
        """Return the holds that lead to phases of the group.

        Parameters
        ----------
        phases_rad : (n,) float64
            Of one release of each, in the group's period.

        Returns
        -------
        (n,) float64
            Seconds, 0 to below each period.
        """
        ahead = np.mod(phases_rad * self.multiples - self.phase_rad, _TURN)
        # rounding must not turn "here" into "one period on"
        ahead = np.where(ahead > _TURN - 1e-9, 0.0, ahead)
        holds: Floats = ahead * (self.periods_seconds / _TURN)
        return holds

    def chosen(self, mask: Bools) -> Members:
        """Return some of them.

        Parameters
        ----------
        mask : (n,) bool
            True for those that are kept.

        Returns
        -------
        Members
        """
        return Members(
            self.phase_rad[mask],
            self.work_seconds[mask],
            self.multiples[mask],
            self.periods_seconds[mask],
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """Phases and holds for all members, those that stay included.

    Attributes
    ----------
    phase_rad : (n,) float64
        In the group's period.
    hold_seconds : (n,) float64
    discrepancy_seconds : float
        Root mean square per core.
    """

    phase_rad: Floats
    hold_seconds: Floats
    discrepancy_seconds: float


def rms_discrepancy(members: Members, holds_seconds: Floats, cores: float) -> float:
    """Return the root mean square of the workload discrepancy per core.

    sqrt(<D^2>) / c, with <D^2> = sum |Y_m|^2/m^2 / (2 pi^2) of `phasor.discrepancy`.

    Parameters
    ----------
    members : Members
        May be none.
    holds_seconds : (n,) float64
        Of each, 0 to below its period.
    cores : float
        c, CPUs, above 0.

    Returns
    -------
    float
        Seconds, zero or more; 0 without members.

    Raises
    ------
    InvalidSampleError
        A phase, work or hold is not finite, or a work negative.
    """
    if not len(members.phase_rad):
        return 0.0
    bursts = unfold(members.held(holds_seconds), members.work_seconds, members.multiples)
    return math.sqrt(max(discrepancy(*bursts), 0.0)) / cores


def make_plan(members: Members, holds_seconds: Floats, may_move: Bools, cores: float) -> Plan:
    """Place those that may move, around those that stay.

    Parameters
    ----------
    members : Members
        At least one, with work.
    holds_seconds : (n,) float64
        In force now, 0 to below the period: of all equally good plans the nearest is taken.
    may_move : (n,) bool
        False for those that stay where their hold has them.
    cores : float
        CPUs, above 0.

    Returns
    -------
    Plan

    Raises
    ------
    NoPlacementError
        If no source has work.
    """
    present = members.held(holds_seconds)
    phases = place_harmonic(present, members.work_seconds, members.multiples, fixed=~may_move)
    if may_move.all():
        phases = _turned(members, phases, present, holds_seconds)
    holds = np.where(may_move, members.holds_to(phases), holds_seconds)
    return Plan(members.held(holds), holds, rms_discrepancy(members, holds, cores))


def _turned(members: Members, phases: Floats, present: Floats, holds_seconds: Floats) -> Floats:
    if not holds_seconds.any():
        return rotate_to_least_delay(phases, present, members.work_seconds, members.multiples)
    return rotate_to_least_travel(members, phases, holds_seconds)


def rotate_to_least_travel(members: Members, phases_rad: Floats, holds_seconds: Floats) -> Floats:
    """Turn a plan by the constant for which the holds change least.

    Weighted by work. A hold is at least 0 and below the period, so a source cannot go round: from
    a long hold to a short one it goes back. The best constant is one for which a source need not
    move, or for which one needs no hold.

    Parameters
    ----------
    members : Members
        At least one.
    phases_rad : (n,) float64
        Of the plan, in the group's period.
    holds_seconds : (n,) float64
        In force, 0 to below the period.

    Returns
    -------
    (n,) float64
        Phases in radians, 0 to 2 pi, in the group's period.

    Notes
    -----
    The sum of weighted distances is piecewise linear in the constant, so its minimum is at a kink
    and these suffice; above `MOST_ROTATIONS` of them an even choice is tried.
    """
    lap = _TURN / members.multiples
    stay = np.mod(members.held(holds_seconds) - phases_rad, lap)
    free = np.mod(members.held(np.zeros(len(lap))) - phases_rad, lap)
    constants = np.concatenate([stay, free])
    if len(constants) > MOST_ROTATIONS:
        constants = constants[:: -(-len(constants) // MOST_ROTATIONS)]
    scale = members.periods_seconds / lap
    start = np.mod(phases_rad - members.phase_rad / members.multiples, lap)
    wanted = start + constants[:, None]
    wanted -= lap * np.floor(wanted / lap + 1e-9)
    travel = np.abs(wanted * scale - holds_seconds) @ members.work_seconds
    best = constants[int(np.argmin(travel))]
    turned: Floats = np.mod(phases_rad + best, _TURN)
    return turned


def hold_within_slack(members: Members, plan: Plan, slack_seconds: Floats, cores: float) -> Plan:
    """Hold anchored sources a little, each where it helps most.

    Those with the most work first, in `SLACK_STEPS` equal steps of their slack.

    Parameters
    ----------
    members : Members
        Those that the plan has placed included.
    plan : Plan
        Of all the others.
    slack_seconds : (n,) float64
        How long each may be held, 0 or more; 0 for those that the plan has placed.
    cores : float
        CPUs, above 0.

    Returns
    -------
    Plan
        Its discrepancy is at most that of `plan`.
    """
    holds = plan.hold_seconds.copy()
    best = plan.discrepancy_seconds
    order = np.argsort(-members.work_seconds, kind="stable")
    for index in order[slack_seconds[order] > 0.0].tolist():
        for hold in np.linspace(0.0, float(slack_seconds[index]), SLACK_STEPS + 1).tolist():
            tried = holds.copy()
            tried[index] = hold
            found = rms_discrepancy(members, tried, cores)
            if found < best - 1e-12:
                best, holds = found, tried
    return Plan(members.held(holds), holds, best)
