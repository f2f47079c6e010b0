# SPDX-License-Identifier: MIT
"""Several replicas behind one stub, in an event loop, against real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

import resonance
from fakes.grpc_replicas import (
    PATIENCE_SECONDS,
    Behaviour,
    EchoStub,
    FirstHeld,
    GrpcReplica,
    Held,
    echo,
    refusing,
)
from resonance import AsyncClient, BudgetPolicy, HedgePolicy, Policy, RetryPolicy, TaskHint
from resonance.errors import DeadlineExceededError, PolicyError
from resonance.integrations.grpc import AioHedgedCall, AioHedgingChannel, stub
from resonance.server import AdmissionPolicy
from resonance.server.grpc import Interceptor

Code = grpc.StatusCode
RICH = BudgetPolicy(ratio=1.0, cap=100.0, initial=100.0)
READ = {"Get": TaskHint(idempotent=True)}
HEDGE = Policy(hedge=HedgePolicy(delay=0.005), budget=RICH)
CALM = Policy(hedge=HedgePolicy(delay=PATIENCE_SECONDS), budget=RICH)
RETRY = Policy(retry=RetryPolicy(base_delay=0.001, max_delay=0.002), budget=RICH)
PATIENT = AdmissionPolicy(limit=1, queue=8, target=60.0, interval=60.0)


@pytest.fixture(scope="module", autouse=True)
async def _one_loop() -> AsyncIterator[None]:
    """Keep one event loop for all tests: gRPC's poller may hear of a call after its test."""
    yield
    await asyncio.sleep(0.05)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 -- it happens in a server's thread
            await asyncio.sleep(0.001)


@contextmanager
def replicas(*behaviours: Behaviour, **more: Any) -> Iterator[list[GrpcReplica]]:
    with ExitStack() as stack:
        yield [stack.enter_context(GrpcReplica(each, **more)) for each in behaviours]


@asynccontextmanager
async def stubs(
    servers: Sequence[GrpcReplica],
    policy: Policy,
    methods: dict[str, TaskHint] | None = READ,
    **more: Any,
) -> AsyncIterator[EchoStub]:
    addresses = [each.address for each in servers]
    async with (
        AsyncClient(policy) as client,
        AioHedgingChannel(addresses, client=client, methods=methods, **more) as channel,
    ):
        yield EchoStub(channel)


def calls(servers: Sequence[GrpcReplica]) -> int:
    return sum(each.calls for each in servers)


async def test_a_call_is_made_once_where_all_is_well() -> None:
    with replicas(echo, echo) as servers:
        async with stubs(servers, CALM | RETRY) as echoes:
            assert await echoes.Get(b"hello", timeout=PATIENCE_SECONDS) == b"hello"
    assert calls(servers) == 1


async def test_a_call_is_begun_before_it_is_awaited_and_tells_of_itself() -> None:
    with replicas(echo) as servers:
        async with stubs(servers, Policy()) as echoes:
            call: AioHedgedCall = echoes.Get(b"hello", timeout=PATIENCE_SECONDS)
            ended: list[object] = []
            call.add_done_callback(ended.append)
            await until(lambda: servers[0].calls == 1)
            assert await call.code() is Code.OK
            assert await call.details() == ""
            assert await call.initial_metadata() is not None
            assert await call.trailing_metadata() is not None
            await call.wait_for_connection()
            assert call.done()
            assert not call.cancelled()
            assert (call.time_remaining() or 0.0) > 0.0
            assert await call == b"hello"
            assert ended == [call]


async def test_a_call_that_failed_tells_of_itself() -> None:
    with replicas(refusing(Code.NOT_FOUND)) as servers:
        async with stubs(servers, Policy()) as echoes:
            call: AioHedgedCall = echoes.Get(b"hello")
            assert await call.code() is Code.NOT_FOUND
            assert await call.details() == "as the test says"
            assert call.time_remaining() is None
            with pytest.raises(grpc.aio.AioRpcError):
                await call


async def test_a_call_that_is_cancelled_is_cancelled_at_its_server() -> None:
    with Held() as held, replicas(held) as servers:
        async with stubs(servers, Policy()) as echoes:
            call: AioHedgedCall = echoes.Get(b"hello")
            await until(lambda: held.entered == 1)
            assert call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert call.cancelled()
            await until(servers[0].memory.cancelled.is_set)
            held.let_go()


async def test_a_task_that_is_cancelled_takes_its_call_with_it() -> None:
    async def get(echoes: EchoStub) -> object:
        return await echoes.Get(b"hello")

    with Held() as held, replicas(held) as servers:
        async with stubs(servers, Policy()) as echoes:
            task = asyncio.create_task(get(echoes))
            await until(lambda: held.entered == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(servers[0].memory.cancelled.is_set)
            held.let_go()


async def test_a_copy_goes_to_another_replica_and_the_slow_one_sees_the_cancel() -> None:
    held = FirstHeld()
    with replicas(held, held) as servers:
        async with stubs(servers, HEDGE) as echoes:
            outcome = await echoes.Get(b"hello").outcome()
            slow = next(each for each in servers if each.address != outcome.target)
            await until(slow.memory.cancelled.is_set)
    copy = next(each for each in servers if each.address == outcome.target)
    assert outcome.result == b"hello"
    assert outcome.hedge_won
    assert [each.calls for each in servers] == [1, 1]
    assert copy.memory.seen[0].metadata["grpc-previous-rpc-attempts"] == "1"


async def test_what_is_not_known_to_be_idempotent_is_never_copied() -> None:
    with Held() as held, replicas(held, held) as servers:
        async with stubs(servers, HEDGE, {}) as echoes:
            asyncio.get_running_loop().call_later(0.2, held.let_go)  # forty times the delay
            outcome = await echoes.Get(b"hello").outcome()
    assert calls(servers) == 1
    assert not outcome.hedge_fired


async def test_the_servers_count_as_many_attempts_as_are_allowed() -> None:
    failing = refusing(Code.UNAVAILABLE)
    with replicas(failing, failing) as servers:
        async with stubs(servers, RETRY) as echoes:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await echoes.Get(b"hello")
    assert caught.value.code() is Code.UNAVAILABLE
    assert calls(servers) == 3


@pytest.mark.parametrize(("pushback", "attempts"), [("-1", 1), ("junk", 1), ("50", 2)])
async def test_pushback_is_kept_to(pushback: str, attempts: int) -> None:
    failing = refusing(Code.UNAVAILABLE, pushback=pushback, times=1)
    with replicas(failing, failing) as servers:
        async with stubs(servers, RETRY) as echoes:
            call: AioHedgedCall = echoes.Get(b"hello")
            if attempts == 1:
                assert await call.code() is Code.UNAVAILABLE
            else:
                assert (await call.outcome()).elapsed_seconds >= 0.05
    assert calls(servers) == attempts


async def test_what_was_never_sent_is_sent_elsewhere_whatever_it_is(free_port: int) -> None:
    policy = RETRY | resonance.ChoicePolicy(algorithm="round_robin")
    with replicas(echo) as servers:
        addresses = [f"127.0.0.1:{free_port}", servers[0].address]
        async with (
            AsyncClient(policy) as client,
            AioHedgingChannel(addresses, client=client) as channel,
        ):
            echoes = EchoStub(channel)
            outcomes = [await echoes.Put(b"hello").outcome() for _ in range(2)]
    assert sorted(each.attempts for each in outcomes) == [1, 2]


async def test_a_call_whose_time_is_over_ends_as_grpc_and_as_we_say_it() -> None:
    with Held() as held, replicas(held) as servers:
        async with stubs(servers, Policy()) as echoes:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await echoes.Get(b"hello", timeout=0.05)
            held.let_go()
    assert caught.value.code() is Code.DEADLINE_EXCEEDED


async def test_a_call_that_is_late_already_is_not_sent() -> None:
    with replicas(echo) as servers:
        async with stubs(servers, Policy()) as echoes:
            with pytest.raises(DeadlineExceededError):
                await echoes.Get(b"hello", timeout=0.0)
    assert calls(servers) == 0


async def test_the_deadline_around_a_call_is_sent_along() -> None:
    with replicas(echo, interceptors=[Interceptor()]) as servers:
        async with stubs(servers, Policy()) as echoes:
            with resonance.deadline(30.0):
                await echoes.Get(b"unary")
                assert [each async for each in echoes.List(b"streamed")] == [b"streamed"] * 2
    for seen in servers[0].memory.seen:
        assert seen.remaining is not None
        assert seen.remaining <= 31.0


async def test_a_tied_copy_that_waits_is_cancelled_before_it_runs() -> None:
    policy = Policy(hedge=HedgePolicy(tied=True, saturation_guard=False), budget=RICH)
    with Held() as held, Held() as held_long, ExitStack() as stack:
        doors = [Interceptor(PATIENT), Interceptor(PATIENT)]
        servers = [
            stack.enter_context(GrpcReplica(behaviour, interceptors=[door]))
            for behaviour, door in zip((held, held_long), doors, strict=True)
        ]
        plain = [stack.enter_context(grpc.insecure_channel(each.address)) for each in servers]
        occupying = [EchoStub(each).Put.future(b"occupying") for each in plain]
        await until(lambda: held.entered == held_long.entered == 1)
        async with stubs(servers, policy) as echoes:
            call: AioHedgedCall = echoes.Get(b"tied")
            await until(lambda: [each.report().queued for each in doors] == [1, 1])
            held.let_go()
            outcome = await call.outcome()
            await until(lambda: doors[1].report().withdrawn == 1)
            held_long.let_go()
            await until(lambda: all(each.done() for each in occupying))
    assert outcome.result == b"tied"
    assert outcome.target == servers[0].address
    assert [seen.message for seen in servers[1].memory.seen] == [b"occupying"]


async def test_tied_copies_that_both_begin_end_in_one_answer() -> None:
    policy = Policy(hedge=HedgePolicy(tied=True, min_delay=1e-6), budget=RICH)
    with replicas(echo, echo, interceptors=[Interceptor()]) as servers:
        addresses = [each.address for each in servers]
        async with (
            AsyncClient(policy) as client,
            AioHedgingChannel(addresses, client=client, methods=READ) as channel,
        ):
            echoes = EchoStub(channel)
            outcomes = [
                await echoes.Get(b"tied", timeout=PATIENCE_SECONDS).outcome() for _ in range(50)
            ]
            await until(lambda: client.report()[0].inflight == 0)
    assert {each.result for each in outcomes} == {b"tied"}
    assert any(each.hedge_fired for each in outcomes)


async def test_streams_go_to_one_replica_and_are_counted_until_they_end() -> None:
    async def two() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    with replicas(echo, echo) as servers:
        addresses = [each.address for each in servers]
        async with (
            AsyncClient(HEDGE) as client,
            AioHedgingChannel(addresses, client=client) as channel,
        ):
            echoes = EchoStub(channel)
            assert await echoes.Send(two()) == b"ab"
            assert [each async for each in echoes.Chat(two())] == [b"a", b"b"]
            stream = echoes.List(b"a")
            assert sum(channel._passing.inflight.values()) >= 1
            stream.cancel()
            await until(lambda: sum(channel._passing.inflight.values()) == 0)


async def test_many_calls_at_once_each_get_their_own_reply() -> None:
    with replicas(echo, echo) as servers:
        async with stubs(servers, HEDGE | RETRY) as echoes:
            messages = [str(number).encode() for number in range(200)]
            assert await asyncio.gather(*(echoes.Get(each) for each in messages)) == messages


async def test_a_stub_is_made_in_one_line() -> None:
    with replicas(echo) as servers:
        async with AsyncClient() as client:
            echoes = stub(EchoStub, [servers[0].address], client=client, methods=READ)
            assert await echoes.Get(b"hello") == b"hello"


async def test_several_channels_have_no_one_state() -> None:
    async with (
        AsyncClient() as client,
        AioHedgingChannel(["127.0.0.1:1"], client=client) as channel,
    ):
        with pytest.raises(NotImplementedError, match="channels"):
            channel.get_state()
        with pytest.raises(NotImplementedError, match="channels"):
            await channel.wait_for_state_change(grpc.ChannelConnectivity.IDLE)


async def test_all_replicas_can_be_waited_for() -> None:
    with replicas(echo, echo) as servers:
        async with (
            AsyncClient() as client,
            AioHedgingChannel([each.address for each in servers], client=client) as channel,
        ):
            await channel.channel_ready()
            states = {each.get_state() for each in channel.channels.values()}
    assert states == {grpc.ChannelConnectivity.READY}


async def test_targets_that_cannot_be_are_refused() -> None:
    async with AsyncClient() as client:
        with pytest.raises(PolicyError, match="targets"):
            AioHedgingChannel([], client=client)
