# SPDX-License-Identifier: MIT
"""What was asked? Turns request bytes into questions, and refuses what makes no sense."""

from __future__ import annotations

import ipaddress
import math
from typing import Final, TypeVar

import grpc
from google.protobuf.message import Message

from resonance_api.hints.v1 import hints_pb2
from resonanced import rpc
from resonanced.hints.messages import Question
from resonanced.model import Endpoint, ResolveSubject
from resonanced.rpc import RefusedError

__all__ = ["interval_seconds", "parse", "parse_endpoint", "question", "subject"]

_MOST_BYTES: Final = 16 * 1024
"""Of a request: 64 patterns of 250 bytes."""
_DEFAULT_INTERVAL_SECONDS: Final = 0.1
_MOST_PATTERNS: Final = 64
_MOST_PORTS: Final = 65_535

_M = TypeVar("_M", bound=Message)


def parse(kind: type[_M], payload: bytes) -> _M:
    """Return the request in `payload`.

    Raises
    ------
    RefusedError
        The bytes are too many, or not such a message.
    """
    if len(payload) > _MOST_BYTES:
        reason = f"longer than {_MOST_BYTES} bytes"
        raise RefusedError(reason, grpc.StatusCode.RESOURCE_EXHAUSTED)
    return rpc.parse(kind, payload)


def question(request: hints_pb2.GetRequest | hints_pb2.WatchRequest) -> Question:
    """Return which cgroups a request wants.

    Raises
    ------
    RefusedError
        It names too many patterns.
    """
    if len(request.cgroups) > _MOST_PATTERNS:
        raise RefusedError(f"more than {_MOST_PATTERNS} cgroup patterns")
    return Question(tuple(request.cgroups), request.include_histograms)


def interval_seconds(request: hints_pb2.WatchRequest) -> float:
    """Return the shortest time a stream leaves between two messages.

    Raises
    ------
    RefusedError
        It is negative or no number.
    """
    if not 0.0 <= request.interval_seconds < math.inf:
        raise RefusedError("interval_seconds must be a number of seconds, 0 or more")
    return request.interval_seconds or _DEFAULT_INTERVAL_SECONDS


def subject(request: hints_pb2.ResolveRequest) -> ResolveSubject:
    """Return the endpoint or process a request names.

    Raises
    ------
    RefusedError
        It names neither, or no such thing can be.
    """
    match request.WhichOneof("subject"):
        case "endpoint":
            return parse_endpoint(request.endpoint)
        case "pid" if request.pid > 0:
            return request.pid
        case "pid":
            raise RefusedError("pid must be positive")
        case _:
            raise RefusedError("name an endpoint or a pid")


def parse_endpoint(text: str) -> Endpoint:
    """Return the endpoint written as ``127.0.0.1:8080``, ``[::1]:8080`` or ``:8080``.

    Raises
    ------
    RefusedError
        The text has another form; names are not looked up.

    Examples
    --------
    >>> parse_endpoint("[::1]:8080")
    Endpoint(host='::1', port=8080)
    """
    host, colon, port = text.rpartition(":")
    if not (colon and port.isascii() and port.isdigit() and 0 < int(port) <= _MOST_PORTS):
        raise RefusedError(f"{text!r} has no port; write 127.0.0.1:8080, [::1]:8080 or :8080")
    host = host.removeprefix("[").removesuffix("]")
    if not host:
        return Endpoint("", int(port))
    try:
        return Endpoint(str(ipaddress.ip_address(host)), int(port))
    except ValueError as error:
        raise RefusedError(f"{host!r} is no IP address, and names are not looked up") from error
