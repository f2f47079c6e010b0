# SPDX-License-Identifier: MIT
"""What does a call tell about itself, and what is it told when it is refused?"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Final, NamedTuple, Protocol, get_args

import grpc

from resonance.deadlines import ATTEMPT_HEADER, GRPC_ATTEMPT_HEADER, parse_attempts
from resonance.policies._records import Importance
from resonance.server._grpc_metadata import (
    LOAD_REPORT,
    OWN_LOAD_REPORT,
    PUSHBACK,
    TIED,
    WANTS_LOAD,
    to_wire,
)
from resonance.server._http import IMPORTANCE_HEADER, REASON_HEADER
from resonance.server._load import LoadReport
from resonance.server._refusals import SENTENCES, Refusal
from resonance.server._reporter import LoadReporter

__all__ = ["Reply", "Request", "TrailerMaker", "remaining_of"]

_ATTEMPTS: Final[tuple[str, ...]] = (GRPC_ATTEMPT_HEADER, ATTEMPT_HEADER)
"""A channel with gRPC's own retries takes the first one out of what an application sends."""
_HEALTH: Final = "/grpc.health.v1.Health/"
_NEVER_SECONDS: Final = 1e9
"""Above this, a time left is gRPC's way to say that there is no deadline."""
_IMPORTANCES: Final[dict[object, Importance]] = {each: each for each in get_args(Importance)}


class _WithTime(Protocol):
    """What the contexts of threads and of asyncio have in common here."""

    def time_remaining(self) -> float | None: ...


class Request(NamedTuple):
    """What a call tells of itself.

    Attributes
    ----------
    importance : {"low", "normal", "high", "critical"}
    attempts_before : int
        How often it was tried already.
    is_tied : bool
        Its caller wants to know when it is begun.
    wants_load : bool
        Its caller reads load reports itself.
    is_exempt : bool
        It is never made to wait.
    """

    importance: Importance
    attempts_before: int
    is_tied: bool
    wants_load: bool
    is_exempt: bool

    @classmethod
    def of(
        cls,
        details: grpc.HandlerCallDetails,
        judge: Callable[[grpc.HandlerCallDetails], Importance] | None,
    ) -> Request:
        """Read what came with a call; what cannot be read counts as absent.

        Parameters
        ----------
        details : grpc.HandlerCallDetails
        judge : callable, optional
            Tells the importance, in place of the caller.

        Returns
        -------
        Request
        """
        told = dict(details.invocation_metadata or ())
        attempts = {name: str(told[name]) for name in _ATTEMPTS if name in told}
        return cls(
            importance=judge(details)
            if judge
            else _IMPORTANCES.get(told.get(IMPORTANCE_HEADER), "normal"),
            attempts_before=parse_attempts(attempts) if attempts else 0,
            is_tied=TIED in told,
            wants_load=WANTS_LOAD in told,
            is_exempt=details.method.startswith(_HEALTH),
        )


class Reply(NamedTuple):
    """How a refused call ends.

    Attributes
    ----------
    code : grpc.StatusCode
    details : str
    trailers : tuple of pairs
    """

    code: grpc.StatusCode
    details: str
    trailers: tuple[tuple[str, str | bytes], ...]


def remaining_of(context: _WithTime) -> float | None:
    """Return the seconds a caller still waits; ``None``: as long as it takes.

    Parameters
    ----------
    context : grpc.ServicerContext or grpc.aio.ServicerContext

    Returns
    -------
    float or None
    """
    seconds = context.time_remaining()
    return None if seconds is None or seconds > _NEVER_SECONDS else seconds


class TrailerMaker:
    """Makes the trailing metadata of replies.

    Parameters
    ----------
    reporter : LoadReporter or None
        ``None``: nothing is said of the load.
    retry_after_seconds : callable
        When a caller that was refused had better come back.
    """

    def __init__(
        self, reporter: LoadReporter | None, retry_after_seconds: Callable[[], float]
    ) -> None:
        self._reporter = reporter
        self._retry_after_seconds = retry_after_seconds
        self._last: tuple[LoadReport | None, bytes] = (None, b"")

    def load(self, request: Request) -> tuple[tuple[str, bytes], ...]:
        """Return what is said of the load.

        Parameters
        ----------
        request : Request

        Returns
        -------
        tuple of pairs
            Empty where nothing is to be said.
        """
        if self._reporter is None:
            return ()
        report = self._reporter.report()
        last, wire = self._last
        if report is not last:
            wire = to_wire(report)
            self._last = (report, wire)
        standard = (LOAD_REPORT, wire)
        return (standard, (OWN_LOAD_REPORT, wire)) if request.wants_load else (standard,)

    def refusal(self, refusal: Refusal, request: Request) -> Reply:
        """Return what a refused caller is told.

        One that was tried before is told not to come back: whoever tries it again already has
        waited, and at every layer that tries again load is multiplied.

        Parameters
        ----------
        refusal : Refusal
        request : Request

        Returns
        -------
        Reply

        References
        ----------
        Google, *Site Reliability Engineering*, chapter 21, "Deciding to Retry".
        """
        told: tuple[tuple[str, str | bytes], ...] = (
            (REASON_HEADER, refusal.value),
            *self.load(request),
        )
        if refusal is Refusal.DEADLINE_OVER:
            return Reply(grpc.StatusCode.DEADLINE_EXCEEDED, SENTENCES[refusal], told)
        wait_ms = -1 if request.attempts_before else ceil(self._retry_after_seconds() * 1e3)
        told = ((PUSHBACK, str(wait_ms)), *told)
        return Reply(grpc.StatusCode.RESOURCE_EXHAUSTED, SENTENCES[refusal], told)
