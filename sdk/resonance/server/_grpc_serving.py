# SPDX-License-Identifier: MIT
"""How does a handler run in a thread, once it may: until when, and what is said besides?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, Never, TypeAlias

import grpc

from resonance.deadlines import inbound
from resonance.server._grpc_metadata import STARTED
from resonance.server._grpc_request import Request, TrailerMaker, remaining_of
from resonance.server._refusals import Refusal

__all__ = ["Behaviour", "Handler", "Make", "Serving", "behaviour_of"]

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Behaviour = Callable[[Any, Any], Any]
Make = Callable[[Behaviour, Any, Any], Handler]
_END: Final = object()


class Serving:
    """Runs handlers that are plain functions.

    Parameters
    ----------
    trailers : TrailerMaker
    """

    def __init__(self, trailers: TrailerMaker) -> None:
        self._trailers = trailers

    def answer(
        self, behaviour: Behaviour, request: Request, message: object, context: grpc.ServicerContext
    ) -> object:
        """Run a handler that returns one message.

        Parameters
        ----------
        behaviour : callable
        request : Request
        message, context
            As gRPC calls the handler.

        Returns
        -------
        object
            Its message.
        """
        self._begin(request, context)
        try:
            with inbound(remaining_of(context), request.attempts_before):
                return behaviour(message, context)
        finally:
            self._tell_load(request, context)

    def stream(
        self, behaviour: Behaviour, request: Request, message: object, context: grpc.ServicerContext
    ) -> Iterator[object]:
        """Run a handler that gives many messages.

        Parameters
        ----------
        behaviour : callable
        request : Request
        message, context
            As gRPC calls the handler.

        Returns
        -------
        iterator of object
            Its messages.
        """
        self._begin(request, context)
        answers = _stepwise(behaviour, message, context)
        try:
            while True:
                # Anew for each step, because a stream nobody wants is ended in another context.
                with inbound(remaining_of(context), request.attempts_before):
                    answer = next(answers, _END)
                if answer is _END:
                    return
                yield answer
        finally:
            self._tell_load(request, context)

    def refuse(self, refusal: Refusal, request: Request, context: grpc.ServicerContext) -> Never:
        """End a call before its handler has run.

        Parameters
        ----------
        refusal : Refusal
        request : Request
        context : grpc.ServicerContext

        Returns
        -------
        Never
            gRPC ends the call by an exception.
        """
        reply = self._trailers.refusal(refusal, request)
        context.set_trailing_metadata(reply.trailers)
        context.abort(reply.code, reply.details)

    def _begin(self, request: Request, context: grpc.ServicerContext) -> None:
        if remaining_of(context) == 0.0:
            self.refuse(Refusal.DEADLINE_OVER, request, context)
        if request.is_tied:
            context.send_initial_metadata(((STARTED, "1"),))

    def _tell_load(self, request: Request, context: grpc.ServicerContext) -> None:
        """Add the load to what the handler has said.

        For functions in an event loop gRPC's context does not tell what that is: there it stays
        as it is.
        """
        load = self._trailers.load(request)
        if load and hasattr(context, "trailing_metadata"):
            context.set_trailing_metadata((*(context.trailing_metadata() or ()), *load))


def _stepwise(behaviour: Behaviour, message: object, context: object) -> Iterator[object]:
    """Put off what a handler does at once, where it is no generator, to the first step."""
    yield from behaviour(message, context)


def behaviour_of(handler: Handler) -> tuple[Make, Behaviour]:
    """Return how such a handler is made, and what this one does.

    Parameters
    ----------
    handler : grpc.RpcMethodHandler

    Returns
    -------
    tuple of callable
        What makes such a handler; and the function of this one.
    """
    if handler.request_streaming:
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler, _known(handler.stream_stream)
        return grpc.stream_unary_rpc_method_handler, _known(handler.stream_unary)
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler, _known(handler.unary_stream)
    return grpc.unary_unary_rpc_method_handler, _known(handler.unary_unary)


def _known(behaviour: Behaviour | None) -> Behaviour:
    assert behaviour is not None
    return behaviour
