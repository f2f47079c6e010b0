# SPDX-License-Identifier: MIT
"""The HTTP libraries behind one face, so that one test says what holds with each of them."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from typing import Any, Final, NamedTuple, Protocol, Self, TypeVar

import aiohttp
import httpx
import requests
import urllib3

from fakes.http_replicas import CERTIFICATE
from resonance import (
    AsyncClient,
    BudgetPolicy,
    Client,
    HedgePolicy,
    Outcome,
    Policy,
    RetryPolicy,
)
from resonance.integrations import aiohttp as with_aiohttp
from resonance.integrations import httpx as with_httpx
from resonance.integrations import requests as with_requests
from resonance.integrations import urllib3 as with_urllib3

__all__ = ["HEDGE", "LIBRARIES", "NAME", "PLENTY", "RETRY", "SECURE", "Answer", "Library", "Make"]

NAME: Final = "http://search.test"
SECURE: Final = "https://search.test"
PLENTY: Final = BudgetPolicy(ratio=1.0, cap=100.0, initial=100.0)
HEDGE: Final = Policy(
    hedge=HedgePolicy(delay=0.005, max_inflight_pct=10_000, saturation_guard=False), budget=PLENTY
)
"""Copies whatever takes longer, also while losers of other calls have not ended yet."""
RETRY: Final = Policy(retry=RetryPolicy(base_delay=0.0, max_delay=0.0, brake=False), budget=PLENTY)

T = TypeVar("T")
_CHUNKS: Final = (b"a ", b"stream")


def _verify(tls: bool) -> ssl.SSLContext | bool:
    """Believe the replicas that speak TLS, or those one usually believes."""
    return ssl.create_default_context(cafile=CERTIFICATE) if tls else True


class Answer(NamedTuple):
    """What a request came to."""

    status: int
    body: bytes
    outcome: Outcome[None] | None


class Library(Protocol):
    """A library whose requests go through the adapter of ours, or, with ``None``, do not."""

    error: type[Exception]
    late: type[Exception]

    def __init__(
        self,
        client: dict[str, Any] | None,
        tls: bool = False,
        **options: Any,
    ) -> None: ...

    @property
    def client(self) -> Any: ...

    def send(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        is_streamed: bool = False,
    ) -> Answer: ...

    def close_client(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


Make = Callable[..., Library]
"""Makes a client of a library: the policy, the replicas, the mode, options of the adapter."""


class _Threads:
    """What the libraries for threads have in common."""

    client: Any = None
    _close: Callable[[], object]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()
        self.close_client()

    def close_client(self) -> None:
        if self.client is not None:
            self.client.close()


def _pieces() -> Iterator[bytes]:
    yield from _CHUNKS


async def _async_pieces() -> AsyncIterator[bytes]:
    for piece in _CHUNKS:
        yield piece


class Httpx(_Threads):
    error, late = httpx.TransportError, httpx.TimeoutException

    def __init__(
        self,
        client: dict[str, Any] | None,
        tls: bool = False,
        **options: Any,
    ) -> None:
        transport: httpx.BaseTransport = httpx.HTTPTransport(verify=_verify(tls))
        if client is not None:
            self.client = Client(**client)
            transport = with_httpx.Transport(client=self.client, transport=transport, **options)
        self._session = httpx.Client(transport=transport, timeout=None, follow_redirects=True)
        self._close = self._session.close

    def send(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        is_streamed: bool = False,
    ) -> Answer:
        content = _pieces() if is_streamed else body
        response = self._session.request(method, url, content=content, headers=headers)
        return Answer(response.status_code, response.content, with_httpx.outcome_of(response))


class Urllib3(_Threads):
    error, late = urllib3.exceptions.HTTPError, urllib3.exceptions.TimeoutError

    def __init__(
        self,
        client: dict[str, Any] | None,
        tls: bool = False,
        **options: Any,
    ) -> None:
        context = {"ssl_context": _verify(tls)} if tls else {}
        if client is None:
            self._session = urllib3.PoolManager(**context)
        else:
            self.client = Client(**client)
            self._session = with_urllib3.PoolManager(client=self.client, **context, **options)
        self._close = self._session.clear

    def send(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        is_streamed: bool = False,
    ) -> Answer:
        content: Any = _pieces() if is_streamed else body
        response = self._session.request(method, url, body=content, headers=headers)
        return Answer(response.status, response.data, with_urllib3.outcome_of(response))


class Requests(_Threads):
    error, late = requests.RequestException, requests.Timeout

    def __init__(
        self,
        client: dict[str, Any] | None,
        tls: bool = False,
        **options: Any,
    ) -> None:
        self._session = requests.Session()
        self._session.trust_env = False  # REQUESTS_CA_BUNDLE would win over `verify`
        self._session.verify = str(CERTIFICATE) if tls else True
        if client is not None:
            self.client = Client(**client)
            adapter = with_requests.Adapter(client=self.client, **options)
            for scheme in ("http://", "https://"):
                self._session.mount(scheme, adapter)
        self._close = self._session.close

    def send(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        is_streamed: bool = False,
    ) -> Answer:
        content: Any = _pieces() if is_streamed else body
        response = self._session.request(method, url, data=content, headers=headers)
        return Answer(response.status_code, response.content, with_requests.outcome_of(response))


class _Asyncio:
    """What the libraries for asyncio have in common: a loop of their own."""

    client: Any = None

    def __init__(
        self,
        client: dict[str, Any] | None,
        tls: bool = False,
        **options: Any,
    ) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._run(self._begin(client, tls, options))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._run(self._end())
        self.close_client()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def close_client(self) -> None:
        if self.client is not None:
            self._run(self.client.close())

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run something in the loop, in the context of the caller."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _begin(
        self, client: dict[str, Any] | None, tls: bool, options: dict[str, Any]
    ) -> None:
        raise NotImplementedError

    async def _end(self) -> None:
        raise NotImplementedError


class AsyncHttpx(_Asyncio):
    error, late = httpx.TransportError, httpx.TimeoutException

    async def _begin(
        self, client: dict[str, Any] | None, tls: bool, options: dict[str, Any]
    ) -> None:
        transport: httpx.AsyncBaseTransport = httpx.AsyncHTTPTransport(verify=_verify(tls))
        if client is not None:
            self.client = AsyncClient(**client)
            transport = with_httpx.AsyncTransport(
                client=self.client, transport=transport, **options
            )
        self._session = httpx.AsyncClient(transport=transport, timeout=None, follow_redirects=True)

    async def _end(self) -> None:
        await self._session.aclose()

    def send(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        is_streamed: bool = False,
    ) -> Answer:
        async def send() -> Answer:
            content = _async_pieces() if is_streamed else body
            response = await self._session.request(method, url, content=content, headers=headers)
            return Answer(response.status_code, response.content, with_httpx.outcome_of(response))

        return self._run(send())


class Aiohttp(_Asyncio):
    error, late = aiohttp.ClientError, asyncio.TimeoutError

    async def _begin(
        self, client: dict[str, Any] | None, tls: bool, options: dict[str, Any]
    ) -> None:
        connector = aiohttp.TCPConnector(ssl=_verify(tls))
        middlewares: list[with_aiohttp.Middleware] = []
        if client is not None:
            self.client = AsyncClient(**client)
            middlewares = [with_aiohttp.Middleware(client=self.client, **options)]
        self._session = aiohttp.ClientSession(connector=connector, middlewares=middlewares)

    async def _end(self) -> None:
        await self._session.close()

    def send(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        is_streamed: bool = False,
    ) -> Answer:
        async def send() -> Answer:
            content = _async_pieces() if is_streamed else body
            async with self._session.request(method, url, data=content, headers=headers) as got:
                return Answer(got.status, await got.read(), with_aiohttp.outcome_of(got))

        return self._run(send())


LIBRARIES: Final[dict[str, type[Library]]] = {
    "httpx": Httpx,
    "httpx-async": AsyncHttpx,
    "aiohttp": Aiohttp,
    "requests": Requests,
    "urllib3": Urllib3,
}
