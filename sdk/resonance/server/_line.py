# SPDX-License-Identifier: MIT
"""Who waits for a server, and who is next?

By importance first; within one importance by age. Nothing here knows the time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from math import inf
from typing import Final, Literal

from resonance.policies._records import Importance
from resonance.server._refusals import Refusal

__all__ = ["RANKS", "Line", "Stage", "Ticket"]

Stage = Literal["queued", "running", "over"]

RANKS: Final[dict[Importance, int]] = {"low": 0, "normal": 1, "high": 2, "critical": 3}
"""What is refused first has the lowest rank."""


class Ticket:
    """One request, from its arrival to its one end.

    Parameters
    ----------
    rank : int
        0 to 3, the more important the higher.
    deadline : float
        When its result is worth nothing any more; infinite: never.
    entered_at : float
        When it came.

    Attributes
    ----------
    queued_at : float
        The same on the application's clock, which stands still while the server waits for a CPU.
    started_at : float
        When it was begun; minus infinity: it was not.
    stage : {"queued", "running", "over"}
    refusal : Refusal or None
        Why it was refused.
    wake : callable or None
        For the driver: lets who waits for the decision go on.
    begun_wait_seconds : float
        For the driver: how long its thread had waited for a CPU when it came.
    """

    __slots__ = (
        "begun_wait_seconds",
        "deadline",
        "entered_at",
        "queued_at",
        "rank",
        "refusal",
        "stage",
        "started_at",
        "wake",
    )

    def __init__(self, rank: int, deadline: float, entered_at: float) -> None:
        self.rank = rank
        self.deadline = deadline
        self.entered_at = entered_at
        self.queued_at = entered_at
        self.started_at = -inf
        self.stage: Stage = "queued"
        self.refusal: Refusal | None = None
        self.wake: Callable[[], object] | None = None
        self.begun_wait_seconds = 0.0


class Line:
    """Those who wait, by importance and age; each operation takes constant time."""

    def __init__(self) -> None:
        # Ordered dictionaries, because one that waits may leave from the middle.
        self._ranks: tuple[OrderedDict[Ticket, None], ...] = tuple(
            OrderedDict[Ticket, None]() for _ in RANKS
        )
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def append(self, ticket: Ticket) -> None:
        """Let one wait behind all others of its importance.

        Parameters
        ----------
        ticket : Ticket
            One that does not wait yet.
        """
        self._ranks[ticket.rank][ticket] = None
        self._length += 1

    def remove(self, ticket: Ticket) -> None:
        """Take one out, wherever it stands.

        Parameters
        ----------
        ticket : Ticket
            One that waits.
        """
        del self._ranks[ticket.rank][ticket]
        self._length -= 1

    def next_up(self, *, is_newest_first: bool) -> Ticket:
        """Return the one to begin next: of the most important, the newest or the oldest.

        Parameters
        ----------
        is_newest_first : bool
            Which of the two.

        Returns
        -------
        Ticket
            It still waits.

        Raises
        ------
        LookupError
            When nobody waits.
        """
        for rank in reversed(self._ranks):
            if rank:
                return next(reversed(rank)) if is_newest_first else next(iter(rank))
        raise LookupError("nobody waits")

    def oldest(self, rank: int) -> Ticket | None:
        """Return the one of an importance that has waited longest.

        Parameters
        ----------
        rank : int
            As in `RANKS`.

        Returns
        -------
        Ticket or None
            ``None`` where nobody of this importance waits.
        """
        waiting = self._ranks[rank]
        return next(iter(waiting)) if waiting else None
