# SPDX-License-Identifier: MIT
"""Policies for urllib3: a pool manager that chooses among replicas, hedges and retries.

::

    http = PoolManager(replicas={"http://search": ["http://10.0.0.1:80", "http://10.0.0.2:80"]})
    http.request("GET", "http://search/items")

A request is repeated if HTTP calls its method idempotent, or if it has an ``Idempotency-Key``,
and if its body is bytes or text; any other is sent once, unless it provably was not sent at all.
urllib3's own retries are off, so that one layer retries: of a `urllib3.Retry` only what it says
of redirects counts. A policy ends where urllib3 returns the answer: with its body, unless it was
told not to load that.

An attempt that nobody waits for is cancelled: its connection is shut down, which its server can
see. Proxies are not for this: what knows the replicas should talk to them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, Literal

try:
    import urllib3
except ImportError:
    from resonance.errors import MissingExtraError

    raise MissingExtraError("resonance.integrations.urllib3", "urllib3", "requests") from None

from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPHeaderDict, HTTPSConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import Retry

from resonance.client import Client
from resonance.client._base import AnyPolicy
from resonance.errors import DeadlineExceededError, ResonanceError
from resonance.integrations._exchange import Exchange, outcome_of, remember
from resonance.integrations._http import (
    Replicas,
    added_headers,
    failure_of_status,
    hint_for,
    origin,
    parts_of,
)
from resonance.integrations._line import Line
from resonance.integrations._options import (
    LOAD_HEADER,
    OWN_ERRORS,
    Options,
    attempt_here,
    bounded,
    take_report,
)
from resonance.integrations._urllib3_wire import POOLS
from resonance.policies import NO_HINT, Failure, TaskHint

__all__ = ["PoolManager", "outcome_of"]

_MOST_REPLICAS: Final = 1_000
"""*Chosen*: pools of replicas that are kept; one costs nothing until it is used."""
_UNSENT: Final = (NewConnectionError, ConnectTimeoutError)
_SERVERS: Final = (ProtocolError, ReadTimeoutError, SSLError)
_TLS_SETTINGS: Final = ("cert_reqs", "ca_certs", "ca_cert_dir", "cert_file", "key_file")
"""What requests sets on a pool after it was made."""


class PoolManager(urllib3.PoolManager):
    """Sends requests under a policy.

    Parameters
    ----------
    num_pools, headers, **connection_pool_kw
        As for `urllib3.PoolManager`.
    client : Client, optional
        Whose state, budget and mode to use. Without one, a new client with the profile
        ``balanced``, which is closed with this.
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
        num_pools: int = 10,
        headers: Mapping[str, str] | None = None,
        *,
        client: Client | None = None,
        policy: AnyPolicy | str | None = None,
        replicas: Replicas | None = None,
        hint: TaskHint = NO_HINT,
        keep_host: bool = True,
        **connection_pool_kw: Any,
    ) -> None:
        super().__init__(num_pools, headers, **connection_pool_kw)
        self.pool_classes_by_scheme = {"http": _Service, "https": _TLSService}
        self._options = Options(client, Client, policy, replicas, hint, keep_host=keep_host)
        self._replicas = urllib3.PoolManager(_MOST_REPLICAS, **connection_pool_kw)
        self._replicas.pool_classes_by_scheme = POOLS

    def _new_pool(
        self, scheme: str, host: str, port: int, request_context: dict[str, Any] | None = None
    ) -> HTTPConnectionPool:
        context = dict(request_context or self.connection_pool_kw)
        pool = super()._new_pool(scheme, host, port, request_context)
        assert isinstance(pool, _Service)
        pool.begin(self._options, self._replicas, context)
        return pool

    def clear(self) -> None:
        """Close all connections that are not in use."""
        super().clear()
        self._replicas.clear()

    def close(self) -> None:
        """Close all connections, and the client where it was made here."""
        self.clear()
        if self._options.is_own_client:
            self._options.client.close()

    def __exit__(self, *_: object) -> Literal[False]:
        self.close()
        return False


class _Service(HTTPConnectionPool):
    """What the application takes for one host; it has no connections, but replicas that do."""

    def begin(
        self, options: Options[Client], pools: urllib3.PoolManager, context: dict[str, Any]
    ) -> None:
        """Take what urllib3's constructor has no place for."""
        self._options = options
        self._pools = pools
        self._context = context
        self._name = origin(self.scheme or "http", self.host, self.port)

    def urlopen(  # type: ignore[override]  # noqa: PLR0917 -- urllib3's own signature
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        retries: Retry | bool | int | None = None,
        redirect: bool = True,
        **how: Any,
    ) -> BaseHTTPResponse:
        """Send a request to one of the replicas, or to several, and return the answer."""
        options, exchange = self._options, Exchange[BaseHTTPResponse]()
        headers = self.headers if headers is None else headers
        is_replayable = body is None or isinstance(body, bytes | str)
        hint = hint_for(options.hint, method, headers, is_replayable=is_replayable)
        asked = Retry.from_int(retries, redirect=redirect, default=self.retries)
        how |= {"body": body, "redirect": False, "retries": _only_redirects(asked)}
        kept: BaseHTTPResponse | None = None
        try:
            outcome = options.client.call(
                options.routes.targets(self._name),
                partial(self._attempt, exchange, method, url, headers, how),
                options.policy(hint),
                hint=hint,
                service=self._name,
                classify=_classify,
                inline=True,
            )
        except OWN_ERRORS as error:
            raise self._as_urllib3(error, url) from error
        else:
            kept = outcome.result
            kept.retries = asked  # how many redirects the caller still wants
            remember(kept, outcome)
            return kept
        finally:
            for response in exchange.settled(kept):
                _discard(response)

    def _attempt(  # noqa: PLR0917 -- all but the target are bound before
        self,
        exchange: Exchange[BaseHTTPResponse],
        method: str,
        url: str,
        headers: Mapping[str, str],
        how: dict[str, Any],
        target: str,
    ) -> BaseHTTPResponse:
        attempt, line = attempt_here(), Line()
        if attempt.number > 1 and not attempt.is_hedge:
            for response in exchange.superseded():
                _discard(response)
        attempt.on_cancel(line.cut)
        timeout = self._get_timeout(how.get("timeout", self.timeout))
        timeout.total = bounded(timeout.total)  # type: ignore[arg-type]  # never the sentinel
        sent: dict[str, Any] = {**how, "timeout": timeout}
        headers = self._headers_for(target, headers, attempt.number)
        with line.carrying():
            response = self._pool_of(target).urlopen(method, url, headers=headers, **sent)
        take_report(attempt, response.headers.get(LOAD_HEADER))
        if not exchange.arrived(response):
            _discard(response)
        return response

    def _pool_of(self, target: str) -> HTTPConnectionPool:
        """Return the connections to a replica, with the settings of this service."""
        scheme, host, port = parts_of(target)
        context = self._context | {"scheme": scheme, "host": host, "port": port}
        if scheme == "https" and target != self._name and self._options.keep_host:
            context.setdefault("server_hostname", self.host)
        pool = self._pools.connection_from_context(context)
        if isinstance(self, HTTPSConnectionPool) and isinstance(pool, HTTPSConnectionPool):
            for setting in _TLS_SETTINGS:
                setattr(pool, setting, getattr(self, setting))
        return pool

    def _headers_for(
        self, target: str, headers: Mapping[str, str], number: int
    ) -> HTTPHeaderDict | dict[str, str]:
        copied = headers.copy() if isinstance(headers, HTTPHeaderDict) else dict(headers.items())
        is_own_host = any(name.lower() == "host" for name in headers)
        if target != self._name and self._options.keep_host and not is_own_host:
            copied["Host"] = self._name.partition("://")[2]
        copied.update(added_headers(headers, number))
        return copied

    def _as_urllib3(self, error: ResonanceError, url: str) -> HTTPError:
        if isinstance(error, DeadlineExceededError):
            return ReadTimeoutError(self, url, str(error))
        return MaxRetryError(self, url, error)


class _TLSService(  # pyright: ignore[reportIncompatibleMethodOverride] - as in _Service
    _Service, HTTPSConnectionPool
):
    """The same, with TLS."""


def _only_redirects(asked: Retry) -> Retry:
    """Return what urllib3 may repeat by itself: nothing; errors still come as they do."""
    return asked.new(total=None, connect=0, read=False, status=0, other=0, status_forcelist=())


def _classify(value: object) -> Failure | None:
    """Return what an answer, or an exception, means to a policy."""
    if isinstance(value, BaseHTTPResponse):
        return failure_of_status(value.status, value.headers.get("Retry-After"), time.time())
    if isinstance(value, MaxRetryError) and isinstance(value.reason, _UNSENT):
        return Failure("unsent")
    cause = value.reason if isinstance(value, MaxRetryError) else value
    return Failure("retriable" if isinstance(cause, _SERVERS) else "fatal")


def _discard(response: BaseHTTPResponse) -> None:
    """Close a response that nobody reads, with its connection, and give back its place."""
    response.close()
    response.release_conn()
