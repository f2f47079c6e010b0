# SPDX-License-Identifier: MIT
from __future__ import annotations

import dataclasses
import errno
import http.client
import shutil
import socket
import subprocess
import threading
import time
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIServer

import pytest
from prometheus_client import REGISTRY, generate_latest

from fakes.snapshots import REPORT, distribution, snapshot
from resonanced.errors import StartError
from resonanced.telemetry import server
from resonanced.telemetry.server import STALL_SECONDS, Telemetry
from resonanced.telemetry.settings import TelemetrySettings

from .conftest import Ask, Scrape


def test_metrics_show_the_latest_snapshot(telemetry: Telemetry, scrape: Scrape) -> None:
    name = "resonance_runqueue_latency_seconds_count"
    assert (name, (("slot", "3"),)) not in scrape()
    telemetry.publish(snapshot(runqueue=distribution({3: [5_000]})))
    assert scrape()[name, (("slot", "3"),)] == 1
    telemetry.publish(snapshot(runqueue=distribution({3: [5_000, 6_000]})))
    assert scrape()[name, (("slot", "3"),)] == 2


def test_ticks_are_counted(telemetry: Telemetry, scrape: Scrape) -> None:
    before = scrape()["resonance_tick_duration_seconds_count", ()]
    telemetry.tick_finished(0.002)
    assert scrape()["resonance_tick_duration_seconds_count", ()] == before + 1


def test_only_our_own_names_are_exported(telemetry: Telemetry, scrape: Scrape) -> None:
    telemetry.publish(snapshot())
    names = {name for name, _ in scrape()}
    assert {name for name in names if not name.startswith("resonance_")} == set()
    assert {name for name in names if name.endswith("_created")} == set()


def test_promtool_finds_nothing_to_say(telemetry: Telemetry, ask: Ask) -> None:
    promtool = shutil.which("promtool")
    assert promtool, "promtool is missing; apt-get install prometheus"
    waits = distribution({0: [5_000], 3: [2**41]})
    kinds = dict.fromkeys(("srtt", "connect", "receive"), waits)
    telemetry.publish(snapshot(runqueue=waits, sockets=kinds))
    telemetry.tick_finished(0.001)
    _, text = ask("/metrics")
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_health_is_good_while_ticks_are_fresh(telemetry: Telemetry, ask: Ask) -> None:
    assert ask("/healthz") == (200, "ok\n")
    telemetry.publish(snapshot())
    assert ask("/healthz") == (200, "ok\n")


def test_health_names_the_stall(telemetry: Telemetry, ask: Ask) -> None:
    stalled_ns = time.monotonic_ns() - int((STALL_SECONDS + 1) * 1e9)
    telemetry.publish(dataclasses.replace(snapshot(), monotonic_ns=stalled_ns))
    status, text = ask("/healthz")
    assert status == 503
    assert text.startswith("signals: no tick for 6.")
    assert text.count("\n") == 1


def test_health_is_patient_where_ticks_are_far_between() -> None:
    room = Telemetry(TelemetrySettings(port=0), REPORT, 10.0)
    room.publish(dataclasses.replace(snapshot(), monotonic_ns=time.monotonic_ns() - 29 * 10**9))
    assert room._health()[0] == 200
    room.publish(dataclasses.replace(snapshot(), monotonic_ns=time.monotonic_ns() - 31 * 10**9))
    assert room._health()[0] == 503


def test_ready_after_the_first_snapshot(telemetry: Telemetry, ask: Ask) -> None:
    assert ask("/readyz") == (503, "no snapshot yet\n")
    telemetry.publish(snapshot())
    assert ask("/readyz") == (200, "ready\n")


@pytest.mark.parametrize("path", ["/", "/metrics/", "/favicon.ico", "/metricsx"])
def test_other_paths_are_not_found(ask: Ask, path: str) -> None:
    assert ask(path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD"])
def test_only_get_is_answered(ask: Ask, method: str) -> None:
    assert ask("/metrics", method)[0] == 405


def test_a_taken_port_is_one_clear_line(telemetry: Telemetry) -> None:
    port = urlsplit(telemetry.url).port
    assert port
    with pytest.raises(StartError) as raised:
        Telemetry(TelemetrySettings(port=port), REPORT, 0.1).start()
    assert str(raised.value) == (
        f"127.0.0.1:{port}: Address already in use; "
        "choose another address or port in [telemetry], or stop what listens there"
    )


def test_an_address_that_is_not_ours_is_one_clear_line() -> None:
    room = Telemetry(TelemetrySettings(address="192.0.2.1", port=0), REPORT, 0.1)
    with pytest.raises(StartError, match=r"192\.0\.2\.1:0: Cannot assign requested address; "):
        room.start()


def test_stop_frees_the_port_and_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    room = Telemetry(TelemetrySettings(port=0), REPORT, 0.1)
    room.start()
    where = urlsplit(room.url)
    room.stop()
    room.stop()
    assert set(threading.enumerate()) <= before  # those of other tests may end meanwhile
    assert "resonance_backend_info" not in generate_latest(REGISTRY).decode()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((where.hostname, where.port), timeout=5)


def test_ipv6_is_served_where_there_is_ipv6() -> None:
    room = Telemetry(TelemetrySettings(address="::1", port=0), REPORT, 0.1)
    room.start()
    try:
        assert room.url.startswith("http://[::1]:")
        connection = http.client.HTTPConnection("::1", urlsplit(room.url).port, timeout=10)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()
    finally:
        room.stop()


def test_garbage_and_a_silent_client_do_no_harm(
    telemetry: Telemetry, ask: Ask, capfd: pytest.CaptureFixture[str]
) -> None:
    where = urlsplit(telemetry.url)
    silent = socket.create_connection((where.hostname, where.port), timeout=5)
    with socket.create_connection((where.hostname, where.port), timeout=5) as garbage:
        garbage.sendall(b"\x16\x03\x01" + b"\xff" * 70_000 + b"\r\n\r\n")
        garbage.shutdown(socket.SHUT_WR)
        garbage.settimeout(5)
        while garbage.recv(65_536):
            pass
    assert ask("/healthz")[0] == 200
    silent.close()
    assert capfd.readouterr().err == ""


def test_scrapes_in_parallel_all_answer(telemetry: Telemetry, ask: Ask) -> None:
    telemetry.publish(snapshot())
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(ask("/metrics")[0])) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 16


def test_who_is_slow_makes_room_and_is_hung_up_on(
    telemetry: Telemetry, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_LONGEST_SECONDS", 0.1)
    monkeypatch.setattr(server, "_REQUEST_SECONDS", 0.5)
    where = urlsplit(telemetry.url)
    slow = [
        socket.create_connection((where.hostname, where.port), timeout=10)
        for _ in range(2 * server._MOST_REQUESTS)
    ]
    assert ask("/healthz")[0] == 200
    for each in slow:
        assert each.recv(1) == b""
        each.close()


def test_without_descriptors_it_waits_instead_of_asking_at_full_speed(
    telemetry: Telemetry, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    refusals = [OSError(errno.EMFILE, "Too many open files")] * 3

    def accept(self: WSGIServer) -> tuple[Any, Any]:
        if refusals:
            raise refusals.pop()
        return self.socket.accept()

    monkeypatch.setattr(WSGIServer, "get_request", accept)
    monkeypatch.setattr(server, "time", SimpleNamespace(**{**vars(time), "sleep": pauses.append}))
    assert ask("/readyz")[0] == 503
    assert pauses == [server._PAUSE_SECONDS] * 3
