# SPDX-License-Identifier: MIT
"""What can be wrong with a histogram that was written by others."""

from __future__ import annotations

from resonance.errors import ResonanceError

__all__ = ["FormatError"]


class FormatError(ResonanceError, ValueError):
    """Text that is not what its reader expects, so that nothing was taken from it.

    Parameters
    ----------
    where : str
        What was read: an encoded histogram, or a line of a log.
    reason : str
        What is wrong with it.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, reason)
        self.where = where
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"
