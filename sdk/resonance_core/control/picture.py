# SPDX-License-Identifier: MIT
"""What does a group of sources look like at the end of a chunk?

Which sources are known well enough to count, which of those may be moved, and how much queue
their work makes now, would make without our holds, and would make as planned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from resonance_core.calculus.phasor import debiased_r, effective_number, mean_phase
from resonance_core.control.estimate import EVIDENCE, Bools, Estimate
from resonance_core.control.parameters import Parameters
from resonance_core.control.plan import Members, rms_discrepancy
from resonance_core.control.records import Floats, Source
from resonance_core.control.roster import Rows

__all__ = ["Picture", "may_be_held", "most_hold", "obstacle", "take_picture"]


def most_hold(source: Source, parameters: Parameters) -> float:
    """Return how long a source may be held at most.

    A phase-free source anywhere within its period; an anchored one within its declared slack
    and one slew step, and only if the operator lets its own latency pay; a critical one never.

    Parameters
    ----------
    source : Source
    parameters : Parameters

    Returns
    -------
    float
        Seconds; 0 if it may not be held.
    """
    if source.importance == "critical":
        return 0.0
    if source.phase_free:
        return source.period_seconds
    if parameters.hold_anchored:
        return min(source.slack_seconds, parameters.max_slew_seconds)
    return 0.0


def obstacle(source: Source, parameters: Parameters, estimate: Estimate, index: int) -> str:
    """Return in one clause why a source cannot be moved; empty if it can.

    Parameters
    ----------
    source : Source
    parameters : Parameters
    estimate : Estimate
    index : int
        Of the source in the estimate.

    Returns
    -------
    str
        One clause, or "".
    """
    found = (
        (source.importance == "critical", "it is critical, and those are never moved"),
        (most_hold(source, parameters) <= 0.0, "it is anchored to its own time"),
        (
            not estimate.is_full[index],
            f"fewer than {parameters.estimate_cycles} cycles were seen",
        ),
        (
            estimate.rayleigh_p[index] >= EVIDENCE,
            "its releases do not follow the period it declares",
        ),
        (not estimate.is_sharp[index], "its jitter exceeds a sixth of its period"),
        (not estimate.is_steady[index], "its phase drifts: its true period is another"),
        (math.isnan(estimate.work_seconds[index]), "its work is not known"),
        (estimate.work_seconds[index] <= 0.0, "it does no work that could be measured"),
    )
    return next((reason for is_so, reason in found if is_so), "")


@dataclass(frozen=True, slots=True)
class Picture:
    """A group at one moment.

    Attributes
    ----------
    rows : (n,) intp
        Of its sources, in the roster.
    estimate : Estimate
        Of each of them.
    is_known, is_eligible : (n,) bool
        Counts as part of the rhythm; may be moved as well.
    members : Members
        The known ones.
    natural_seconds, present_seconds : float
        Discrepancy without our holds, and with them; root mean square per core.
    order_parameter, mean_phase_rad, effective_sources : float
        Of the phases in force.
    work_seconds : float
        Of the known ones per period of the group.
    """

    rows: Rows
    estimate: Estimate = field(repr=False)
    is_known: Bools
    is_eligible: Bools
    members: Members = field(repr=False)
    natural_seconds: float
    present_seconds: float
    order_parameter: float
    mean_phase_rad: float
    effective_sources: float
    work_seconds: float

    @property
    def known_rows(self) -> Rows:
        """Rows of the members."""
        known: Rows = self.rows[self.is_known]
        return known


def may_be_held(sources: Sequence[Source], parameters: Parameters) -> Bools:
    """Return which sources may be held at all, (n,) bool."""
    return np.array([most_hold(source, parameters) > 0.0 for source in sources], dtype=np.bool_)


def take_picture(
    *,
    rows: Rows,
    estimate: Estimate,
    may_be_held: Bools,
    multiples: npt.NDArray[np.int64],
    period_seconds: float,
    holds_seconds: Floats,
    tracked_rad: Floats,
    cores: float,
) -> Picture:
    """Look at a group.

    Parameters
    ----------
    rows : (n,) intp
    estimate : Estimate
    may_be_held : (n,) bool
    multiples : (n,) int64
        Releases of each per period of the group.
    period_seconds : float
        Of the group.
    holds_seconds : (n,) float64
        In force.
    tracked_rad : (n,) float64
        Phase of a drifting source that a loop follows; NaN for all others.
    cores : float

    Returns
    -------
    Picture
    """
    works = estimate.work_seconds > 0.0  # False where not known
    is_eligible = estimate.is_sharp & estimate.is_steady & works & may_be_held
    is_tracked = ~np.isnan(tracked_rad) & estimate.is_full & works & ~may_be_held
    is_known = (estimate.is_sharp & estimate.is_steady & works) | is_tracked
    phases = np.where(is_tracked, tracked_rad, estimate.phase_rad)
    members = Members(
        phases[is_known],
        estimate.work_seconds[is_known],
        multiples[is_known],
        period_seconds / multiples[is_known],
    )
    holds = holds_seconds[is_known]
    natural = rms_discrepancy(members, np.zeros(len(holds)), cores)
    present = natural
    if holds.any():
        present = rms_discrepancy(members, holds, cores)
    order, mean, effective = _alignment(members, holds)
    return Picture(
        rows=rows,
        estimate=estimate,
        is_known=is_known,
        is_eligible=is_eligible,
        members=members,
        natural_seconds=natural,
        present_seconds=present,
        order_parameter=order,
        mean_phase_rad=mean,
        effective_sources=effective,
        work_seconds=float(members.work_seconds @ members.multiples),
    )


def _alignment(members: Members, holds_seconds: Floats) -> tuple[float, float, float]:
    """Return de-biased R, mean phase and effective number of the slowest sources' phases."""
    slow = members.multiples == members.multiples.min() if len(members.multiples) else None
    if slow is None:
        return math.nan, math.nan, 0.0
    phases = (members.held(holds_seconds) * members.multiples)[slow]
    works = members.work_seconds[slow]
    return (
        debiased_r(phases, works),
        mean_phase(phases, works),
        effective_number(works),
    )
