# SPDX-License-Identifier: MIT
"""What does a unary method cost whose every call is the same work, in one thread?

::

    python -P serving_grpc.py PORT ROUNDS

It is run as a file, and nothing of ours is in its process. A call that was cancelled while it
waited for the thread is not worked on: grpcio sees to that. The work is one call into C that lets
go of the interpreter, so that cancellations are read meanwhile.
"""

from __future__ import annotations

import hashlib
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import grpc

__all__ = ["main"]

_OPTIONS: Final = (
    ("grpc.so_reuseport", 1),
    # A client asks with a ping whether its cancellation was read; as often as it cancels.
    ("grpc.http2.max_ping_strikes", 0),
)


def main(port: int, rounds: int) -> None:
    """Serve until killed.

    Parameters
    ----------
    port : int
        Reserved by who started this.
    rounds : int
        Of PBKDF2 (RFC 8018), for each call.
    """

    def do(request: bytes, context: grpc.ServicerContext) -> bytes:  # noqa: ARG001
        return hashlib.pbkdf2_hmac("sha256", b"work", b"salt", rounds)

    server = grpc.server(ThreadPoolExecutor(max_workers=1), options=_OPTIONS)
    method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(do)
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("resonance.Work", {"Do": method})]
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
