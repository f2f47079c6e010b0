# SPDX-License-Identifier: MIT
"""What does a request of a load look like in HTTP/2: its fields, its body?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from resonance.bench.errors import PlanError
from resonance.bench.plan import Load, Request, Target

__all__ = ["Prepared", "prepared", "prepared_requests"]

_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_PATH: Final = re.compile(r"/[!-~]*|\*")
"""RFC 9110, sections 5.5 and 5.6.2; RFC 9113, section 8.3.1."""
_OF_THE_CONNECTION: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
    }
)
"""RFC 9113, section 8.2.2: HTTP/2 has no such fields."""
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_PORTS: Final = {"h2": 443, "h2c": 80, "grpcs": 443}
_DEFAULTS: Final = {"user-agent": "resonance-bench", "accept": "*/*"}


class Prepared(NamedTuple):
    """One kind of request.

    Attributes
    ----------
    fields : tuple of (bytes, bytes)
        Pseudo-fields first.
    body : bytes
    is_head : bool
        Whether its answer has a length but no body.
    """

    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes
    is_head: bool


def prepared_requests(load: Load) -> tuple[Prepared, ...]:
    """Return each kind of request of a load.

    Parameters
    ----------
    load : Load

    Returns
    -------
    tuple of Prepared
        In the order of `Load.requests`.

    Raises
    ------
    PlanError
        A method, a path or a header that HTTP/2 cannot carry.
    """
    return tuple(_prepared(load.target, request) for request in load.requests)


def prepared(
    target: Target, request: Request, method: str, defaults: Mapping[str, str]
) -> Prepared:
    """Return one kind of request.

    Parameters
    ----------
    target : Target
    request : Request
        With its body.
    method : str
    defaults : mapping of str to str
        Headers, where the request has none of the name.

    Returns
    -------
    Prepared

    Raises
    ------
    PlanError
        A method, a path or a header that HTTP/2 cannot carry.
    """
    key = f"request {request.name}"
    path = request.path or target.path
    if not _NAME.fullmatch(method):
        raise PlanError(key, f"{method!r} is no method of HTTP")
    if not _PATH.fullmatch(path):
        raise PlanError(key, f"the path {path!r} must begin with / and be percent-encoded")
    headers = dict(defaults)
    authority = _authority(target)
    own: list[tuple[str, str]] = []
    for name, value in request.headers:
        small = name.lower()
        if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value)):
            raise PlanError(key, f"the header {name!r}: {value!r} is not one of HTTP")
        if small in _OF_THE_CONNECTION or (small == "te" and value != "trailers"):
            raise PlanError(key, f"the header {name} is not one of HTTP/2; leave it out")
        if small == "content-length":
            raise PlanError(key, f"the header {name} follows from the body; leave it out")
        headers.pop(small, None)
        if small == "host":
            authority = value
        else:
            own.append((small, value.strip(" \t")))
    fields = (
        (":method", method),
        (":scheme", "https" if target.is_tls else "http"),
        (":authority", authority),
        (":path", path),
        *headers.items(),
        *own,
    )
    encoded = tuple((name.encode(), value.encode("latin-1")) for name, value in fields)
    return Prepared(encoded, request.body, method == "HEAD")


def _prepared(target: Target, request: Request) -> Prepared:
    defaults = dict(_DEFAULTS)
    if request.body or request.method in _WITH_BODY:
        defaults["content-length"] = str(len(request.body))
    return prepared(target, request, request.method, defaults)


def _authority(target: Target) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    if target.unix_socket or target.port == _PORTS.get(target.scheme):
        return host
    return f"{host}:{target.port}"
