# SPDX-License-Identifier: MIT
"""Policies for requests: an adapter to mount for the hosts that have replicas.

::

    session = requests.Session()
    session.mount("http://search", Adapter(replicas={"http://search": ["http://10.0.0.1:80"]}))
    session.get("http://search/items")

It is `resonance.integrations.urllib3` below requests' own adapter, and what is said there holds
here. requests' ``max_retries`` is off, so that one layer retries, and a session's proxies are not
used. With ``stream=True`` or without, a policy ends where the headers of the answer have come.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

try:
    import requests
except ImportError:
    from resonance.errors import MissingExtraError

    raise MissingExtraError("resonance.integrations.requests", "requests", "requests") from None

from requests.adapters import DEFAULT_POOLBLOCK, DEFAULT_POOLSIZE, HTTPAdapter

from resonance.client import Client
from resonance.client._base import AnyPolicy
from resonance.integrations import _exchange
from resonance.integrations._http import Replicas
from resonance.integrations.urllib3 import PoolManager
from resonance.policies import NO_HINT, Outcome, TaskHint

__all__ = ["Adapter", "outcome_of"]


class Adapter(HTTPAdapter):
    """Sends requests under a policy; for `requests.Session.mount`.

    Parameters
    ----------
    client : Client, optional
        Whose state, budget and mode to use. Without one, a new client with the profile
        ``balanced``, which is closed with the adapter.
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
    pool_connections, pool_maxsize, pool_block
        As for requests' adapter.

    Raises
    ------
    PolicyError
        Replicas that are no base URLs.
    """

    def __init__(
        self,
        *,
        client: Client | None = None,
        policy: AnyPolicy | str | None = None,
        replicas: Replicas | None = None,
        hint: TaskHint = NO_HINT,
        keep_host: bool = True,
        pool_connections: int = DEFAULT_POOLSIZE,
        pool_maxsize: int = DEFAULT_POOLSIZE,
        pool_block: bool = DEFAULT_POOLBLOCK,
    ) -> None:
        self._options: dict[str, Any] = {
            "client": client,
            "policy": policy,
            "replicas": replicas,
            "hint": hint,
            "keep_host": keep_host,
        }
        super().__init__(pool_connections, pool_maxsize, pool_block=pool_block)

    def init_poolmanager(
        self,
        connections: int,
        maxsize: int,
        block: bool = DEFAULT_POOLBLOCK,
        **pool_kwargs: Any,
    ) -> None:
        """Make the pool manager; requests calls it.

        Parameters
        ----------
        connections, maxsize, block, **pool_kwargs
            As for requests' adapter.
        """
        self._manager = PoolManager(
            connections, maxsize=maxsize, block=block, **self._options, **pool_kwargs
        )
        self.poolmanager = self._manager

    def send(  # noqa: PLR0917 -- requests' own signature
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float, float] | tuple[float, None] | None = None,
        verify: bool | str = True,
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,  # noqa: ARG002 -- as above
    ) -> requests.Response:
        """Send a request to one of its replicas, or to several.

        Parameters
        ----------
        request, stream, timeout, verify, cert
            As for requests' adapter.
        proxies
            Not used: what knows the replicas talks to them itself.

        Returns
        -------
        requests.Response
            Its body is read where ``stream`` is not set.
        """
        return super().send(request, stream, timeout, verify, cert, proxies=None)

    def close(self) -> None:
        """Close all connections, and the client where it was made here."""
        self._manager.close()

    def __getstate__(self) -> NoReturn:
        raise TypeError("an adapter with a client has threads and cannot be pickled: mount anew")


def outcome_of(response: requests.Response) -> Outcome[None] | None:
    """Return what was done to get a response: attempts, replica, reasons.

    Parameters
    ----------
    response : requests.Response

    Returns
    -------
    Outcome or None
        ``None`` for a response that did not come through an `Adapter`.
    """
    return _exchange.outcome_of(response.raw)
