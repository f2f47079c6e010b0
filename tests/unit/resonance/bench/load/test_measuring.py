# SPDX-License-Identifier: MIT
"""One slot, measured on servers that behave and servers that do not."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.bench_loopback import answer_http, certificate, echo, requests, serve
from resonance.bench.errors import PlanError, TargetError
from resonance.bench.load import Measured, Progress, measure, parse_target, processes
from resonance.bench.plan import Load, Request, Stage
from resonance.bench.records import Rule

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLOSING = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
RESET = struct.pack("ii", 1, 0)


def load(target: str, rate: float = 200.0, seconds: float = 0.3, **more: object) -> Load:
    given: dict[str, object] = {"timeout_seconds": 5.0, "connections": 8, "arrival": "constant"}
    return Load(parse_target(target), (Stage(seconds, rate),), **(given | more))  # type: ignore[arg-type]


def measured(target: str, rate: float = 200.0, seconds: float = 0.3, **more: object) -> Measured:
    result = measure(load(target, rate, seconds, **more), rule=Rule())
    slot = result.slot
    assert slot.planned == slot.answered + sum(slot.failed.values())
    return result


def http(server_port: int) -> str:
    return f"http://127.0.0.1:{server_port}/"


def test_every_frame_that_is_answered_counts_as_answered() -> None:
    with serve(echo) as server:
        slot = measured(f"tcp://127.0.0.1:{server.port}").slot
    assert (slot.planned, slot.answered, slot.failed) == (60, 60, {})
    assert slot.histogram("response").count == slot.histogram("lateness").count == 60
    assert slot.generator.connections >= 1
    assert slot.achieved_ratio == pytest.approx(1.0)


def test_frames_with_a_body_are_answered_in_their_order() -> None:
    def five_for_three(connection: socket.socket) -> None:
        while data := connection.recv(4096):
            connection.sendall(b"12345" * (len(data) // 3))

    with serve(five_for_three) as server:
        slot = measured(
            f"tcp://127.0.0.1:{server.port}", requests=(Request(body=b"abc"),), frame_bytes=5
        ).slot
    assert (slot.planned, slot.answered) == (60, 60)


@pytest.mark.parametrize("path", ["{}/s.sock", "@resonance-test-{}"])
def test_a_unix_socket_is_a_target_by_path_and_by_abstract_name(tmp_path: Path, path: str) -> None:
    name = path.format(tmp_path if "/" in path else os.getpid())
    with serve(echo, path=name.replace("@", "\0")):
        assert measured(f"frames+unix:{name}").slot.answered == 60


def test_an_http_connection_is_used_again() -> None:
    with serve(answer_http(OK)) as server:
        slot = measured(http(server.port)).slot
        assert slot.answered == 60
        assert len(server.accepted) <= 1 + 8


def test_an_answer_that_comes_in_pieces_is_one_answer() -> None:
    def dribble(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in requests(connection):
            for byte in OK:
                connection.sendall(bytes([byte]))

    with serve(dribble) as server:
        assert measured(http(server.port)).slot.answered == 60


def test_a_server_that_closes_after_each_answer_gets_a_connection_for_each_call() -> None:
    def once(connection: socket.socket) -> None:
        next(requests(connection), None)
        connection.sendall(CLOSING)

    with serve(once) as server:
        slot = measured(http(server.port)).slot
        assert (slot.answered, slot.failed) == (60, {})
        assert len(server.accepted) >= 60


def test_tls_is_spoken_where_the_certificate_is_trusted(tmp_path: Path) -> None:
    made, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, key)
    big = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000)
    with serve(answer_http(big), context=context) as server:
        target = f"https://localhost:{server.port}/"
        trusted = parse_target(target, certificate_authorities=str(made))
        given = Load(trusted, (Stage(0.3, 100.0),), arrival="constant", connections=4)
        slot = measure(given, rule=Rule()).slot
        assert (slot.answered, slot.failed) == (30, {})
        unverified = Load(parse_target(target, verify=False), (Stage(0.1, 100.0),))
        assert not measure(unverified, rule=Rule()).slot.failed
        with pytest.raises(TargetError, match="certificate is not trusted"):
            measure(load(target), rule=Rule())


def test_tls_to_a_server_without_it_says_so() -> None:
    def answer_anything(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.recv(65536)

    with serve(answer_anything) as server, pytest.raises(TargetError, match="is it http://"):
        measure(load(f"https://127.0.0.1:{server.port}/"), rule=Rule())


def test_a_body_larger_than_the_socket_takes_at_once_arrives_whole() -> None:
    body = bytes(3_000_000)
    seen: list[int] = []

    def swallow(connection: socket.socket) -> None:
        while True:
            head, length = b"", 0
            while b"\r\n\r\n" not in head:
                data = connection.recv(4096)
                if not data:
                    return
                head += data
            length = len(head.partition(b"\r\n\r\n")[2])
            while length < len(body):
                length += len(connection.recv(1 << 16))
            seen.append(length)
            connection.sendall(OK)

    with serve(swallow) as server:
        one = Request(method="POST", body=body)
        slot = measured(http(server.port), 20.0, 0.2, requests=(one,)).slot
    assert slot.answered == 4
    assert seen == [len(body)] * 4


def test_an_answer_that_says_it_failed_is_a_failure_with_a_response_time() -> None:
    with serve(answer_http(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")) as server:
        slot = measured(http(server.port)).slot
    assert slot.failed == {"status": 60}
    assert slot.histogram("response").count == 60


def resetting(connection: socket.socket) -> None:
    next(requests(connection), None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def cutting(connection: socket.socket) -> None:
    next(requests(connection), None)
    connection.sendall(OK[:-1])


def babbling(connection: socket.socket) -> None:
    next(requests(connection), None)
    connection.sendall(b"220 mail.example ESMTP\r\n")


@pytest.mark.parametrize(
    ("handle", "outcome"), [(resetting, "reset"), (cutting, "cut"), (babbling, "garbage")]
)
def test_a_server_that_breaks_each_call_fails_each_call_by_its_reason(
    handle: Callable[[socket.socket], None], outcome: str
) -> None:
    with serve(handle) as server:
        result = measured(http(server.port))
    assert result.slot.failed == {outcome: 60}
    assert "no call was answered" in result.slot.doubts
    assert any("protocol" in note for note in result.notes) == (outcome == "garbage")


def test_a_server_that_hangs_lets_each_call_take_its_timeout_and_no_longer() -> None:
    def hang(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.recv(4096)

    with serve(hang) as server:
        slot = measured(http(server.port), timeout_seconds=0.2).slot
    assert slot.failed == {"timeout": 60}
    lowest = slot.histogram("response").quantile(0.0)
    assert lowest is not None
    assert lowest >= 0.199


def test_a_hanging_server_of_frames_is_given_up_call_by_call() -> None:
    def hang(connection: socket.socket) -> None:
        while connection.recv(4096):
            pass

    with serve(hang) as server:
        slot = measured(f"tcp://127.0.0.1:{server.port}", timeout_seconds=0.1, connections=2).slot
    assert slot.failed == {"timeout": 60}


def test_a_late_answer_to_a_call_that_was_given_up_harms_no_other() -> None:
    def slow_first(connection: socket.socket) -> None:
        first = connection.recv(16)
        time.sleep(0.3)
        connection.sendall(first)
        echo(connection)

    with serve(slow_first) as server:
        slot = measured(
            f"tcp://127.0.0.1:{server.port}", 100.0, 0.6, timeout_seconds=0.2, connections=1
        ).slot
    assert set(slot.failed) == {"timeout"}
    assert slot.answered > 0


def test_a_server_that_dies_refuses_the_calls_that_wait_for_it() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def answer_some() -> None:
        with listener:
            probe, _ = listener.accept()  # the first connection only asks whether anybody is there
            probe.close()
            connection, _ = listener.accept()
        with connection:
            for _ in range(10):
                connection.sendall(connection.recv(16))

    thread = threading.Thread(target=answer_some)
    thread.start()
    result = measured(f"tcp://127.0.0.1:{port}", 100.0, 0.5, timeout_seconds=0.2, connections=1)
    thread.join(10)
    slot = result.slot
    assert slot.answered == 10
    assert slot.failed["refused"] > 20
    assert set(slot.failed) <= {"refused", "reset"}
    assert any("refused" in note for note in result.notes)
    assert slot.generator.cpu_cores < 0.5


def test_a_stalled_server_delays_answers_and_not_the_schedule() -> None:
    stalled_seconds, gate = 0.3, threading.Lock()
    begun: list[float] = []

    def stall(connection: socket.socket) -> None:
        for _ in requests(connection):
            with gate:
                if not begun:
                    begun.append(time.monotonic())
            left = begun[0] + stalled_seconds - time.monotonic()
            if left > 0.0:
                time.sleep(left)
            connection.sendall(OK)

    with serve(stall) as server:
        slot = measured(http(server.port), 100.0, 0.4, connections=4).slot
    assert slot.answered == slot.planned == 40
    assert slot.achieved_ratio == pytest.approx(1.0)
    response, service = slot.histogram("response"), slot.histogram("service")
    # 30 calls were due while nothing was answered, four of them on a connection: the others waited
    # here, and their response times tell what their service times hide.
    assert slot.generator.waited >= 20
    median, hidden = response.quantile(0.5), service.quantile(0.5)
    assert median is not None
    assert hidden is not None
    assert median >= 0.05
    assert hidden < median


def test_http_calls_never_share_a_connection() -> None:
    lock, worst, under_way = threading.Lock(), [0], [0]

    def one_at_a_time(connection: socket.socket) -> None:
        while data := connection.recv(65536):
            worst[0] = max(worst[0], data.count(b"GET "))
            with lock:
                under_way[0] += 1
            time.sleep(0.02)
            connection.sendall(OK)

    with serve(one_at_a_time) as server:
        slot = measured(http(server.port), 500.0, 0.2, connections=3).slot
    assert slot.answered == 100
    assert worst == [1]
    assert slot.generator.connections <= 3
    assert slot.generator.waited > 0


def test_several_processes_share_the_calls() -> None:
    with serve(echo) as server:
        slot = measured(f"tcp://127.0.0.1:{server.port}", 300.0, processes=3).slot
    assert (slot.planned, slot.answered) == (90, 90)
    assert slot.generator.processes == 3
    assert slot.generator.connections >= 3


def test_a_mix_is_reported_part_by_part() -> None:
    seen: list[bytes] = []

    def handle(connection: socket.socket) -> None:
        for head in requests(connection):
            seen.append(head.split(b" ")[1])
            connection.sendall(OK)

    kinds = (Request("a", 1.0, path="/a"), Request("b", 3.0, path="/b"))
    with serve(handle) as server:
        slot = measured(http(server.port), requests=kinds).slot
    assert {name: part.answered for name, part in slot.parts.items()} == {
        "a": seen.count(b"/a"),
        "b": seen.count(b"/b"),
    }
    assert slot.parts["b"].answered > slot.parts["a"].answered > 0


def test_the_warm_up_is_sent_and_not_reported() -> None:
    with serve(echo) as server:
        slot = measured(f"tcp://127.0.0.1:{server.port}", 100.0, 0.4, warm_up_seconds=0.2).slot
    assert slot.planned == slot.answered == 20
    assert sum(second.planned for second in slot.timeline) == 40


def test_being_stopped_gives_what_was_until_then() -> None:
    looks: list[Progress] = []
    asked = time.monotonic()
    with serve(echo) as server:
        result = measure(
            load(f"tcp://127.0.0.1:{server.port}", 100.0, 60.0),
            rule=Rule(),
            progress=looks.append,
            is_stopped=lambda: bool(looks) and looks[-1].answered >= 20,
        )
    slot = result.slot
    assert result.is_partial
    assert 20 <= slot.answered == slot.planned < 2_000
    assert slot.seconds < 30.0
    assert time.monotonic() - asked < 40.0
    assert looks[-1].planned == 6_000
    assert looks[-1].p99_seconds is not None


def test_a_generator_that_is_killed_costs_its_own_calls_and_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    children: list[processes.Child] = []

    class Known(processes.Child):
        def __init__(self, share: object) -> None:
            super().__init__(share)  # type: ignore[arg-type]
            children.append(self)

    monkeypatch.setattr("resonance.bench.load.measuring.Child", Known)

    def kill_one(look: Progress) -> None:
        if look.answered > 10 and children[0].is_alive():
            os.kill(children[0].pid, signal.SIGKILL)

    with serve(echo) as server:
        result = measure(
            load(f"tcp://127.0.0.1:{server.port}", 100.0, 1.5, processes=2),
            rule=Rule(),
            progress=kill_one,
        )
    slot = result.slot
    assert slot.planned == 150
    assert 75 <= slot.answered < 150
    assert slot.failed == {"none": 150 - slot.answered}
    assert any("killed by SIGKILL" in doubt for doubt in slot.doubts)
    assert any("killed by SIGKILL" in note for note in result.notes)


def test_a_class_that_is_not_permitted_is_told_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("resonance.bench.load.realtime.become_realtime", lambda: False)
    with serve(echo) as server:
        result = measured(f"tcp://127.0.0.1:{server.port}")
    assert not result.slot.generator.is_realtime
    assert any("ulimit -r" in note for note in result.notes)


def test_a_rate_beyond_the_generator_is_not_believed() -> None:
    with serve(echo) as server:
        result = measured(f"tcp://127.0.0.1:{server.port}", 500_000.0, 0.1, timeout_seconds=3.0)
    assert result.slot.doubts


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("tcp://no-such-host.invalid:1", "check its spelling"),
        ("tcp://127.0.0.1:{}", "is the server running"),
        ("http+unix:/nowhere/s.sock", "is the server running"),
    ],
)
def test_nobody_there_is_said_before_anything_is_sent(
    target: str, reason: str, free_port: int
) -> None:
    with pytest.raises(TargetError, match=reason):
        measure(load(target.format(free_port)), rule=Rule())


def test_an_authority_that_cannot_be_read_is_named(free_port: int) -> None:
    target = parse_target(f"https://localhost:{free_port}", certificate_authorities="/no.pem")
    with pytest.raises(PlanError, match=r"/no.pem: No such file"):
        measure(Load(target, (Stage(0.1, 10.0),)), rule=Rule())
