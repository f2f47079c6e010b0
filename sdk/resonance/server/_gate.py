# SPDX-License-Identifier: MIT
"""What the door of a server is made of, whether threads come through it or tasks.

`AsyncGate` and `ThreadGate` drive the same decisions: they know the time, how long the server
waited for a CPU, and how to let a request wait.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from math import inf
from typing import Final, Literal

import msgspec

from resonance.policies._limits import make_limit
from resonance.policies._records import LimitPolicy
from resonance.server._admission import Admission
from resonance.server._policy import AdmissionPolicy
from resonance.server._refusals import Refusal

__all__ = ["FixedLimit", "Gate", "GateReport", "QueueClock"]

QueueClock = Literal["application", "sojourn"]
"""What queueing time is: time in the queue less the time this server waited for a CPU
meanwhile; or all of it, where the kernel does not tell."""

_LEAST_SWEEP_SECONDS: Final = 0.001
"""Between two looks at the queue: the application's clock may stand still. *Chosen*: a fifth of
the shortest time that anybody may wait by default."""


class FixedLimit:
    """A limit that learns nothing.

    Parameters
    ----------
    limit : int
        Requests in service at once.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def observe(self, elapsed_seconds: float, inflight: int, is_drop: bool, now: float) -> None:
        """See `Limit`."""


class GateReport(msgspec.Struct, frozen=True):
    """A server's door at one moment, and all that it decided until then.

    Attributes
    ----------
    limit, inflight, queued : int
        Requests that may be in service, those that are, and those that wait.
    is_overloaded : bool
        The queue has not been empty for an interval.
    queue_clock : {"application", "sojourn"}
        By which clock a request waits too long.
    entered, done, failed, dropped, withdrawn : int
        As in `Counts`.
    refused : dict of Refusal to int
    """

    limit: int
    inflight: int
    queued: int
    is_overloaded: bool
    queue_clock: QueueClock
    entered: int
    done: int
    failed: int
    dropped: int
    withdrawn: int
    refused: dict[Refusal, int]


class Gate:
    """What both doors share; the methods of this class serialise nothing.

    Parameters
    ----------
    policy : AdmissionPolicy, optional
    clock : callable
        Seconds that never go back; deadlines are on it.
    uniform : callable
        Draws between two bounds, for jitter. That of the module begins anew in forked workers,
        which must not draw the same.

    Attributes
    ----------
    policy : AdmissionPolicy
    admission : Admission
        What decides.
    """

    def __init__(
        self,
        policy: AdmissionPolicy | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.policy = policy or AdmissionPolicy()
        limit = self.policy.limit
        self.admission = Admission(
            self.policy,
            make_limit(limit) if isinstance(limit, LimitPolicy) else FixedLimit(limit),
        )
        self._clock = clock
        self._uniform = uniform

    def retry_after_seconds(self) -> float:
        """Return when a caller that was refused had better come back.

        Between once and twice the time in which those that are here will be done, at random,
        so that those refused together do not come back together.
        """
        return self.admission.drain_seconds(self._clock()) * self._uniform(1.0, 2.0)

    def _report(self, waited: float, queue_clock: QueueClock) -> GateReport:
        admission, counts = self.admission, self.admission.counts
        return GateReport(
            limit=admission.limit,
            inflight=admission.inflight,
            queued=admission.queued,
            is_overloaded=admission.is_overloaded(self._clock(), waited=waited),
            queue_clock=queue_clock,
            entered=counts.entered,
            done=counts.done,
            failed=counts.failed,
            dropped=counts.dropped,
            withdrawn=counts.withdrawn,
            refused=dict(counts.refused),
        )

    def _tell(self) -> None:
        """Let those go on that waited and were begun or refused."""
        decided = self.admission.decided
        for ticket in decided:
            if ticket.wake is not None:
                ticket.wake()
        decided.clear()

    def _sweep_in(self, waited: float) -> float:
        """Return the seconds until somebody has to look at the queue."""
        due = self.admission.due_in(self._clock(), waited=waited)
        return max(due, _LEAST_SWEEP_SECONDS) if due < inf else inf
