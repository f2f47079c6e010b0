# SPDX-License-Identifier: MIT
"""How do our gRPC services take bytes, refuse, count, and come to their socket?

Requests arrive as bytes, so that garbage is refused here in words instead of failing inside
gRPC with a traceback in the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message
from prometheus_client import Counter

from resonanced.errors import StartError
from resonanced.sockets import socket_mode

__all__ = ["Context", "Handler", "RefusedError", "bind", "counted", "parse"]

_M = TypeVar("_M", bound=Message)
_R = TypeVar("_R")

Context = grpc.aio.ServicerContext[bytes, bytes]
Handler = Callable[[bytes, Context], Awaitable[_R]]


class RefusedError(Exception):
    """A call that is not answered: the status and the sentence its caller gets."""

    def __init__(
        self, reason: str, code: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT
    ) -> None:
        super().__init__(reason, code)
        self.reason = reason
        self.code = code


def parse(kind: type[_M], payload: bytes) -> _M:
    """Return the message in `payload`.

    Raises
    ------
    RefusedError
        The bytes are not such a message.
    """
    try:
        return kind.FromString(payload)
    except DecodeError as error:
        raise RefusedError(f"not a {kind.__name__}") from error


def counted(requests: Counter, method: str, handler: Handler[_R]) -> Handler[_R]:
    """Wrap a handler so that its outcome is counted and a refusal becomes a status.

    Parameters
    ----------
    requests : Counter
        With the labels method and code.
    method : str
    handler : callable
    """

    async def answer(payload: bytes, context: Context) -> _R:
        try:
            response = await handler(payload, context)
        except RefusedError as refused:
            requests.labels(method, refused.code.name).inc()
            await context.abort(refused.code, refused.reason)
        except asyncio.CancelledError:
            requests.labels(method, grpc.StatusCode.CANCELLED.name).inc()
            raise
        requests.labels(method, grpc.StatusCode.OK.name).inc()
        return response

    return answer


def bind(server: grpc.aio.Server, path: Path, mode: int) -> None:
    """Bind a server to a Unix socket that has its mode from the first moment on.

    Raises
    ------
    StartError
        gRPC could not.
    """
    try:
        with socket_mode(mode):
            server.add_insecure_port(f"unix:{path}")
    except RuntimeError as error:
        raise StartError(str(path), "cannot bind the socket", str(error)) from error
