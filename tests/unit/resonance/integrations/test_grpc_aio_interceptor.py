# SPDX-License-Identifier: MIT
"""A policy in a channel of an event loop that was there before, against real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

import resonance
from fakes.grpc_replicas import EchoStub, GrpcReplica, Held, refusing
from resonance import AsyncClient, BudgetPolicy, Policy, RetryPolicy, TaskHint
from resonance.integrations.grpc import AioClientInterceptor
from resonance.server.grpc import Interceptor

Code = grpc.StatusCode
RICH = BudgetPolicy(ratio=1.0, cap=100.0, initial=100.0)
RETRY = Policy(retry=RetryPolicy(base_delay=0.001, max_delay=0.002), budget=RICH)
READ = {"Get": TaskHint(idempotent=True)}


@pytest.fixture(scope="module", autouse=True)
async def _one_loop() -> AsyncIterator[None]:
    """Keep one event loop for all tests: gRPC's poller may hear of a call after its test."""
    yield
    await asyncio.sleep(0.05)


@asynccontextmanager
async def loop(address: str, policy: Policy = RETRY, **more: Any) -> AsyncIterator[EchoStub]:
    more = {"methods": READ, **more}
    async with AsyncClient(policy) as client:
        interceptor = AioClientInterceptor(client, address, **more)
        async with grpc.aio.insecure_channel(address, interceptors=[interceptor]) as channel:
            yield EchoStub(channel)


async def test_a_failure_is_tried_again_and_says_so() -> None:
    with GrpcReplica(refusing(Code.UNAVAILABLE, times=2)) as replica:
        async with loop(replica.address) as echoes:
            call = echoes.Get(b"hello", metadata=(("mine", "too"),))
            assert await call == b"hello"
            assert await call.code() is Code.OK
    told = [seen.metadata.get("resonance-attempt") for seen in replica.memory.seen]
    assert told == [None, "1", "2"]
    assert all(seen.metadata["mine"] == "too" for seen in replica.memory.seen)


async def test_the_last_failure_is_raised() -> None:
    with GrpcReplica(refusing(Code.UNAVAILABLE)) as replica:
        async with loop(replica.address) as echoes:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await echoes.Get(b"hello")
    assert caught.value.code() is Code.UNAVAILABLE
    assert replica.calls == 3


async def test_the_deadline_around_a_call_is_sent_along() -> None:
    with GrpcReplica(interceptors=[Interceptor()]) as replica:
        async with loop(replica.address) as echoes:
            with resonance.deadline(30.0):
                await echoes.Get(b"around")
    (seen,) = replica.memory.seen
    assert seen.remaining is not None
    assert seen.remaining <= 31.0


async def test_a_call_whose_time_is_over_ends_as_grpc_says_it() -> None:
    with Held() as held, GrpcReplica(held) as replica:
        async with loop(replica.address) as echoes:
            call = echoes.Get(b"hello", timeout=0.05)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert await call.code() is Code.DEADLINE_EXCEEDED
        held.let_go()
    assert caught.value.code() is Code.DEADLINE_EXCEEDED
