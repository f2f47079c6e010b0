# SPDX-License-Identifier: MIT
"""What did the end of an RPC mean: is another attempt worth making, and when?"""

from __future__ import annotations

import ipaddress
import urllib.parse
from collections.abc import Collection
from typing import Final, cast

import grpc

from resonance.policies import Failure
from resonance.policies._pushback import grpc_pushback
from resonance.server import REASON_HEADER, Refusal
from resonance.server._grpc_metadata import PUSHBACK, Pairs, value_of

__all__ = ["RETRIABLE", "Classifier"]

RETRIABLE: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED})
"""What another attempt of the same call may cure.

UNAVAILABLE by its definition in gRPC, "Status codes and their use"; RESOURCE_EXHAUSTED because
it is how servers shed load, ours included. Not ABORTED, by the same document: the caller must
begin its transaction anew. Not DEADLINE_EXCEEDED: an attempt has all the time its call has."""

_NOT_CONNECTED: Final = "failed to connect to all addresses; last error: "
"""How gRPC begins the details of a call for which it found no connection."""
_NEVER_BEGUN: Final[frozenset[object]] = frozenset(Refusal)
_FATAL: Final = Failure(kind="fatal")


class Classifier:
    """Tells the failures of one channel from its successes, as ``classify`` of a call.

    An attempt counts as unsent, so that even what is not idempotent is sent again, for one of
    two reasons:

    - the server says, with ``resonance-reason``, that it refused the call before it began it;
    - gRPC says that it could not connect, and names the very address this channel is for. A
      server that hands on such an error of a call of its own names the address of somebody
      else: its own was reached. An address with a name to be looked up is never proven so.

    Parameters
    ----------
    address : str, optional
        What the channel was made for; without it nothing is proven by failing to connect.
    codes : collection of grpc.StatusCode
        What another attempt may cure.
    """

    def __init__(
        self, address: str | None = None, codes: Collection[grpc.StatusCode] = RETRIABLE
    ) -> None:
        self._codes = frozenset(codes)
        self._literal = None if address is None else _literal(address)

    def __call__(self, value: object) -> Failure | None:
        """Return what failed, given what an attempt returned or raised; ``None``: nothing.

        Parameters
        ----------
        value : object
            Exceptions have failed, anything else has not.
        """
        if not isinstance(value, BaseException):
            return None
        # What raises the bare class, as some interceptors do, tells nothing.
        if not isinstance(value, grpc.RpcError) or not hasattr(value, "code"):
            return _FATAL
        if value.code() not in self._codes:
            return _FATAL
        metadata = cast("Pairs", value.trailing_metadata() or ())
        pushback, stop = _pushback(metadata)
        was_refused = value_of(metadata, REASON_HEADER) in _NEVER_BEGUN
        is_unsent = was_refused or self._was_not_connected(value)
        return Failure("unsent" if is_unsent else "retriable", pushback, stop)

    def _was_not_connected(self, error: grpc.RpcError) -> bool:
        if self._literal is None or error.code() is not grpc.StatusCode.UNAVAILABLE:
            return False
        # "... last error: UNKNOWN: ipv4:127.0.0.1:1: Failed to connect ...": the name of a
        # status, the address, the reason.
        _, found, rest = (error.details() or "").partition(_NOT_CONNECTED)
        _, _, rest = rest.partition(": ")
        return bool(found) and rest.startswith(f"{self._literal}: ")


def _pushback(metadata: Pairs) -> tuple[float | None, bool]:
    told = value_of(metadata, PUSHBACK)
    if told is None:
        return None, False
    return grpc_pushback(told if isinstance(told, str) else "")


def _literal(address: str) -> str | None:
    """Return the address as gRPC writes it, or ``None`` where a name would be looked up."""
    scheme, separator, path = address.partition(":")
    if separator and scheme in {"unix", "unix-abstract"}:
        return f"{scheme}:{urllib.parse.quote(path.removeprefix('//'))}"
    if separator and scheme in {"ipv4", "ipv6"}:
        address = path
    host, _, port = address.rpartition(":")
    try:
        ip = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        number = int(port)
    except ValueError:
        return None
    return f"ipv4:{ip}:{number}" if ip.version == 4 else f"ipv6:%5B{ip}%5D:{number}"
