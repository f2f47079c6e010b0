# SPDX-License-Identifier: MIT
"""The client for programs with asyncio; the same names as for threads, awaited."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from contextvars import copy_context
from functools import partial, wraps
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Self, TypeVar

from resonance.client._aio_batcher import AsyncBatcher
from resonance.client._aio_flight import AsyncFlight, AsyncPlan, closing_of, current_task
from resonance.client._aio_submissions import AsyncSubmissions
from resonance.client._aio_tasks import AsyncTask
from resonance.client._base import AnyPolicy, ClientBase, relate
from resonance.client._current import OVERRIDE, reset_current, set_current
from resonance.client._flight_base import NOTHING, is_failure
from resonance.client._run import run_coroutine
from resonance.client._wheel import LoopWheel, Slot
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

__all__ = ["AsyncClient"]

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")
R = TypeVar("R")
_BYPASSED: Final = (Reason.BYPASSED,)


class AsyncClient(ClientBase):
    """Calls with fewer slow ones among them, for asyncio; an asynchronous context manager.

    It works in one event loop at a time, that of its calls. The parameters are those of
    `resonance.Client`.

    Parameters
    ----------
    policy : Policy, part of a policy, or str
    mode : {"observe", "advise", "active"}
    hints : resonance.hints.Hints, optional
    name : str
    probe : callable, optional
        A coroutine function.
    seed : int, optional

    Examples
    --------
    >>> import asyncio, resonance
    >>> async def hello(target: str) -> str:
    ...     return f"hello from {target}"
    >>> async def main() -> bool:
    ...     async with resonance.AsyncClient("balanced") as client:
    ...         outcome = await client.call(["a", "b"], hello)
    ...         return outcome.result == f"hello from {outcome.target}"
    >>> asyncio.run(main())
    True
    """

    def __init__(
        self,
        policy: AnyPolicy | str | os.PathLike[str] = "balanced",
        *,
        mode: Mode = "active",
        hints: Hints | None = None,
        name: str = "client",
        probe: Callable[[Any], Awaitable[tuple[int, float]]] | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(policy, mode=mode, hints=hints, name=name, seed=seed)
        self._probe = probe
        self._can_ask = probe is not None
        self._wheel: LoopWheel | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._submissions = AsyncSubmissions(
            clock=monotonic,
            own_pressure=self._own_pressure,
            next_valley=self._next_valley,
            policy=self.default.batch,
        )

    # ---- verbs ---------------------------------------------------------------------------------

    def call(
        self,
        targets: Sequence[Hashable],
        fn: Callable[[Any], Awaitable[T]],
        policy: AnyPolicy | None = None,
        *,
        hint: TaskHint = NO_HINT,
        timeout: float | None = None,
        service: str | None = None,
        key: Hashable = None,
        classify: Classify | None = None,
    ) -> Coroutine[Any, Any, Outcome[T]]:
        """Call a function for one of several replicas, with everything its policy has.

        Parameters
        ----------
        targets : sequence of hashable
            The replicas; they may be others in each call.
        fn : callable
            A coroutine function; gets the replica that was chosen.
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
        return self._run("call", state, targets, fn, hint, timeout, key, classify)

    def hedge(
        self,
        fn: Callable[[], Awaitable[T]],
        policy: AnyPolicy | None = None,
        *,
        hint: TaskHint = NO_HINT,
        timeout: float | None = None,
        service: str | None = None,
        classify: Classify | None = None,
    ) -> Coroutine[Any, Any, Outcome[T]]:
        """Call a function, and a second time when the first takes long; the first answer wins.

        Parameters
        ----------
        fn : callable
            A coroutine function that knows where to go; twice must be as good as once.
        policy : HedgePolicy or Policy, optional
        hint : TaskHint
        timeout : float, optional
            Seconds for the call.
        service : str, optional
        classify : callable, optional

        Returns
        -------
        Outcome

        Examples
        --------
        >>> import asyncio
        >>> from resonance import AsyncClient, HedgePolicy, TaskHint
        >>> pauses = iter([60.0, 0.0])
        >>> async def read() -> str:
        ...     await asyncio.sleep(next(pauses))
        ...     return "page"
        >>> async def main():
        ...     async with AsyncClient() as client:
        ...         return await client.hedge(
        ...             read,
        ...             HedgePolicy(
        ...                 delay=0.010,
        ...                 max_inflight_pct=150,
        ...                 cancel_on_first=True,
        ...                 idempotent_only=True,
        ...             ),
        ...             hint=TaskHint(idempotent=True),
        ...         )
        >>> outcome = asyncio.run(main())
        >>> outcome.result, outcome.hedge_fired, outcome.hedge_delay
        ('page', True, 0.01)
        """
        state = self._service("hedge", service, fn, policy)
        return self._run("hedge", state, None, fn, hint, timeout, None, classify)

    def retry(
        self,
        fn: Callable[[], Awaitable[T]],
        policy: AnyPolicy | None = None,
        *,
        hint: TaskHint = NO_HINT,
        timeout: float | None = None,
        service: str | None = None,
        classify: Classify | None = None,
    ) -> Coroutine[Any, Any, Outcome[T]]:
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
        >>> import asyncio
        >>> from resonance import AsyncClient, RetryPolicy
        >>> answers = iter([ConnectionResetError(), ConnectionResetError(), "done"])
        >>> async def write() -> str:
        ...     answer = next(answers)
        ...     if isinstance(answer, Exception):
        ...         raise answer
        ...     return answer
        >>> policy = RetryPolicy(
        ...     strategy="full_jitter", base_delay=0.020, max_delay=20, max_attempts=5
        ... )
        >>> async def main():
        ...     async with AsyncClient() as client:
        ...         return await client.retry(write, policy)
        >>> outcome = asyncio.run(main())
        >>> outcome.result, outcome.attempts
        ('done', 3)
        """
        state = self._service("retry", service, fn, policy)
        return self._run("retry", state, None, fn, hint, timeout, None, classify)

    def submit(self, fn: Callable[[], Awaitable[T]], hint: TaskHint = NO_HINT) -> AsyncTask[T]:
        """Run a coroutine function: at once, together with others, or a little later.

        Parameters
        ----------
        fn : callable
            A coroutine function of no arguments.
        hint : TaskHint
            What may be done with it; without one it runs at once.

        Returns
        -------
        AsyncTask
            To be awaited.

        Raises
        ------
        ClientClosedError

        Examples
        --------
        >>> import asyncio
        >>> from resonance import AsyncClient, TaskHint
        >>> hint = TaskHint(id="audit-7", importance="low", can_batch=True, max_batch_latency=0.015)
        >>> async def write() -> str:
        ...     return "written"
        >>> async def main():
        ...     async with AsyncClient() as client:
        ...         task = client.submit(write, hint)
        ...         return await task, task.id, *task.reasons
        >>> asyncio.run(main())
        ('written', 'audit-7', <Reason.BATCH_LATENCY: 'batch_latency'>)
        """
        self._look_now()
        return self._submissions.submit(fn, hint, mode=self._allowed())

    def batcher(
        self,
        fn: Callable[[list[Item]], Awaitable[Sequence[R | Exception]]],
        policy: BatchPolicy | None = None,
    ) -> AsyncBatcher[Item, R]:
        """Return what gathers items, and awaits a function of many of them at once.

        Parameters
        ----------
        fn : callable
            A coroutine function that takes a list of items, and returns one result for each, in
            the same order; a result that is an exception is raised to the one whose item it was.
        policy : BatchPolicy, optional
            When a batch goes; by default the client's.

        Returns
        -------
        AsyncBatcher
        """
        return AsyncBatcher(
            fn,
            policy or self.default.batch,
            clock=monotonic,
            own_pressure=self._own_pressure,
            next_valley=self._next_valley,
        )

    async def now(self, fn: Callable[[], Awaitable[T]]) -> Outcome[T]:
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
        result = await fn()
        return Outcome(result, None, monotonic() - started_at, _BYPASSED)

    # ---- decorators ----------------------------------------------------------------------------

    def hedged(
        self,
        policy: AnyPolicy | None = None,
        *,
        hint: TaskHint = NO_HINT,
        timeout: float | None = None,
    ) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[Any, Any, T]]]:
        """Return a decorator that hedges each call of a coroutine function.

        Parameters
        ----------
        policy : HedgePolicy or Policy, optional
        hint : TaskHint
        timeout : float, optional
            Seconds for each call.

        Returns
        -------
        callable
            What it decorates returns the result itself, without an `Outcome` around it.
        """

        def decorate(fn: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
            @wraps(fn)
            async def hedging(*args: P.args, **kwargs: P.kwargs) -> T:
                once = partial(fn, *args, **kwargs)
                return (await self.hedge(once, policy, hint=hint, timeout=timeout)).result

            return hedging

        return decorate

    def retried(
        self,
        policy: AnyPolicy | None = None,
        *,
        hint: TaskHint = NO_HINT,
        timeout: float | None = None,
    ) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[Any, Any, T]]]:
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

        def decorate(fn: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
            @wraps(fn)
            async def retrying(*args: P.args, **kwargs: P.kwargs) -> T:
                once = partial(fn, *args, **kwargs)
                return (await self.retry(once, policy, hint=hint, timeout=timeout)).result

            return retrying

        return decorate

    # ---- life ----------------------------------------------------------------------------------

    async def close(self) -> None:
        """Begin no more calls; copies under way are cancelled, and waited for.

        What was submitted and waits is run, and waited for.
        """
        self._shut()
        await self._submissions.close()
        loop = asyncio.get_running_loop()  # what another one has left behind is not run any more
        tasks = [task for task in self._tasks if not task.done() and task.get_loop() is loop]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._wheel is not None:
            self._wheel.close()
        self._close_kernel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def begin_in_child(self) -> None:
        """Begin anew in a forked child: the parent's loop and calls are not its own."""
        self._wheel = None
        self._tasks = set()
        self._forget_services()

    # ---- inside --------------------------------------------------------------------------------

    async def _run(  # noqa: PLR0917 - by position, which is quicker
        self,
        verb: str,
        service: Service,
        targets: Sequence[Hashable] | None,
        fn: Callable[..., Awaitable[T]],
        hint: TaskHint,
        timeout: float | None,  # noqa: ASYNC109 - of the call, which is more than one await
        key: Hashable,
        classify: Classify | None,
    ) -> Outcome[T]:
        """Run a call; what most calls need is all here, the rest is an `AsyncFlight`."""
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
            task = current_task()
            wheel = self._wheel
            if wheel is None or wheel.loop is not task.get_loop():
                wheel = self._wheel_here()
            call.plan = AsyncPlan(verb, fn, classify, copy_context(), task, task.cancelling())
            slot = wheel.put(min(call.due_at, deadline), call, now)
        try:
            if deadline < inf:
                result = await run_coroutine(call, fn)
            else:  # the same, for what most calls are
                token = set_current(call)
                try:
                    result = await (fn() if targets is None else fn(call.replica.target))
                finally:
                    try:  # noqa: SIM105 -- on the path of every call
                        reset_current(token)
                    except ValueError:  # thrown away with its loop, and not in its own context
                        pass
            has_failed = classify is not None and is_failure(classify, result)
        except BaseException as error:  # noqa: BLE001 -- the flight hands it to the caller
            return await self._land(verb, call, fn, classify, slot, NOTHING, error)
        if has_failed or (slot is not None and not slot.pop(call, False)):
            return await self._land(verb, call, fn, classify, slot, result)
        outcome: Outcome[T] = service.finish(call, result, monotonic())
        return outcome

    def _ask(self, service: Service, now: float) -> None:
        """Ask some replicas how busy they are, in tasks of their own."""
        for target in service.cluster.whom_to_ask(now):
            task = asyncio.get_running_loop().create_task(self._ask_one(service, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ask_one(self, service: Service, target: Hashable) -> None:
        assert self._probe is not None
        try:
            inflight, latency_seconds = await self._probe(target)
        except Exception:  # noqa: BLE001 - whoever does not answer is not known, and is counted
            service.counts.probes_failed += 1
            return
        service.counts.probes += 1
        service.cluster.told(target, inflight, latency_seconds, monotonic())

    def _flight(self, call: Call) -> AsyncFlight[Any]:
        """Return what looks after a call, made when it is first needed."""
        if call.flight is not None:
            flight: AsyncFlight[Any] = call.flight
            return flight
        plan: AsyncPlan[Any] = call.plan
        plan.context.run(relate, call, plan.verb)
        call.flight = flight = AsyncFlight(call, plan, self._wheel_here(), self._tasks)
        return flight

    async def _land(  # noqa: PLR0917 - likewise
        self,
        verb: str,
        call: Call,
        fn: Callable[..., Awaitable[T]],
        classify: Classify | None,
        slot: Slot | None,
        result: Any = NOTHING,
        error: BaseException | None = None,
    ) -> Outcome[T]:
        """Go on after a first attempt that ended in this task, and may not be the end."""
        closing = closing_of(error)
        if closing is not None and call.flight is None:
            if slot is not None:
                slot.pop(call, None)
            call.service.cancelled(call, monotonic())
            raise closing
        if call.plan is None:
            task = current_task()
            call.plan = AsyncPlan(verb, fn, classify, copy_context(), task, task.cancelling())
        flight: AsyncFlight[T] = self._flight(call)
        return await flight.land(result, error, slot)

    def _on_time(self, call: Call, now: float) -> None:
        if not call.is_settled:
            self._flight(call).on_time(now)

    def _wheel_here(self) -> LoopWheel:
        """Return the wheel of the running loop."""
        loop = asyncio.get_running_loop()
        wheel = self._wheel
        if wheel is None or wheel.loop is not loop:
            self._wheel = wheel = LoopWheel(loop, self._on_time)
            self._tasks = set()
        return wheel
