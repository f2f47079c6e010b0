# SPDX-License-Identifier: MIT
"""Is anybody there, and does he speak what was said? Asked once, before anything is measured."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Final

from resonance.bench.errors import PlanError, TargetError
from resonance.bench.load.connections import ROOM_BYTES, Endpoint
from resonance.bench.load.wires import Wire, WireError
from resonance.bench.plan import Load, Target

__all__ = ["reach"]

_CONNECT_SECONDS: Final = 5.0
"""*Chosen*: to wait so long for a first connection is enough to say that there is none."""
_PROTOCOLS: Final = {"https": "http/1.1", "h2": "h2", "grpcs": "h2"}


def reach(load: Load, make_wire: Callable[[], Wire]) -> Endpoint:
    """Make a first connection, and return where it led.

    Parameters
    ----------
    load : Load
    make_wire : callable

    Returns
    -------
    Endpoint

    Raises
    ------
    TargetError
        None can be made, or who answers speaks something else.
    PlanError
        The certificates that are to be trusted cannot be read.
    """
    target = load.target
    context = _context(target) if target.is_tls else None
    reasons: list[str] = []
    for family, address in _addresses(target):
        endpoint = Endpoint(family, address, target.host, context)
        try:
            _try(endpoint, make_wire())
        except WireError as error:
            raise TargetError(str(target), f"does not speak {target.scheme}: {error}") from None
        except (OSError, EOFError) as error:
            reasons.append(_reason(error, target))
        else:
            return endpoint
    raise TargetError(str(target), "; ".join(dict.fromkeys(reasons)))


def _addresses(target: Target) -> list[tuple[int, tuple[object, ...] | str | bytes]]:
    if target.unix_socket:
        name = target.unix_socket
        return [(socket.AF_UNIX, f"\0{name[1:]}" if name.startswith("@") else name)]
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        raise TargetError(
            str(target), f"the name {target.host!r} is not known here ({words}): check its spelling"
        ) from None
    return [(family, address) for family, _, _, _, address in found]


def _context(target: Target) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=target.certificate_authorities or None)
    except OSError as error:
        raise PlanError(
            "certificate_authorities", f"{target.certificate_authorities}: {error.strerror}"
        ) from None
    if not target.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([_PROTOCOLS[target.scheme]])
    return context


def _try(endpoint: Endpoint, wire: Wire) -> None:
    """Connect, and wait for what the server says to our first words, if the wire has any."""
    with socket.socket(endpoint.family, socket.SOCK_STREAM) as plain:
        plain.settimeout(_CONNECT_SECONDS)
        plain.connect(endpoint.address)
        if endpoint.context is None:
            _greet(plain, wire)
            return
        try:
            encrypted = endpoint.context.wrap_socket(plain, server_hostname=endpoint.host)
        except TimeoutError:
            raise ssl.SSLError("it takes a connection and says nothing") from None
        with encrypted:
            _greet(encrypted, wire)


def _greet(way: socket.socket, wire: Wire) -> None:
    words = wire.begin()
    if not words:
        return
    if isinstance(way, ssl.SSLSocket) and way.selected_alpn_protocol() not in {None, "h2"}:
        raise WireError(f"it chose {way.selected_alpn_protocol()}")
    way.sendall(words)
    try:
        data = way.recv(ROOM_BYTES)
    except TimeoutError:
        raise WireError("no answer to our first words") from None
    if not data:
        raise WireError("it closes the connection at our first words")
    wire.receive(data)


def _reason(error: OSError | EOFError, target: Target) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({error.verify_message}): name its authority, or "
            "say that certificates are not to be verified"
        )
    if isinstance(error, ssl.SSLError):
        words = getattr(error, "reason", None) or error
        return f"no TLS there ({words}): is it {_unencrypted(target)}?"
    if isinstance(error, TimeoutError):
        return f"no answer within {_CONNECT_SECONDS:.0f} s: is a firewall between?"
    if isinstance(error, ConnectionRefusedError | FileNotFoundError):
        return f"{_words(error)}: is the server running there?"
    return _words(error)


def _words(error: OSError | EOFError) -> str:
    words = error.strerror if isinstance(error, OSError) else None
    return (words or str(error) or type(error).__name__).lower()


def _unencrypted(target: Target) -> str:
    return {"https": "http://", "h2": "h2c://", "grpcs": "grpc://"}[target.scheme]
