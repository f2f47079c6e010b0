# SPDX-License-Identifier: MIT
"""How does a gRPC server in an event loop protect its tail? An interceptor for all its methods."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from math import inf
from time import monotonic
from typing import Any, Final, Never, TypeAlias

import grpc
import grpc.aio

from resonance.deadlines import inbound
from resonance.hints import Hints
from resonance.policies._records import Importance
from resonance.server._admission import Ending
from resonance.server._aio import AsyncGate
from resonance.server._gate import GateReport
from resonance.server._grpc_metadata import STARTED
from resonance.server._grpc_request import Request, TrailerMaker, remaining_of
from resonance.server._grpc_serving import Behaviour, Handler, Serving, behaviour_of
from resonance.server._line import Ticket
from resonance.server._policy import AdmissionPolicy
from resonance.server._refusals import Refusal
from resonance.server._reporter import LoadReporter

__all__ = ["AioInterceptor"]

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_END: Final = object()


class AioInterceptor(grpc.aio.ServerInterceptor):
    """Has requests wait in order of importance, and refuses early what would be late anyway.

    As `Interceptor`, for ``grpc.aio.server``; there is no pool to be sized. Handlers that are
    plain functions, which gRPC runs in threads, are guarded as well.

    Parameters
    ----------
    policy, importance, load_reports, cpus, hints
        As in `Interceptor`.

    Examples
    --------
    >>> import grpc.aio
    >>> from resonance.server import AdmissionPolicy
    >>> from resonance.server.grpc import AioInterceptor
    >>> interceptor = AioInterceptor(AdmissionPolicy(limit=64))
    >>> async def serve():
    ...     server = grpc.aio.server(interceptors=[interceptor])
    ...     await server.start()
    """

    def __init__(
        self,
        policy: AdmissionPolicy | None = None,
        *,
        importance: Callable[[grpc.HandlerCallDetails], Importance] | None = None,
        load_reports: bool = True,
        cpus: float | None = None,
        hints: Hints | None = None,
    ) -> None:
        self._gate = AsyncGate(policy)
        self._importance = importance
        reporter = (
            LoadReporter(self._gate.admission, cpus=cpus, hints=hints) if load_reports else None
        )
        self._trailers = TrailerMaker(reporter, self._gate.retry_after_seconds)
        self._serving = Serving(self._trailers)

    def report(self) -> GateReport:
        """Return the state of the server's door, and what it decided so far."""
        return self._gate.report()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """See `grpc.aio.ServerInterceptor`.

        Parameters
        ----------
        continuation : callable
            Finds the handler.
        handler_call_details : grpc.HandlerCallDetails

        Returns
        -------
        grpc.RpcMethodHandler or None
            One that guards the handler; ``None`` where there is no handler.
        """
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        request = Request.of(handler_call_details, self._importance)
        make, behaviour = behaviour_of(handler)
        is_unary = not handler.request_streaming and not handler.response_streaming
        is_guarded = is_unary and not request.is_exempt
        wrapped = self._wrapped(behaviour, request, handler.response_streaming, is_guarded)
        return make(wrapped, handler.request_deserializer, handler.response_serializer)

    def _wrapped(
        self, behaviour: Behaviour, request: Request, is_stream: bool, is_guarded: bool
    ) -> Behaviour:
        """Return a function of the same kind, since gRPC calls each kind differently."""
        if inspect.isasyncgenfunction(behaviour):
            return partial(self._stream, behaviour, request)
        if inspect.iscoroutinefunction(behaviour):
            return partial(self._admit if is_guarded else self._answer, behaviour, request)
        if is_stream:
            return partial(self._serving.stream, behaviour, request)
        if is_guarded:
            loop = asyncio.get_running_loop()
            return partial(self._admit_in_thread, behaviour, request, loop)
        return partial(self._serving.answer, behaviour, request)

    # ---- in the event loop ---------------------------------------------------------------------

    async def _admit(
        self, behaviour: Behaviour, request: Request, message: object, context: Context
    ) -> object:
        """Answer a unary call when it is its turn."""
        deadline = _deadline_of(context)
        ticket = self._gate.enter(request.importance, deadline)
        ending: Ending = "failed"
        try:
            if ticket.stage == "queued":
                await self._gate.wait(ticket)
            if ticket.refusal is not None:
                await self._refuse(ticket.refusal, request, context)
            answer = await self._answer(behaviour, request, message, context)
            ending = "done"
            return answer
        finally:
            # What its caller gave up before the time was over says nothing of the server.
            self._gate.end(ticket, "dropped" if monotonic() >= deadline else ending)

    async def _answer(
        self, behaviour: Behaviour, request: Request, message: object, context: Context
    ) -> object:
        await self._begin(request, context)
        with inbound(remaining_of(context), request.attempts_before):
            answer = await behaviour(message, context)
        self._tell_load(request, context)
        return answer

    async def _stream(
        self, behaviour: Behaviour, request: Request, message: object, context: Context
    ) -> AsyncIterator[object]:
        await self._begin(request, context)
        answers = behaviour(message, context)
        while True:
            # Anew for each step, because a stream nobody wants is ended in another context.
            with inbound(remaining_of(context), request.attempts_before):
                answer = await anext(answers, _END)
            if answer is _END:
                break
            yield answer
        self._tell_load(request, context)

    async def _begin(self, request: Request, context: Context) -> None:
        if remaining_of(context) == 0.0:
            await self._refuse(Refusal.DEADLINE_OVER, request, context)
        if request.is_tied:
            await context.send_initial_metadata(((STARTED, "1"),))

    def _tell_load(self, request: Request, context: Context) -> None:
        """Add the load to what the handler has said; an aborted call has been answered already."""
        if load := self._trailers.load(request):
            context.set_trailing_metadata((*context.trailing_metadata(), *load))

    async def _refuse(self, refusal: Refusal, request: Request, context: Context) -> Never:
        reply = self._trailers.refusal(refusal, request)
        await context.abort(reply.code, reply.details, reply.trailers)

    # ---- in threads ----------------------------------------------------------------------------

    def _admit_in_thread(
        self,
        behaviour: Behaviour,
        request: Request,
        loop: asyncio.AbstractEventLoop,
        message: object,
        context: Any,
    ) -> object:
        """Answer a unary call when it is its turn; the queue is in the event loop."""
        deadline = _deadline_of(context)
        entering = self._enter(request.importance, deadline)
        ticket = asyncio.run_coroutine_threadsafe(entering, loop).result()
        ending: Ending = "failed"
        try:
            if ticket.refusal is not None:
                self._serving.refuse(ticket.refusal, request, context)
            answer = self._serving.answer(behaviour, request, message, context)
            ending = "done"
            return answer
        finally:
            ending = "dropped" if monotonic() >= deadline else ending
            loop.call_soon_threadsafe(self._gate.end, ticket, ending)

    async def _enter(self, importance: Importance, deadline: float) -> Ticket:
        ticket = self._gate.enter(importance, deadline)
        if ticket.stage == "queued":
            await self._gate.wait(ticket)
        return ticket


def _deadline_of(context: Any) -> float:
    remaining = remaining_of(context)
    return inf if remaining is None else monotonic() + remaining
