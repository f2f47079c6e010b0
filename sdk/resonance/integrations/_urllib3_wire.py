# SPDX-License-Identifier: MIT
"""urllib3's connections, such that another thread can cut them; and pools of them."""

from __future__ import annotations

import socket
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
)

from resonance.integrations._line import connect, current_line

__all__ = ["POOLS"]


class _Cuttable(HTTPConnection):
    """Opens and uses its socket in sight of the line of the attempt."""

    def _new_conn(self) -> socket.socket:
        host: str = self._dns_host.strip("[]")
        try:
            host.encode("idna")
        except UnicodeError:
            raise LocationParseError(f"'{host}', label empty or too long") from None
        try:
            return connect(
                (host, self.port), self.timeout, self.source_address, self.socket_options or ()
            )
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            message = f"Connection to {self.host} timed out. (connect timeout={self.timeout})"
            raise ConnectTimeoutError(self, message) from error
        except OSError as error:
            message = f"Failed to establish a new connection: {error}"
            raise NewConnectionError(self, message) from error

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send a request, as ever."""
        line = current_line()
        if line is not None and self.sock is not None:
            line.hold(self.sock)
        super().request(*args, **kwargs)


class _CuttableTLS(_Cuttable, HTTPSConnection):
    """The same, with TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Cuttable  # type: ignore[mutable-override]  # urllib3's way to say it


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _CuttableTLS  # type: ignore[mutable-override]  # as above


POOLS: dict[str, type[HTTPConnectionPool]] = {"http": _Pool, "https": _TLSPool}
"""For `urllib3.PoolManager.pool_classes_by_scheme`."""
