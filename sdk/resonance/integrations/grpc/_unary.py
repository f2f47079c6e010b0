# SPDX-License-Identifier: MIT
"""How is one unary call made in threads, hedged and repeated?"""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from resonance import Client, current_attempt
from resonance.integrations.grpc._errors import as_rpc_errors, check_timeout
from resonance.integrations.grpc._passing import PassedStreamUnary, Passing, nearest
from resonance.integrations.grpc._round import Method, Round, is_tied, may_be_left
from resonance.policies import Attempt, Outcome

__all__ = ["HedgedUnaryUnary"]


class HedgedUnaryUnary:
    """A unary method of several replicas, as gRPC's stubs call it.

    Parameters
    ----------
    client : Client
    method : Method
    passing : Passing
        For futures.
    """

    def __init__(self, client: Client, method: Method, passing: Passing) -> None:
        self._client = client
        self._method = method
        self._futures = PassedStreamUnary(method.unary, passing)

    def __call__(
        self, request: Any, timeout: float | None = None, metadata: Any = None, **how: Any
    ) -> Any:
        """Make a call, and return the reply.

        Parameters
        ----------
        request, timeout, metadata, **how
            As gRPC has them.
        """
        return self._call(request, timeout, metadata, how).result[0]

    def with_call(
        self, request: Any, timeout: float | None = None, metadata: Any = None, **how: Any
    ) -> Any:
        """Make a call, and return the reply and the attempt that brought it.

        Parameters
        ----------
        request, timeout, metadata, **how
            As gRPC has them.

        Returns
        -------
        tuple
            The reply, and the call of gRPC that brought it.
        """
        return self._call(request, timeout, metadata, how).result

    def outcome(
        self, request: Any, timeout: float | None = None, metadata: Any = None, **how: Any
    ) -> Outcome[Any]:
        """Make a call, and return the reply with what was done to get it.

        Parameters
        ----------
        request, timeout, metadata, **how
            As gRPC has them.

        Returns
        -------
        Outcome
            Its result is the reply.
        """
        outcome = self._call(request, timeout, metadata, how)
        return msgspec.structs.replace(outcome, result=outcome.result[0])

    def future(self, *request: Any, **how: Any) -> Any:
        """Begin a call to one replica, which is neither copied nor repeated.

        Parameters
        ----------
        *request, **how
            As gRPC has them.

        Returns
        -------
        grpc.Future
            As gRPC has it.
        """
        return self._futures.future(*request, **how)

    def _call(
        self, request: Any, timeout: float | None, metadata: Any, how: dict[str, Any]
    ) -> Outcome[Any]:
        check_timeout(timeout)
        method = self._method
        calls = Round(metadata, method)
        with as_rpc_errors():
            return self._client.call(
                method.targets,
                partial(self._attempt, calls, request, how),
                method.policy,
                hint=method.hint,
                timeout=timeout,
                service=method.service,
                classify=calls.classify,
                inline=True,
            )

    def _attempt(self, calls: Round, request: Any, how: dict[str, Any], target: str) -> Any:
        """Make one attempt, in whichever thread; return the reply and its call."""
        attempt = current_attempt()
        assert attempt is not None
        how = {**how, "timeout": nearest(None), "metadata": calls.metadata(attempt)}
        try:
            if is_tied(attempt):
                reply, call = self._tied(calls, attempt, request, how)
            elif may_be_left(attempt):
                reply, call = self._interruptible(attempt, request, how)
            else:
                # Cheaper by a thread of gRPC's, but nothing reaches into it from outside.
                reply, call = self._method.unary[target].with_call(request, **how)
        except BaseException as error:
            calls.failed(attempt, error)
            raise
        calls.replied(attempt, call.trailing_metadata())
        return reply, call

    def _interruptible(self, attempt: Attempt, request: Any, how: dict[str, Any]) -> Any:
        if quick := self._method.quick.get(attempt.target):
            call = quick(request, **how)
            attempt.on_cancel(call.cancel)
            (reply,) = call
            return reply, call
        call = self._method.unary[attempt.target].future(request, **how)
        attempt.on_cancel(call.cancel)
        return call.result(), call

    def _tied(self, calls: Round, attempt: Attempt, request: Any, how: dict[str, Any]) -> Any:
        call = self._method.stream[attempt.target](request, **how)
        attempt.on_cancel(call.cancel)
        calls.began(attempt, call.initial_metadata())
        (reply,) = call
        return reply, call
