# SPDX-License-Identifier: MIT
"""Several replicas behind one stub, in threads, against real servers."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc
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
    until,
)
from resonance import (
    BudgetPolicy,
    Client,
    HedgePolicy,
    LimitPolicy,
    Policy,
    Reason,
    RetryPolicy,
    TaskHint,
)
from resonance.errors import DeadlineExceededError, OverloadedError, PolicyError
from resonance.integrations.grpc import HedgingChannel, stub
from resonance.server import AdmissionPolicy
from resonance.server.grpc import Interceptor

Code = grpc.StatusCode
RICH = BudgetPolicy(ratio=1.0, cap=100.0, initial=100.0)
READ = {"Get": TaskHint(idempotent=True)}
HEDGE = Policy(hedge=HedgePolicy(delay=0.005), budget=RICH)
CALM = Policy(hedge=HedgePolicy(delay=PATIENCE_SECONDS), budget=RICH)
RETRY = Policy(retry=RetryPolicy(base_delay=0.001, max_delay=0.002), budget=RICH)
PATIENT = AdmissionPolicy(limit=1, queue=8, target=60.0, interval=60.0)


@contextmanager
def replicas(*behaviours: Behaviour, **more: Any) -> Iterator[list[GrpcReplica]]:
    with ExitStack() as stack:
        yield [stack.enter_context(GrpcReplica(each, **more)) for each in behaviours]


@contextmanager
def stubs(
    servers: Sequence[GrpcReplica],
    policy: Policy,
    methods: dict[str, TaskHint] | None = READ,
    **more: Any,
) -> Iterator[EchoStub]:
    addresses = [each.address for each in servers]
    with (
        Client(policy) as client,
        HedgingChannel(addresses, client=client, methods=methods, **more) as channel,
    ):
        yield EchoStub(channel)


def calls(servers: Sequence[GrpcReplica]) -> int:
    return sum(each.calls for each in servers)


def test_a_call_is_made_once_where_all_is_well() -> None:
    with replicas(echo, echo) as servers, stubs(servers, CALM | RETRY) as echoes:
        assert echoes.Get(b"hello") == b"hello"
    assert calls(servers) == 1


def test_with_call_tells_of_the_attempt_that_answered() -> None:
    with replicas(echo) as servers, stubs(servers, Policy()) as echoes:
        reply, call = echoes.Get.with_call(b"hello")
    assert reply == b"hello"
    assert call.code() is Code.OK


# ---- copies ------------------------------------------------------------------------------------


def test_a_copy_goes_to_another_replica_and_the_slow_one_sees_the_cancel() -> None:
    held = FirstHeld()
    with replicas(held, held) as servers, stubs(servers, HEDGE) as echoes:
        outcome = echoes.Get.outcome(b"hello")
        slow = next(each for each in servers if each.address != outcome.target)
        assert slow.memory.cancelled.wait(PATIENCE_SECONDS)
    assert outcome.result == b"hello"
    assert outcome.hedge_won
    assert [each.calls for each in servers] == [1, 1]


def test_a_copy_says_that_it_is_not_the_first() -> None:
    held = FirstHeld()
    with replicas(held, held) as servers, stubs(servers, HEDGE) as echoes:
        outcome = echoes.Get.outcome(b"hello", metadata=(("mine", "too"),))
        by_target = {each.address: each.memory.seen[0].metadata for each in servers}
    copy = by_target.pop(str(outcome.target))
    (first,) = by_target.values()
    assert copy["grpc-previous-rpc-attempts"] == "1"
    assert "grpc-previous-rpc-attempts" not in first
    assert copy["mine"] == first["mine"] == "too"


def test_nothing_is_in_flight_when_all_is_over() -> None:
    held = FirstHeld()
    with replicas(held, held) as servers, Client(HEDGE) as client:
        addresses = [each.address for each in servers]
        with HedgingChannel(addresses, client=client, methods=READ) as channel:
            EchoStub(channel).Get(b"hello")
            until(lambda: client.report()[0].inflight == 0)
    (report,) = client.report()
    assert report.attempts == 2
    assert report.cancelled == 1
    assert report.calls_inflight == 0


@pytest.mark.parametrize("methods", [{}, {"Get": TaskHint(idempotent=False)}])
def test_what_is_not_known_to_be_idempotent_is_never_copied(methods: dict[str, TaskHint]) -> None:
    with Held() as held, replicas(held, held) as servers, stubs(servers, HEDGE, methods) as echoes:
        threading.Timer(0.2, held.let_go).start()  # forty times the delay of a copy
        outcome = echoes.Get.outcome(b"hello")
    assert calls(servers) == 1
    assert not outcome.hedge_fired


# ---- retries -----------------------------------------------------------------------------------


def test_a_retriable_failure_is_tried_again_elsewhere() -> None:
    failing = refusing(Code.UNAVAILABLE, times=1)
    with replicas(failing, failing) as servers, stubs(servers, RETRY) as echoes:
        outcome = echoes.Get.outcome(b"hello")
    assert outcome.result == b"hello"
    assert outcome.attempts == 2
    assert [each.calls for each in servers] == [1, 1]


def test_the_servers_count_as_many_attempts_as_are_allowed() -> None:
    failing = refusing(Code.UNAVAILABLE)
    with (
        replicas(failing, failing) as servers,
        stubs(servers, RETRY) as echoes,
        pytest.raises(grpc.RpcError) as caught,
    ):
        echoes.Get(b"hello")
    assert caught.value.code() is Code.UNAVAILABLE
    assert calls(servers) == 3
    assert any("3 attempts" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("code", [Code.INTERNAL, Code.ABORTED, Code.NOT_FOUND])
def test_another_code_is_not_tried_again(code: grpc.StatusCode) -> None:
    failing = refusing(code)
    with (
        replicas(failing, failing) as servers,
        stubs(servers, RETRY) as echoes,
        pytest.raises(grpc.RpcError) as caught,
    ):
        echoes.Get(b"hello")
    assert caught.value.code() is code
    assert calls(servers) == 1


def test_what_may_have_been_done_is_not_done_again_unless_it_is_idempotent() -> None:
    failing = refusing(Code.UNAVAILABLE)
    with (
        replicas(failing, failing) as servers,
        stubs(servers, RETRY, {}) as echoes,
        pytest.raises(grpc.RpcError),
    ):
        echoes.Put(b"hello")
    assert calls(servers) == 1


def test_what_was_never_sent_is_sent_elsewhere_whatever_it_is(free_port: int) -> None:
    policy = RETRY | resonance.ChoicePolicy(algorithm="round_robin")
    with replicas(echo) as servers, Client(policy) as client:
        addresses = [f"127.0.0.1:{free_port}", servers[0].address]
        with HedgingChannel(addresses, client=client) as channel:
            echoes = EchoStub(channel)
            outcomes = [echoes.Put.outcome(b"hello") for _ in range(2)]
    assert sorted(each.attempts for each in outcomes) == [1, 2]
    assert {each.target for each in outcomes} == {servers[0].address}


def test_what_a_server_refused_before_it_began_is_sent_elsewhere_whatever_it_is() -> None:
    full = AdmissionPolicy(limit=1, queue=0)
    with Held() as held, ExitStack() as stack:
        busy = stack.enter_context(GrpcReplica(held, interceptors=[Interceptor(full)]))
        idle = stack.enter_context(GrpcReplica(interceptors=[Interceptor(full)]))
        plain = stack.enter_context(grpc.insecure_channel(busy.address))
        occupying = EchoStub(plain).Get.future(b"occupying")
        until(lambda: held.entered == 1)
        policy = RETRY | resonance.ChoicePolicy(algorithm="round_robin")
        echoes = stack.enter_context(stubs([busy, idle], policy, {}))
        outcomes = [echoes.Put.outcome(b"hello") for _ in range(2)]
        held.let_go()
        assert occupying.result(PATIENCE_SECONDS) == b"occupying"
    assert sorted(each.attempts for each in outcomes) == [1, 2]
    assert busy.calls == 1


def test_a_server_that_says_stop_is_not_asked_again() -> None:
    failing = refusing(Code.UNAVAILABLE, pushback="-1")
    with (
        replicas(failing, failing) as servers,
        stubs(servers, RETRY) as echoes,
        pytest.raises(grpc.RpcError) as caught,
    ):
        echoes.Get(b"hello")
    assert calls(servers) == 1
    assert any(Reason.TOLD_TO_STOP in note for note in caught.value.__notes__)


def test_a_server_that_says_when_is_asked_then() -> None:
    failing = refusing(Code.RESOURCE_EXHAUSTED, pushback="50", times=1)
    with replicas(failing, failing) as servers, stubs(servers, RETRY) as echoes:
        outcome = echoes.Get.outcome(b"hello")
    assert outcome.attempts == 2
    assert Reason.RETRIED_WHEN_TOLD in outcome.reasons
    assert outcome.elapsed_seconds >= 0.05


def test_attempts_above_us_are_told_on() -> None:
    with (
        replicas(echo) as servers,
        stubs(servers, Policy()) as echoes,
        resonance.deadlines.inbound(attempts=2),
    ):
        echoes.Get(b"hello")
    assert servers[0].memory.seen[0].metadata["grpc-previous-rpc-attempts"] == "2"


# ---- deadlines ---------------------------------------------------------------------------------


def test_a_call_whose_time_is_over_ends_as_grpc_and_as_we_say_it() -> None:
    with Held() as held, replicas(held) as servers, stubs(servers, Policy()) as echoes:
        with pytest.raises(grpc.RpcError) as caught:
            echoes.Get(b"hello", timeout=0.05)
        held.let_go()
    assert caught.value.code() is Code.DEADLINE_EXCEEDED


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_a_call_that_is_late_already_is_not_sent(seconds: float) -> None:
    with (
        replicas(echo) as servers,
        stubs(servers, Policy()) as echoes,
        pytest.raises(DeadlineExceededError) as caught,
    ):
        echoes.Get(b"hello", timeout=seconds)
    assert isinstance(caught.value, grpc.RpcError)
    assert caught.value.code() is Code.DEADLINE_EXCEEDED
    assert calls(servers) == 0


def test_the_deadline_around_a_call_is_sent_along() -> None:
    with (
        replicas(echo, interceptors=[Interceptor()]) as servers,
        stubs(servers, Policy()) as echoes,
        resonance.deadline(30.0),
    ):
        echoes.Get(b"nearer", timeout=10.0)
        echoes.Get(b"around")
        list(echoes.List(b"streamed"))
        echoes.Get.future(b"future").result(PATIENCE_SECONDS)
    nearer, *others = [each.remaining for each in servers[0].memory.seen]
    assert nearer is not None
    assert nearer <= 11.0
    assert all(each is not None and each <= 31.0 for each in others)


def test_a_deadline_goes_through_two_hops() -> None:
    with ExitStack() as stack:
        last = stack.enter_context(GrpcReplica(interceptors=[Interceptor()]))
        onward = stack.enter_context(stubs([last], Policy()))

        def hand_on(message: bytes, _context: Any) -> bytes:
            reply: bytes = onward.Get(message)
            return reply

        first = stack.enter_context(GrpcReplica(hand_on, interceptors=[Interceptor()]))
        echoes = stack.enter_context(stubs([first], Policy()))
        assert echoes.Get(b"hello", timeout=15.0) == b"hello"
    (seen,) = last.memory.seen
    assert seen.remaining is not None
    assert 0.0 < seen.remaining <= 16.0


# ---- tied copies -------------------------------------------------------------------------------


def test_tied_copies_that_both_begin_end_in_one_answer() -> None:
    policy = Policy(hedge=HedgePolicy(tied=True, min_delay=1e-6), budget=RICH)
    with (
        replicas(echo, echo, interceptors=[Interceptor()]) as servers,
        Client(policy) as client,
        HedgingChannel([each.address for each in servers], client=client, methods=READ) as channel,
    ):
        echoes = EchoStub(channel)
        outcomes = [echoes.Get.outcome(b"tied", timeout=PATIENCE_SECONDS) for _ in range(50)]
        until(lambda: client.report()[0].inflight == 0)
    assert {each.result for each in outcomes} == {b"tied"}
    assert any(each.hedge_fired for each in outcomes)


def test_a_tied_copy_that_waits_is_cancelled_before_it_runs() -> None:
    policy = Policy(hedge=HedgePolicy(tied=True, saturation_guard=False), budget=RICH)
    with Held() as held, Held() as held_long, ExitStack() as stack:
        doors = [Interceptor(PATIENT), Interceptor(PATIENT)]
        servers = [
            stack.enter_context(GrpcReplica(behaviour, interceptors=[door]))
            for behaviour, door in zip((held, held_long), doors, strict=True)
        ]
        plain = [stack.enter_context(grpc.insecure_channel(each.address)) for each in servers]
        occupying = [EchoStub(each).Put.future(b"occupying") for each in plain]
        until(lambda: held.entered == held_long.entered == 1)
        echoes = stack.enter_context(stubs(servers, policy))
        outcomes: list[Any] = []
        caller = threading.Thread(target=lambda: outcomes.append(echoes.Get.outcome(b"tied")))
        caller.start()
        until(lambda: [each.report().queued for each in doors] == [1, 1])
        held.let_go()
        caller.join(PATIENCE_SECONDS)
        until(lambda: doors[1].report().withdrawn == 1)
        held_long.let_go()
        assert [each.result(PATIENCE_SECONDS) for each in occupying] == [b"occupying"] * 2
    (outcome,) = outcomes
    assert outcome.result == b"tied"
    assert outcome.target == servers[0].address
    assert [seen.message for seen in servers[1].memory.seen] == [b"occupying"]


def test_a_tied_call_is_answered_by_a_server_that_does_not_know_the_word() -> None:
    policy = Policy(hedge=HedgePolicy(tied=True, min_delay=PATIENCE_SECONDS), budget=RICH)
    with replicas(echo, echo) as servers, stubs(servers, policy) as echoes:
        assert echoes.Get(b"hello") == b"hello"
    assert calls(servers) == 1


# ---- what servers tell -------------------------------------------------------------------------


def test_the_load_a_server_tells_is_known_of_its_replica() -> None:
    class Hints:
        def pressure(self) -> float:
            return 0.25

    door = Interceptor(hints=Hints())  # type: ignore[arg-type]  # all that is asked of them
    with (
        replicas(echo, interceptors=[door]) as servers,
        Client(Policy()) as client,
        HedgingChannel([servers[0].address], client=client) as channel,
    ):
        EchoStub(channel).Get(b"hello")
        (report,) = client.report()
    assert report.replicas[0].pressure == 0.25


# ---- refusals of ours --------------------------------------------------------------------------


def test_a_call_that_is_refused_here_ends_as_grpc_and_as_we_say_it() -> None:
    policy = Policy(limit=LimitPolicy(initial=1, smallest=1, largest=1))
    with Held() as held, replicas(held) as servers, stubs(servers, policy) as echoes:
        caller = threading.Thread(target=echoes.Get, args=(b"first",))
        caller.start()
        until(lambda: held.entered == 1)
        with pytest.raises(OverloadedError) as caught:
            echoes.Get(b"second")
        held.let_go()
        caller.join(PATIENCE_SECONDS)
    assert isinstance(caught.value, grpc.RpcError)
    assert caught.value.code() is Code.RESOURCE_EXHAUSTED


# ---- streams -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "use",
    [
        lambda echoes: list(echoes.List(b"a")),
        lambda echoes: list(echoes.Chat(iter([b"a", b"a"]))),
        lambda echoes: [echoes.Send(iter([b"a", b"a"]))] * 2,
        lambda echoes: [echoes.Send.with_call(iter([b"a"]))[0]] * 2,
        lambda echoes: [echoes.Send.future(iter([b"a"])).result(PATIENCE_SECONDS)] * 2,
        lambda echoes: [echoes.Get.future(b"a").result(PATIENCE_SECONDS)] * 2,
    ],
)
def test_streams_and_futures_go_to_one_replica(use: Callable[[EchoStub], list[bytes]]) -> None:
    with replicas(echo, echo) as servers, stubs(servers, HEDGE | RETRY) as echoes:
        assert len(use(echoes)) == 2
    assert calls(servers) == 1


def test_streams_spread_over_replicas_and_are_counted_until_they_end() -> None:
    policy = Policy(choice=resonance.ChoicePolicy(algorithm="least_inflight"))
    with (
        replicas(echo, echo) as servers,
        Client(policy) as client,
        HedgingChannel([each.address for each in servers], client=client) as channel,
    ):
        echoes = EchoStub(channel)
        streams = [echoes.List(b"a") for _ in range(4)]
        until(lambda: calls(servers) == 4)
        assert [each.calls for each in servers] == [2, 2]
        for stream in streams:
            stream.cancel()
        until(lambda: sum(channel._passing.inflight.values()) == 0)


def test_a_stream_that_cannot_be_begun_is_not_counted() -> None:
    with replicas(echo) as servers, Client() as client:
        channel = HedgingChannel([servers[0].address], client=client)
        echoes = EchoStub(channel)
        channel.close()
        with pytest.raises(ValueError, match="closed"):
            echoes.List(b"a")
    assert sum(channel._passing.inflight.values()) == 0


# ---- making it ---------------------------------------------------------------------------------


def test_channels_of_ones_own_may_be_given_and_are_left_open() -> None:
    with (
        replicas(echo) as servers,
        Client() as client,
        grpc.insecure_channel(servers[0].address) as own,
    ):
        with HedgingChannel({"the one": own}, client=client) as channel:
            assert EchoStub(channel).Get.outcome(b"hello").target == "the one"
        assert EchoStub(own).Get(b"hello") == b"hello"


@pytest.mark.parametrize("targets", [[], {}, "127.0.0.1:1", ["127.0.0.1:1", "127.0.0.1:1"]])
def test_targets_that_cannot_be_are_refused(targets: Any) -> None:
    with Client() as client, pytest.raises(PolicyError, match="targets"):
        HedgingChannel(targets, client=client)


def test_a_stub_is_made_in_one_line() -> None:
    with replicas(echo, echo) as servers, Client(HEDGE) as client:
        addresses = [each.address for each in servers]
        echoes = stub(EchoStub, addresses, client=client, methods=READ)
        assert echoes.Get(b"hello") == b"hello"


def test_channels_stay_open_as_long_as_their_stub() -> None:
    with replicas(echo, echo) as servers, Client(HEDGE) as client:
        channel = HedgingChannel([each.address for each in servers], client=client, methods=READ)
        echoes = EchoStub(channel)
        del channel
        gc.collect()
        assert echoes.Get(b"hello") == b"hello"
        assert echoes.Get.future(b"hello").result(PATIENCE_SECONDS) == b"hello"


def test_a_copy_over_channels_of_ones_own_is_cancelled_too() -> None:
    held = FirstHeld()
    with replicas(held, held) as servers, Client(HEDGE) as client, ExitStack() as stack:
        own = {
            each.address: stack.enter_context(grpc.insecure_channel(each.address))
            for each in servers
        }
        channel = HedgingChannel(own, client=client, methods=READ)
        outcome = EchoStub(channel).Get.outcome(b"hello")
        slow = next(each for each in servers if each.address != outcome.target)
        assert slow.memory.cancelled.wait(PATIENCE_SECONDS)
    assert outcome.hedge_won


def test_a_hint_for_a_method_the_stub_does_not_have_is_refused() -> None:
    with Client() as client, pytest.raises(PolicyError, match="Gte"):
        stub(EchoStub, ["127.0.0.1:1"], client=client, methods={"Gte": TaskHint()})


def test_several_channels_have_no_one_state() -> None:
    with Client() as client, HedgingChannel(["127.0.0.1:1"], client=client) as channel:
        with pytest.raises(NotImplementedError, match="channels"):
            grpc.channel_ready_future(channel)
        channel.unsubscribe(print)


def test_grpcs_own_retries_are_off_below_ours() -> None:
    config = """{"methodConfig": [{"name": [{}], "retryPolicy": {
        "maxAttempts": 4, "initialBackoff": "0.01s", "maxBackoff": "0.01s",
        "backoffMultiplier": 1, "retryableStatusCodes": ["UNAVAILABLE"]}}]}"""
    failing = refusing(Code.UNAVAILABLE)
    with replicas(failing) as servers:
        options = [("grpc.service_config", config)]
        with stubs(servers, Policy(), options=options) as echoes, pytest.raises(grpc.RpcError):
            echoes.Get(b"hello")
    assert calls(servers) == 1
