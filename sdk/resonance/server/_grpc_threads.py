# SPDX-License-Identifier: MIT
"""How does a gRPC server with threads protect its tail? An interceptor for all its methods."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from time import monotonic

import grpc

from resonance.hints import Hints
from resonance.policies._records import Importance
from resonance.server._admission import Ending
from resonance.server._gate import GateReport
from resonance.server._grpc_gate import Arrival, PoolGate
from resonance.server._grpc_request import Request, TrailerMaker, remaining_of
from resonance.server._grpc_serving import Behaviour, Handler, Serving, behaviour_of
from resonance.server._policy import AdmissionPolicy
from resonance.server._reporter import LoadReporter

__all__ = ["Interceptor"]


class Interceptor(grpc.ServerInterceptor):
    """Has requests wait in order of importance, and refuses early what would be late anyway.

    A unary call is begun, made to wait or refused as the policy says. Each call, of any kind,
    runs under its caller's deadline (`resonance.deadlines`) and knows how often it was tried
    before; it is not begun when its time is over. Streams are not made to wait, because how
    long one lasts says nothing of the load; nor are health checks (``grpc.health.v1``), because
    a server that is busy is not ill.

    Give the server as many threads as requests may be in service and wait: they stand in the
    queue themselves. One that waits for a thread longer than the policy's interval is refused.

    A call whose caller asks to be told of its beginning, because it has sent a twin elsewhere,
    has its initial metadata sent when its handler begins; a handler that sends its own raises
    what gRPC raises when they are sent twice.

    Parameters
    ----------
    policy : AdmissionPolicy, optional
    importance : callable, optional
        Tells the importance of a call from its ``HandlerCallDetails``, where the metadata
        ``resonance-importance`` of a caller is not to be believed.
    load_reports : bool
        Tell the load with each reply, in the trailing metadata ``endpoint-load-metrics-bin``.
    cpus, hints
        As in `LoadReporter`.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> import grpc
    >>> from resonance.server import AdmissionPolicy
    >>> from resonance.server.grpc import Interceptor
    >>> interceptor = Interceptor(AdmissionPolicy(limit=8, queue=56))
    >>> server = grpc.server(ThreadPoolExecutor(64), interceptors=[interceptor])
    >>> interceptor.report().limit
    8
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
        self._gate = PoolGate(policy)
        self._importance = importance
        reporter = (
            LoadReporter(self._gate.admission, cpus=cpus, hints=hints) if load_reports else None
        )
        self._serving = Serving(TrailerMaker(reporter, self._gate.retry_after_seconds))

    def report(self) -> GateReport:
        """Return the state of the server's door, and what it decided so far."""
        return self._gate.report()

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Handler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """See `grpc.ServerInterceptor`.

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
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        request = Request.of(handler_call_details, self._importance)
        make, behaviour = behaviour_of(handler)
        wrapped: Behaviour
        if handler.response_streaming:
            wrapped = partial(self._serving.stream, behaviour, request)
        elif handler.request_streaming or request.is_exempt:
            wrapped = partial(self._serving.answer, behaviour, request)
        else:
            wrapped = partial(self._admit, behaviour, request, self._gate.arrive())
        return make(wrapped, handler.request_deserializer, handler.response_serializer)

    def _admit(
        self,
        behaviour: Behaviour,
        request: Request,
        arrival: Arrival,
        message: object,
        context: grpc.ServicerContext,
    ) -> object:
        """Answer a unary call when it is its turn."""
        remaining = remaining_of(context)
        deadline = inf if remaining is None else monotonic() + remaining
        ticket = self._gate.enter_with(arrival, request.importance, deadline, context.add_callback)
        ending: Ending = "failed"
        try:
            if ticket.refusal is not None:
                self._serving.refuse(ticket.refusal, request, context)
            if ticket.stage != "running":
                context.abort(grpc.StatusCode.CANCELLED, "its caller has gone")
            answer = self._serving.answer(behaviour, request, message, context)
            ending = "done"
            return answer
        finally:
            # What its caller gave up before the time was over says nothing of the server.
            self._gate.end(ticket, "dropped" if monotonic() >= deadline else ending)
