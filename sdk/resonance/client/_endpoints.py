# SPDX-License-Identifier: MIT
"""Which TCP endpoint of this host does a target mean, if any?

A target is whatever an application calls a replica. Only what surely is a numeric address and
a port is understood, and ``localhost``; names are never looked up. What is not understood is
nobody's endpoint: not knowing costs nothing, and a wrong one would read the pressure of a
stranger.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlsplit

__all__ = ["host_and_port", "local_endpoints", "shares_network"]

_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_RESOLVERS: Final = ("dns", "ipv4", "ipv6")
"""Schemes of gRPC's names that end in a TCP address; grpc/grpc, ``doc/naming.md``."""
_ADDRESS: Final = re.compile(r"(?:\[([^][]+)\]|([^][:/,\s]+)):([0-9]{1,5})", re.ASCII)
_URL_TYPES: Final = frozenset({"ParseResult", "SplitResult", "URL", "Url"})
"""Of urllib, httpx, yarl, urllib3 and SQLAlchemy. Other objects are not asked for attributes:
that may do anything."""
_DISCARD_PORT: Final = 9
"""RFC 863. Nothing is sent there; a datagram socket only wants a number."""


def host_and_port(target: object) -> tuple[str, int] | None:
    """Return the host and the port a target names; ``None`` where it is not one of each.

    Parameters
    ----------
    target : object
        ``"host:port"``, ``"[::1]:port"``, a URL as text or of a common library, a name of gRPC
        (``dns:``, ``ipv4:``, ``ipv6:``), or a tuple that begins with host and port.

    Returns
    -------
    tuple of str and int, or None
        The host, an IPv6 address without brackets; and the port, 1 to 65535.

    Examples
    --------
    >>> host_and_port("http://127.0.0.1/items")
    ('127.0.0.1', 80)
    >>> host_and_port("dns:///db.internal:50051")
    ('db.internal', 50051)
    >>> host_and_port("unix:/run/db.sock") is None
    True
    """
    if isinstance(target, str):
        return _of_text(target)
    if type(target).__name__ in _URL_TYPES:
        return _of_url(target)
    if isinstance(target, tuple):
        parts = cast("tuple[object, ...]", target)
        return _checked(parts[0], parts[1]) if len(parts) in {2, 4} else None
    return None


def _of_text(text: str) -> tuple[str, int] | None:
    scheme, has_authority, rest = text.partition("://")
    if has_authority:
        if scheme.lower() in _RESOLVERS:
            return _of_address(rest.partition("/")[2])
        try:
            return _of_url(urlsplit(text))
        except ValueError:  # no URL, whatever it looks like
            return None
    scheme, _, rest = text.partition(":")
    return _of_address(rest if scheme.lower() in _RESOLVERS else text)


def _of_address(text: str) -> tuple[str, int] | None:
    found = _ADDRESS.fullmatch(text)
    return _checked(found[1] or found[2], int(found[3])) if found else None


def _of_url(url: object) -> tuple[str, int] | None:
    try:
        host = getattr(url, "hostname", None) or getattr(url, "host", None)
        port = getattr(url, "port", None)
    except ValueError:  # urllib complains when it is asked for a port that is none
        return None
    if port is None:
        port = _DEFAULT_PORTS.get(str(getattr(url, "scheme", "")).lower())
    return _checked(host.strip("[]") if isinstance(host, str) else host, port)


def _checked(host: object, port: object) -> tuple[str, int] | None:
    if not isinstance(host, str) or not isinstance(port, int) or isinstance(port, bool):
        return None
    return (host, port) if host and 0 < port < 1 << 16 else None


def local_endpoints(target: object) -> tuple[str, ...]:
    """Return the endpoints of this host that a target can mean, as the daemon wants them.

    Parameters
    ----------
    target : object
        As for `host_and_port`.

    Returns
    -------
    tuple of str
        Empty where it is another host's, or not understood.

    Examples
    --------
    >>> local_endpoints("localhost:8080")
    ('127.0.0.1:8080', '[::1]:8080')
    >>> local_endpoints("db.internal:8080")
    ()
    """
    named = host_and_port(target)
    if named is None:
        return ()
    host, port = named
    if host.lower().rstrip(".") == "localhost":
        return f"127.0.0.1:{port}", f"[::1]:{port}"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ()
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    if not (address.is_loopback or _is_own(address)):
        return ()
    return (f"{address}:{port}" if address.version == 4 else f"[{address}]:{port}",)


def _is_own(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Tell whether an address is of this host: then it is also whom one would speak as.

    Whether one can bind to it says less: ``ip_nonlocal_bind`` lets one bind to any.
    """
    if address.is_unspecified or address.is_multicast or address.is_link_local:
        return False
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), _DISCARD_PORT))
            return ipaddress.ip_address(probe.getsockname()[0]) == address
    except OSError:  # no route there, or no such family here
        return False


def shares_network(daemon: Path, table: Path = Path("/proc/net/unix")) -> bool:
    """Tell whether the daemon is in the network namespace of this process.

    In another one ``127.0.0.1:8080`` is somebody else. The kernel lists Unix sockets by the
    namespace they were made in (unix(7), net/unix/af_unix.c), even where their path is seen
    from others.

    Parameters
    ----------
    daemon : pathlib.Path
        Its socket.
    table : pathlib.Path
        Where the kernel lists the sockets of this namespace.
    """
    ending = b" " + os.fsencode(daemon) + b"\n"
    try:
        with table.open("rb") as lines:
            return any(line.endswith(ending) for line in lines)
    except OSError:
        return False
