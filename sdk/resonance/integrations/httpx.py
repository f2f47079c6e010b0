# SPDX-License-Identifier: MIT
"""Policies for httpx: replica choice, hedging and retries below a client that knows nothing of it.

::

    transport = Transport(replicas={"http://search": ["http://10.0.0.1:80", "http://10.0.0.2:80"]})
    with httpx.Client(transport=transport) as client:
        client.get("http://search/items")

A policy ends where the headers of the answer have come: the body is read as ever, once, from the
replica that answered. A request is repeated if HTTP calls its method idempotent, or if it has an
``Idempotency-Key``, and if its body is bytes; any other is sent once, unless it provably was not
sent at all. Nothing else below or above should retry: not httpx (``retries=0``), not a proxy.

An attempt that nobody waits for is cancelled: its connection is closed, which its server can see.
With HTTP/2 many requests share a connection, which is why there, and with transports that are
not httpx's own, the synchronous adapter leaves such an attempt to a thread of its own.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable
from functools import lru_cache
from typing import Any, Final

try:
    import httpx
except ImportError:
    from resonance.errors import MissingExtraError

    raise MissingExtraError("resonance.integrations.httpx", "httpx", "httpx") from None

from resonance.client import AsyncClient, Client
from resonance.client._base import AnyPolicy
from resonance.errors import DeadlineExceededError, ResonanceError
from resonance.integrations._exchange import Exchange, outcome_of, remember
from resonance.integrations._http import (
    Replicas,
    added_headers,
    failure_of_status,
    hint_for,
    origin,
)
from resonance.integrations._httpx_wire import listen, refuse_own_retries
from resonance.integrations._line import Line
from resonance.integrations._options import (
    LOAD_HEADER,
    OWN_ERRORS,
    Options,
    attempt_here,
    bounded,
    take_report,
)
from resonance.policies import NO_HINT, Attempt, Failure, TaskHint

__all__ = ["AsyncTransport", "Transport", "outcome_of"]

_UNSENT: Final = (httpx.ConnectError, httpx.ConnectTimeout)
_OURS: Final = (httpx.PoolTimeout, httpx.LocalProtocolError, httpx.UnsupportedProtocol)
"""What another try would only meet again: they are not the server's."""


class Transport(httpx.BaseTransport):
    """Sends requests under a policy; for `httpx.Client`.

    Parameters
    ----------
    client : Client, optional
        Whose state, budget and mode to use. Without one, a new client with the profile
        ``balanced``, which is closed with the transport.
    policy : Policy, a part of one, or the name of a profile, optional
        By default the client's.
    replicas : mapping, optional
        From a base URL as the application writes it to those of its replicas, or to a function
        that returns them. Any other host is its own only replica.
    transport : httpx.BaseTransport, optional
        What sends; by default a new `httpx.HTTPTransport`.
    hint : TaskHint
        What is known of all requests. With ``idempotent=True`` also those are repeated that
        HTTP does not call so, such as a search by POST.
    keep_host : bool
        Send the ``Host`` the application wrote, and check certificates for it; otherwise the
        replica's. A header of the caller's own is kept in any case.

    Raises
    ------
    PolicyError
        Replicas that are no base URLs, or a transport that retries by itself.
    """

    def __init__(
        self,
        *,
        client: Client | None = None,
        policy: AnyPolicy | str | None = None,
        replicas: Replicas | None = None,
        transport: httpx.BaseTransport | None = None,
        hint: TaskHint = NO_HINT,
        keep_host: bool = True,
    ) -> None:
        self._transport = transport or httpx.HTTPTransport()
        self._is_cuttable = listen(self._transport)
        self._options = Options(client, Client, policy, replicas, hint, keep_host=keep_host)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request to one of its replicas, or to several.

        Parameters
        ----------
        request : httpx.Request

        Returns
        -------
        httpx.Response
            Its body is still to be read.

        Raises
        ------
        httpx.TransportError
            The last attempt's, or `httpx.ReadTimeout` when the deadline has passed.
        """
        options, exchange = self._options, Exchange[httpx.Response]()
        name, hint = _name(request), _hint(options.hint, request)
        kept: httpx.Response | None = None
        try:
            outcome = options.client.call(
                options.routes.targets(name),
                lambda target: self._attempt(request, name, target, exchange),
                options.policy(hint),
                hint=hint,
                service=name,
                classify=_classify,
                inline=self._is_cuttable,
            )
        except OWN_ERRORS as error:
            raise _as_httpx(error, request) from error
        else:
            kept = outcome.result
            remember(kept, outcome)
            return kept
        finally:
            for response in exchange.settled(kept):
                response.close()

    def _attempt(
        self, request: httpx.Request, name: str, target: str, exchange: Exchange[httpx.Response]
    ) -> httpx.Response:
        attempt, line = attempt_here(), Line()
        if attempt.number > 1 and not attempt.is_hedge:
            for response in exchange.superseded():
                response.close()
        attempt.on_cancel(line.cut)
        with line.carrying():
            response = self._transport.handle_request(
                _towards(request, name, target, attempt, keep_host=self._options.keep_host)
            )
        take_report(attempt, response.headers.get(LOAD_HEADER))
        if not exchange.arrived(response):
            response.close()
        return response

    def close(self) -> None:
        """Close what sends, and the client where it was made here."""
        self._transport.close()
        if self._options.is_own_client:
            self._options.client.close()


class AsyncTransport(httpx.AsyncBaseTransport):
    """Sends requests under a policy; for `httpx.AsyncClient`.

    Parameters
    ----------
    client : AsyncClient, optional
        Whose state, budget and mode to use. Without one, a new client with the profile
        ``balanced``, which is closed with the transport.
    policy, replicas, hint, keep_host
        As for `Transport`.
    transport : httpx.AsyncBaseTransport, optional
        What sends; by default a new `httpx.AsyncHTTPTransport`.

    Raises
    ------
    PolicyError
        Replicas that are no base URLs, or a transport that retries by itself.
    """

    def __init__(
        self,
        *,
        client: AsyncClient | None = None,
        policy: AnyPolicy | str | None = None,
        replicas: Replicas | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        hint: TaskHint = NO_HINT,
        keep_host: bool = True,
    ) -> None:
        self._transport = transport or httpx.AsyncHTTPTransport()
        refuse_own_retries(self._transport)
        self._options = Options(client, AsyncClient, policy, replicas, hint, keep_host=keep_host)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request to one of its replicas, or to several.

        Parameters
        ----------
        request : httpx.Request

        Returns
        -------
        httpx.Response
            Its body is still to be read.

        Raises
        ------
        httpx.TransportError
            The last attempt's, or `httpx.ReadTimeout` when the deadline has passed.
        """
        options, exchange = self._options, Exchange[httpx.Response]()
        name, hint = _name(request), _hint(options.hint, request)

        def attempt(target: str) -> Awaitable[httpx.Response]:
            return self._attempt(request, name, target, exchange)

        kept: httpx.Response | None = None
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
            raise _as_httpx(error, request) from error
        else:
            kept = outcome.result
            remember(kept, outcome)
            return kept
        finally:
            for response in exchange.settled(kept):
                await response.aclose()

    async def _attempt(
        self, request: httpx.Request, name: str, target: str, exchange: Exchange[httpx.Response]
    ) -> httpx.Response:
        attempt = attempt_here()
        if attempt.number > 1 and not attempt.is_hedge:
            for response in exchange.superseded():
                await response.aclose()
        response = await self._transport.handle_async_request(
            _towards(request, name, target, attempt, keep_host=self._options.keep_host)
        )
        take_report(attempt, response.headers.get(LOAD_HEADER))
        if not exchange.arrived(response):
            await response.aclose()
        return response

    async def aclose(self) -> None:
        """Close what sends, and the client where it was made here."""
        await self._transport.aclose()
        if self._options.is_own_client:
            await self._options.client.close()


def _name(request: httpx.Request) -> str:
    url = request.url
    return origin(url.scheme, url.host, url.port)


def _hint(hint: TaskHint, request: httpx.Request) -> TaskHint:
    is_replayable = isinstance(request.stream, httpx.ByteStream)
    return hint_for(hint, request.method, request.headers, is_replayable=is_replayable)


@lru_cache(maxsize=1_024)
def _url(target: str) -> httpx.URL:
    return httpx.URL(target)


def _towards(
    request: httpx.Request, name: str, target: str, attempt: Attempt, *, keep_host: bool
) -> httpx.Request:
    """Return the request as it goes to a replica; the very same where nothing differs."""
    added = added_headers(request.headers, attempt.number)
    if target == name and not added:
        return request
    url, headers = request.url, request.headers.copy()
    extensions = dict(request.extensions)
    if target != name:
        where = _url(target)
        url = url.copy_with(scheme=where.scheme, host=where.host, port=where.port)
        is_own_host = headers.get("Host", "").encode() != request.url.netloc
        if keep_host:
            extensions.setdefault("sni_hostname", request.url.host)
        elif not is_own_host:
            headers["Host"] = where.netloc.decode()
    headers.update(added)
    timeouts: dict[str, Any] = extensions.get("timeout", {})
    names = ("connect", "read", "write", "pool")
    extensions["timeout"] = {each: bounded(timeouts.get(each)) for each in names}
    return httpx.Request(
        request.method, url, headers=headers, stream=request.stream, extensions=extensions
    )


def _classify(value: object) -> Failure | None:
    """Return what an answer, or an exception, means to a policy."""
    if isinstance(value, httpx.Response):
        return failure_of_status(value.status_code, value.headers.get("Retry-After"), time.time())
    if isinstance(value, _UNSENT):
        return Failure("unsent")
    is_servers = isinstance(value, httpx.TransportError) and not isinstance(value, _OURS)
    return Failure("retriable" if is_servers else "fatal")


def _as_httpx(error: ResonanceError, request: httpx.Request) -> httpx.TransportError:
    if isinstance(error, DeadlineExceededError):
        return httpx.ReadTimeout(str(error), request=request)
    return httpx.TransportError(str(error), request=request)
