# SPDX-License-Identifier: MIT
"""What do a call in threads and one in asyncio do alike once it needs more than one attempt?

They ask what an attempt's end means, tell the service of it, and remember what the call would
end with now. How they wait is their own.
"""

from __future__ import annotations

import threading
from asyncio import CancelledError
from collections.abc import Callable
from contextvars import Context
from math import inf
from typing import Any, Final, Generic, TypeVar

from resonance.client._base import failure_of
from resonance.client._wheel import Slot
from resonance.errors import DeadlineExceededError
from resonance.policies import Attempt, Call, Classify, Failure, Outcome, Service

__all__ = ["NOTHING", "FlightBase", "cancel_all", "is_failure"]

T = TypeVar("T")
NOTHING: Final = object()
_FATAL: Final = Failure("fatal")


class FlightBase(Generic[T]):
    """A call under way.

    Parameters
    ----------
    call : Call
    fn : callable
    classify : callable or None
    context : contextvars.Context
        The caller's.
    """

    __slots__ = (
        "_call",
        "_classify",
        "_context",
        "_error",
        "_fn",
        "_is_late",
        "_result",
        "_retry_at",
        "_service",
        "_slot",
    )

    def __init__(
        self, call: Call, fn: Callable[..., Any], classify: Classify | None, context: Context
    ) -> None:
        self._call = call
        self._service: Service = call.service
        self._fn = fn
        self._classify = classify
        self._context = context
        self._is_late = False
        self._result: Any = NOTHING
        self._error: BaseException | None = None
        self._retry_at = inf
        self._slot: Slot | None = None
        """Where the timer keeps the call."""

    def _forget(self) -> None:
        """Take the call from the timer: it has its result, or is put there anew."""
        if self._slot is not None:
            self._slot.pop(self._call, None)

    def _judged(
        self, result: Any, error: BaseException | None
    ) -> tuple[Failure | None, Any, BaseException | None]:
        """Return what an end means, and the end itself.

        What the application's `Classify` raises is the end instead, and no reason to try again.
        """
        try:
            failure = None
            if error is not None:
                failure = failure_of(self._service.policy, self._classify, error)
            elif self._classify is not None:
                failure = self._classify(result)
            return _require_failure(failure), result, error
        except BaseException as broken:  # noqa: BLE001 -- handed to the caller
            return _FATAL, NOTHING, broken

    def _take(
        self,
        attempt: Attempt,
        now: float,
        failure: Failure | None,
        result: Any,
        error: BaseException | None,
    ) -> list[Attempt]:
        """Tell the service of an attempt's own end; return those nobody waits for any more."""
        call, service = self._call, self._service
        was_settled = call.is_settled
        was_left = attempt.is_cancelled or isinstance(error, CancelledError | GeneratorExit)
        if failure is None:
            service.reply(attempt, now)
        else:
            was_left = was_left and error is not None
            step = (
                service.cancelled(attempt, now) if was_left else service.fail(attempt, now, failure)
            )
            if step.verdict == "retry":
                self._retry_at = now + step.delay
            if was_left and (step.verdict == "wait" or call.failed is not None):
                return []  # what another attempt ends with, or ended with, is what counts
        if was_settled:
            return []
        self._result, self._error = result, error
        return service.losers(call, now) if call.is_settled else []

    def _ending(self, now: float) -> Outcome[T]:
        """Return the result of a settled call, or raise what it ended with."""
        call, error = self._call, self._error
        if self._is_late:
            raise DeadlineExceededError(call.deadline - call.started_at, call.attempts) from error
        if error is not None:
            _tell(error, call)
            raise error
        outcome: Outcome[T] = self._service.outcome(call, self._result, now)
        return outcome


def _require_failure(failure: object) -> Failure | None:
    """Return what a `Classify` returned, if it is what it may return."""
    if failure is None or isinstance(failure, Failure):
        return failure
    raise TypeError(f"classify must return a Failure or None, not {failure!r}")


def is_failure(classify: Classify, result: object) -> bool:
    """Tell whether a result is no success; so it is where the application cannot tell.

    Parameters
    ----------
    classify : callable
        Asked again when the call lands, where what it raises becomes the end of the call.
    result : object
    """
    try:
        return classify(result) is not None
    except Exception:  # noqa: BLE001 -- raised again when the call lands
        return True


def cancel_all(losers: list[Attempt]) -> None:
    """Tell attempts that nobody waits for them; whatever a callback raises, all are told.

    Parameters
    ----------
    losers : list of Attempt
    """
    interrupt: KeyboardInterrupt | None = None
    for attempt in losers:
        try:
            attempt.cancel()
        except KeyboardInterrupt as error:
            interrupt = error  # it struck here by chance, and is obeyed when all are told
        except BaseException as error:  # noqa: BLE001 -- the application's, told like a thread's
            threading.excepthook(
                threading.ExceptHookArgs(
                    (type(error), error, error.__traceback__, threading.current_thread())
                )
            )
    if interrupt is not None:
        raise interrupt


def _tell(error: BaseException, call: Call) -> None:
    """Leave a note on what a call ended with: how often it was tried, and why not again."""
    times = "1 attempt" if call.attempts == 1 else f"{call.attempts} attempts"
    why = f" ({call.notes[-1].value})" if call.notes else ""
    note = f"resonance: failed after {times}{why}"
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)
