# SPDX-License-Identifier: MIT
"""Is another attempt worth making, now that one has failed, and after which delay?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from resonance.policies._call import Call
from resonance.policies._failure import Failure
from resonance.policies._reasons import Reason

if TYPE_CHECKING:
    from resonance.policies._service import Service

__all__ = ["Decision", "decide"]

_FULL_ENOUGH: Final = 0.5
"""Of the budget, to retry what somebody above retries as well; Google, *Site Reliability
Engineering*, chapter 22, warns of retries at several layers."""


class Decision(msgspec.Struct, frozen=True):
    """What became of the question.

    Attributes
    ----------
    reason : Reason
    delay : float or None
        Seconds before the next attempt; ``None``: there is none.
    is_in_step : bool
        It is longer than usual, because retries are in step.
    """

    reason: Reason
    delay: float | None = None
    is_in_step: bool = False


def decide(service: Service, call: Call, failure: Failure, now: float) -> Decision:
    """Decide whether a failed call is tried again; takes what it costs from the budget.

    Parameters
    ----------
    service : Service
    call : Call
        No attempt of it is under way.
    failure : Failure
        Of the last one.
    now : float
        On the client's clock in seconds.

    Returns
    -------
    Decision
    """
    refusal = _refusal(service, call, failure)
    if refusal is not None:
        return Decision(refusal)
    assert service.backoff is not None
    is_in_step = False
    if failure.pushback is not None:
        delay = failure.pushback
    else:
        stretch = 1.0
        if service.brake is not None:
            stretch = service.brake.stretch(now)
            is_in_step = stretch > 1.0
        steps = call.retries - call.retries_at_pushback
        delay = service.backoff.delay(steps, call.last_delay, stretch)
    half = service.window.quantile(0.5) or 0.0
    if now + delay + half >= call.useful_until:
        return Decision(Reason.DEADLINE_TOO_NEAR)
    if not service.budget.take():
        return Decision(Reason.BUDGET_EMPTY)
    was_told = failure.pushback is not None
    return Decision(
        Reason.RETRIED_WHEN_TOLD if was_told else Reason.RETRIED, delay, is_in_step=is_in_step
    )


def _refusal(service: Service, call: Call, failure: Failure) -> Reason | None:
    """Return why there is no other attempt, whatever it would cost."""
    retry = service.policy.retry
    if retry is None or failure.kind == "fatal":
        return Reason.NOT_RETRIABLE
    if failure.stop:
        return Reason.TOLD_TO_STOP
    if failure.kind != "unsent" and not _may_repeat(call):
        return Reason.NOT_IDEMPOTENT
    if call.retries >= retry.max_attempts - 1 or call.attempts >= service.policy.max_attempts:
        return Reason.ATTEMPTS_USED
    is_repeated = call.is_repeated and service.budget.fullness < _FULL_ENOUGH
    if call.is_retried_above or is_repeated:
        return Reason.RETRIED_ABOVE
    return None


def _may_repeat(call: Call) -> bool:
    """Tell whether it may be done again though it may have been done already."""
    if call.hint.idempotent is None:
        return call.is_asked_to_repeat
    return call.hint.idempotent
