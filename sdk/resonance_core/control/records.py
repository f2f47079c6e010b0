# SPDX-License-Identifier: MIT
"""What goes into the phase controller, and what comes out.

Times are float seconds of one monotonic clock, whichever the caller has; the controller only
compares them. A *natural* release is when a source would have begun without us: the hold that
was commanded is taken off, so commands never enter an estimate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = [
    "Command",
    "Decision",
    "Floats",
    "GroupState",
    "Importance",
    "Mode",
    "Releases",
    "Source",
    "SourceState",
    "State",
]

Floats = npt.NDArray[np.float64]
Importance = Literal["low", "normal", "high", "critical"]
Mode = Literal["observe", "shadow", "adaptive", "active"]
State = Literal["shadow", "acquire", "active", "rollback", "lockout"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Something that releases a burst of work once per period.

    Attributes
    ----------
    key : int
        Chosen by the caller; unique while registered.
    name : str
        For people; sources of different processes may share one.
    period_seconds : float
        As declared; checked against the releases.
    origin_seconds : float
        One of its natural releases.
    phase_free : bool
        Nobody minds at which point of its period it runs.
    slack_seconds : float
        How long an anchored source may be held in each cycle.
    importance : {"low", "normal", "high", "critical"}
        ``critical`` is never moved.
    offset_seconds : float
        Hold in force when it registers, as after a restart of the controller.
    """

    key: int
    name: str
    period_seconds: float
    origin_seconds: float
    phase_free: bool = False
    slack_seconds: float = 0.0
    importance: Importance = "normal"
    offset_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Releases:
    """What one source did since the last report.

    Attributes
    ----------
    key : int
    at_seconds : (n,) float64
        Natural releases, ascending.
    work_seconds : (n,) float64
        CPU time of each burst; NaN where not known.
    completion_seconds : (n,) float64
        From the release this cycle would have had under the hold of the last one, to the end
        of the burst; so a step of the hold counts as latency once. NaN where not known.
    offset_seconds : float
        Hold in force now, as the source itself says; NaN where it does not.
    """

    key: int
    at_seconds: Floats
    work_seconds: Floats
    completion_seconds: Floats
    offset_seconds: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Where a source is to be.

    Attributes
    ----------
    key : int
    kind : {"grant", "slew", "home"}
        A grant is taken at once, at registration only; a slew in steps of at most
        `max_step_seconds` per cycle; home at once, to its own phase.
    offset_seconds : float
        Hold after its natural release, 0 <= offset < period. Absolute: a command that is
        lost or repeated does no harm.
    max_step_seconds : float
        Longest change of the hold per cycle.
    reason : str
        One clause, for people.
    """

    key: int
    kind: Literal["grant", "slew", "home"]
    offset_seconds: float
    max_step_seconds: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """What is known of one source.

    Attributes
    ----------
    source : Source
    is_eligible : bool
        Its phase is sharp and steady, and it may be moved.
    reason : str
        Why it is not, or is; one clause.
    phase_rad : float
        Of its natural releases in its own period, 0 to 2 pi; NaN before `estimate_cycles`.
    target_phase_rad : float
        Where the plan has it; NaN without one.
    jitter_seconds : float
        Standard deviation of its releases around the lattice.
    work_seconds : float
        Mean work of a burst.
    releases : int
        Seen since it registered.
    rayleigh_p : float
        Probability that releases without a period look so periodic.
    offset_seconds : float
        Commanded now; in shadow what would be.
    held_seconds : float
        All holds since it registered.
    """

    source: Source
    is_eligible: bool
    reason: str
    phase_rad: float
    target_phase_rad: float
    jitter_seconds: float
    work_seconds: float
    releases: int
    rayleigh_p: float
    offset_seconds: float
    held_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupState:
    """Sources whose periods are a common one, or integer parts of it.

    Attributes
    ----------
    period_seconds : float
    origin_seconds : float
        Where phase 0 of the group is.
    state : {"shadow", "acquire", "active", "rollback", "lockout"}
    reason : str
        Why it is in this state; one clause.
    sources, eligible : int
    order_parameter : float
        De-biased R of the phases in force, weighted by work; below 0 is less than chance.
    mean_phase_rad : float
    effective_sources : float
        W^2 / sum w^2.
    is_armed : bool
        The order parameter rose above the band and has not left it below.
    coupling : float
        K in force.
    discrepancy_seconds, natural_discrepancy_seconds, planned_discrepancy_seconds : float
        Root mean square of the workload discrepancy per core: now, without our holds, as planned.
    profile_seconds : (64,) float64
        Backlog of the sources' work over one period from `origin_seconds`, now.
    peak_seconds : float
        The next time at which it is largest; NaN without sources.
    delay_bound_seconds : float
        Of a burst, from the fitted arrival and service curves; inf where unstable, NaN where
        not known.
    delay_bound_checks, delay_bound_violations : int
        Bursts since then, and those that took longer.
    predicted_ratio : float
        p99 of the waits of others under the plan, by that without our holds, as it was predicted
        in shadow. In simulation within a factor of 1.6 of what came at T = 100 ms; where the
        work of a burst varies as much as its mean, it can be half of it. NaN where not known: it
        needs `observe_bins`, and work and completion of every burst.
    tail_ratio : float
        Realised: share of waits above the p95 of shadow, by that in shadow; NaN before both are
        known.
    """

    period_seconds: float
    origin_seconds: float
    state: State
    reason: str
    sources: int
    eligible: int
    order_parameter: float
    mean_phase_rad: float
    effective_sources: float
    is_armed: bool
    coupling: float
    discrepancy_seconds: float
    natural_discrepancy_seconds: float
    planned_discrepancy_seconds: float
    profile_seconds: Floats = field(repr=False)
    peak_seconds: float
    delay_bound_seconds: float
    delay_bound_checks: int
    delay_bound_violations: int
    predicted_ratio: float
    tail_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What one tick came to.

    Attributes
    ----------
    at_seconds : float
    mode : {"observe", "shadow", "adaptive", "active"}
    commands : tuple of Command
        To carry out now; in observe and shadow only the way home.
    shadowed : int
        Commands that were withheld because of the mode, since the controller was made.
    groups : tuple of GroupState
        The one with the most work first.
    trips : dict of str to int
        How often each guard acted: ``anti_herd``, ``anti_freeze``, ``kill_switch``, and
        ``rollback``, ``overload``, ``jitter_fallback``.
    """

    at_seconds: float
    mode: Mode
    commands: tuple[Command, ...]
    shadowed: int
    groups: tuple[GroupState, ...]
    trips: dict[str, int]
