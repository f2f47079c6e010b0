# SPDX-License-Identifier: MIT
"""Policies for aiohttp: a middleware for its client.

::

    replicas = {"http://search": ["http://10.0.0.1:80", "http://10.0.0.2:80"]}
    async with aiohttp.ClientSession(middlewares=[Middleware(replicas=replicas)]) as session:
        async with session.get("http://search/items") as response:
            ...

A policy ends where the headers of the answer have come. A request is repeated if HTTP calls its
method idempotent, or if it has an ``Idempotency-Key``, and if its body is at hand; any other is
sent once, unless it provably was not sent at all. Other middlewares that change a request stand
before this one in the list; one that retries does not belong there. aiohttp itself repeats some
requests once when their connection is lost: not those that come through here.

An attempt that nobody waits for is cancelled: its connection is closed, which its server can see.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Awaitable
from contextvars import ContextVar
from typing import Final

try:
    import aiohttp
except ImportError:
    from resonance.errors import MissingExtraError

    raise MissingExtraError("resonance.integrations.aiohttp", "aiohttp", "aiohttp") from None

from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
from aiohttp.helpers import TimerNoop
from multidict import CIMultiDict
from yarl import URL

from resonance.client import AsyncClient
from resonance.client._base import AnyPolicy
from resonance.errors import DeadlineExceededError, ResonanceError
from resonance.integrations._exchange import Exchange, outcome_of, remember
from resonance.integrations._http import (
    IDEMPOTENT_METHODS,
    Replicas,
    added_headers,
    failure_of_status,
    hint_for,
    origin,
)
from resonance.integrations._options import (
    LOAD_HEADER,
    OWN_ERRORS,
    Options,
    attempt_here,
    take_report,
)
from resonance.policies import NO_HINT, Failure, TaskHint

__all__ = ["Middleware", "outcome_of"]

_UNSENT: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_SERVERS: Final = (aiohttp.ClientConnectionError, aiohttp.ClientResponseError)
_REPEATED: Final = (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)
"""What makes aiohttp send an idempotent request once more."""
_given_up: Final[ContextVar[tuple[object, Exception] | None]] = ContextVar(
    "resonance_given_up", default=None
)
"""The request that failed last in this task, and how, until aiohttp comes back with it."""


class Middleware:
    """Sends requests under a policy; for ``middlewares=`` of `aiohttp.ClientSession`.

    Parameters
    ----------
    client : AsyncClient, optional
        Whose state, budget and mode to use. Without one, a new client with the profile
        ``balanced``; `close` closes it.
    policy : Policy, a part of one, or the name of a profile, optional
        By default the client's.
    replicas : mapping, optional
        From a base URL as the application writes it to those of its replicas, or to a function
        that returns them. Any other host is its own only replica.
    hint : TaskHint
        What is known of all requests. With ``idempotent=True`` also those are repeated that
        HTTP does not call so, such as a search by POST.
    keep_host : bool
        Send the ``Host`` the application wrote, and check certificates for it; otherwise the
        replica's. A header of the caller's own is kept in any case.

    Raises
    ------
    PolicyError
        Replicas that are no base URLs.
    """

    def __init__(
        self,
        *,
        client: AsyncClient | None = None,
        policy: AnyPolicy | str | None = None,
        replicas: Replicas | None = None,
        hint: TaskHint = NO_HINT,
        keep_host: bool = True,
    ) -> None:
        self._options = Options(client, AsyncClient, policy, replicas, hint, keep_host=keep_host)

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send a request to one of its replicas, or to several.

        Parameters
        ----------
        request : aiohttp.ClientRequest
        handler : callable
            What sends it.

        Returns
        -------
        aiohttp.ClientResponse
            Its body is still to be read.

        Raises
        ------
        aiohttp.ClientError
            The last attempt's, or `aiohttp.ServerTimeoutError` when the deadline has passed.
        """
        identity = vars(request).get("_timer")  # one object, in whichever try of aiohttp's
        given_up = _given_up.get()
        if given_up is not None:
            _given_up.set(None)
            if given_up[0] is identity:
                raise given_up[1]
        try:
            return await self._send(request, handler)
        except _REPEATED as error:
            if identity is not None and request.method in IDEMPOTENT_METHODS:
                _given_up.set((identity, error))
            raise

    async def _send(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        options, exchange = self._options, Exchange[ClientResponse]()
        url, body = request.url, request.body
        name = origin(url.scheme, url.host or "", url.port)
        is_replayable = not body or isinstance(body, aiohttp.BytesPayload)
        hint = hint_for(options.hint, request.method, request.headers, is_replayable=is_replayable)

        def attempt(target: str) -> Awaitable[ClientResponse]:
            return self._attempt(request, handler, name, target, exchange)

        kept: ClientResponse | None = None
        try:
            outcome = await options.client.call(
                options.routes.targets(name),
                attempt,
                options.policy(hint),
                hint=hint,
                service=name,
                classify=_classify,
            )
        except OWN_ERRORS as error:
            raise _as_aiohttp(error) from error
        else:
            kept = outcome.result
            remember(kept, outcome)
            return kept
        finally:
            for response in exchange.settled(kept):
                response.close()

    async def _attempt(
        self,
        request: ClientRequest,
        handler: ClientHandlerType,
        name: str,
        target: str,
        exchange: Exchange[ClientResponse],
    ) -> ClientResponse:
        attempt = attempt_here()
        if attempt.number > 1 and not attempt.is_hedge:
            for response in exchange.superseded():
                response.close()
        response = await handler(self._towards(request, name, target, attempt.number))
        take_report(attempt, response.headers.get(LOAD_HEADER))
        if not exchange.arrived(response):
            response.close()
        return response

    def _towards(
        self, request: ClientRequest, name: str, target: str, number: int
    ) -> ClientRequest:
        """Return a request of its own for each attempt: sending one changes it."""
        sent = copy.copy(request)
        # The total timeout cancels the task of the caller, and with it the attempts: a timer
        # knows one task at a time.
        vars(sent)["_timer"] = TimerNoop()
        sent.headers = CIMultiDict(request.headers)
        if target != name:
            where = URL(target)
            sent.url = request.url.with_scheme(where.scheme).with_host(where.raw_host or "")
            sent.url = sent.url.with_port(where.explicit_port)
            is_own_host = request.headers.get("Host") != request.url.host_port_subcomponent
            if self._options.keep_host:
                sent.server_hostname = sent.server_hostname or request.url.raw_host
            elif not is_own_host:
                sent.headers["Host"] = where.host_port_subcomponent or ""
        sent.headers.update(added_headers(request.headers, number))
        return sent

    async def close(self) -> None:
        """Close the client where it was made here."""
        if self._options.is_own_client:
            await self._options.client.close()


def _classify(value: object) -> Failure | None:
    """Return what an answer, or an exception, means to a policy."""
    if isinstance(value, ClientResponse):
        return failure_of_status(value.status, value.headers.get("Retry-After"), time.time())
    if isinstance(value, _UNSENT):
        return Failure("unsent")
    return Failure("retriable" if isinstance(value, _SERVERS) else "fatal")


def _as_aiohttp(error: ResonanceError) -> aiohttp.ClientError:
    if isinstance(error, DeadlineExceededError):
        return aiohttp.ServerTimeoutError(str(error))
    return aiohttp.ClientConnectionError(str(error))
