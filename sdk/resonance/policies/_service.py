# SPDX-License-Identifier: MIT
"""What is done for the calls of one service, decided without a clock, a thread or a socket.

A driver tells what happens (`open`, `due`, `reply`, `fail`, `cancelled`, `abandon`), with the
time, and does what it is told. One rule keeps the accounts right: the number of attempts in
flight changes where an attempt begins, and once more at that attempt's own end, whoever hears
of it; never when somebody merely stops to wait for it.

`open` and `finish` are for any number of threads, without a lock in the usual case: each step
they take is one that cannot be seen half done. Whoever calls anything else holds the `guard`.
"""

from __future__ import annotations

import random as random_module
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from math import inf
from typing import Any, Final

from resonance.errors import OverloadedError
from resonance.policies import _hedging, _retrying
from resonance.policies._backoff import Backoff
from resonance.policies._brake import Brake
from resonance.policies._budget import Budget
from resonance.policies._call import Attempt, Call, Extra, Step
from resonance.policies._cluster import Cluster
from resonance.policies._counts import Counts
from resonance.policies._failure import Failure
from resonance.policies._gate import Gate
from resonance.policies._outcome import Outcome
from resonance.policies._reasons import Reason
from resonance.policies._records import NO_HINT, Mode, Policy, TaskHint
from resonance.policies._replica import Replica
from resonance.policies._window import Window
from resonance.policies.choice import Picker

__all__ = ["Service"]

_REFRESH_SECONDS: Final = 0.1
"""*Chosen*: a quantile is computed anew this often; bursts of neighbours last about as long."""
_SWEEP_FACTOR: Final = 2.0
_SWEEP_SECONDS: Final = 60.0
"""When a cancelled attempt that does not end is given up: after twice the time of its call, or,
*chosen*, after a minute."""
_WATCHED_SECONDS: Final = 1.0
"""*Chosen*: whose pressure was known a second ago is asked for it again after half the delay."""
_WAIT: Final = Step("wait")
_RAISE: Final = Step("raise")
_MODE_REASONS: Final[dict[Mode, tuple[Reason, ...]]] = {
    "observe": (Reason.OBSERVED,),
    "advise": (Reason.ADVISED,),
    "active": (),
}


class Service:
    """One service under one policy: its replicas, its latencies and its budget.

    Parameters
    ----------
    policy : Policy
    name : str
        For errors and reports.
    mode : {"observe", "advise", "active"}
    random : random.Random, optional
        Where chance comes from.

    Attributes
    ----------
    counts : Counts
    window : Window
        What attempts took in the last seconds.
    cluster : Cluster
    has_timeout : bool
        Its policy sets one.
    hedge_delay : float
        Seconds after which a copy would be sent now; infinity: not known, or never.
    guard : context manager
        Entered by `open` and `finish` where they need more than one step; a driver with threads
        puts its lock here, and holds it for whatever else it calls.
    sense : callable or None
        Called with replicas and the time, to learn their pressure before it is asked for.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        name: str = "service",
        mode: Mode = "active",
        random: random_module.Random | None = None,
    ) -> None:
        chance = random or random_module.Random()  # noqa: S311 - chance, not secrets
        self.policy = policy
        self.name = name
        self.counts = Counts()
        self.window = Window()
        self._budget = Budget(policy.budget)
        self.cluster = Cluster(policy.choice, name, chance)
        self.backoff = Backoff(policy.retry, chance) if policy.retry else None
        self.brake = Brake() if policy.retry and policy.retry.brake else None
        self.gate = Gate(policy, chance) if policy.throttle or policy.limit else None
        self._copies_anything = policy.hedge is not None and not policy.hedge.idempotent_only
        self.has_timeout = policy.timeout is not None
        self.pushed_back_until = -inf
        self.hedge_delay = inf
        self.guard: AbstractContextManager[object] = nullcontext()
        self.sense: Callable[[Sequence[Replica], float], None] | None = None
        self._orphans: list[tuple[float, Attempt]] = []
        self._refresh_at = -inf
        self._lane_until = -inf
        self.set_mode(mode)

    def set_mode(self, mode: Mode, *, is_killed: bool = False) -> None:
        """Change what may be done from now on.

        Parameters
        ----------
        mode : {"observe", "advise", "active"}
        is_killed : bool
            It is the operator of this host who wants no more than that.
        """
        self.mode: Mode = mode
        self.is_active = mode == "active"
        self.cluster.set_random(is_random=not self.is_active)
        reasons = _MODE_REASONS[mode]
        self._mode_reasons = (Reason.KILLED, *reasons) if is_killed else reasons
        self._plan()

    def choose_by(self, picker: Picker) -> None:
        """Choose by something that no policy may name, so that it can be judged.

        Parameters
        ----------
        picker : Picker
        """
        self.cluster.choose_by(picker)
        self.set_mode(self.mode)  # has it look at its picker anew

    def stop(self) -> None:
        """Begin no more copies and retries, because the client is being closed."""
        self.is_active = False

    @property
    def budget(self) -> Budget:
        """What hedges and retries may still cost."""
        self._budget.earn(self.successes)
        return self._budget

    @property
    def inflight(self) -> int:
        """Attempts that have begun and not ended."""
        return self.cluster.inflight

    @property
    def cancelled_inflight(self) -> int:
        """Attempts nobody waits for, which have not ended."""
        return sum(attempt.is_open for _, attempt in self._orphans)

    @property
    def attempts(self) -> int:
        """Attempts begun, first ones included: how many more than calls is the extra load."""
        return self.cluster.inflight + self.cluster.answered + self.counts.ends

    @property
    def calls(self) -> int:
        """Calls begun."""
        return self.attempts - self.counts.hedges - self.counts.retries

    @property
    def successes(self) -> int:
        """Calls that ended with a result."""
        return self.cluster.answered - self.counts.late

    @property
    def calls_inflight(self) -> int:
        """Calls that have begun and not ended."""
        return self.calls - self.successes - self.counts.failures

    def refresh(self, now: float) -> None:
        """Learn from what happened since the last time; `open` sees to it by itself.

        Parameters
        ----------
        now : float
            On the client's clock in seconds.
        """
        self._refresh_at = now + _REFRESH_SECONDS
        if self.sense is not None:
            self.sense(self.cluster.candidates, now)
        self.cluster.refresh(self.window, now)
        self.window.refresh(now)
        if self.brake is not None:
            self.budget.scale(self.brake.refill(now))
        self._plan()
        if self._orphans:
            self._sweep(now)

    # ---- the life of a call --------------------------------------------------------------------

    def open(
        self,
        targets: Sequence[Hashable] | None,
        now: float,
        deadline: float = inf,
        key: Hashable = None,
        hint: TaskHint = NO_HINT,
    ) -> Call:
        """Begin a call; its first attempt is under way when this returns.

        Parameters
        ----------
        targets : sequence of hashable, or None
            Its replicas; ``None`` where the function knows where to go.
        now : float
            On the client's clock in seconds.
        deadline : float
            When the call is over, on the same clock.
        key : hashable
            What ``rendezvous`` chooses by.
        hint : TaskHint

        Returns
        -------
        Call
            It is its own first attempt.

        Raises
        ------
        NoReplicaError
            `targets` is empty.
        OverloadedError
            The policy refuses to send any more.
        """
        named, candidates, pairs = self.cluster.lane
        if now < self._lane_until and (targets is named or targets == named):
            first, second = next(pairs)
            replica, other = candidates[first], candidates[second]
            if len(other.open) < len(replica.open):
                replica = other
            delay, may_arm = self.hedge_delay, False
            if delay < inf:
                if replica.pressure is None and deadline == inf:  # as `_arm` would
                    is_safe = hint.idempotent or (self._copies_anything and hint.idempotent is None)
                    due_at = now + delay if is_safe else inf
                else:
                    due_at, may_arm = inf, True
                call = Call(replica, now, self, targets, hint, deadline, key, due_at, delay)
            else:
                call = Call(replica, now, self, targets, hint, deadline, key)
            replica.open.add(call)
            if may_arm:
                self._arm(call, now)
            return call
        with self.guard:
            return self._open_carefully(targets, now, deadline, key, hint)

    def _open_carefully(
        self,
        targets: Sequence[Hashable] | None,
        now: float,
        deadline: float,
        key: Hashable,
        hint: TaskHint,
    ) -> Call:
        """Begin a call where more is to be done than to compare two replicas."""
        if now >= self._refresh_at:
            self.refresh(now)
        if self.gate is not None:
            self._admit(now)
        cluster = self.cluster
        replica = cluster.first(targets, key, now)
        if cluster.candidates is not self._planned_for:
            self._plan()
        call = Call(replica, now, self, targets, hint, deadline, key)
        replica.open.add(call)
        if cluster.reason is not None:
            call.note(cluster.reason)
        if self.hedge_delay < inf:
            self._arm(call, now)
        return call

    def finish(self, call: Call, result: Any, now: float) -> Outcome[Any]:
        """Take the answer of a call that needed no more than its first attempt.

        The same as `reply` and `outcome`, for a driver that knows that nobody else has looked
        after the call.

        Parameters
        ----------
        call : Call
        result : object
        now : float
            On the client's clock in seconds.

        Returns
        -------
        Outcome
        """
        replica, delay = call.replica, call.hedge_delay
        elapsed = now - call.started_at
        if self._is_plain and elapsed <= delay and call.notes is None:
            replica.open.discard(call)
            replica.answers.append(elapsed)
            call.is_settled = True
            if replica.failures_in_a_row:
                replica.failures_in_a_row = 0
            shown, calm = None if delay == inf else delay, self._calm
            return Outcome(result, replica.target, elapsed, calm, 1, False, False, shown)
        with self.guard:
            self.reply(call, now)
            return self.outcome(call, result, now)

    def due(self, call: Call, now: float) -> Attempt | None:
        """Return a copy to launch, now that `call.due_at` has come, or ``None``.

        Parameters
        ----------
        call : Call
            Its `due_at` is set anew: when to ask again, or infinity.
        now : float
            On the client's clock in seconds.

        Returns
        -------
        Attempt or None
        """
        call.due_at = inf
        if call.is_settled or not call.awaited_attempts():
            return None
        if self.sense is not None:
            self.sense(self.cluster.candidates, now)
        decision = _hedging.decide(self, call, now)
        if decision.again_at < inf:
            call.due_at = decision.again_at
            return None
        for reason in decision.reasons:
            call.note(reason)
        if decision.replica is None:
            self.counts.refuse(decision.reasons[-1])
            return None
        if not self.is_active:
            call.would_hedge_at = now
            self.counts.would_hedge += 1
            return None
        if Reason.HEDGED_EARLY in decision.reasons:
            call.hedge_delay = now - call.started_at
        attempt = self._begin(call, decision.replica, now, is_hedge=True)
        self.counts.hedges += 1
        if call.hint.importance == "critical":
            call.due_at = now + call.hedge_delay
        return attempt

    def reply(self, attempt: Attempt, now: float) -> bool:
        """Take the success of an attempt; return whether it is the result of its call.

        Parameters
        ----------
        attempt : Attempt
        now : float
            On the client's clock in seconds.
        """
        replica = attempt.replica
        if attempt not in replica.open:
            return False
        elapsed = now - attempt.started_at
        if self.gate is not None:
            self.gate.learn(elapsed, self.calls_inflight, now, is_refused=False)
        replica.open.discard(attempt)
        replica.answers.append(elapsed)
        replica.failures_in_a_row = 0
        if self.cluster.learns:
            self.cluster.succeeded(replica, elapsed, now)
        call = attempt.call
        if call.is_settled:
            self.counts.late += 1
            return False
        call.is_settled = True
        call.winner = attempt
        if attempt.is_hedge:
            self.counts.hedges_won += 1
        if elapsed > call.hedge_delay or call.would_hedge_at < inf:
            self._judge(call, now)
        return True

    def fail(self, attempt: Attempt, now: float, failure: Failure) -> Step:
        """Take the failure of an attempt; return what to do about it.

        Parameters
        ----------
        attempt : Attempt
        now : float
            On the client's clock in seconds.
        failure : Failure

        Returns
        -------
        Step
            ``wait`` also where the call is settled already.
        """
        call = attempt.call
        if attempt.is_open:
            self._close(attempt)
            elapsed = now - attempt.started_at
            self.cluster.failed(attempt.replica, elapsed, now)
            if self.gate is not None and failure.kind != "unsent":
                is_refused = failure.kind == "retriable"
                self.gate.learn(elapsed, self.calls_inflight, now, is_refused=is_refused)
        if call.is_settled or call.is_retrying:
            return _WAIT
        if failure.pushback is not None or failure.stop:
            silence = self.policy.hedge.pushback_silence if self.policy.hedge else 0.0
            self.pushed_back_until = now + silence
        call.failed = (attempt, failure)
        if failure.kind != "fatal" and call.awaited_attempts():
            return _WAIT
        return self._after(call, failure, now)

    def _after(self, call: Call, failure: Failure, now: float) -> Step:
        """Decide what follows a failure, now that nothing else is waited for."""
        decision = _retrying.decide(self, call, failure, now)
        call.note(decision.reason)
        if decision.is_in_step:
            call.note(Reason.IN_STEP)
        if decision.delay is None:
            self.counts.refuse(decision.reason)
        elif self.is_active:
            call.is_retrying, call.last_delay = True, decision.delay
            if failure.pushback is not None:
                call.retries_at_pushback, call.last_delay = call.retries + 1, 0.0
            return Step("retry", decision.delay)
        else:
            self.counts.would_retry += 1
        self._give_up(call)
        return _RAISE

    def again(self, call: Call, now: float) -> Attempt:
        """Begin the retry that `fail` asked for, its delay being over.

        Parameters
        ----------
        call : Call
        now : float
            On the client's clock in seconds.

        Returns
        -------
        Attempt
        """
        cluster = self.cluster
        others = cluster.others(call) or cluster.named(call)
        attempt = self._begin(call, cluster.choose(others, call.key, now), now, is_hedge=False)
        call.retries += 1
        call.is_retrying, call.failed = False, None
        self.counts.retries += 1
        if self.brake is not None:
            self.brake.started(now)
        if self.hedge_delay < inf:
            self._arm(call, now)
        return attempt

    def cancelled(self, attempt: Attempt, now: float) -> Step:
        """Take the end of an attempt that was cancelled: it took at least this long.

        Parameters
        ----------
        attempt : Attempt
        now : float
            On the client's clock in seconds.

        Returns
        -------
        Step
            As of `fail`: where nothing else is waited for, what failed before it decides.
        """
        if attempt.is_open:
            self._close(attempt)
            self.counts.cancelled += 1
            self.window.censored(now - attempt.started_at)
        call = attempt.call
        if call.is_settled or call.is_retrying or call.awaited_attempts():
            return _WAIT
        if call.failed is not None:
            return self._after(call, call.failed[1], now)
        self._give_up(call)
        return _RAISE

    def abandon(self, call: Call, now: float, *, is_late: bool = False) -> list[Attempt]:
        """Give a call up, because its caller has gone or its time is over.

        Parameters
        ----------
        call : Call
        now : float
            On the client's clock in seconds.
        is_late : bool
            Its time is over.

        Returns
        -------
        list of Attempt
            To be cancelled; each still ends by itself.
        """
        if not call.is_settled:
            self._give_up(call)
            self.counts.deadlines += is_late
        return self.losers(call, now)

    def started(self, attempt: Attempt, now: float) -> list[Attempt]:
        """Take word that a server has begun with one of two tied attempts.

        Parameters
        ----------
        attempt : Attempt
        now : float
            On the client's clock in seconds.

        Returns
        -------
        list of Attempt
            To be cancelled, before they begin as well; what they cost is paid back.
        """
        hedge = self.policy.hedge
        if hedge is None or not hedge.tied or not attempt.is_open or attempt.is_cancelled:
            return []  # word of both may come: who was heard of first goes on
        twins = [each for each in attempt.call.awaited_attempts() if each is not attempt]
        for twin in twins:
            self._expect_end(twin, now)
            self.budget.pay_back()
        attempt.call.due_at = inf
        return twins

    def losers(self, call: Call, now: float) -> list[Attempt]:
        """Return the attempts nobody waits for any more, to be cancelled.

        Parameters
        ----------
        call : Call
            Settled.
        now : float
            On the client's clock in seconds.

        Returns
        -------
        list of Attempt
            Each still ends by itself. Empty where the policy lets the others run to their end.
        """
        hedge = self.policy.hedge
        if call.winner is not None and hedge is not None and not hedge.cancel_on_first:
            return []
        found = call.awaited_attempts()
        for attempt in found:
            self._expect_end(attempt, now)
        return found

    def outcome(self, call: Call, result: Any, now: float) -> Outcome[Any]:
        """Return a result with what was done to get it.

        Parameters
        ----------
        call : Call
        result : object
        now : float
            On the client's clock in seconds.

        Returns
        -------
        Outcome
        """
        elapsed = now - call.started_at
        delay = None if call.hedge_delay == inf else call.hedge_delay
        calm = self._calm
        if call.extras is None and call.notes is None:
            return Outcome(result, call.replica.target, elapsed, calm, 1, False, False, delay)
        is_fired = call.hedges > 0
        has_won = call.winner is not None and call.winner.is_hedge
        if is_fired:
            call.note(Reason.HEDGE_WON if has_won else Reason.HEDGE_LOST)
        notes = () if self.mode == "observe" else call.notes or ()
        answered_by = call.winner or (call.failed[0] if call.failed else call)
        target = answered_by.replica.target
        reasons = (*calm, *notes)
        return Outcome(result, target, elapsed, reasons, call.attempts, is_fired, has_won, delay)

    # ---- inside --------------------------------------------------------------------------------

    def _plan(self) -> None:
        """Work out what is the same for all calls until the next refresh."""
        hedge, why = self.policy.hedge, None
        if hedge is not None:
            ratio = self.policy.budget.ratio
            self.hedge_delay, why = _hedging.learned_delay(hedge, ratio, self.window)
        self._planned_for = candidates = self.cluster.candidates
        if candidates[0] is self.cluster.anonymous:
            chosen: tuple[Reason, ...] = ()
        else:
            chosen = (Reason.CHOSEN if len(candidates) > 1 else Reason.ONLY_REPLICA,)
        self._calm = (*chosen, *self._mode_reasons, *((why,) if why else ()))
        self._is_plain = self.gate is None and not self.cluster.learns
        self._lane_until = self._refresh_at if self._is_plain else -inf

    def _admit(self, now: float) -> None:
        assert self.gate is not None
        reason = self.gate.refusal(self.calls_inflight, now)
        if reason is None:
            return
        self.counts.refuse(reason)
        if self.is_active:
            raise OverloadedError(self.name, reason)

    def _arm(self, call: Call, now: float) -> None:
        """Set when a copy is due; nothing is due for what may not be copied.

        `open` does the same for the usual case.
        """
        hedge = self.policy.hedge
        assert hedge is not None
        delay = self.hedge_delay
        if hedge.delay is None and call.deadline < inf:
            delay = max(hedge.min_delay, min(delay, (call.deadline - now) / 3))
        call.hedge_delay = delay
        if not _hedging.may_copy(self.policy, call.hint):
            return
        is_first = call.extras is None
        is_known = call.replica.pressure_until >= now - _WATCHED_SECONDS
        is_watched = is_first and is_known and hedge.kernel_advance
        call.due_at = now + (delay / 2 if is_watched else delay)

    def _begin(self, call: Call, replica: Replica, now: float, *, is_hedge: bool) -> Extra:
        extra = Extra(replica, now, number=call.attempts + 1, is_hedge=is_hedge, of=call)
        if call.extras is None:
            call.extras = [extra]
        else:
            call.extras.append(extra)
        replica.open.add(extra)
        return extra

    def _close(self, attempt: Attempt) -> None:
        attempt.replica.open.discard(attempt)
        self.counts.ends += 1

    def _give_up(self, call: Call) -> None:
        call.is_settled = True
        self.counts.failures += 1

    def _judge(self, call: Call, now: float) -> None:
        """Count what became of a call that took long enough for a copy."""
        if call.would_hedge_at < inf:
            rest = now - call.would_hedge_at
            self.counts.would_win += 1.0 - self.window.fraction_above(rest)
        elif not _hedging.may_copy(self.policy, call.hint):
            call.note(Reason.NOT_IDEMPOTENT)
            self.counts.refuse(Reason.NOT_IDEMPOTENT)

    def _expect_end(self, attempt: Attempt, now: float) -> None:
        attempt.is_cancelled = True  # from now on, though its driver tells it a moment later
        lifetime = _SWEEP_FACTOR * (attempt.call.deadline - attempt.call.started_at)
        sweep_at = attempt.started_at + (lifetime if lifetime < inf else _SWEEP_SECONDS)
        self._orphans.append((max(sweep_at, now), attempt))

    def _sweep(self, now: float) -> None:
        """Give up attempts that were cancelled long ago and never ended."""
        waiting: list[tuple[float, Attempt]] = []
        for sweep_at, attempt in self._orphans:
            if not attempt.is_open:
                continue
            if now < sweep_at:
                waiting.append((sweep_at, attempt))
                continue
            self._close(attempt)
            self.counts.swept += 1
        self._orphans = waiting
