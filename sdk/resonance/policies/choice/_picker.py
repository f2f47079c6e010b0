# SPDX-License-Identifier: MIT
"""What does every way to choose a replica have in common?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from resonance.policies._replica import Replica

__all__ = ["Forgetful", "Picker"]


class Picker(Protocol):
    """Chooses a replica for one attempt, and may learn from how attempts ended.

    A picker has no clock and no lock: time and chance are passed in, and whoever drives it
    lets one thread in at a time.

    Attributes
    ----------
    learns : bool
        Whether `observe` does anything; where it does not, a driver may leave the call out.
    """

    learns: bool

    def pick(self, candidates: Sequence[Replica], now: float, key: object | None = None) -> Replica:
        """Choose one replica.

        Parameters
        ----------
        candidates : sequence of Replica
            Those that may be chosen, each once.
        now : float
            On the client's clock, in seconds.
        key : object, optional
            What the call is about, for choices that keep equal keys together.

        Returns
        -------
        Replica
            One of the candidates; it is not changed.

        Raises
        ------
        IndexError
            When there are no candidates.
        """
        ...

    def observe(self, replica: Replica, elapsed_seconds: float, now: float) -> None:
        """Take note that an attempt has ended with an answer.

        Parameters
        ----------
        replica : Replica
            Who answered.
        elapsed_seconds : float
            What the attempt took, 0 or more.
        now : float
            On the client's clock, in seconds.
        """
        ...


class Forgetful:
    """What a picker inherits that decides by the state of the replicas alone."""

    __slots__ = ()
    learns = False

    def observe(self, replica: Replica, elapsed_seconds: float, now: float) -> None:
        """See `Picker`."""
