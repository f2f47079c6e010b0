# SPDX-License-Identifier: MIT
"""The client for programs with threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable, Sequence
from contextvars import copy_context
from functools import partial, wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Self, TypeVar

from resonance.client._base import AnyPolicy, ClientBase, relate
from resonance.client._batcher import Batcher
from resonance.client._current import OVERRIDE, reset_current, set_current
from resonance.client._flight import Flight, Plan
from resonance.client._flight_base import NOTHING, is_failure
from resonance.client._run import run_function
from resonance.client._submissions import Submissions
from resonance.client._tasks import Task
from resonance.client._wheel import Slot, ThreadWheel
from resonance.client._workers import Workers
from resonance.deadlines import absolute as ambient_deadline
from resonance.policies import (
    NO_HINT,
    BatchPolicy,
    Call,
    Classify,
    Mode,
    Outcome,
    Reason,
    Service,
    TaskHint,
)

if TYPE_CHECKING:
    from resonance.hints import Hints

__all__ = ["Client"]

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")
R = TypeVar("R")
_BYPASSED: Final = (Reason.BYPASSED,)


class Client(ClientBase):
    """Calls with fewer slow ones among them, for any number of threads; a context manager.

    Parameters
    ----------
    policy : Policy, part of a policy, or str
        What is done for a call unless it says otherwise; a name is that of a profile
        (``conservative``, ``balanced``, ``aggressive``) or of a file.
    mode : {"observe", "advise", "active"}
        Count what would be done; say it with each result as well; do it.
    hints : resonance.hints.Hints, optional
        What the daemon of this host knows; by default it is asked where it usually is. No call
        ever fails because it is away.
    name : str
        In reports.
    probe : callable, optional
        Asks a replica how busy it is: gets the target, returns the requests it has in flight
        and the seconds that one takes there. For the choice ``prequal``; called in workers.
    seed : int, optional
        Makes chance repeat itself, for tests.

    Examples
    --------
    >>> import resonance
    >>> with resonance.Client("balanced") as client:
    ...     outcome = client.call(["a", "b"], lambda target: f"hello from {target}")
    ...     outcome.result == f"hello from {outcome.target}"
    True
    """

    def __init__(
        self,
        policy: AnyPolicy | str | os.PathLike[str] = "balanced",
        *,
        mode: Mode = "active",
        hints: Hints | None = None,
        name: str = "client",
        probe: Callable[[Any], tuple[int, float]] | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(policy, mode=mode, hints=hints, name=name, seed=seed)
        self._probe = probe
        self._can_ask = probe is not None
        self._workers = Workers()
        self._submissions = Submissions(
            self._workers,
            clock=monotonic,
            own_pressure=self._own_pressure,
            next_valley=self._next_valley,
            policy=self.default.batch,
        )
        self._begin()

    def _begin(self) -> None:
        self._guard = self._lock = threading.Lock()
        self._wheel = ThreadWheel(self._on_time)

    # ---- verbs ---------------------------------------------------------------------------------

    def call(
        self,
        targets: Sequence[Hashable],
        fn: Callable[[Any], T],
        policy: AnyPolicy | None = None,
        *,
        hint: TaskHint = NO_HINT,
        timeout: float | None = None,
        service: str | None = None,
        key: Hashable = None,
        classify: Classify | None = None,
        inline: bool = False,
    ) -> Outcome[T]:
        """Call a function for one of several replicas, with everything its policy has.

        Parameters
        ----------
        targets : sequence of hashable
            The replicas; they may be others in each call.
        fn : callable
            Gets the replica that was chosen.
        policy : Policy or part of one, optional
            By default the client's; a part takes the place of that part of it.
        hint : TaskHint
            What is known about this call; only what is ``idempotent`` is copied.
        timeout : float, optional
            Seconds for the call, everything together.
        service : str, optional
            Under which name to learn; by default each function is a service of its own.
        key : hashable
            What ``rendezvous`` chooses by.
        classify : callable, optional
            Tells a failure from a success, given what was returned or raised.
        inline : bool
            Run the first attempt in this thread, which is cheaper. Then this thread can only
            leave a slow attempt whose function said how it is interrupted
            (`current_attempt`, `Attempt.on_cancel`).

        Returns
        -------
        Outcome

        Raises
        ------
        DeadlineExceededError
            The time is over.
        NoReplicaError, OverloadedError, ClientClosedError
            It was not sent.
        Exception
            What the last attempt raised.
        """
        try:  # as `_service` would, for what most calls are
            known = self._recent["call"][fn.__qualname__]
            is_known = known[1] is fn.__code__ and known[0] is policy and service is None
        except (AttributeError, KeyError):
            known, is_known = None, False
        if known is not None and is_known and OVERRIDE.get() is None:
            state = known[2]
        else:
            state = self._service("call", service, fn, policy)
        return self._run("call", state, targets, fn, hint, timeout, key, classify, inline)

    def hedge(
        self,
        fn: Callable[[], T],
        policy: AnyPolicy | None = None,
        *,
        hint: TaskHint = NO_HINT,
        timeout: float | None = None,
        service: str | None = None,
        classify: Classify | None = None,
        inline: bool = False,
    ) -> Outcome[T]:
        """Call a function, and a second time when the first takes long; the first answer wins.

        Parameters
        ----------
        fn : callable
            Knows by itself where to go; twice must be as good as once.
        policy : HedgePolicy or Policy, optional
        hint : TaskHint
        timeout : float, optional
            Seconds for the call.
        service : str, optional
        classify : callable, optional
        inline : bool
            As in `call`.

        Returns
        -------
        Outcome

        Examples
        --------
        >>> import time
        >>> from resonance import Client, HedgePolicy, TaskHint
        >>> pauses = iter([0.5, 0.0])
        >>> def read() -> str:
        ...     time.sleep(next(pauses))
        ...     return "page"
        >>> with Client() as client:
        ...     outcome = client.hedge(
        ...         read,
        ...         HedgePolicy(
        ...             delay=0.010,
        ...             max_inflight_pct=150,
        ...             cancel_on_first=True,
        ...             idempotent_only=True,
        ...         ),
        ...         hint=TaskHint(idempotent=True),
        ...     )
        >>> outcome.result, outcome.hedge_fired, outcome.hedge_delay
        ('page', True, 0.01)
        """
        state = self._service("hedge", service, fn, policy)
        return self._run("hedge", state, None, fn, hint, timeout, None, classify, inline)

    def retry(
        self,
        fn: Callable[[], T],
        policy: AnyPolicy | None = None,
        *,
        hint: TaskHint = NO_HINT,
        timeout: float | None = None,
        service: str | None = None,
        classify: Classify | None = None,
    ) -> Outcome[T]:
        """Call a function again when it fails, after jittered delays, within the budget.

        Parameters
        ----------
        fn : callable
        policy : RetryPolicy or Policy, optional
        hint : TaskHint
            What is said to be not ``idempotent`` is only repeated when it was never sent.
        timeout : float, optional
            Seconds for the call, delays included.
        service : str, optional
        classify : callable, optional

        Returns
        -------
        Outcome

        Examples
        --------
        >>> from resonance import Client, RetryPolicy
        >>> answers = iter([ConnectionResetError(), ConnectionResetError(), "done"])
        >>> def write() -> str:
        ...     answer = next(answers)
        ...     if isinstance(answer, Exception):
        ...         raise answer
        ...     return answer
        >>> policy = RetryPolicy(
        ...     strategy="full_jitter", base_delay=0.020, max_delay=20, max_attempts=5
        ... )
        >>> with Client() as client:
        ...     outcome = client.retry(write, policy)
        >>> outcome.result, outcome.attempts
        ('done', 3)
        """
        state = self._service("retry", service, fn, policy)
        return self._run("retry", state, None, fn, hint, timeout, None, classify, timeout is None)

    def submit(self, fn: Callable[[], T], hint: TaskHint = NO_HINT) -> Task[T]:
        """Run a function in a worker: at once, together with others, or a little later.

        Parameters
        ----------
        fn : callable
            Of no arguments.
        hint : TaskHint
            What may be done with it; without one it runs at once.

        Returns
        -------
        Task
            Of its result.

        Raises
        ------
        ClientClosedError

        Examples
        --------
        >>> from resonance import Client, TaskHint
        >>> hint = TaskHint(id="audit-7", importance="low", can_batch=True, max_batch_latency=0.015)
        >>> with Client() as client:
        ...     task = client.submit(lambda: "written", hint)
        ...     task.result(timeout=5.0), task.id, *task.reasons
        ('written', 'audit-7', <Reason.BATCH_LATENCY: 'batch_latency'>)
        """
        self._look_now()
        return self._submissions.submit(fn, hint, mode=self._allowed())

    def batcher(
        self, fn: Callable[[list[Item]], Sequence[R | Exception]], policy: BatchPolicy | None = None
    ) -> Batcher[Item, R]:
        """Return what gathers items, and calls a function with many of them at once.

        Parameters
        ----------
        fn : callable
            Takes a list of items, and returns one result for each, in the same order; a result
            that is an exception is raised to the one whose item it was.
        policy : BatchPolicy, optional
            When a batch goes; by default the client's.

        Returns
        -------
        Batcher

        Examples
        --------
        >>> from resonance import BatchPolicy, Client
        >>> def insert(rows: list[int]) -> list[str]:
        ...     return [f"row {row} of {len(rows)}" for row in rows]
        >>> with Client() as client, client.batcher(insert, BatchPolicy(max_size=2)) as batcher:
        ...     tasks = [batcher.submit(row) for row in (1, 2)]
        ...     [task.result(timeout=5.0) for task in tasks]
        ['row 1 of 2', 'row 2 of 2']
        """
        return Batcher(
            fn,
            policy or self.default.batch,
            workers=self._workers,
            clock=monotonic,
            own_pressure=self._own_pressure,
            next_valley=self._next_valley,
        )

    def now(self, fn: Callable[[], T]) -> Outcome[T]:
        """Call a function at once, without any policy.

        Parameters
        ----------
        fn : callable

        Returns
        -------
        Outcome
            Of one attempt.
        """
        started_at = monotonic()
        result = fn()
        return Outcome(result, None, monotonic() - started_at, _BYPASSED)

    # ---- decorators ----------------------------------------------------------------------------

    def hedged(
        self,
        policy: AnyPolicy | None = None,
        *,
        hint: TaskHint = NO_HINT,
        timeout: float | None = None,
        inline: bool = False,
    ) -> Callable[[Callable[P, T]], Callable[P, T]]:
        """Return a decorator that hedges each call of a function.

        Parameters
        ----------
        policy : HedgePolicy or Policy, optional
        hint : TaskHint
        timeout : float, optional
            Seconds for each call.
        inline : bool
            As in `call`.

        Returns
        -------
        callable
            What it decorates returns the result itself, without an `Outcome` around it.
        """

        def decorate(fn: Callable[P, T]) -> Callable[P, T]:
            @wraps(fn)
            def hedging(*args: P.args, **kwargs: P.kwargs) -> T:
                once = partial(fn, *args, **kwargs)
                return self.hedge(once, policy, hint=hint, timeout=timeout, inline=inline).result

            return hedging

        return decorate

    def retried(
        self,
        policy: AnyPolicy | None = None,
        *,
        hint: TaskHint = NO_HINT,
        timeout: float | None = None,
    ) -> Callable[[Callable[P, T]], Callable[P, T]]:
        """Return a decorator that repeats a function when it fails.

        Parameters
        ----------
        policy : RetryPolicy or Policy, optional
        hint : TaskHint
        timeout : float, optional
            Seconds for each call.

        Returns
        -------
        callable
            What it decorates returns the result itself, without an `Outcome` around it.
        """

        def decorate(fn: Callable[P, T]) -> Callable[P, T]:
            @wraps(fn)
            def retrying(*args: P.args, **kwargs: P.kwargs) -> T:
                once = partial(fn, *args, **kwargs)
                return self.retry(once, policy, hint=hint, timeout=timeout).result

            return retrying

        return decorate

    # ---- life ----------------------------------------------------------------------------------

    def close(self) -> None:
        """Begin no more calls; those under way go on, but get no other attempts.

        What was submitted and waits is run.
        """
        self._shut()
        self._submissions.close()
        self._wheel.close()
        self._workers.close()
        self._close_kernel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin_in_child(self) -> None:
        """Begin anew in a forked child: the parent's calls are not its own."""
        self._workers.begin_in_child()
        self._begin()
        self._forget_services()

    # ---- inside --------------------------------------------------------------------------------

    def _check(self, fn: Callable[..., object]) -> None:
        kinds = (iscoroutinefunction, isgeneratorfunction, isasyncgenfunction)
        if any(is_kind(fn) for is_kind in kinds):
            raise TypeError(
                f"{fn!r} does not run when it is called: pass a plain function, or make an "
                "AsyncClient for a coroutine function"
            )

    def _run(  # noqa: PLR0917 - by position, which is quicker
        self,
        verb: str,
        service: Service,
        targets: Sequence[Hashable] | None,
        fn: Callable[..., T],
        hint: TaskHint,
        timeout: float | None,
        key: Hashable,
        classify: Classify | None,
        inline: bool,
    ) -> Outcome[T]:
        """Run a call; what most calls need is all here, the rest is a `Flight`."""
        now = monotonic()
        if now >= self._look_at:
            self._look(now)
        if timeout is None and not service.has_timeout and ambient_deadline() is None:
            deadline = inf
        else:
            deadline = self._deadline(service, timeout, now)
        call = service.open(targets, now, deadline, key, hint)
        if service.cluster.asks:
            self._ask(service, now)
        slot = None
        if call.due_at < inf or deadline < inf:
            call.plan = Plan(verb, fn, classify, copy_context())
            if not inline:
                return self._fly(call)
            slot = self._wheel.put(min(call.due_at, deadline), call, now)
        try:
            if deadline < inf:
                result = run_function(call, fn)
            else:  # the same, for what most calls are
                token = set_current(call)
                try:
                    result = fn() if targets is None else fn(call.replica.target)
                finally:
                    reset_current(token)
            has_failed = classify is not None and is_failure(classify, result)
        except BaseException as error:  # noqa: BLE001 -- the flight hands it to the caller
            return self._land(verb, call, fn, classify, slot, NOTHING, error)
        if has_failed or (slot is not None and not slot.pop(call, False)):
            return self._land(verb, call, fn, classify, slot, result)
        outcome: Outcome[T] = service.finish(call, result, monotonic())
        return outcome

    def _fly(self, call: Call) -> Outcome[Any]:
        """Run a call in a worker, and wait for it."""
        return self._flight(call, None).fly()

    def _ask(self, service: Service, now: float) -> None:
        """Ask some replicas how busy they are, in workers."""
        with self._lock:
            targets = service.cluster.whom_to_ask(now)
        for target in targets:
            self._workers.submit(partial(self._ask_one, service, target))

    def _ask_one(self, service: Service, target: Hashable) -> None:
        assert self._probe is not None
        try:
            inflight, latency_seconds = self._probe(target)
        except Exception:  # noqa: BLE001 - whoever does not answer is not known, and is counted
            with self._lock:
                service.counts.probes_failed += 1
            return
        with self._lock:
            service.counts.probes += 1
            service.cluster.told(target, inflight, latency_seconds, monotonic())

    def _flight(self, call: Call, wheel: ThreadWheel | None) -> Flight[Any]:
        """Return what looks after a call, made when it is first needed."""
        if call.flight is not None:
            flight: Flight[Any] = call.flight
            return flight
        plan: Plan[Any] = call.plan
        plan.context.run(relate, call, plan.verb)
        call.flight = flight = Flight(call, plan, self._lock, self._workers, wheel)
        return flight

    def _land(  # noqa: PLR0917 - likewise
        self,
        verb: str,
        call: Call,
        fn: Callable[..., T],
        classify: Classify | None,
        slot: Slot | None,
        result: Any = NOTHING,
        error: BaseException | None = None,
    ) -> Outcome[T]:
        """Go on after a first attempt that ended in this thread, and may not be the end."""
        with self._lock:
            if call.plan is None:
                call.plan = Plan(verb, fn, classify, copy_context())
            flight: Flight[T] = self._flight(call, self._wheel)
        return flight.land(result, error, slot)

    def _on_time(self, call: Call, now: float) -> None:
        """Do what is due for a call whose own thread is busy with it."""
        with self._lock:
            if call.is_settled:
                return
            flight = self._flight(call, self._wheel)
        flight.on_time(now)
