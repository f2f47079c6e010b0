# SPDX-License-Identifier: MIT
"""Who closes the responses that nobody reads?

Two attempts of a call may be answered at nearly the same time, and a failure that is tried again
has a response too. All but the one that is returned are closed, whenever they come.
"""

from __future__ import annotations

import threading
from typing import Any, Final, Generic, TypeVar
from weakref import WeakKeyDictionary

import msgspec

from resonance.policies import Outcome

__all__ = ["Exchange", "outcome_of", "remember"]

R = TypeVar("R")

_outcomes: Final[WeakKeyDictionary[object, Outcome[None]]] = WeakKeyDictionary()


class Exchange(Generic[R]):
    """The responses of one call."""

    __slots__ = ("_arrived", "_guard", "_is_settled")

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._arrived: list[R] = []
        self._is_settled = False

    def arrived(self, response: R) -> bool:
        """Take a response; return whether somebody may still want it. If not, close it.

        Parameters
        ----------
        response : object
        """
        with self._guard:
            if not self._is_settled:
                self._arrived.append(response)
            return not self._is_settled

    def superseded(self) -> list[R]:
        """Return what came so far, to be closed: a retry begins, and what failed is not wanted."""
        with self._guard:
            past, self._arrived = self._arrived, []
            return past

    def settled(self, kept: R | None) -> list[R]:
        """End the call, and say what is to be closed.

        Parameters
        ----------
        kept : object or None
            What the caller gets.

        Returns
        -------
        list
            All that came and is not kept; what comes later is not wanted.
        """
        with self._guard:
            self._is_settled = True
            past, self._arrived = self._arrived, []
        return [each for each in past if each is not kept]


def remember(response: object, outcome: Outcome[Any]) -> None:
    """Keep what was done to get a response, as long as the response lives.

    Parameters
    ----------
    response : object
    outcome : Outcome
    """
    _outcomes[response] = msgspec.structs.replace(outcome, result=None)


def outcome_of(response: object) -> Outcome[None] | None:
    """Return what was done to get a response: attempts, replica, reasons.

    Parameters
    ----------
    response : object
        Of the library.

    Returns
    -------
    Outcome or None
        ``None`` for a response that did not come through its adapter here.
    """
    return _outcomes.get(response)
