# SPDX-License-Identifier: MIT
"""What all groups have in common at one tick, and what the controller remembers for them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from resonance_core.control.draw import Draw
from resonance_core.control.estimate import Bools
from resonance_core.control.holds import Holds
from resonance_core.control.parameters import Parameters
from resonance_core.control.records import Command, Floats, Mode
from resonance_core.control.roster import Roster, Rows
from resonance_core.control.series import Series

__all__ = ["GUARDS", "Scene"]

LONGEST_ACQUISITION_SECONDS: Final = 150.0
"""*Chosen*: sources that would need longer to slew through a period are placed by a grant only;
143 cycles of a second with steps of 7 ms are within it."""
GUARDS: Final = (
    "anti_herd",
    "anti_freeze",
    "kill_switch",
    "rollback",
    "overload",
    "jitter_fallback",
)


@dataclass(slots=True)
class Scene:
    """The node, as every group sees it.

    Attributes
    ----------
    parameters : Parameters
    roster : Roster
    mode : {"observe", "shadow", "adaptive", "active"}
    in_force, would : Holds
        What sources are held by; what they would be in shadow.
    now_seconds, elapsed_seconds : float
        Of this tick; since the last.
    others : (BUCKETS,) float64
        Waits of others so far.
    series : Series
        The same bin by bin, of late.
    busy_ratio : float
        Share of the CPUs' time in use, smoothed; NaN where not known.
    is_overloaded : bool
        So much that placing phases is no answer.
    random : Draw
        Of the controller's own choices.
    trips : dict of str to int
    tracked_rad : dict of int to float
        By row: phase of a drifting source that a loop follows.
    commands : list of Command
        For the next decision.
    shadowed : int
        Commands that were withheld so far.
    report_interval_seconds : float
        How often each source reports.
    """

    parameters: Parameters
    roster: Roster
    mode: Mode
    in_force: Holds
    would: Holds
    random: Draw
    others: Floats = field(repr=False)
    series: Series = field(default_factory=Series, repr=False)
    now_seconds: float = 0.0
    elapsed_seconds: float = 0.0
    busy_ratio: float = math.nan
    is_overloaded: bool = False
    trips: dict[str, int] = field(default_factory=lambda: dict.fromkeys(GUARDS, 0))
    tracked_rad: dict[int, float] = field(default_factory=dict[int, float])
    commands: list[Command] = field(default_factory=list[Command])
    shadowed: int = 0
    report_interval_seconds: float = 0.5

    @property
    def is_live(self) -> bool:
        """Whether sources are really moved."""
        return self.mode in {"adaptive", "active"}

    @property
    def holds(self) -> Holds:
        """The holds that the groups work on: real ones, or what would be."""
        return self.in_force if self.is_live else self.would

    def tracked(self, rows: Rows) -> Floats:
        """Return the phases that loops follow; NaN where none does."""
        if not self.tracked_rad:
            return np.full(len(rows), math.nan)
        return np.array([self.tracked_rad.get(row, math.nan) for row in rows.tolist()])

    def is_slewable(self, rows: Rows) -> Bools:
        """Return which sources could slew through their whole period in reasonable time."""
        periods = self.in_force.periods_seconds[rows]
        steps = self.in_force.step_seconds[rows]
        slewable: Bools = periods * np.ceil(periods / steps) <= LONGEST_ACQUISITION_SECONDS
        return slewable

    def order(self, rows: Rows, reason: str) -> None:
        """Put what was ordered into commands, or count it where the mode withholds it."""
        if not self.is_live:
            self.shadowed += len(rows)
            return
        self.command(rows, "slew", reason)

    def slew_home(self, reason: str) -> None:
        """Send every source that is held to its own phase in steps; the mode may be any."""
        rows = self.roster.rows
        held = rows[self.in_force.is_held(rows)]
        self.in_force.order(held, np.zeros(len(held)))
        self.command(held, "slew", reason)

    def command(self, rows: Rows, kind: Literal["grant", "slew", "home"], reason: str) -> None:
        """Send what is ordered in force.

        Parameters
        ----------
        rows : (n,) intp
            Sources that it goes to.
        kind : {"grant", "slew", "home"}
        reason : str
            One clause, for people.
        """
        for row in rows.tolist():
            self.commands.append(
                Command(
                    key=self.roster.source(row).key,
                    kind=kind,
                    offset_seconds=float(self.in_force.ordered_seconds[row]),
                    max_step_seconds=float(self.in_force.step_seconds[row]),
                    reason=reason,
                )
            )

    def trip(self, guard: str) -> None:
        """Count that a guard acted."""
        self.trips[guard] += 1
