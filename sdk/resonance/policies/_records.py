# SPDX-License-Identifier: MIT
"""What may a policy be told? Frozen records, each checked when it is made.

All times are in seconds, all shares are between 0 and 1 unless their name ends in ``_pct``.
A policy is made of parts, which are joined with ``|``; a later part takes the place of an
earlier one of its kind.
"""

from __future__ import annotations

from math import inf, isfinite
from typing import Any, Final, Literal, Self, cast, get_args

import msgspec

from resonance.errors import PolicyError

__all__ = [
    "MOST_ATTEMPTS",
    "NO_HINT",
    "Algorithm",
    "BatchPolicy",
    "BudgetPolicy",
    "ChoicePolicy",
    "EjectionPolicy",
    "HedgePolicy",
    "Importance",
    "LimitPolicy",
    "Mode",
    "Policy",
    "RetryPolicy",
    "Strategy",
    "TaskHint",
    "ThrottlePolicy",
]

MOST_ATTEMPTS: Final = 3
"""Of one call that may both hedge and retry, the first one included; Google, *Site
Reliability Engineering*, chapter 21."""

Mode = Literal["observe", "advise", "active"]
"""Count what would be done; say it with each result; do it."""
Importance = Literal["low", "normal", "high", "critical"]
TaskClass = Literal["interactive", "batchable", "background"]
PhaseAffinity = Literal["none", "valley"]
Strategy = Literal["full_jitter", "equal_jitter", "decorrelated_jitter", "fixed", "exponential"]
Algorithm = Literal[
    "p2c", "round_robin", "random", "least_inflight", "peak_ewma", "rendezvous", "prequal"
]


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all parts share: a readable complaint about what cannot be."""

    def _require(self, name: str, is_right: bool, wanted: str) -> None:
        if not is_right:
            raise PolicyError(
                f"{type(self).__name__}.{name}", f"{wanted}, not {getattr(self, name)!r}"
            )

    def _value(self, name: str) -> Any:
        """Return what a field holds, which may be anything before it is checked."""
        return getattr(self, name)

    def _seconds(self, name: str, *, least: float = 0.0, is_open: bool = False) -> None:
        """Require a finite number of seconds, or ``None`` where that has a meaning."""
        value = getattr(self, name)
        if value is None:
            return
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        is_right = is_number and isfinite(value) and (value > least if is_open else value >= least)
        above = f"above {least:g}" if is_open else f"{least:g} or more"
        self._require(name, is_right, f"must be seconds, {above}")

    def _one_of(self, name: str, kind: Any) -> None:
        choices = get_args(kind)
        self._require(name, getattr(self, name) in choices, f"must be one of {', '.join(choices)}")

    def _between(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        wanted = (
            f"must be between {low:g} and {high:g}" if high < inf else f"must be {low:g} or more"
        )
        self._require(name, is_number and low <= value <= high, wanted)

    def _whole(self, name: str, low: int, high: float = inf) -> None:
        value = getattr(self, name)
        self._between(name, low, high)
        self._require(name, isinstance(value, int), "must be a whole number")

    def replace(self, **changes: object) -> Self:
        """Return the same record with some fields changed, checked like a new one.

        Parameters
        ----------
        **changes
            Fields and their new values.
        """
        return type(self)(**{**{f: getattr(self, f) for f in self.__struct_fields__}, **changes})


class _Part(_Record, frozen=True, kw_only=True):
    """A part of a policy."""

    def __or__(self, other: _Part | Policy) -> Policy:
        """Join two parts into a policy; the later one wins."""
        return Policy() | self | other


class TaskHint(_Record, frozen=True, kw_only=True):
    """What the application knows about one piece of work, and nobody else can.

    Parameters
    ----------
    id : str, optional
        Names it in explanations.
    importance : {"low", "normal", "high", "critical"}
        What is shed first and deferred at all is ``low``; ``critical`` is never deferred, and
        may be hedged twice where the budget is more than half full.
    soft_deadline : float, optional
        Seconds from the call until its result is worth less; no extra attempt is begun that
        could not answer before it. A hard one is the ``timeout`` of a call.
    can_batch : bool
        May be run together with others of its kind.
    max_batch_latency : float
        Seconds it may wait for its batch.
    max_deferral : float
        Seconds it may be held back for a better moment; 0 for not at all.
    must_run_now : bool
        Is neither batched nor held back, whatever else is said.
    phase_affinity : {"none", "valley"}
        With ``valley``, what may be held back waits for the predicted valley of the node's
        periodic work.
    task_class : {"interactive", "batchable", "background"}
        Interactive work is never held back to let a busy node pass.
    idempotent : bool, optional
        Doing it twice is the same as doing it once. ``None``, not known, is no permission to
        hedge; and then only `retry`, which asks for it, repeats what may have been done.
    """

    id: str | None = None
    importance: Importance = "normal"
    soft_deadline: float | None = None
    can_batch: bool = False
    max_batch_latency: float = 0.025
    max_deferral: float = 0.0
    must_run_now: bool = False
    phase_affinity: PhaseAffinity = "none"
    task_class: TaskClass = "interactive"
    idempotent: bool | None = None

    def __post_init__(self) -> None:
        self._one_of("importance", Importance)
        self._one_of("task_class", TaskClass)
        self._one_of("phase_affinity", PhaseAffinity)
        known = self._value("idempotent")  # "no" must not count as yes
        is_said = known is None or isinstance(known, bool)
        self._require("idempotent", is_said, "must be True, False or None")
        self._seconds("soft_deadline", is_open=True)
        self._seconds("max_batch_latency")
        self._seconds("max_deferral")


NO_HINT: Final = TaskHint()


class HedgePolicy(_Part, frozen=True, kw_only=True):
    """When to send a second copy of a call that takes long, and when rather not.

    Parameters
    ----------
    delay : float, optional
        Seconds after which a copy is sent. By default it is learned: the `quantile` of what
        attempts took, those that were overtaken included.
    quantile : float, optional
        Of the latencies, for a learned delay; by default 1 less the budget's ratio.
    min_delay, max_delay : float
        Bounds of a learned delay; it is never more than a third of the time that is left.
    max_inflight_pct : float
        Attempts in flight in percent of calls in flight, at most; one copy is always allowed.
        100 allows no more than that one.
    cancel_on_first : bool
        Cancel the other attempts at once when one has answered.
    idempotent_only : bool
        Copy only what its hint calls idempotent. Otherwise also that of which nothing is said.
    max_hedges : int
        Copies of one call; a second one only for ``critical`` work on a full budget.
    min_samples : int
        Latencies that must have been seen before a learned delay is believed.
    min_tail_ratio : float
        p99.9 by p95 (p99 by p90 when samples are few) below which no copy is sent, because it
        would not help; 0 for any. For a learned delay only. A rule of thumb.
    saturation_guard : bool
        Send no copy unless another replica has room: at most one request of ours in flight
        there, and tasks there wait less than 0.7 of the time where that is known.
    kernel_advance : bool
        Send it after half the delay when tasks of the first replica wait for a CPU more than
        half of the time, and those of another less than a fifth.
    pushback_silence : float
        Seconds without copies after the service asked for less.
    tied : bool
        Send the copy after `min_delay` and cancel the other when one of them *starts*: needs
        servers that tell when they start (gRPC, `resonance.server`).
    """

    delay: float | None = None
    quantile: float | None = None
    min_delay: float = 0.001
    max_delay: float | None = None
    max_inflight_pct: float = 150.0
    cancel_on_first: bool = True
    idempotent_only: bool = True
    max_hedges: int = 1
    min_samples: int = 100
    min_tail_ratio: float = 3.0
    saturation_guard: bool = True
    kernel_advance: bool = True
    pushback_silence: float = 1.0
    tied: bool = False

    def __post_init__(self) -> None:
        self._seconds("delay", is_open=True)
        self._seconds("min_delay", is_open=True)
        self._seconds("max_delay", least=self.min_delay)
        self._seconds("pushback_silence")
        self._between("max_inflight_pct", 100.0, inf)
        self._whole("max_hedges", 1, MOST_ATTEMPTS - 1)
        self._whole("min_samples", 1)
        self._between("min_tail_ratio", 0.0, inf)
        if self.quantile is not None:
            self._between("quantile", 0.5, 1.0)
            self._require("quantile", self.quantile < 1.0, "must be below 1")


class RetryPolicy(_Part, frozen=True, kw_only=True):
    """When and after which delay to try again what has failed.

    Parameters
    ----------
    strategy : {"full_jitter", "equal_jitter", "decorrelated_jitter", "fixed", "exponential"}
        How the delay before retry n, counted from 0, is drawn; with ``span = min(max_delay,
        base_delay * multiplier ** n)``: U(0, span); span/2 + U(0, span/2);
        min(max_delay, U(base_delay, 3 times the delay before)); base_delay; span.
    base_delay, max_delay : float
        Seconds.
    multiplier : float
        How much longer each is than the one before.
    max_attempts : int
        Of one call, the first included. With hedging at most three, hedges included.
    retry_on : tuple of exception types
        What is worth another try. Not in a file.
    brake : bool
        Stretch the delays, and slow the budget, while the retries of this process are in step.

    References
    ----------
    M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    strategy: Strategy = "full_jitter"
    base_delay: float = 0.020
    max_delay: float = 1.0
    multiplier: float = 2.0
    max_attempts: int = 3
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    brake: bool = True

    def __post_init__(self) -> None:
        self._one_of("strategy", Strategy)
        self._seconds("base_delay")
        self._seconds("max_delay", least=self.base_delay)
        self._between("multiplier", 1.0, inf)
        self._whole("max_attempts", 1)
        self._require("retry_on", _are_kinds(self.retry_on), "must be a tuple of exception types")


def _are_kinds(kinds: object) -> bool:
    if not isinstance(kinds, tuple):
        return False
    every = cast("tuple[object, ...]", kinds)
    return all(isinstance(each, type) and issubclass(each, BaseException) for each in every)


class BudgetPolicy(_Part, frozen=True, kw_only=True):
    """What hedges and retries together may cost: a share of the successes.

    Parameters
    ----------
    ratio : float
        Extra attempts per success.
    cap : float
        Extra attempts that can be saved up, one at least; ``ratio`` and ``initial`` of 0 allow
        none at all.
    initial : float
        What a new service begins with, so that it can ride out a first fault.

    References
    ----------
    N. Bronson et al., "Metastable Failures in Distributed Systems", HotOS 2021: a budget that
    is a share of attempts keeps an outage alive, one of successes does not.
    """

    ratio: float = 0.05
    cap: float = 10.0
    initial: float = 5.0

    def __post_init__(self) -> None:
        self._between("ratio", 0.0, 1.0)
        self._between("cap", 1.0, 10_000.0)
        self._between("initial", 0.0, self.cap)


class EjectionPolicy(_Part, frozen=True, kw_only=True):
    """When a replica gets no calls for a while; never more than half of them.

    Parameters
    ----------
    consecutive_failures : int
        In a row.
    failure_ratio : float
        Of its calls over the last `window`, where it had `min_calls`.
    latency_ratio : float
        Of its median over the median of the others, over the last `window`; 0 for any.
    starvation_pressure, starvation_seconds : float
        Its tasks wait for a CPU more than this share of the time, for this long.
    window : float
        Seconds.
    min_calls : int
        Below which nothing is concluded from ratios.
    base_seconds, max_seconds : float
        For how long: base times the number of ejections in a row.
    """

    consecutive_failures: int = 5
    failure_ratio: float = 0.5
    latency_ratio: float = 5.0
    starvation_pressure: float = 0.8
    starvation_seconds: float = 0.2
    window: float = 10.0
    min_calls: int = 20
    base_seconds: float = 5.0
    max_seconds: float = 60.0

    def __post_init__(self) -> None:
        self._whole("consecutive_failures", 1)
        self._between("failure_ratio", 0.01, 1.0)
        self._between("latency_ratio", 0.0, inf)
        self._between("starvation_pressure", 0.0, 1.0)
        self._seconds("starvation_seconds")
        self._seconds("window", is_open=True)
        self._whole("min_calls", 1)
        self._seconds("base_seconds", is_open=True)
        self._seconds("max_seconds", least=self.base_seconds)


class ChoicePolicy(_Part, frozen=True, kw_only=True):
    """Which replica gets a call.

    Parameters
    ----------
    algorithm : {"p2c", "round_robin", "random", "least_inflight", "peak_ewma", "rendezvous", \
"prequal"}
        ``p2c`` takes two at random and the one with fewer calls of ours in flight.
    ewma_seconds : float
        Time constant of the latency average of ``peak_ewma``.
    ejection : EjectionPolicy, optional
        ``None`` ejects nobody.
    """

    algorithm: Algorithm = "p2c"
    ewma_seconds: float = 0.5
    ejection: EjectionPolicy | None = EjectionPolicy()

    def __post_init__(self) -> None:
        self._one_of("algorithm", Algorithm)
        self._seconds("ewma_seconds", is_open=True)


class LimitPolicy(_Part, frozen=True, kw_only=True):
    """How many calls may be in flight, learned from how long they take.

    Parameters
    ----------
    algorithm : {"gradient2", "vegas"}
    initial, smallest, largest : int
        Calls in flight: to begin with, and bounds.
    """

    algorithm: Literal["gradient2", "vegas"] = "gradient2"
    initial: int = 20
    smallest: int = 4
    largest: int = 1_000

    def __post_init__(self) -> None:
        self._one_of("algorithm", Literal["gradient2", "vegas"])
        self._whole("smallest", 1)
        self._whole("largest", self.smallest)
        self._whole("initial", self.smallest, self.largest)


class ThrottlePolicy(_Part, frozen=True, kw_only=True):
    """When a client refuses by itself what the service would refuse.

    Parameters
    ----------
    multiplier : float
        Refuse with probability ``max(0, (requests - multiplier * accepts) / (requests + 1))``.
    window : float
        Seconds over which both are counted; must exceed the longest call.

    References
    ----------
    Google, *Site Reliability Engineering*, chapter 21, "Client-Side Throttling".
    """

    multiplier: float = 2.0
    window: float = 120.0

    def __post_init__(self) -> None:
        self._between("multiplier", 1.0, inf)
        self._seconds("window", is_open=True)


class BatchPolicy(_Part, frozen=True, kw_only=True):
    """When a batch is closed: at the first of these.

    Parameters
    ----------
    max_size : int
        Tasks in it.
    max_latency : float
        Seconds since the first task; a task's own hint may make it shorter.
    until_pressure_below : float
        Close when tasks of this process wait less than this share of the time, having waited
        more; where pressure is not known this has no effect.
    in_valley : bool
        Close in a predicted valley of the node's periodic work.
    """

    max_size: int = 16
    max_latency: float = 0.025
    until_pressure_below: float = 0.5
    in_valley: bool = True

    def __post_init__(self) -> None:
        self._whole("max_size", 1)
        self._seconds("max_latency")
        self._between("until_pressure_below", 0.0, 1.0)


class Policy(_Record, frozen=True, kw_only=True):
    """Everything that is to be done for a call; a part that is ``None`` is off.

    Parameters
    ----------
    hedge : HedgePolicy, optional
    retry : RetryPolicy, optional
    budget : BudgetPolicy
    choice : ChoicePolicy
    limit : LimitPolicy, optional
    throttle : ThrottlePolicy, optional
    batch : BatchPolicy
    timeout : float, optional
        Seconds for the whole call, all attempts and delays together.
    """

    hedge: HedgePolicy | None = None
    retry: RetryPolicy | None = None
    budget: BudgetPolicy = BudgetPolicy()
    choice: ChoicePolicy = ChoicePolicy()
    limit: LimitPolicy | None = None
    throttle: ThrottlePolicy | None = None
    batch: BatchPolicy = BatchPolicy()
    timeout: float | None = None

    def __post_init__(self) -> None:
        self._seconds("timeout", is_open=True)
        for kind, name in _NAMES.items():
            part = self._value(name)
            is_off = part is None and name in {"hedge", "retry", "limit", "throttle"}
            self._require(name, is_off or isinstance(part, kind), f"must be a {kind.__name__}")

    @property
    def max_attempts(self) -> int:
        """Attempts of one call at most, the first included."""
        retries = self.retry.max_attempts - 1 if self.retry else 0
        if self.hedge is None:
            return 1 + retries
        return min(MOST_ATTEMPTS, 1 + retries + self.hedge.max_hedges)

    def __or__(self, other: _Part | Policy) -> Policy:
        """Return this policy with a part of another kind, or all of another's parts, in place."""
        if isinstance(other, Policy):
            default = Policy()
            changes = {
                field: getattr(other, field)
                for field in other.__struct_fields__
                if getattr(other, field) != getattr(default, field)
            }
            return self.replace(**changes)
        if isinstance(other, EjectionPolicy):
            return self.replace(choice=self.choice.replace(ejection=other))
        name = _NAMES.get(type(other))
        if name is None:
            return NotImplemented
        return self.replace(**{name: other})


_NAMES: Final[dict[type, str]] = {
    HedgePolicy: "hedge",
    RetryPolicy: "retry",
    BudgetPolicy: "budget",
    ChoicePolicy: "choice",
    LimitPolicy: "limit",
    ThrottlePolicy: "throttle",
    BatchPolicy: "batch",
}
