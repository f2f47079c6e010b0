# SPDX-License-Identifier: MIT
"""What each attempt of a call does, told once for threads and for asyncio.

Nothing here is decided by time: an attempt waits for another one to begin or to end, or for
its own cancellation, and patience only bounds how long a broken test hangs.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Protocol

from resonance import AsyncClient, Client, current_attempt
from resonance.client import ServiceReport
from resonance.policies import Attempt, Outcome

PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = 0.0005

Condition = Callable[["Script"], bool]


class Act:
    """Something an attempt does: waits until something is so, and then ends in some way."""

    def __init__(
        self,
        end: Callable[[], object],
        until: Condition = lambda _: True,
        *,
        before: Callable[[], object] = lambda: None,
        ignores_cancellation: bool = False,
    ) -> None:
        self.end = end
        self.until = until
        self.before = before
        self.ignores_cancellation = ignores_cancellation


def begun(count: int) -> Condition:
    """So many attempts have begun."""
    return lambda script: len(script.attempts) >= count


def ended(number: int) -> Condition:
    """Attempt so-and-so has ended, in the eyes of its service."""
    return lambda script: any(
        each.number == number and not each.is_open for each in script.attempts
    )


def returns(value: object, until: Condition = lambda _: True, **more: Any) -> Act:
    return Act(lambda: value, until, **more)


def raises(error: BaseException, until: Condition = lambda _: True, **more: Any) -> Act:
    def fail() -> object:
        raise error

    return Act(fail, until, **more)


def hangs(**more: Any) -> Act:
    """It never ends by itself."""
    return Act(lambda: None, lambda _: False, **more)


class LeftError(Exception):
    """What a blocked function raises when its socket is closed."""


class Script:
    """A function that does something else in each attempt of a call; in one too many, it hangs.

    Attributes
    ----------
    attempts : list of Attempt
        That have begun.
    left : list of int
        The numbers of those that were cancelled, in order.
    """

    def __init__(self, *acts: Act) -> None:
        self._acts = acts
        self.attempts: list[Attempt] = []
        self.left: list[int] = []

    @property
    def targets(self) -> list[str]:
        """Where attempts were sent, by their number."""
        return [each.target for each in sorted(self.attempts, key=lambda each: each.number)]

    def _begin(self, target: tuple[object, ...]) -> tuple[Act, Attempt]:
        attempt = current_attempt()
        assert attempt is not None
        assert target in {(), (attempt.target,)}
        self.attempts.append(attempt)
        is_known = attempt.number <= len(self._acts)
        return self._acts[attempt.number - 1] if is_known else hangs(), attempt

    def in_thread(self, *target: object) -> object:
        act, attempt = self._begin(target)
        is_left = threading.Event()
        if not act.ignores_cancellation:
            attempt.on_cancel(is_left.set)
        act.before()
        gives_up_at = time.monotonic() + PATIENCE_SECONDS
        while not act.until(self):
            if is_left.wait(PAUSE_SECONDS):
                self.left.append(attempt.number)
                raise LeftError
            assert time.monotonic() < gives_up_at, "nothing came to pass"
        return act.end()

    async def in_task(self, *target: object) -> object:
        act, attempt = self._begin(target)
        act.before()
        gives_up_at = time.monotonic() + PATIENCE_SECONDS
        while not act.until(self):
            try:
                await asyncio.sleep(PAUSE_SECONDS)
            except asyncio.CancelledError:
                self.left.append(attempt.number)
                if not act.ignores_cancellation:
                    raise
            assert time.monotonic() < gives_up_at, "nothing came to pass"
        end = act.end()
        return await end if asyncio.iscoroutine(end) else end


class Driver(Protocol):
    """A client of some kind, whose calls are waited for."""

    client: Any
    is_inline: bool

    def call(self, targets: Any, script: Script, policy: Any = None, **how: Any) -> Outcome[Any]:
        """`Client.call`."""
        ...

    def hedge(self, script: Script, policy: Any = None, **how: Any) -> Outcome[Any]:
        """`Client.hedge`."""
        ...

    def retry(self, script: Script, policy: Any = None, **how: Any) -> Outcome[Any]:
        """`Client.retry`."""
        ...

    def nested(self, verb: str, script: Script, policy: Any) -> Act:
        """Return an act that makes a call itself."""
        ...

    def plain(self, value: object) -> Any:
        """Return a function of the kind this client takes."""
        ...

    def run(self, made: Any) -> Any:
        """Wait for what a decorated function returns."""
        ...

    def at_rest(self) -> ServiceReport:
        """Return the report of the one service, once nothing is in flight any more."""
        ...

    def close(self) -> None:
        """Close the client."""
        ...


class InThreads:
    """A `Client`; ``inline`` or with workers."""

    def __init__(self, client: Client, *, inline: bool) -> None:
        self.client = client
        self.is_inline = inline

    def call(self, targets: Any, script: Script, policy: Any = None, **how: Any) -> Outcome[Any]:
        return self.client.call(targets, script.in_thread, policy, inline=self.is_inline, **how)

    def hedge(self, script: Script, policy: Any = None, **how: Any) -> Outcome[Any]:
        return self.client.hedge(script.in_thread, policy, inline=self.is_inline, **how)

    def retry(self, script: Script, policy: Any = None, **how: Any) -> Outcome[Any]:
        return self.client.retry(script.in_thread, policy, **how)

    def nested(self, verb: str, script: Script, policy: Any) -> Act:
        return Act(lambda: getattr(self, verb)(script, policy).result)

    def plain(self, value: object) -> Any:
        def function(*_: object) -> object:
            return value

        return function

    def run(self, made: Any) -> Any:
        return made

    def at_rest(self) -> ServiceReport:
        return at_rest(self.client)

    def close(self) -> None:
        self.client.close()


class InTasks:
    """An `AsyncClient`, in a loop that runs while something is called."""

    is_inline = True

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self._runner = asyncio.Runner()

    def call(self, targets: Any, script: Script, policy: Any = None, **how: Any) -> Outcome[Any]:
        return self.run(self.client.call(targets, script.in_task, policy, **how))

    def hedge(self, script: Script, policy: Any = None, **how: Any) -> Outcome[Any]:
        return self.run(self.client.hedge(script.in_task, policy, **how))

    def retry(self, script: Script, policy: Any = None, **how: Any) -> Outcome[Any]:
        return self.run(self.client.retry(script.in_task, policy, **how))

    def nested(self, verb: str, script: Script, policy: Any) -> Act:
        async def call() -> object:
            return (await getattr(self.client, verb)(script.in_task, policy)).result

        return Act(call)

    def plain(self, value: object) -> Any:
        async def function(*_: object) -> object:
            await asyncio.sleep(0)
            return value

        return function

    def run(self, made: Any) -> Any:
        return self._runner.run(made)

    def at_rest(self) -> ServiceReport:
        async def rest() -> ServiceReport:
            while True:
                (report,) = self.client.report()
                if not report.inflight:
                    return report
                await asyncio.sleep(PAUSE_SECONDS)

        return self.run(asyncio.wait_for(rest(), PATIENCE_SECONDS))

    def close(self) -> None:
        self.run(self.client.close())
        self._runner.close()


def at_rest(client: Client) -> ServiceReport:
    """Return the report of the one service, once nothing is in flight any more."""
    gives_up_at = time.monotonic() + PATIENCE_SECONDS
    while True:
        (report,) = client.report()
        if not report.inflight:
            return report
        assert time.monotonic() < gives_up_at, report
        time.sleep(PAUSE_SECONDS)


@contextmanager
def driver(kind: str, *arguments: Any, **how: Any) -> Generator[Driver]:
    """Make a client of a kind: ``worker``, ``inline`` or ``asyncio``."""
    made: Driver
    if kind == "asyncio":
        made = InTasks(AsyncClient(*arguments, **how))
    else:
        made = InThreads(Client(*arguments, **how), inline=kind == "inline")
    try:
        yield made
    finally:
        made.close()


class FakeHints:
    """A daemon that has said how far policies may go, and nothing else."""

    socket = "/nonexistent/resonance.sock"

    def __init__(self, ceiling: Any = None) -> None:
        self.ceiling = ceiling

    def policy_ceiling(self) -> Any:
        return self.ceiling

    def reading(self, _: object = None) -> None:
        return None

    def close(self) -> None:
        pass
