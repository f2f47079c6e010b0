# SPDX-License-Identifier: MIT
"""How do the sources of a group get to the places of a plan, and back home?"""

from __future__ import annotations

import math
from typing import Final, Literal

import numpy as np

from resonance_core.control.picture import Picture
from resonance_core.control.planner import Proposal
from resonance_core.control.records import Floats
from resonance_core.control.roster import Rows
from resonance_core.control.scene import Scene
from resonance_core.control.steering import dead_bands, has_arrived, longest_acquisition, steer

__all__ = ["Journey"]

PATIENCE: Final = 2.0
"""*Chosen*: times the longest acquisition after which sources are given up."""


class Journey:
    """The way of one group's sources.

    Parameters
    ----------
    scene : Scene

    Attributes
    ----------
    arrived_seconds : float
        When the last one ended.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._bands: Floats = np.zeros(0)
        self._coupling = 1.0
        self._deadline = math.inf
        self._steered = scene.now_seconds
        self.arrived_seconds = scene.now_seconds

    def targets(self, rows: Rows) -> Rows:
        """Return which of these sources have a place."""
        targets: Rows = rows[~np.isnan(self._scene.holds.target_seconds[rows])]
        return targets

    def begin(self, picture: Picture, proposal: Proposal, coupling: float, grace: float) -> None:
        """Set out.

        Parameters
        ----------
        picture : Picture
        proposal : Proposal
            Of the members of the picture.
        coupling : float
            K.
        grace : float
            Seconds on top of what the way may take.
        """
        scene, holds = self._scene, self._scene.holds
        known, moved = picture.known_rows, proposal.may_move
        holds.target_seconds[picture.rows] = math.nan
        holds.target_seconds[known[moved]] = proposal.plan.hold_seconds[moved]
        self._bands = np.full(scene.roster.capacity, math.inf)
        self._bands[known] = dead_bands(picture, scene.parameters.estimate_cycles)
        self._coupling = coupling
        targets = self.targets(picture.rows)
        longest = longest_acquisition(holds, targets, self._bands[targets], coupling)
        self._deadline = scene.now_seconds + PATIENCE * longest + grace
        self._steered = scene.now_seconds

    def go_on(self, rows: Rows, reason: str) -> Literal["underway", "arrived", "late"]:
        """Order the next part of the way, and say how far it has come."""
        scene, holds = self._scene, self._scene.holds
        targets = self.targets(rows)
        bands = self._bands[targets]
        elapsed = scene.now_seconds - self._steered
        self._steered = scene.now_seconds
        scene.order(steer(holds, targets, bands, self._coupling, elapsed), reason)
        if has_arrived(holds, targets, bands):
            self.arrived_seconds = scene.now_seconds
            return "arrived"
        return "late" if scene.now_seconds > self._deadline else "underway"

    def turn_back(self, rows: Rows, reason: str) -> None:
        """Slew these sources to their own phases."""
        holds = self._scene.holds
        held = rows[holds.is_held(rows)]
        holds.target_seconds[rows] = math.nan
        holds.order(held, np.zeros(len(held)))
        self._scene.order(held, reason)
