# SPDX-License-Identifier: MIT
"""How often was what decided? Plain integers, for whoever exports them."""

from __future__ import annotations

from resonance.server._refusals import Refusal

__all__ = ["Counts"]


class Counts:
    """What has become of requests since the start.

    At any moment ``entered`` is the sum of those that run, those that wait, and ``done``,
    ``failed``, ``dropped``, ``withdrawn`` and all of ``refused``.

    Attributes
    ----------
    entered : int
        Came.
    run_at_once, queued, run_from_queue : int
        Begun on arrival; had to wait; begun after that.
    done, failed, dropped : int
        Ended in service: answered, failed for a reason of their own, too late.
    withdrawn : int
        Taken back while they waited, because their caller had gone.
    refused : dict of Refusal to int
    """

    __slots__ = (
        "done",
        "dropped",
        "entered",
        "failed",
        "queued",
        "refused",
        "run_at_once",
        "run_from_queue",
        "withdrawn",
    )

    def __init__(self) -> None:
        self.entered = 0
        self.run_at_once = 0
        self.queued = 0
        self.run_from_queue = 0
        self.done = 0
        self.failed = 0
        self.dropped = 0
        self.withdrawn = 0
        self.refused: dict[Refusal, int] = dict.fromkeys(Refusal, 0)

    @property
    def errors(self) -> int:
        """How many got no answer that is worth something: failed, dropped, refused."""
        return self.failed + self.dropped + sum(self.refused.values())

    @property
    def ended(self) -> int:
        """How many are over."""
        return self.done + self.withdrawn + self.errors
