# SPDX-License-Identifier: MIT
"""What was recorded and is not in its bucket yet."""

from __future__ import annotations

from typing import Final

from resonance.histogram._cells import Cells, make_cells
from resonance.histogram._layout import Layout
from resonance.histogram._tally import Tally

__all__ = ["Pending", "to_ns"]

_NS_PER_SECOND: Final = 1e9 * (1.0 + 2.0**-50)
"""A hair more, so that a whole number of nanoseconds, told in seconds and rounded on the way,
never falls below itself."""
_CHUNK: Final = 16_384
"""*Chosen*: bounds what a fold needs beside the list to half a megabyte; more is not faster."""


class Pending:
    """Latencies on their way to their bucket: first in a list, then counted by cell.

    Attributes
    ----------
    seconds, ns : list of float
        What was recorded, in two units; to be appended to by any thread at any time. All else
        is for one thread at a time.
    cells : Cells or None
        Where they are counted fast, after `make_ready` and if the layout is coarse enough.
    """

    __slots__ = ("cells", "ns", "seconds")

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.ns: list[float] = []
        self.cells: Cells | None = None

    def make_ready(self, layout: Layout) -> None:
        """Import what counts fast: not in the thread that folds, nor with the first request.

        Parameters
        ----------
        layout : Layout
            Of the tally to come.
        """
        if self.cells is None and layout.is_coarse:
            self.cells = make_cells()

    def fold(self, tally: Tally) -> None:
        """Empty the lists; what is appended meanwhile stays for the next time.

        Parameters
        ----------
        tally : Tally
            Counts what has no cell.
        """
        self._take_in(self.seconds, _NS_PER_SECOND, tally)
        self._take_in(self.ns, 1.0, tally)

    def settle(self, tally: Tally) -> None:
        """Move all there is into the tally.

        Parameters
        ----------
        tally : Tally
        """
        self.fold(tally)
        for octave, counts in self.cells.drain() if self.cells else ():
            tally.add_octave(octave, counts)

    def _take_in(self, recorded: list[float], scale: float, tally: Tally) -> None:
        values = tuple(recorded)
        del recorded[: len(values)]
        for start in range(0, len(values), _CHUNK):
            chunk = values[start : start + _CHUNK]
            if self.cells is None or not self.cells.add(chunk, scale):
                tally.add_any(chunk, scale)


def to_ns(seconds: float) -> int:
    """Return whole nanoseconds.

    Parameters
    ----------
    seconds : float
        0 or more, finite.

    Returns
    -------
    int
    """
    return int(seconds * _NS_PER_SECOND)
