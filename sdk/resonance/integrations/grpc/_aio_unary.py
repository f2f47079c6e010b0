# SPDX-License-Identifier: MIT
"""How is one unary call made in an event loop, hedged and repeated?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from functools import partial
from time import monotonic
from typing import Any

import grpc
import grpc.aio
import msgspec

from resonance import AsyncClient, current_attempt
from resonance.integrations.grpc._errors import as_rpc_errors, check_timeout
from resonance.integrations.grpc._passing import nearest
from resonance.integrations.grpc._round import Method, Round, is_tied
from resonance.policies import Attempt, Outcome

__all__ = ["AioHedgedCall", "AioHedgedUnaryUnary"]


class AioHedgedCall(grpc.aio.UnaryUnaryCall[Any, Any]):
    """A call under way, made of one or more attempts; to be awaited for its reply.

    What it tells besides is of the attempt that brought the reply, or of the last one.

    Parameters
    ----------
    task : asyncio.Task
        Returns an outcome, whose result is a reply and an attempt of gRPC's.
    timeout : float or None
        Seconds for it, from now.
    """

    def __init__(self, task: asyncio.Task[Outcome[Any]], timeout: float | None) -> None:
        self._task = task
        self._ends_at = None if timeout is None else monotonic() + timeout

    def __await__(self) -> Generator[Any, None, Any]:
        outcome = yield from self._task.__await__()
        return outcome.result[0]

    async def outcome(self) -> Outcome[Any]:
        """Return the reply with what was done to get it."""
        outcome = await self._task
        return msgspec.structs.replace(outcome, result=outcome.result[0])

    def cancel(self) -> bool:
        """Cancel all attempts; tell whether that was still possible."""
        return self._task.cancel()

    def cancelled(self) -> bool:
        """Tell whether it was cancelled."""
        return self._task.cancelled()

    def done(self) -> bool:
        """Tell whether it is over."""
        return self._task.done()

    def time_remaining(self) -> float | None:
        """Return the seconds left of its time-out; ``None``: it has none."""
        return None if self._ends_at is None else max(0.0, self._ends_at - monotonic())

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Have a function called with this call when it is over.

        Parameters
        ----------
        callback : callable
        """
        self._task.add_done_callback(lambda _: callback(self))

    async def initial_metadata(self) -> Any:
        """Return what the server sent first, once the call is over."""
        return await self._asked("initial_metadata")

    async def trailing_metadata(self) -> Any:
        """Return what the server sent last."""
        return await self._asked("trailing_metadata")

    async def code(self) -> Any:
        """Return the status the call ended with."""
        return await self._asked("code")

    async def details(self) -> Any:
        """Return the status in words."""
        return await self._asked("details")

    async def wait_for_connection(self) -> None:
        """Wait until the call is over: no one connection is its own.

        Raises
        ------
        grpc.aio.AioRpcError
            It has failed.
        """
        await self._task

    async def _asked(self, what: str) -> Any:
        try:
            outcome = await self._task
        except grpc.aio.AioRpcError as error:
            return getattr(error, what)()
        return await getattr(outcome.result[1], what)()


class AioHedgedUnaryUnary:
    """A unary method of several replicas, as gRPC's stubs call it.

    Parameters
    ----------
    client : AsyncClient
    method : Method
    """

    def __init__(self, client: AsyncClient, method: Method) -> None:
        self._client = client
        self._method = method

    def __call__(
        self, request: Any, *, timeout: float | None = None, metadata: Any = None, **how: Any
    ) -> AioHedgedCall:
        """Begin a call.

        Parameters
        ----------
        request, timeout, metadata, **how
            As gRPC has them.
        """
        task = asyncio.ensure_future(self._call(request, timeout, metadata, how))
        return AioHedgedCall(task, timeout)

    async def _call(
        self, request: Any, seconds: float | None, metadata: Any, how: dict[str, Any]
    ) -> Outcome[Any]:
        check_timeout(seconds)
        method = self._method
        calls = Round(metadata, method)
        with as_rpc_errors():
            return await self._client.call(
                method.targets,
                partial(self._attempt, calls, request, how),
                method.policy,
                hint=method.hint,
                timeout=seconds,
                service=method.service,
                classify=calls.classify,
            )

    async def _attempt(self, calls: Round, request: Any, how: dict[str, Any], target: str) -> Any:
        """Make one attempt, in whichever task; return the reply and its call."""
        attempt = current_attempt()
        assert attempt is not None
        how = {**how, "timeout": nearest(None), "metadata": calls.metadata(attempt)}
        try:
            if is_tied(attempt):
                reply, call = await self._tied(calls, attempt, request, how)
            else:
                # A task that is cancelled here cancels what it awaits.
                call = self._method.unary[target](request, **how)
                reply = await call
        except Exception as error:
            calls.failed(attempt, error)
            raise
        calls.replied(attempt, await call.trailing_metadata())
        return reply, call

    async def _tied(
        self, calls: Round, attempt: Attempt, request: Any, how: dict[str, Any]
    ) -> tuple[Any, Any]:
        call = self._method.stream[attempt.target](request, **how)
        # The first attempt is in the task of the caller, which must not be cancelled for it.
        attempt.on_cancel(call.cancel)
        calls.began(attempt, await call.initial_metadata())
        (reply,) = [message async for message in call]
        return reply, call
