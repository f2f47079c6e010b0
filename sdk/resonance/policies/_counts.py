# SPDX-License-Identifier: MIT
"""What has a service done so far? Plain integers, which only grow.

What happens at each call is not counted here: `Service` works it out from the answers.
"""

from __future__ import annotations

import msgspec

from resonance.policies._reasons import Reason

__all__ = ["Counts"]


class Counts(msgspec.Struct):
    """Counters of one service since it was first called.

    Attributes
    ----------
    failures : int
        Calls that ended with a failure, a deadline or their caller's going.
    hedges, hedges_won : int
        Copies sent, and those that answered first.
    retries : int
    ends : int
        Attempts that ended without an answer.
    late : int
        Answers that came when their call had its result, or none, already.
    cancelled : int
        Attempts cancelled because another one had answered or nobody waited any more.
    swept : int
        Attempts that never ended, and were given up long after their end was due.
    deadlines : int
        Calls that ended because their time was over.
    probes, probes_failed : int
        Replicas that were asked how busy they are, and those that did not say.
    would_hedge, would_retry : int
        What was not done because of the mode.
    would_win : float
        How many of those copies would have answered first, at most: the probability that a new
        attempt takes less than the rest of the first one did, summed over them.
    refused : dict of Reason to int
        What was not done, by the reason.
    """

    failures: int = 0
    hedges: int = 0
    hedges_won: int = 0
    retries: int = 0
    ends: int = 0
    late: int = 0
    cancelled: int = 0
    swept: int = 0
    deadlines: int = 0
    probes: int = 0
    probes_failed: int = 0
    would_hedge: int = 0
    would_retry: int = 0
    would_win: float = 0.0
    refused: dict[Reason, int] = msgspec.field(default_factory=dict[Reason, int])

    def refuse(self, reason: Reason) -> None:
        """Count that something was not done.

        Parameters
        ----------
        reason : Reason
        """
        self.refused[reason] = self.refused.get(reason, 0) + 1
