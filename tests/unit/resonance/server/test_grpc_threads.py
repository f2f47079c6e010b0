# SPDX-License-Identifier: MIT
"""The interceptor of a gRPC server with threads, on a real server."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from fakes.grpc_replicas import PATIENCE_SECONDS, EchoStub, GrpcReplica, Held, echo, until
from resonance.server import AdmissionPolicy, Refusal
from resonance.server._grpc_metadata import from_wire, value_of
from resonance.server.grpc import Interceptor

PATIENT = AdmissionPolicy(limit=1, queue=1, target=60.0, interval=60.0)
"""One in service, one waits, and nobody is refused for waiting."""


@contextmanager
def served(
    behaviour: Any = echo, policy: AdmissionPolicy = PATIENT, *, threads: int = 16, **more: Any
) -> Iterator[tuple[EchoStub, GrpcReplica, Interceptor]]:
    interceptor = Interceptor(policy, **more)
    with (
        GrpcReplica(behaviour, interceptors=[interceptor], threads=threads) as replica,
        grpc.insecure_channel(replica.address, ONCE) as channel,
    ):
        yield EchoStub(channel), replica, interceptor


ONCE = (("grpc.enable_retries", 0),)
"""Otherwise gRPC takes its own header of attempts out."""
CRITICAL = (("resonance-importance", "critical"),)
WANTS_LOAD = (("resonance-wants-load", "1"),)


def error_of(call: Any) -> grpc.RpcError:
    error = call.exception(PATIENCE_SECONDS)
    assert isinstance(error, grpc.RpcError)
    return error


def reason_of(error: Any) -> object:
    return value_of(error.trailing_metadata(), "resonance-reason")


def test_a_call_is_answered_and_tells_the_load_of_the_server() -> None:
    with served() as (stub, _, interceptor):
        reply, call = stub.Get.with_call(b"hello", metadata=WANTS_LOAD)
    report = from_wire(call.trailing_metadata())
    assert reply == b"hello"
    assert report is not None
    assert report.application_utilization == 1.0
    assert interceptor.report().done == 1


def test_no_load_is_told_where_that_is_not_wanted() -> None:
    with served(load_reports=False) as (stub, _, _):
        _, call = stub.Get.with_call(b"hello", metadata=WANTS_LOAD)
    assert from_wire(call.trailing_metadata()) is None


def test_what_the_handler_says_last_is_kept() -> None:
    def behaviour(message: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata((("mine", "here"),))
        return message

    with served(behaviour) as (stub, _, _):
        _, call = stub.Get.with_call(b"hello", metadata=WANTS_LOAD)
    assert value_of(call.trailing_metadata(), "mine") == "here"
    assert from_wire(call.trailing_metadata()) is not None


def test_a_call_for_which_there_is_no_room_is_refused_and_told_when_to_come_back() -> None:
    policy = AdmissionPolicy(limit=1, queue=0)
    with Held() as held, served(held, policy) as (stub, replica, _):
        first = stub.Get.future(b"first")
        until(lambda: held.entered == 1)
        error = error_of(stub.Get.future(b"second", metadata=WANTS_LOAD))
        held.let_go()
        assert first.result(PATIENCE_SECONDS) == b"first"
    pushback = value_of(error.trailing_metadata(), "grpc-retry-pushback-ms")
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert reason_of(error) == Refusal.QUEUE_FULL
    assert isinstance(pushback, str)
    assert 100 <= int(pushback) <= 1_000_000
    assert from_wire(error.trailing_metadata()) is not None
    assert [seen.message for seen in replica.memory.seen] == [b"first"]


def test_a_call_that_was_tried_before_is_told_not_to_come_back() -> None:
    policy = AdmissionPolicy(limit=1, queue=0)
    with Held() as held, served(held, policy) as (stub, _, _):
        first = stub.Get.future(b"first")
        until(lambda: held.entered == 1)
        again = (("resonance-attempt", "1"),)
        error = error_of(stub.Get.future(b"second", metadata=again))
        held.let_go()
        assert first.result(PATIENCE_SECONDS) == b"first"
    assert value_of(error.trailing_metadata(), "grpc-retry-pushback-ms") == "-1"


def test_the_less_important_gives_way() -> None:
    with Held() as held, served(held) as (stub, replica, interceptor):
        running = stub.Get.future(b"running")
        until(lambda: held.entered == 1)
        low = stub.Get.future(b"low", metadata=(("resonance-importance", "low"),))
        until(lambda: interceptor.report().queued == 1)
        critical = stub.Get.future(b"critical", metadata=CRITICAL)
        error = error_of(low)
        held.let_go()
        assert running.result(PATIENCE_SECONDS) == b"running"
        assert critical.result(PATIENCE_SECONDS) == b"critical"
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert reason_of(error) == Refusal.DISPLACED
    assert [seen.message for seen in replica.memory.seen] == [b"running", b"critical"]


def test_the_server_may_judge_importance_by_itself() -> None:
    def judge(details: grpc.HandlerCallDetails) -> Any:
        return "low" if details.method.endswith("Get") else "high"

    with Held() as held, served(held, importance=judge) as (stub, _, interceptor):
        running = stub.Get.future(b"running")
        until(lambda: held.entered == 1)
        pretending = stub.Get.future(
            b"pretending", metadata=(("resonance-importance", "critical"),)
        )
        until(lambda: interceptor.report().queued == 1)
        truly = stub.Put.future(b"truly")
        error = error_of(pretending)
        held.let_go()
        assert running.result(PATIENCE_SECONDS) == b"running"
        assert truly.result(PATIENCE_SECONDS) == b"truly"
    assert reason_of(error) == Refusal.DISPLACED


def test_a_health_check_is_answered_by_a_full_server() -> None:
    policy = AdmissionPolicy(limit=1, queue=0)
    interceptor = Interceptor(policy)
    with (
        Held() as held,
        GrpcReplica(held, interceptors=[interceptor]) as replica,
        grpc.insecure_channel(replica.address, ONCE) as channel,
    ):
        first = EchoStub(channel).Get.future(b"first")
        until(lambda: held.entered == 1)
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert check(b"alive?", timeout=PATIENCE_SECONDS) == b"alive?"
        held.let_go()
        assert first.result(PATIENCE_SECONDS) == b"first"


def test_who_goes_while_he_waits_is_never_served() -> None:
    with Held() as held, served(held) as (stub, replica, interceptor):
        running = stub.Get.future(b"running")
        until(lambda: held.entered == 1)
        waiting = stub.Get.future(b"waiting")
        until(lambda: interceptor.report().queued == 1)
        waiting.cancel()
        until(lambda: interceptor.report().withdrawn == 1)
        held.let_go()
        running.result(PATIENCE_SECONDS)
    assert [seen.message for seen in replica.memory.seen] == [b"running"]
    assert interceptor.report().inflight == 0


def test_a_call_whose_time_is_over_in_the_queue_is_never_served() -> None:
    with Held() as held, served(held) as (stub, replica, interceptor):
        running = stub.Get.future(b"running")
        until(lambda: held.entered == 1)
        error = error_of(stub.Get.future(b"waiting", timeout=0.05))
        until(lambda: interceptor.report().queued == 0)
        held.let_go()
        running.result(PATIENCE_SECONDS)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert [seen.message for seen in replica.memory.seen] == [b"running"]


def test_a_call_that_waited_for_a_thread_for_an_interval_is_refused() -> None:
    policy = AdmissionPolicy(limit=8, queue=8, target=0.01, interval=0.02)
    with Held() as held, served(held, policy, threads=1) as (stub, replica, interceptor):
        first = stub.Get.future(b"first")
        until(lambda: held.entered == 1)
        late = stub.Get.future(b"late")
        time.sleep(0.2)  # ten intervals
        held.let_go()
        error = error_of(late)
        assert first.result(PATIENCE_SECONDS) == b"first"
    assert reason_of(error) == Refusal.QUEUED_TOO_LONG
    assert [seen.message for seen in replica.memory.seen] == [b"first"]
    assert interceptor.report().refused[Refusal.QUEUED_TOO_LONG] == 1


def test_a_handler_knows_its_deadline_and_how_often_it_was_tried() -> None:
    with served() as (stub, replica, _):
        stub.Get(b"timed", timeout=15.0, metadata=(("grpc-previous-rpc-attempts", "2"),))
        stub.Get(b"whenever")
        list(stub.List(b"streamed", timeout=15.0))
        stub.Send(iter([b"sent"]), timeout=15.0)
    timed, whenever, streamed, sent = replica.memory.seen
    assert timed.remaining is not None
    assert 0.0 < timed.remaining <= 16.0  # gRPC sends few digits, and rounds up
    assert timed.inbound_attempts == 2
    assert whenever.remaining is None
    assert whenever.inbound_attempts == 0
    assert streamed.remaining is not None
    assert sent.remaining is not None


def test_streams_are_answered_by_a_full_server_and_tell_the_load() -> None:
    policy = AdmissionPolicy(limit=1, queue=0)
    with Held() as held, served(held, policy) as (stub, _, _):
        first = stub.Get.future(b"first")
        until(lambda: held.entered == 1)
        chat = stub.Chat(iter([b"a", b"b"]), metadata=WANTS_LOAD)
        assert list(chat) == [b"a", b"b"]
        assert from_wire(chat.trailing_metadata()) is not None
        held.let_go()
        assert first.result(PATIENCE_SECONDS) == b"first"


def test_a_stream_that_nobody_reads_to_its_end_leaves_nothing_behind() -> None:
    with served() as (_, replica, _), grpc.insecure_channel(replica.address) as channel:
        for _ in range(20):
            stream = channel.unary_stream("/test.Echo/Endless")(b"a")
            assert next(stream) == b"a"
            stream.cancel()
        until(lambda: replica.memory.ended == 20)
    gc.collect()


def test_only_a_tied_call_is_told_of_its_beginning() -> None:
    with served() as (stub, _, _):
        _, plain = stub.Get.with_call(b"plain")
        _, tied = stub.Get.with_call(b"tied", metadata=(("resonance-tied", "1"),))
    assert value_of(plain.initial_metadata(), "resonance-started") is None
    assert value_of(tied.initial_metadata(), "resonance-started") == "1"


def test_a_handler_that_fails_gives_its_place_back() -> None:
    def behaviour(message: bytes, context: grpc.ServicerContext) -> bytes:
        if message == b"bad":
            context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")
        return message

    with served(behaviour) as (stub, _, interceptor):
        with pytest.raises(grpc.RpcError) as caught:
            stub.Get(b"bad")
        assert stub.Get(b"good", timeout=PATIENCE_SECONDS) == b"good"
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert interceptor.report().failed == 1
    assert interceptor.report().inflight == 0


def test_what_the_server_does_not_have_is_still_unimplemented() -> None:
    with (
        GrpcReplica(interceptors=[Interceptor()]) as replica,
        grpc.insecure_channel(replica.address, ONCE) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        channel.unary_unary("/test.Echo/Missing")(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_what_callers_tell_in_a_way_nobody_can_read_counts_as_nothing() -> None:
    odd = (("resonance-importance", "urgent"), ("grpc-previous-rpc-attempts", "many"))
    with served() as (stub, replica, _):
        assert stub.Get(b"hello", metadata=odd) == b"hello"
    assert replica.memory.seen[0].inbound_attempts == 0
