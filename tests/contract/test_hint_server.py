# SPDX-License-Identifier: MIT
"""The service as any gRPC client meets it: over a Unix socket, polite or not."""

from __future__ import annotations

import os
import socket
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import REGISTRY

from fakes.hint_service import WINDOW_SECONDS, HintService, resolve
from fakes.snapshots import REPORT, WEB
from resonance_api.hints.v1.hints_pb2 import GetRequest, ResolveRequest, WatchRequest, WatchResponse
from resonance_api.hints.v1.hints_pb2_grpc import HintsStub
from resonanced.errors import StartError
from resonanced.hints.server import HintServer
from resonanced.hints.settings import HintsSettings
from resonanced.model import Slot

SERVICE = "resonance.hints.v1.Hints"
SETTINGS = HintsSettings(heartbeat_seconds=0.5, max_streams=256)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[HintService]:
    with HintService(tmp_path, SETTINGS) as service:
        yield service


@pytest.fixture
def channel(service: HintService) -> Iterator[grpc.Channel]:
    with connected(service.socket) as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.Channel) -> HintsStub:
    return HintsStub(channel)


def connected(path: Path) -> grpc.Channel:
    """Return a channel with a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0)]
    return grpc.insecure_channel(f"unix:{path}", options=options)


def outcomes(method: str, code: str) -> float:
    labels = {"method": method, "code": code}
    return REGISTRY.get_sample_value("resonance_hint_requests_total", labels) or 0.0


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_socket_is_for_owner_and_group(service: HintService) -> None:
    assert stat.S_IMODE(service.socket.stat().st_mode) == 0o660


def test_get_before_the_first_reading_says_so(stub: HintsStub) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        stub.Get(GetRequest())
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert refused.value.details() == "nothing is measured yet"


def test_get_answers_with_the_latest(service: HintService, stub: HintsStub) -> None:
    service.publish()
    service.publish()
    state = stub.Get(GetRequest()).state
    assert (state.sequence, state.tier, state.hierarchy) == (2, "core", "v2")
    assert (state.valid_for_seconds, state.percentile_window_seconds) == (0.5, 10.0)
    assert [each.cgroup for each in state.cgroups] == ["other", WEB.cgroup]


def test_watch_begins_with_the_state_now_and_follows(service: HintService, stub: HintsStub) -> None:
    service.publish(pressure=np.full(64, 0.1))
    stream = stub.Watch(WatchRequest(interval_seconds=0.001))
    assert next(stream).state.sequence == 1
    service.publish(pressure=np.full(64, 0.2))
    changed = next(stream)
    assert (changed.state.sequence, changed.is_heartbeat) == (2, False)
    silent = next(stream)
    assert (silent.state.sequence, silent.is_heartbeat) == (2, True)
    stream.cancel()


def test_resolve_an_endpoint_and_a_process(stub: HintsStub) -> None:
    for request in (ResolveRequest(endpoint="[::1]:8080"), ResolveRequest(pid=4)):
        answer = stub.Resolve(request)
        assert (answer.is_known, answer.cgroup, answer.slot) == (True, WEB.cgroup, WEB.index)
    unknown = stub.Resolve(ResolveRequest(pid=1))
    assert (unknown.is_known, unknown.reason) == (False, "no such process")


@pytest.mark.parametrize(
    ("method", "payload", "reason"),
    [
        ("Get", b"\xff\xff", "not a GetRequest"),
        ("Get", GetRequest(cgroups=["x"] * 65).SerializeToString(), "more than 64 cgroup patterns"),
        ("Resolve", b"", "name an endpoint or a pid"),
    ],
)
def test_a_senseless_request_is_refused_in_words_and_counted(
    channel: grpc.Channel, method: str, payload: bytes, reason: str
) -> None:
    before = outcomes(method, "INVALID_ARGUMENT")
    with pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(f"/{SERVICE}/{method}")(payload)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details() == reason
    assert outcomes(method, "INVALID_ARGUMENT") == before + 1


def test_an_oversized_request_is_refused(service: HintService, stub: HintsStub) -> None:
    service.publish()
    with pytest.raises(grpc.RpcError) as refused:
        stub.Get(GetRequest(cgroups=["x" * 20_000]))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert stub.Get(GetRequest()).state.sequence == 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"\0" * 100_000,
        os.urandom(100_000),
        b"GET / HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(100_000),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" * 1_000,
    ],
    ids=["zeros", "noise", "http1", "noise after a preface", "oversized frames"],
)
def test_garbage_on_the_socket_hurts_nobody(
    service: HintService, stub: HintsStub, garbage: bytes
) -> None:
    service.publish()
    for _ in range(20):
        with socket.socket(socket.AF_UNIX) as rude:
            rude.connect(str(service.socket))
            try:
                rude.sendall(garbage)
            except (BrokenPipeError, ConnectionResetError):
                continue
    assert stub.Get(GetRequest(), timeout=10).state.sequence == 1


def test_two_hundred_watchers_some_slow_some_dead(service: HintService) -> None:
    """A slow reader gets the latest after a handful of old ones; nobody else waits for it."""
    service.publish(pressure=np.full(64, 0.0))
    channels = [connected(service.socket) for _ in range(200)]
    requests = [WatchRequest(interval_seconds=0.001) for _ in channels]
    streams = [
        HintsStub(channel).Watch(request)
        for channel, request in zip(channels, requests, strict=True)
    ]
    with ThreadPoolExecutor(32) as readers:
        assert all(each.state.sequence == 1 for each in readers.map(next, streams))
    quick, slow, dead = streams[:20], streams[20:180], channels[180:]
    for channel in dead:
        channel.close()
    eventually(lambda: REGISTRY.get_sample_value("resonance_hint_streams") == 180)
    last = 300
    for sequence in range(2, last + 1):
        service.publish(pressure=np.full(64, sequence / 1_000))
    with ThreadPoolExecutor(32) as readers:
        counts = list(readers.map(lambda stream: _read_until(stream, last), [*quick, *slow]))
    assert max(counts) < last
    for channel in channels:
        channel.close()
    eventually(lambda: REGISTRY.get_sample_value("resonance_hint_streams") == 0)


def _read_until(stream: Iterator[WatchResponse], sequence: int) -> int:
    """Return how many messages came before the one with this number."""
    for count, message in enumerate(stream):
        if message.state.sequence == sequence:
            return count
    raise AssertionError("the stream ended")


@pytest.mark.parametrize("name", ["/short", "/" + "long" * 200])
def test_a_reader_that_stops_reading_makes_no_queue(service: HintService, name: str) -> None:
    before = REGISTRY.get_sample_value("resonance_hints_dropped_total") or 0.0
    slots = tuple(Slot(slot, 1, f"{name}{slot}", slot) for slot in range(64))
    service.publish(slots=slots, pressure=np.full(64, 0.0))
    with connected(service.socket) as channel:
        stream = HintsStub(channel).Watch(WatchRequest(interval_seconds=0.0001))
        last = 1_000
        for sequence in range(2, last + 1):
            service.publish(slots=slots, pressure=np.full(64, sequence / 10_000))
        waiting_bytes = 0
        for message in stream:
            waiting_bytes += message.ByteSize()
            if message.state.sequence == last:
                break
    assert waiting_bytes < 256 * 1024 + 2 * message.ByteSize()
    assert (REGISTRY.get_sample_value("resonance_hints_dropped_total") or 0.0) > before


def test_one_stream_too_many_is_refused_with_the_reason(tmp_path: Path) -> None:
    with HintService(tmp_path, HintsSettings(max_streams=2)) as service:
        service.publish()
        with connected(service.socket) as channel:
            stub = HintsStub(channel)
            streams = [stub.Watch(WatchRequest()) for _ in range(2)]
            for stream in streams:
                next(stream)
            with pytest.raises(grpc.RpcError) as refused:
                next(stub.Watch(WatchRequest()))
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert refused.value.details() == "2 streams are served; max_streams allows no more"
            streams[0].cancel()
            eventually(lambda: REGISTRY.get_sample_value("resonance_hint_streams") == 1)
            assert next(stub.Watch(WatchRequest())).state.sequence == 1


def test_health_is_told(channel: grpc.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    for name in ("", SERVICE):
        answer = health.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_names_the_services(channel: grpc.Channel) -> None:
    ask = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    answer = next(iter(ask(iter([request]))))
    names = {each.name for each in answer.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= names


def test_a_second_daemon_does_not_take_the_socket(service: HintService) -> None:
    service.publish()
    second = HintServer(SETTINGS, service.socket.parent, REPORT, resolve, WINDOW_SECONDS)
    with pytest.raises(StartError, match="socket taken"):
        service.run(second.start())
    with connected(service.socket) as channel:
        assert HintsStub(channel).Get(GetRequest()).state.sequence == 1


def test_a_dead_daemons_socket_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "hints.sock"))
    with HintService(tmp_path) as service:
        service.publish()
        with connected(service.socket) as channel:
            assert HintsStub(channel).Get(GetRequest()).state.sequence == 1


def test_stopping_ends_the_streams_and_leaves_nothing(tmp_path: Path) -> None:
    with HintService(tmp_path) as service:
        service.publish()
        channel = connected(service.socket)
        stream = HintsStub(channel).Watch(WatchRequest())
        next(stream)
        before = time.monotonic()
    assert time.monotonic() - before < 2.0
    with pytest.raises(grpc.RpcError) as ended:
        for _ in stream:
            pass
    assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
    assert list(tmp_path.iterdir()) == []
    channel.close()
