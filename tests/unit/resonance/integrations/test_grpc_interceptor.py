# SPDX-License-Identifier: MIT
"""A policy in a channel of threads that was there before, against real servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

import resonance
from fakes.grpc_replicas import PATIENCE_SECONDS, EchoStub, GrpcReplica, Held, echo, refusing
from resonance import BudgetPolicy, Client, Policy, RetryPolicy, TaskHint
from resonance.errors import DeadlineExceededError
from resonance.integrations.grpc import ClientInterceptor
from resonance.server.grpc import Interceptor

Code = grpc.StatusCode
RICH = BudgetPolicy(ratio=1.0, cap=100.0, initial=100.0)
RETRY = Policy(retry=RetryPolicy(base_delay=0.001, max_delay=0.002), budget=RICH)
READ = {"Get": TaskHint(idempotent=True)}


@contextmanager
def threads(address: str, policy: Policy = RETRY, **more: Any) -> Iterator[EchoStub]:
    more = {"methods": READ, **more}
    with Client(policy) as client, grpc.insecure_channel(address) as channel:
        interceptor = ClientInterceptor(client, address, **more)
        yield EchoStub(grpc.intercept_channel(channel, interceptor))


def test_a_failure_is_tried_again_and_says_so() -> None:
    failing = refusing(Code.UNAVAILABLE, times=2)
    with GrpcReplica(failing) as replica, threads(replica.address) as echoes:
        reply, call = echoes.Get.with_call(b"hello", metadata=(("mine", "too"),))
    told = [seen.metadata.get("resonance-attempt") for seen in replica.memory.seen]
    assert reply == b"hello"
    assert call.code() is Code.OK
    assert told == [None, "1", "2"]
    assert all(seen.metadata["mine"] == "too" for seen in replica.memory.seen)


def test_the_last_failure_is_raised() -> None:
    with (
        GrpcReplica(refusing(Code.UNAVAILABLE)) as replica,
        threads(replica.address) as echoes,
        pytest.raises(grpc.RpcError) as caught,
    ):
        echoes.Get(b"hello")
    assert caught.value.code() is Code.UNAVAILABLE
    assert replica.calls == 3


@pytest.mark.parametrize(("pushback", "attempts"), [("-1", 1), ("junk", 1), ("0", 2), ("50", 2)])
def test_pushback_is_kept_to(pushback: str, attempts: int) -> None:
    failing = refusing(Code.UNAVAILABLE, pushback=pushback, times=1)
    with GrpcReplica(failing) as replica, threads(replica.address) as echoes:
        if attempts == 1:
            with pytest.raises(grpc.RpcError):
                echoes.Get(b"hello")
        else:
            assert echoes.Get(b"hello") == b"hello"
    assert replica.calls == attempts


def test_what_is_not_known_to_be_idempotent_is_not_repeated() -> None:
    with (
        GrpcReplica(refusing(Code.UNAVAILABLE)) as replica,
        threads(replica.address) as echoes,
        pytest.raises(grpc.RpcError),
    ):
        echoes.Put(b"hello")
    assert replica.calls == 1


def test_what_could_not_be_connected_to_is_tried_again_whatever_it_is(free_port: int) -> None:
    with Client(RETRY) as client:
        address = f"127.0.0.1:{free_port}"
        with grpc.insecure_channel(address) as channel:
            interceptor = ClientInterceptor(client, address)
            echoes = EchoStub(grpc.intercept_channel(channel, interceptor))
            with pytest.raises(grpc.RpcError) as caught:
                echoes.Put(b"hello")
    assert any("3 attempts" in note for note in caught.value.__notes__)


def test_the_deadline_around_a_call_is_sent_along() -> None:
    with (
        GrpcReplica(interceptors=[Interceptor()]) as replica,
        threads(replica.address) as echoes,
        resonance.deadline(30.0),
    ):
        echoes.Get(b"around")
        echoes.Get(b"nearer", timeout=10.0)
    around, nearer = (seen.remaining for seen in replica.memory.seen)
    assert around is not None
    assert 10.0 < around <= 31.0
    assert nearer is not None
    assert nearer <= 11.0


def test_a_call_whose_time_is_over_ends_as_grpc_says_it() -> None:
    with Held() as held, GrpcReplica(held) as replica:
        with threads(replica.address) as echoes, pytest.raises(grpc.RpcError) as caught:
            echoes.Get(b"hello", timeout=0.05)
        held.let_go()
    assert caught.value.code() is Code.DEADLINE_EXCEEDED


def test_a_call_that_is_late_already_is_not_sent() -> None:
    with (
        GrpcReplica() as replica,
        threads(replica.address) as echoes,
        pytest.raises(DeadlineExceededError),
    ):
        echoes.Get(b"hello", timeout=0.0)
    assert replica.calls == 0


def test_a_future_has_its_result_when_it_is_returned() -> None:
    with GrpcReplica() as replica, threads(replica.address) as echoes:
        future = echoes.Get.future(b"hello")
        assert future.done()
        assert future.result(PATIENCE_SECONDS) == b"hello"


def test_streams_are_left_alone() -> None:
    with GrpcReplica() as replica, threads(replica.address) as echoes:
        assert list(echoes.List(b"a")) == [b"a", b"a"]
        assert echoes.Send(iter([b"a"])) == b"a"


def test_the_load_a_server_tells_is_known() -> None:
    class Hints:
        def pressure(self) -> float:
            return 0.25

    door = Interceptor(hints=Hints())  # type: ignore[arg-type]  # all that is asked of them
    with GrpcReplica(interceptors=[door]) as replica, Client(Policy()) as client:
        with grpc.insecure_channel(replica.address) as channel:
            interceptor = ClientInterceptor(client, replica.address)
            EchoStub(grpc.intercept_channel(channel, interceptor)).Get(b"hello")
        (report,) = client.report()
    assert report.name == "/test.Echo/Get"
    assert report.replicas[0].target == replica.address
    assert report.replicas[0].pressure == 0.25


def test_nothing_goes_wrong_where_nobody_tells_a_load() -> None:
    with GrpcReplica(echo) as replica, threads(replica.address) as echoes:
        assert echoes.Get(b"hello") == b"hello"
