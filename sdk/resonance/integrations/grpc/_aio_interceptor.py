# SPDX-License-Identifier: MIT
"""How does a policy get into a channel of an event loop that is there already?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import Any

import grpc
import grpc.aio

from resonance import AsyncClient, current_attempt
from resonance.client._base import AnyPolicy
from resonance.integrations.grpc._classify import RETRIABLE
from resonance.integrations.grpc._errors import as_rpc_errors, check_timeout
from resonance.integrations.grpc._passing import nearest
from resonance.integrations.grpc._round import Methods, Round
from resonance.policies import TaskHint

__all__ = ["AioClientInterceptor"]

Continuation = Callable[[grpc.aio.ClientCallDetails, Any], Awaitable[Any]]


class AioClientInterceptor(grpc.aio.UnaryUnaryClientInterceptor):
    """Makes the unary calls of one ``grpc.aio`` channel under a policy.

    As `ClientInterceptor`; calls that overlap do so here.

    Parameters
    ----------
    client : AsyncClient
    target, policy, methods, codes
        As in `ClientInterceptor`.

    Examples
    --------
    >>> import grpc.aio
    >>> import resonance
    >>> from resonance.integrations.grpc import CHANNEL_OPTIONS, AioClientInterceptor
    >>> async def connect(client: resonance.AsyncClient, address: str) -> grpc.aio.Channel:
    ...     interceptor = AioClientInterceptor(client, address)
    ...     return grpc.aio.insecure_channel(address, CHANNEL_OPTIONS, interceptors=[interceptor])
    """

    def __init__(
        self,
        client: AsyncClient,
        target: str = "channel",
        *,
        policy: AnyPolicy | None = None,
        methods: Mapping[str, TaskHint] | None = None,
        codes: Collection[grpc.StatusCode] = RETRIABLE,
    ) -> None:
        self._client = client
        self._methods = Methods(target, policy, dict(methods or {}), codes)

    async def intercept_unary_unary(
        self,
        continuation: Continuation,
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        """See `grpc.aio.UnaryUnaryClientInterceptor`.

        Parameters
        ----------
        continuation : callable
            Sends the call on.
        client_call_details : grpc.aio.ClientCallDetails
        request : object

        Returns
        -------
        grpc.aio.UnaryUnaryCall
            The attempt that brought the reply.
        """
        details = client_call_details
        check_timeout(details.timeout)
        method = self._methods.of(details.method)
        calls = Round(details.metadata, method)
        with as_rpc_errors():
            outcome = await self._client.call(
                method.targets,
                partial(_attempt, calls, continuation, details, request),
                method.policy,
                hint=method.hint,
                timeout=details.timeout,
                service=method.service,
                classify=calls.classify,
            )
        return outcome.result


async def _attempt(
    calls: Round,
    continuation: Continuation,
    details: grpc.aio.ClientCallDetails,
    request: Any,
    _target: str,
) -> Any:
    attempt = current_attempt()
    assert attempt is not None
    told = grpc.aio.Metadata(*calls.metadata(attempt))
    how = grpc.aio.ClientCallDetails(
        details.method, nearest(None), told, details.credentials, details.wait_for_ready
    )
    try:
        call = await continuation(how, request)
        await call
    except Exception as error:
        calls.failed(attempt, error)
        raise
    calls.replied(attempt, await call.trailing_metadata())
    return call
