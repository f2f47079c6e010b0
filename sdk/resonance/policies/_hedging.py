# SPDX-License-Identifier: MIT
"""Is a copy of this call worth sending, now that it takes long?

The gates stand in the order of what they cost to ask, and the budget comes last, so that a
token is only taken for a copy that is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, Final

import msgspec

from resonance.policies._call import Call
from resonance.policies._reasons import Reason
from resonance.policies._records import HedgePolicy, Policy, TaskHint
from resonance.policies._replica import Replica
from resonance.policies._window import Window

if TYPE_CHECKING:
    from resonance.policies._service import Service

__all__ = ["Decision", "decide", "learned_delay", "may_copy"]

_PRESSED: Final = 0.5
_AT_EASE: Final = 0.2
"""Pressure of the first replica, and of another, for a copy after half the delay. *Chosen*:
by the reference experiment the rule is to act when tasks wait more often than they run."""
_HAS_ROOM: Final = 0.7
"""Pressure below which a replica has room for a copy. *Chosen*, as above."""
_ROOM_INFLIGHT: Final = 1
"""Requests of ours at a replica that has room for a copy."""
_SECOND_COPY_FULLNESS: Final = 0.5


class Decision(msgspec.Struct, frozen=True):
    """What became of the question.

    Attributes
    ----------
    reasons : tuple of Reason
        Why; the last one is what decided.
    replica : Replica or None
        Where the copy goes; ``None``: no copy.
    again_at : float
        When to ask again, on the client's clock; infinity: not at all.
    """

    reasons: tuple[Reason, ...] = ()
    replica: Replica | None = None
    again_at: float = inf


def may_copy(policy: Policy, hint: TaskHint) -> bool:
    """Tell whether doing it twice is allowed.

    Parameters
    ----------
    policy : Policy
    hint : TaskHint
    """
    hedge = policy.hedge
    if hedge is None or hint.idempotent is False:
        return False
    return hint.idempotent is True or not hedge.idempotent_only


def learned_delay(hedge: HedgePolicy, ratio: float, window: Window) -> tuple[float, Reason | None]:
    """Return the delay before a copy in seconds, or infinity and why there is none.

    Parameters
    ----------
    hedge : HedgePolicy
    ratio : float
        Of the budget: as many calls as it pays for are slower than its quantile.
    window : Window

    Returns
    -------
    seconds : float
        0 or more; infinity: no copy is sent.
    reason : Reason or None
        ``None`` where there is a delay.
    """
    if hedge.tied:
        return hedge.min_delay, None
    if hedge.delay is not None:
        return hedge.delay, None
    if window.count < hedge.min_samples:
        return inf, Reason.TOO_FEW_SAMPLES
    tail_ratio = window.tail_ratio()
    if tail_ratio is None or tail_ratio < hedge.min_tail_ratio:
        return inf, Reason.TAIL_TOO_SHORT
    quantile = 1.0 - ratio if hedge.quantile is None else hedge.quantile
    delay = window.quantile(quantile)
    if delay is None:
        return inf, Reason.TOO_FEW_SAMPLES
    longest = inf if hedge.max_delay is None else hedge.max_delay
    return min(max(delay, hedge.min_delay), longest), None


def decide(service: Service, call: Call, now: float) -> Decision:
    """Decide whether a copy is sent, and where to.

    Parameters
    ----------
    service : Service
    call : Call
        It has an attempt under way.
    now : float
        On the client's clock in seconds.

    Returns
    -------
    Decision
        Where it has a replica, the budget has paid for the copy.
    """
    hedge = service.policy.hedge
    assert hedge is not None
    others = service.cluster.others(call)
    is_early = now < call.started_at + call.hedge_delay and not call.extras
    if is_early and not _is_pressed(call.replica, others, now):
        return Decision(again_at=call.started_at + call.hedge_delay)
    refusal = _refusal(service, hedge, call, now)
    if refusal is not None:
        return Decision((refusal,))
    if not others:
        return Decision((Reason.NO_OTHER_REPLICA,))
    if hedge.saturation_guard and call.targets is not None:
        others, room = _with_room(others, now)
        if not others:
            return Decision((room,))
    else:
        room = None
    if not service.budget.take():
        return Decision((Reason.BUDGET_EMPTY,))
    fired = Reason.HEDGED_EARLY if is_early else Reason.HEDGED
    reasons = (fired,) if room is None else (room, fired)
    return Decision(reasons, service.cluster.choose(others, call.key, now))


def _refusal(service: Service, hedge: HedgePolicy, call: Call, now: float) -> Reason | None:
    """Return why there is no copy, whatever the replicas are like."""
    hedges = call.hedges
    end = call.useful_until
    # What was cancelled and has not ended counts for nothing here: a replica that is stuck, which
    # is when copies are needed, would forbid them.
    extra = service.inflight - service.cancelled_inflight - service.calls_inflight + 1
    allowed = max(1.0, service.calls_inflight * (hedge.max_inflight_pct / 100.0 - 1.0))
    if hedges >= hedge.max_hedges or call.attempts >= service.policy.max_attempts:
        return Reason.ATTEMPTS_USED
    if hedges > 0 and service.budget.fullness <= _SECOND_COPY_FULLNESS:
        return Reason.BUDGET_EMPTY
    if now < service.pushed_back_until:
        return Reason.PUSHED_BACK
    if call.is_retried_above:
        return Reason.RETRIED_ABOVE
    if end < inf and end - now <= (service.window.quantile(0.5) or 0.0):
        return Reason.DEADLINE_TOO_NEAR
    return Reason.INFLIGHT_SHARE if extra > allowed else None


def _is_pressed(first: Replica, others: Sequence[Replica], now: float) -> bool:
    """Tell whether the kernel says that the first replica is stuck and another is not."""
    pressure = first.known_pressure(now)
    if pressure is None or pressure <= _PRESSED:
        return False
    known = (each.known_pressure(now) for each in others)
    return any(each is not None and each < _AT_EASE for each in known)


def _with_room(others: Sequence[Replica], now: float) -> tuple[list[Replica], Reason]:
    """Return the replicas that have room for a copy, and who says so."""
    free = [each for each in others if each.inflight <= _ROOM_INFLIGHT]
    if not free:
        return [], Reason.SATURATED_BY_INFLIGHT
    pressures = [each.known_pressure(now) for each in free]
    if all(each is None for each in pressures):
        return free, Reason.ROOM_BY_INFLIGHT
    room = [
        replica
        for replica, pressure in zip(free, pressures, strict=True)
        if pressure is None or pressure < _HAS_ROOM
    ]
    return room, Reason.ROOM_BY_PRESSURE if room else Reason.SATURATED_BY_PRESSURE
