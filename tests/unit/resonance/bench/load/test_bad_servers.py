# SPDX-License-Identifier: MIT
"""What a measurement says of servers that misbehave; and that it always comes to an end."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fakes import bench_servers as servers
from fakes.bench_servers import Behaviour, GrpcServer, Server
from resonance.bench.errors import TargetError
from resonance.bench.load import Measured, Progress, measure, parse_target
from resonance.bench.plan import Load, Request, Stage, Target
from resonance.bench.records import Rule

RULE = Rule()
LONGEST_SECONDS = 30.0
"""Of a run with half a second of calls, and ten of patience at most."""
SOON = 0.3


def children() -> set[str]:
    tasks = Path("/proc/self/task")
    found: set[str] = set()
    for task in tasks.iterdir():
        with suppress(FileNotFoundError):  # a thread that has just ended
            found.update((task / "children").read_text(encoding="ascii").split())
    return found


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Neither files, nor processes, nor threads are left."""
    files, processes = set(os.listdir("/proc/self/fd")), children()
    threads = threading.active_count()
    yield
    assert len(os.listdir("/proc/self/fd")) <= len(files)
    assert children() <= processes
    assert threading.active_count() <= threads


def ran(
    target: Target,
    *,
    rate: float = 100.0,
    seconds: float = 0.5,
    timeout: float = 10.0,
    connections: int = 16,
    requests: tuple[Request, ...] = (Request(),),
    progress: Callable[[Progress], None] | None = None,
) -> Measured:
    """Measure, and check what holds of every measurement."""
    load = Load(
        target,
        (Stage(seconds, rate),),
        arrival="constant",
        timeout_seconds=timeout,
        connections=connections,
        requests=requests,
    )
    begin = time.monotonic()
    measured = measure(load, rule=RULE, progress=progress)
    assert time.monotonic() - begin < LONGEST_SECONDS
    slot = measured.slot
    assert slot.planned == round(rate * seconds)
    assert slot.planned == slot.answered + sum(slot.failed.values())
    assert slot.sent <= slot.planned
    assert sum(second.planned for second in slot.timeline) == slot.planned
    if slot.quantile(0.99) is None:
        assert slot.doubts
    return measured


def told(server: Server, scheme: str = "http") -> Target:
    return parse_target(f"{scheme}://127.0.0.1:{server.port}/", verify=False)


@pytest.mark.parametrize("behaviour", [servers.good, servers.chunked, servers.closing])
def test_a_good_server_answers_everything(behaviour: Behaviour) -> None:
    with Server(behaviour) as server:
        slot = ran(told(server)).slot
    assert slot.failed == {}


def test_a_good_server_with_tls_answers_everything() -> None:
    with Server(servers.good, tls=True) as server:
        assert ran(told(server, "https")).slot.failed == {}


def test_answers_of_http_1_0_end_with_their_connection() -> None:
    with Server(servers.http_1_0) as server:
        assert ran(told(server)).slot.failed == {}


def test_errors_are_answers_that_failed() -> None:
    with Server(servers.errors) as server:
        slot = ran(told(server)).slot
    assert slot.failed == {"status": slot.planned}
    assert slot.quantile(0.5) is not None


def test_a_connection_that_ends_between_answers_fails_no_call() -> None:
    with Server(servers.closing_silently) as server:
        slot = ran(told(server), rate=50.0).slot
    assert set(slot.failed) <= {"reset"}
    assert slot.answered > 0


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        (servers.resetting_when_asked, "reset"),
        (servers.leaving_when_asked, "reset"),
        (servers.cut_head, "cut"),
        (servers.cut_body, "cut"),
        (servers.cut_chunk, "cut"),
        (servers.garbage, "garbage"),
        (servers.hanging, "timeout"),
        (servers.trickling(0.1), "timeout"),
    ],
)
def test_each_kind_of_failure_has_its_name(behaviour: Behaviour, outcome: str) -> None:
    with Server(behaviour) as server:
        measured = ran(told(server), timeout=SOON)
    assert set(measured.slot.failed) == {outcome}
    assert measured.slot.answered == 0
    assert measured.slot.doubts


def test_what_is_reset_when_it_is_accepted_was_never_answered() -> None:
    with Server(servers.resetting) as server:
        slot = ran(told(server), timeout=SOON).slot
    assert slot.answered == 0
    assert set(slot.failed) <= {"reset", "refused", "timeout"}
    assert slot.doubts


def test_slow_answers_are_slow_and_not_failed() -> None:
    with Server(servers.trickling(0.002)) as server:
        slot = ran(told(server), rate=20.0).slot
    assert slot.failed == {}
    p50 = slot.quantile(0.5)
    assert p50 is not None
    assert p50 > 0.002 * len(servers.GOOD)


def test_a_server_that_hangs_is_reported_with_the_time_that_was_waited() -> None:
    with Server(servers.hanging) as server:
        slot = ran(told(server), timeout=0.2).slot
    assert slot.failed == {"timeout": slot.planned}
    p50 = slot.quantile(0.5)
    assert p50 is not None
    assert p50 >= 0.199


def test_more_calls_than_a_hanging_server_has_connections_all_end() -> None:
    with Server(servers.hanging) as server:
        slot = ran(told(server), connections=2, timeout=SOON).slot
    assert slot.failed == {"timeout": slot.planned}
    assert slot.sent < slot.planned
    assert any("sent in time" in doubt for doubt in slot.doubts)


def test_a_body_that_nobody_reads_times_out() -> None:
    with Server(servers.deaf) as server:
        slot = ran(
            told(server),
            rate=10.0,
            timeout=SOON,
            requests=(Request(method="PUT", body=bytes(30_000_000)),),
            connections=2,
        ).slot
    assert slot.failed == {"timeout": slot.planned}


def test_an_answer_before_the_body_was_read_leaves_the_connection_in_order() -> None:
    with Server(servers.hasty) as server:
        slot = ran(
            told(server),
            rate=20.0,
            requests=(Request(method="PUT", body=bytes(5_000_000)),),
            connections=1,
        ).slot
    assert slot.failed == {}


@pytest.mark.parametrize("scheme", ["http", "https", "h2c", "h2", "grpc", "grpcs", "tcp"])
def test_a_port_that_nobody_listens_on_is_an_error_and_no_measurement(scheme: str) -> None:
    path = "/a.B/C" if "grpc" in scheme else ""
    with servers.closed_port() as port, pytest.raises(TargetError, match="is the server running"):
        ran(parse_target(f"{scheme}://127.0.0.1:{port}{path}"))


def test_a_server_that_goes_during_the_run_refuses_the_rest() -> None:
    with Server(servers.closing) as server:

        def stop_once_it_has_answered(so_far: Progress) -> None:
            if so_far.answered:
                server.stop()

        slot = ran(told(server), seconds=3.0, timeout=1.0, progress=stop_once_it_has_answered).slot
    assert slot.answered > 0
    assert slot.failed.get("refused", 0) > 0


def test_a_certificate_that_nobody_trusts_is_told_with_what_to_do() -> None:
    with (
        Server(servers.good, tls=True) as server,
        pytest.raises(TargetError, match=r"certificate.*(authority|verified)"),
    ):
        ran(parse_target(f"https://127.0.0.1:{server.port}/"))


def test_a_certificate_of_another_name_is_told() -> None:
    with Server(servers.good, tls=True) as server, pytest.raises(TargetError, match="certificate"):
        ran(
            parse_target(
                f"https://127.0.0.1:{server.port}/",
                certificate_authorities=str(servers.CERTIFICATE),
            )
        )


@pytest.mark.parametrize("scheme", ["https", "h2", "grpcs"])
def test_no_tls_where_it_was_said_to_be_is_told(scheme: str) -> None:
    path = "a.B/C" if "grpc" in scheme else ""
    with Server(servers.blurting) as server, pytest.raises(TargetError, match="TLS"):
        ran(parse_target(f"{scheme}://127.0.0.1:{server.port}/{path}"))


def test_tls_where_none_was_said_to_be_answers_nothing() -> None:
    with Server(servers.good, tls=True) as server:
        slot = ran(told(server), timeout=SOON).slot
    assert slot.answered == 0


@pytest.mark.parametrize("scheme", ["h2c", "grpc"])
def test_a_server_of_http_1_is_no_server_of_http_2(scheme: str) -> None:
    path = "a.B/C" if scheme == "grpc" else ""
    bad = servers.answering(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    with Server(bad) as server, pytest.raises(TargetError, match="HTTP/1"):
        ran(parse_target(f"{scheme}://127.0.0.1:{server.port}/{path}"))


def test_a_server_that_says_nothing_is_no_server_of_http_2() -> None:
    with Server(servers.hanging) as server, pytest.raises(TargetError, match="no answer"):
        ran(told(server, "h2c"))


def test_a_server_of_http_2_answers_everything() -> None:
    with Server(servers.h2(servers.ok)) as server:
        assert ran(told(server, "h2c")).slot.failed == {}
        assert server.connections >= 1


def test_a_server_of_http_2_with_tls_answers_everything() -> None:
    with Server(servers.h2(servers.ok), tls=True) as server:
        assert ran(told(server, "h2")).slot.failed == {}


def test_one_connection_of_http_2_carries_many_calls_at_once() -> None:
    with Server(servers.h2(servers.ok)) as server:
        slot = ran(told(server, "h2c"), rate=400.0, connections=1).slot
    assert slot.failed == {}
    assert slot.generator.connections == 1


def test_streams_beyond_what_the_peer_allows_wait() -> None:
    with Server(servers.h2(servers.ok, most_streams=1)) as server:
        slot = ran(told(server, "h2c"), rate=400.0, connections=1).slot
    assert slot.failed == {}


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (servers.failing, "status"),
        (servers.refusing_streams, "reset"),
        (servers.cutting_streams, "cut"),
        (servers.silent, "timeout"),
    ],
)
def test_each_kind_of_failure_of_http_2_has_its_name(answer: servers.Answer, outcome: str) -> None:
    patience = SOON if outcome == "timeout" else 10.0
    with Server(servers.h2(answer)) as server:
        slot = ran(told(server, "h2c"), timeout=patience).slot
    assert slot.failed == {outcome: slot.planned}


def test_a_call_that_a_server_has_not_begun_with_is_sent_once_more() -> None:
    with Server(servers.h2(servers.refusing_every_other)) as server:
        slot = ran(told(server, "h2c"), rate=20.0, connections=1).slot
    assert slot.failed == {}
    assert slot.answered == slot.planned


def test_connections_that_go_away_are_replaced() -> None:
    with Server(servers.h2(servers.going_away(3))) as server:
        slot = ran(told(server, "h2c"), connections=4).slot
        assert server.connections >= slot.answered / 3
    assert slot.answered > 0
    assert set(slot.failed) <= {"reset", "cut"}


def test_garbage_in_the_middle_of_http_2_is_told() -> None:
    with Server(servers.h2_then_garbage) as server:
        measured = ran(told(server, "h2c"))
    assert measured.slot.failed == {"garbage": measured.slot.planned}
    assert any("protocol" in note for note in measured.notes)


def test_sockets_with_a_path_and_without_are_reached(tmp_path: Path) -> None:
    for unix_socket in (f"{tmp_path}/s", f"\0resonance-test-{os.getpid()}"):
        name = unix_socket.replace("\0", "@")
        with Server(servers.good, unix_socket=unix_socket):
            assert ran(parse_target(f"http+unix:{name}:/")).slot.failed == {}
        with pytest.raises(TargetError):
            ran(parse_target(f"http+unix:{tmp_path}/nobody:/"))


def test_a_socket_that_nobody_listens_on_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as holder:
        holder.bind(f"{tmp_path}/s")
        with pytest.raises(TargetError, match="is the server running"):
            ran(parse_target(f"http+unix:{tmp_path}/s:/"))


@pytest.mark.parametrize(
    ("method", "failed"), [("Ok", None), ("Fail", "status"), ("Unknown", "status")]
)
def test_grpcio_is_measured(method: str, failed: str | None) -> None:
    with GrpcServer() as server:
        target = parse_target(f"grpc://127.0.0.1:{server.port}/test.Echo/{method}")
        slot = ran(target, requests=(Request(body=b"message"),)).slot
    assert slot.failed == ({failed: slot.planned} if failed else {})


def test_grpcio_is_measured_on_a_unix_socket(tmp_path: Path) -> None:
    with GrpcServer(f"{tmp_path}/s"):
        slot = ran(parse_target(f"grpc+unix:{tmp_path}/s:/test.Echo/Ok")).slot
    assert slot.failed == {}


def test_connections_that_grpcio_ends_for_their_age_cost_no_more_than_what_it_had_not_seen() -> (
    None
):
    options = {"grpc.max_connection_age_ms": 100, "grpc.max_connection_age_grace_ms": 1_000}
    with GrpcServer(options=options) as server:
        target = parse_target(f"grpc://127.0.0.1:{server.port}/test.Echo/Ok")
        slot = ran(target, seconds=1.0).slot
    assert set(slot.failed) <= {"reset"}
    assert slot.answered > slot.planned * 0.9
