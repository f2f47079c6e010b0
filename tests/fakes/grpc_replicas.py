# SPDX-License-Identifier: MIT
"""Real gRPC servers on loopback, whose handlers do what a test says and remember what they saw."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
import grpc.aio

from resonance import deadlines

PATIENCE_SECONDS = 20.0
"""What no test that works ever waits for."""
OPTIONS = (("grpc.so_reuseport", 0),)

Behaviour = Callable[[bytes, Any], bytes]


def until(condition: Callable[[], object]) -> None:
    """Wait for what happens in another thread."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < give_up_at, "it never happened"
        time.sleep(0.001)


@dataclass
class Seen:
    """One request, as its handler saw it."""

    message: bytes
    metadata: dict[str, str | bytes]
    remaining: float | None
    inbound_attempts: int


@dataclass
class Memory:
    """What a server saw, in the order of handlers."""

    seen: list[Seen] = field(default_factory=list)
    ended: int = 0
    cancelled: threading.Event = field(default_factory=threading.Event)
    """A caller went before its handler was done."""

    def note(self, message: bytes, context: Any) -> None:
        told = dict(context.invocation_metadata())
        now = deadlines.remaining(), deadlines.inbound_attempts()
        self.seen.append(Seen(message, told, *now))


def echo(message: bytes, _context: Any) -> bytes:
    return message


class EchoStub:
    """As protoc would have generated it, for messages that are bytes."""

    def __init__(self, channel: Any) -> None:
        self.Get = channel.unary_unary("/test.Echo/Get")
        self.Put = channel.unary_unary("/test.Echo/Put")
        self.List = channel.unary_stream("/test.Echo/List")
        self.Send = channel.stream_unary("/test.Echo/Send")
        self.Chat = channel.stream_stream("/test.Echo/Chat")


class _Echo(grpc.GenericRpcHandler):
    def __init__(self, replica: GrpcReplica) -> None:
        self._replica = replica

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        handlers: dict[str, Any] = {
            "/test.Echo/Get": grpc.unary_unary_rpc_method_handler(self._unary),
            "/test.Echo/Put": grpc.unary_unary_rpc_method_handler(self._unary),
            "/grpc.health.v1.Health/Check": grpc.unary_unary_rpc_method_handler(echo),
            "/test.Echo/List": grpc.unary_stream_rpc_method_handler(self._list),
            "/test.Echo/Endless": grpc.unary_stream_rpc_method_handler(self._endless),
            "/test.Echo/Send": grpc.stream_unary_rpc_method_handler(self._send),
            "/test.Echo/Chat": grpc.stream_stream_rpc_method_handler(self._chat),
        }
        return handlers.get(details.method)

    def _unary(self, message: bytes, context: grpc.ServicerContext) -> bytes:
        memory = self._replica.memory
        memory.note(message, context)
        is_done = False

        def at_end() -> None:
            if not is_done:
                memory.cancelled.set()

        context.add_callback(at_end)
        try:
            return self._replica.behaviour(message, context)
        finally:
            is_done = True
            memory.ended += 1

    def _list(self, message: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        self._replica.memory.note(message, context)
        yield message
        yield self._replica.behaviour(message, context)

    def _endless(self, message: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        self._replica.memory.note(message, context)
        try:
            while True:
                yield message
        finally:
            self._replica.memory.ended += 1

    def _send(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        self._replica.memory.note(b"", context)
        return b"".join(messages)

    def _chat(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        self._replica.memory.note(b"", context)
        yield from messages


class GrpcReplica:
    """A server with threads; its handlers call `behaviour`."""

    def __init__(
        self,
        behaviour: Behaviour = echo,
        *,
        interceptors: Sequence[grpc.ServerInterceptor] = (),
        threads: int = 16,
    ) -> None:
        self.behaviour = behaviour
        self.memory = Memory()
        self._pool = ThreadPoolExecutor(threads)
        self._server = grpc.server(self._pool, interceptors=interceptors, options=OPTIONS)
        self._server.add_generic_rpc_handlers((_Echo(self),))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    @property
    def calls(self) -> int:
        return len(self.memory.seen)

    def stop(self) -> None:
        self._server.stop(0).wait(PATIENCE_SECONDS)
        self._pool.shutdown()

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Held:
    """A behaviour that answers when it is let go."""

    def __init__(self) -> None:
        self._is_free = threading.Event()
        self.entered = 0

    def __call__(self, message: bytes, _context: Any) -> bytes:
        self.entered += 1
        assert self._is_free.wait(PATIENCE_SECONDS)
        return message

    def let_go(self) -> None:
        self._is_free.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()


class FirstHeld(Held):
    """Holds the first attempt of a call until its caller goes; then others have been answered."""

    def __init__(self) -> None:
        super().__init__()
        self._has_come = threading.Event()

    def __call__(self, message: bytes, context: Any) -> bytes:
        if "resonance-attempt" in dict(context.invocation_metadata()):
            assert self._has_come.wait(PATIENCE_SECONDS)
            return message
        context.add_callback(self.let_go)
        self._has_come.set()
        return super().__call__(message, context)


def refusing(
    code: grpc.StatusCode, *, pushback: str | None = None, times: int = 1_000
) -> Behaviour:
    """Return a behaviour that fails so often, and answers from then on."""
    left = [times]

    def behaviour(message: bytes, context: Any) -> bytes:
        if left[0] <= 0:
            return message
        left[0] -= 1
        if pushback is not None:
            context.set_trailing_metadata((("grpc-retry-pushback-ms", pushback),))
        context.abort(code, "as the test says")
        raise AssertionError("abort returned")

    return behaviour
