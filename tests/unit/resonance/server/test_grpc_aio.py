# SPDX-License-Identifier: MIT
"""The interceptor of a gRPC server in an event loop, on a real server."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from fakes.grpc_replicas import OPTIONS, PATIENCE_SECONDS, EchoStub
from resonance import deadlines
from resonance.server import AdmissionPolicy, Refusal
from resonance.server._grpc_metadata import from_wire, value_of
from resonance.server.grpc import AioInterceptor

PATIENT = AdmissionPolicy(limit=1, queue=1, target=60.0, interval=60.0)
"""One in service, one waits, and nobody is refused for waiting."""
FULL = AdmissionPolicy(limit=1, queue=0)
ONCE = (("grpc.enable_retries", 0),)
"""Otherwise gRPC takes its own header of attempts out."""
WANTS_LOAD = (("resonance-wants-load", "1"),)


class Service(grpc.GenericRpcHandler):
    """Handlers of each kind that an event loop may have; ``Get`` waits for `gate` if it is shut."""

    def __init__(self) -> None:
        self.served: list[bytes] = []
        self.times: list[float | None] = []
        self.attempts: list[int] = []
        self.cancelled = 0
        self.gate = asyncio.Event()
        self.gate.set()

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        handlers: dict[str, Any] = {
            "/test.Echo/Get": grpc.unary_unary_rpc_method_handler(self.get),
            "/test.Echo/Put": grpc.unary_unary_rpc_method_handler(self.put),
            "/test.Echo/List": grpc.unary_stream_rpc_method_handler(self.list),
            "/test.Echo/Endless": grpc.unary_stream_rpc_method_handler(self.endless),
            "/test.Echo/Written": grpc.unary_stream_rpc_method_handler(self.written),
            "/test.Echo/Threaded": grpc.unary_stream_rpc_method_handler(self.threaded),
            "/test.Echo/Send": grpc.stream_unary_rpc_method_handler(self.send),
            "/grpc.health.v1.Health/Check": grpc.unary_unary_rpc_method_handler(self.check),
        }
        return handlers.get(details.method)

    def note(self, message: bytes) -> None:
        self.served.append(message)
        self.times.append(deadlines.remaining())
        self.attempts.append(deadlines.inbound_attempts())

    async def get(self, message: bytes, context: Any) -> bytes:
        self.note(message)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if message == b"bad":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")
        context.set_trailing_metadata((("mine", "here"),))
        return message

    def put(self, message: bytes, context: Any) -> bytes:
        """Run in a thread, as it is no coroutine function."""
        self.note(message)
        if message == b"bad":
            context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")
        return message

    async def list(self, message: bytes, _context: Any) -> AsyncIterator[bytes]:
        self.note(message)
        yield message

    async def written(self, message: bytes, context: Any) -> None:
        self.note(message)
        await context.write(message)

    async def endless(self, message: bytes, _context: Any) -> AsyncIterator[bytes]:
        self.note(message)
        while True:
            yield message

    def threaded(self, message: bytes, _context: Any) -> Iterator[bytes]:
        self.note(message)
        yield message

    async def send(self, messages: AsyncIterator[bytes], _context: Any) -> bytes:
        self.note(b"sent")
        return b"".join([each async for each in messages])

    async def check(self, message: bytes, _context: Any) -> bytes:
        return message


@pytest.fixture(scope="module", autouse=True)
async def _one_loop() -> AsyncIterator[None]:
    """Keep one event loop for all tests: gRPC's poller may hear of a call after its test."""
    yield
    await asyncio.sleep(0.05)


@asynccontextmanager
async def served(
    policy: AdmissionPolicy = PATIENT, **more: Any
) -> AsyncIterator[tuple[EchoStub, Service, AioInterceptor, grpc.aio.Channel]]:
    interceptor, service = AioInterceptor(policy, **more), Service()
    server = grpc.aio.server(interceptors=[interceptor], options=OPTIONS)
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", ONCE) as channel:
        yield EchoStub(channel), service, interceptor, channel
    await server.stop(0)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 -- it happens inside of the server
            await asyncio.sleep(0.001)


async def error_of(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_a_call_is_answered_and_tells_the_load_beside_what_the_handler_says() -> None:
    async with served() as (stub, _, interceptor, _):
        call = stub.Get(b"hello", metadata=WANTS_LOAD)
        assert await call == b"hello"
        trailing = await call.trailing_metadata()
    report = from_wire(trailing)
    assert report is not None
    assert report.application_utilization == 1.0
    assert value_of(trailing, "mine") == "here"
    assert interceptor.report().done == 1


async def test_no_load_is_told_where_that_is_not_wanted() -> None:
    async with served(load_reports=False) as (stub, _, _, _):
        call = stub.Get(b"hello", metadata=WANTS_LOAD)
        assert from_wire(await call.trailing_metadata()) is None


@pytest.mark.parametrize("before", [0, 1])
async def test_a_call_for_which_there_is_no_room_is_refused(before: int) -> None:
    async with served(FULL) as (stub, service, _, _):
        service.gate.clear()
        first = stub.Get(b"first")
        await until(lambda: service.served)
        told = (("grpc-previous-rpc-attempts", str(before)), *WANTS_LOAD)
        error = await error_of(stub.Get(b"second", metadata=told))
        service.gate.set()
        assert await first == b"first"
    trailing = error.trailing_metadata()
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert value_of(trailing, "resonance-reason") == Refusal.QUEUE_FULL
    pushback = int(str(value_of(trailing, "grpc-retry-pushback-ms")))
    assert pushback == -1 if before else 100 <= pushback <= 1_000_000
    assert from_wire(trailing) is not None
    assert service.served == [b"first"]


async def test_the_less_important_gives_way() -> None:
    async with served() as (stub, service, interceptor, _):
        service.gate.clear()
        running = stub.Get(b"running")
        await until(lambda: service.served)
        low = stub.Get(b"low", metadata=(("resonance-importance", "low"),))
        await until(lambda: interceptor.report().queued == 1)
        high = stub.Get(b"high", metadata=(("resonance-importance", "high"),))
        error = await error_of(low)
        service.gate.set()
        assert await asyncio.gather(running, high) == [b"running", b"high"]
    assert value_of(error.trailing_metadata(), "resonance-reason") == Refusal.DISPLACED


async def test_the_server_may_judge_importance_by_itself() -> None:
    async with served(importance=lambda _: "low") as (stub, service, interceptor, _):
        service.gate.clear()
        running = stub.Get(b"running")
        await until(lambda: service.served)
        waiting = stub.Get(b"waiting")
        await until(lambda: interceptor.report().queued == 1)
        error = await error_of(stub.Get(b"me", metadata=(("resonance-importance", "critical"),)))
        service.gate.set()
        assert await asyncio.gather(running, waiting) == [b"running", b"waiting"]
    assert value_of(error.trailing_metadata(), "resonance-reason") == Refusal.QUEUE_FULL


async def test_streams_and_health_checks_are_answered_by_a_full_server() -> None:
    async with served(FULL) as (stub, service, _, channel):
        service.gate.clear()
        first = stub.Get(b"first")
        await until(lambda: service.served)
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert await check(b"alive?") == b"alive?"
        stream = stub.List(b"a", metadata=WANTS_LOAD)
        assert [each async for each in stream] == [b"a"]
        assert from_wire(await stream.trailing_metadata()) is not None
        service.gate.set()
        assert await first == b"first"


async def test_who_goes_while_he_waits_is_never_served() -> None:
    async with served() as (stub, service, interceptor, _):
        service.gate.clear()
        running = stub.Get(b"running")
        await until(lambda: service.served)
        waiting = stub.Get(b"waiting")
        await until(lambda: interceptor.report().queued == 1)
        waiting.cancel()
        await until(lambda: interceptor.report().withdrawn == 1)
        service.gate.set()
        assert await running == b"running"
    assert service.served == [b"running"]


async def test_who_goes_while_he_is_served_gives_his_place_back() -> None:
    async with served() as (stub, service, interceptor, _):
        service.gate.clear()
        running = stub.Get(b"running")
        await until(lambda: service.served)
        running.cancel()
        await until(lambda: interceptor.report().inflight == 0)
    assert service.cancelled == 1
    assert interceptor.report().failed == 1


async def test_a_handler_of_any_kind_knows_its_deadline_and_how_often_it_was_tried() -> None:
    async def messages() -> AsyncIterator[bytes]:
        yield b"a"

    async with served() as (stub, service, _, channel):
        told = {"timeout": 15.0, "metadata": (("grpc-previous-rpc-attempts", "2"),)}
        assert await stub.Get(b"a", **told) == b"a"
        assert await stub.Put(b"a", **told) == b"a"
        assert [each async for each in stub.List(b"a", **told)] == [b"a"]
        for method in ("Written", "Threaded"):
            stream = channel.unary_stream(f"/test.Echo/{method}")
            assert [each async for each in stream(b"a", **told)] == [b"a"]
        assert await stub.Send(messages(), **told) == b"a"
        await stub.Get(b"whenever")
    *times, whenever = service.times
    assert len(times) == 6
    assert all(each is not None and 0.0 < each <= 16.0 for each in times)
    assert whenever is None
    assert service.attempts == [2] * 6 + [0]


async def test_a_function_that_runs_in_a_thread_waits_for_its_turn_too() -> None:
    async with served() as (stub, service, interceptor, _):
        service.gate.clear()
        running = stub.Get(b"running")
        await until(lambda: service.served)
        waiting = stub.Put(b"waiting")
        await until(lambda: interceptor.report().queued == 1)
        error = await error_of(stub.Put(b"refused"))
        assert service.served == [b"running"]
        service.gate.set()
        assert await asyncio.gather(running, waiting) == [b"running", b"waiting"]
        await until(lambda: interceptor.report().done == 2)
    assert value_of(error.trailing_metadata(), "resonance-reason") == Refusal.QUEUE_FULL


@pytest.mark.parametrize("method", ["Get", "Put"])
async def test_a_handler_that_fails_gives_its_place_back(method: str) -> None:
    async with served() as (stub, _, interceptor, _):
        error = await error_of(getattr(stub, method)(b"bad"))
        await until(lambda: interceptor.report().failed == 1)
        assert await getattr(stub, method)(b"good") == b"good"
    assert error.code() is grpc.StatusCode.NOT_FOUND


async def test_only_a_tied_call_is_told_of_its_beginning() -> None:
    async with served() as (stub, _, _, _):
        plain = stub.Get(b"plain")
        assert value_of(await plain.initial_metadata(), "resonance-started") is None
        assert await plain == b"plain"
        # Seen as a stream, since gRPC shows the first metadata of a unary call with its reply.
        tied = stub.List(b"tied", metadata=(("resonance-tied", "1"),))
        assert value_of(await tied.initial_metadata(), "resonance-started") == "1"
        assert [each async for each in tied] == [b"tied"]


async def test_a_stream_that_nobody_reads_to_its_end_leaves_nothing_behind() -> None:
    async with served() as (_, service, _, channel):
        for _ in range(20):
            stream = channel.unary_stream("/test.Echo/Endless")(b"a")
            assert await stream.read() == b"a"
            stream.cancel()
        await until(lambda: len(service.served) == 20)
        gc.collect()


async def test_what_the_server_does_not_have_is_still_unimplemented() -> None:
    async with served() as (_, _, _, channel):
        error = await error_of(channel.unary_unary("/test.Echo/Missing")(b""))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
