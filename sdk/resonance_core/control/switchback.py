# SPDX-License-Identifier: MIT
"""When is a block given back to shadow, to compare?

A gain that chunks before the plan do not prove is sought in chunks beside it: at random, so
that no rhythm of the others can pass for an effect. A block costs the sources their way out
again, so it is drawn only when half of what refills their buckets of delay has paid for it, and
ever less often, the more blocks have decided nothing.
"""

from __future__ import annotations

from typing import Final

from resonance_core.control.roster import Rows
from resonance_core.control.scene import Scene

__all__ = ["BLOCK_CHUNKS", "Switchback"]

BLOCK_CHUNKS: Final = 4
"""*Chosen*: chunks in shadow in a block, and between two draws."""
BLOCK_COST: Final = 0.0005
"""*Chosen*: holds that the way back from blocks may cost, per time."""
UNDECIDED_CHUNKS: Final = 12
"""*Chosen*: active chunks before the first draw."""


class Switchback:
    """Draws the blocks of one group.

    Parameters
    ----------
    scene : Scene

    Attributes
    ----------
    is_under_way : bool
        A block has been given back, and the sources are not on their way again yet.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._drawn = 0
        self.is_under_way = False

    def forget(self) -> None:
        """Begin anew: another workload may be easier to decide."""
        self._drawn = 0

    def draw(self, rows: Rows, active_chunks: int, arrived_seconds: float) -> bool:
        """Say whether a block in shadow begins now.

        Parameters
        ----------
        rows : (n,) intp
            Sources of the group.
        active_chunks : int
            Without a proof so far.
        arrived_seconds : float
            When they last moved.
        """
        if active_chunks < UNDECIDED_CHUNKS or active_chunks % BLOCK_CHUNKS:
            return False
        scene = self._scene
        paid = BLOCK_COST * (scene.now_seconds - arrived_seconds)
        if (scene.in_force.now_seconds[rows] > paid).any():
            return False
        if scene.random.random() >= scene.parameters.shadow_block_ratio * 0.5**self._drawn:
            return False
        self._drawn += 1
        self.is_under_way = True
        return True
