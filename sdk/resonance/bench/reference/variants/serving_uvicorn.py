# SPDX-License-Identifier: MIT
"""What does an ASGI application cost whose every request is the same work?

::

    python -P serving_uvicorn.py PORT ROUNDS

It is run as a file, and nothing of ours is in its process. The work is one call into C, as in
applications that hash or compress; the rest is what uvicorn itself does, with httptools and the
loop of the standard library.
"""

from __future__ import annotations

import hashlib
import socket
import sys
from typing import TYPE_CHECKING, Final

import uvicorn

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope

__all__ = ["application", "main"]

_DAY_SECONDS: Final = 86_400
"""Connections that nobody uses stay open: a client would take their end for that of the replica."""
_BACKLOG: Final = 4_096


def application(rounds: int) -> ASGI3Application:
    """Return an application that answers after so many rounds of PBKDF2 (RFC 8018).

    Parameters
    ----------
    rounds : int

    Returns
    -------
    callable
    """

    async def answer(
        scope: Scope,  # noqa: ARG001 - every request is the same
        receive: ASGIReceiveCallable,  # noqa: ARG001
        send: ASGISendCallable,
    ) -> None:
        digest = hashlib.pbkdf2_hmac("sha256", b"work", b"salt", rounds)
        length = str(len(digest)).encode()
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", length)],
                "trailers": False,
            }
        )
        await send({"type": "http.response.body", "body": digest, "more_body": False})

    return answer


def main(port: int, rounds: int) -> None:
    """Serve until killed.

    Parameters
    ----------
    port : int
        Reserved by who started this.
    rounds : int
        Of each request.
    """
    # With its protocol named, or the event loop would not switch Nagle's algorithm off, and answers
    # would wait 40 ms for the client's delayed acknowledgement.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", port))
        config = uvicorn.Config(
            application(rounds),
            loop="asyncio",
            http="httptools",
            lifespan="off",
            access_log=False,
            log_level="warning",
            backlog=_BACKLOG,
            timeout_keep_alive=_DAY_SECONDS,
        )
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
