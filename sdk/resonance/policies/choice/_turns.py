# SPDX-License-Identifier: MIT
"""Which replica is next, when nothing is known of any?"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from resonance.policies._replica import Replica
from resonance.policies.choice._picker import Forgetful

__all__ = ["InTurn", "Uniform"]


class InTurn(Forgetful):
    """One after the other.

    Parameters
    ----------
    random : random.Random
        Who is first: many clients that start together must not begin with the same one.
    """

    __slots__ = ("_next",)

    def __init__(self, random: Random) -> None:
        self._next = random.getrandbits(32)

    def pick(
        self,
        candidates: Sequence[Replica],
        now: float,  # noqa: ARG002 -- of `Picker`
        key: object | None = None,  # noqa: ARG002 -- of `Picker`
    ) -> Replica:
        """See `Picker`.

        Raises
        ------
        IndexError
            When there are no candidates.
        """
        if not candidates:
            raise IndexError("no candidates to choose from")
        self._next += 1
        return candidates[self._next % len(candidates)]


class Uniform(Forgetful):
    """Any of them, each as likely as the other.

    Parameters
    ----------
    random : random.Random
        What it draws with.
    """

    __slots__ = ("_draw",)

    def __init__(self, random: Random) -> None:
        self._draw = random.random

    def pick(
        self,
        candidates: Sequence[Replica],
        now: float,  # noqa: ARG002 -- of `Picker`
        key: object | None = None,  # noqa: ARG002 -- of `Picker`
    ) -> Replica:
        """See `Picker`."""
        return candidates[int(self._draw() * len(candidates))]
