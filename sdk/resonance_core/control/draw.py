# SPDX-License-Identifier: MIT
"""Where do the controller's own random choices come from? From a seed, and from nothing else.

NumPy's generators would do, but no other part of the controller needs them, and their modules
are six megabytes in a daemon that counts them.
"""

from __future__ import annotations

from typing import Final

__all__ = ["Draw"]

_WORD: Final = (1 << 64) - 1
_STEP: Final = 0x9E3779B97F4A7C15
_DIGITS: Final = 53


class Draw:
    """Numbers that look random: SplitMix64.

    Parameters
    ----------
    seed : int

    References
    ----------
    Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014,
    doi:10.1145/2660193.2660195, figure 16 with the constants of its variant 13.

    Examples
    --------
    >>> draw = Draw(0)
    >>> round(draw.random(), 6), round(draw.random(), 6)
    (0.883311, 0.431525)
    """

    def __init__(self, seed: int) -> None:
        self._state = seed & _WORD

    def random(self) -> float:
        """Return the next number, 0 to below 1."""
        self._state = (self._state + _STEP) & _WORD
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _WORD
        mixed ^= mixed >> 31
        return float(mixed >> (64 - _DIGITS)) / float(1 << _DIGITS)
