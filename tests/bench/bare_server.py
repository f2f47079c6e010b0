# SPDX-License-Identifier: MIT
"""A gRPC service that knows nothing: ``bare_server.py SOCKET BYTES``, ends with its input.

What a call costs on this machine when the server has nothing else to do.
"""

from __future__ import annotations

import asyncio
import sys

import grpc
import grpc.aio


async def _main(socket: str, size: int) -> None:
    answer = bytes(size)

    async def get(_payload: bytes, _context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return answer

    handlers = {"Get": grpc.unary_unary_rpc_method_handler(get)}
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bare", handlers),))
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
