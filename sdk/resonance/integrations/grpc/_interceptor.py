# SPDX-License-Identifier: MIT
"""How does a policy get into a channel of threads that is there already?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import grpc

from resonance import Client, current_attempt
from resonance.client._base import AnyPolicy
from resonance.integrations.grpc._classify import RETRIABLE
from resonance.integrations.grpc._errors import as_rpc_errors, check_timeout
from resonance.integrations.grpc._passing import nearest
from resonance.integrations.grpc._round import Methods, Round
from resonance.policies import TaskHint

__all__ = ["ClientInterceptor"]


class _Details(grpc.ClientCallDetails):
    """How an attempt is made: as its call was, but for two fields."""

    def __init__(self, details: grpc.ClientCallDetails, seconds: float | None, told: Any) -> None:
        self.method = details.method
        self.timeout = seconds
        self.metadata = told
        self.credentials = details.credentials
        self.wait_for_ready = getattr(details, "wait_for_ready", None)
        self.compression = getattr(details, "compression", None)


class ClientInterceptor(grpc.UnaryUnaryClientInterceptor):
    """Makes the unary calls of one channel under a policy: deadlines, retries, limits.

    Copies need more than one replica, and so a `HedgingChannel`. gRPC does not tell an
    interceptor whether it is called for ``stub.Method`` or for ``stub.Method.future``, so a
    future waits here until it is over; who needs futures that overlap uses a `HedgingChannel`
    of one.

    Parameters
    ----------
    client : Client
    target : str
        The address of the channel. In reports; and what could not be connected to there, as the
        error names it, was surely not sent.
    policy : Policy or part of one, optional
        By default the client's.
    methods : mapping of str to TaskHint
        As in `HedgingChannel`.
    codes : collection of grpc.StatusCode
        What another attempt may cure.

    Examples
    --------
    >>> import grpc
    >>> import resonance
    >>> from resonance.integrations.grpc import CHANNEL_OPTIONS, ClientInterceptor
    >>> address = "127.0.0.1:50051"
    >>> with resonance.Client() as client:
    ...     interceptor = ClientInterceptor(client, address)
    ...     with grpc.insecure_channel(address, CHANNEL_OPTIONS) as plain:
    ...         channel = grpc.intercept_channel(plain, interceptor)
    """

    def __init__(
        self,
        client: Client,
        target: str = "channel",
        *,
        policy: AnyPolicy | None = None,
        methods: Mapping[str, TaskHint] | None = None,
        codes: Collection[grpc.StatusCode] = RETRIABLE,
    ) -> None:
        self._client = client
        self._methods = Methods(target, policy, dict(methods or {}), codes)

    def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.ClientCallDetails, Any], Any],
        client_call_details: grpc.ClientCallDetails,
        request: Any,
    ) -> Any:
        """See `grpc.UnaryUnaryClientInterceptor`.

        Parameters
        ----------
        continuation : callable
            Sends the call on.
        client_call_details : grpc.ClientCallDetails
        request : object

        Returns
        -------
        grpc.Call
            The attempt that brought the reply; also a future that has it.
        """
        details = client_call_details
        check_timeout(details.timeout)
        method = self._methods.of(details.method)
        calls = Round(details.metadata, method)
        with as_rpc_errors():
            outcome = self._client.call(
                method.targets,
                partial(_attempt, calls, continuation, details, request),
                method.policy,
                hint=method.hint,
                timeout=details.timeout,
                service=method.service,
                classify=calls.classify,
                inline=True,
            )
        return outcome.result


def _attempt(
    calls: Round,
    continuation: Callable[[grpc.ClientCallDetails, Any], Any],
    details: grpc.ClientCallDetails,
    request: Any,
    _target: str,
) -> Any:
    attempt = current_attempt()
    assert attempt is not None
    call = continuation(_Details(details, nearest(None), calls.metadata(attempt)), request)
    try:
        call.result()
    except BaseException as error:
        calls.failed(attempt, error)
        raise
    calls.replied(attempt, call.trailing_metadata())
    return call
