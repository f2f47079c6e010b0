# SPDX-License-Identifier: MIT
"""What does the text of a target mean: ``http://host:port/path``, ``grpc+unix:/socket:/S/M``?"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

from resonance.bench.errors import PlanError
from resonance.bench.plan import Scheme, Target

__all__ = ["parse_target"]

_SCHEMES: Final[dict[str, Scheme]] = {
    "http": "http",
    "https": "https",
    "h2": "h2",
    "h2c": "h2c",
    "grpc": "grpc",
    "grpcs": "grpcs",
    "tcp": "frames",
    "frames": "frames",
}
_PORTS: Final = {"http": 80, "h2c": 80, "https": 443, "h2": 443, "grpcs": 443}
_FORMS: Final = (
    "http://HOST:PORT/PATH, https://, h2://, h2c://, grpc://HOST:PORT/package.Service/Method, "
    "grpcs://, tcp://HOST:PORT, or http+unix:/SOCKET:/PATH"
)
_METHOD: Final = re.compile(r"/[\w.]+/\w+")
_PATH: Final = re.compile(r"/[!-~]*")


def parse_target(text: str, *, verify: bool = True, certificate_authorities: str = "") -> Target:
    """Return what a text means as a target.

    Parameters
    ----------
    text : str
        ``http://``, ``https://``, ``h2://``, ``h2c://``, ``grpc://``, ``grpcs://`` or ``tcp://``;
        of a Unix socket ``http+unix:/run/app.sock:/path``, ``frames+unix:/run/app.sock`` and so
        on, ``@name`` instead of the socket's path for an abstract name.
    verify : bool
        Whether TLS looks at the server's certificate.
    certificate_authorities : str
        A PEM file that is trusted instead of the system's.

    Returns
    -------
    Target

    Raises
    ------
    PlanError
        It is none of these; the key is ``target``.
    """
    name, colon, rest = text.partition(":")
    name, plus, kind = name.lower().partition("+")
    scheme = _SCHEMES.get(name)
    if scheme is None or not colon or kind not in {"", "unix"}:
        raise PlanError("target", f"{text!r} is none of {_FORMS}")
    if plus:
        host, port, (unix_socket, path) = "localhost", 0, _socket(text, rest)
    else:
        host, port, path = _place(text, scheme)
        unix_socket = ""
    return Target(
        scheme=scheme,
        host=host,
        port=port,
        path=_path(text, scheme, path),
        unix_socket=unix_socket,
        verify=verify,
        certificate_authorities=certificate_authorities,
    )


def _socket(text: str, rest: str) -> tuple[str, str]:
    place, _, path = rest.partition(":")
    if place[:1] not in {"/", "@"} or len(place) < 2:
        raise PlanError("target", f"{text!r}: after the first colon the path of a socket, or @NAME")
    return place, path


def _place(text: str, scheme: Scheme) -> tuple[str, int, str]:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise PlanError("target", f"{text!r}: {str(error).lower()}") from None
    if not parts.hostname:
        raise PlanError("target", f"{text!r} has no host: it is none of {_FORMS}")
    if parts.username is not None:
        raise PlanError("target", f"{text!r}: a name and a password belong into a header")
    if port is None:
        port = _PORTS.get(scheme)
    if not port:
        raise PlanError("target", f"{text!r} has no port: say {scheme}://{parts.hostname}:PORT")
    return parts.hostname, port, _rest(parts)


def _rest(parts: SplitResult) -> str:
    return parts.path + (f"?{parts.query}" if parts.query else "")


def _path(text: str, scheme: Scheme, path: str) -> str:
    if scheme == "frames":
        if path not in {"", "/"}:
            raise PlanError("target", f"{text!r}: raw TCP has no path")
        return ""
    if scheme in {"grpc", "grpcs"}:
        if not _METHOD.fullmatch(path):
            raise PlanError("target", f"{text!r}: the path of gRPC is /package.Service/Method")
        return path
    whole = path or "/"
    if whole.startswith("?"):
        whole = f"/{whole}"
    if not _PATH.fullmatch(whole):
        raise PlanError("target", f"{text!r}: the path must be percent-encoded, from / on")
    return whole
