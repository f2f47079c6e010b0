# SPDX-License-Identifier: MIT
"""The operator's switch for the SDK's policies, and pressure of replicas, with the real service."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from privileged.running import Place, Service, free_port
from resonance.client._kernel import Kernel
from resonance.hints import Hints, connect
from resonance.policies._replica import Replica
from resonance_bpf.hierarchy import find_hierarchy

OBEYS_WITHIN_SECONDS = 1.0
LISTEN = """
import socket, sys
sys.stdin.readline()
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listening", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def hints(place: Place) -> Iterator[Hints]:
    with connect(place.runtime_directory / "hints.sock") as hints:
        yield hints


def _until(is_so: Callable[[], bool], patience_seconds: float = 20.0) -> float:
    """Return how long it took until something was so."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < patience_seconds
        time.sleep(0.005)
    return time.monotonic() - began


def test_every_client_obeys_within_a_second(service: Service, hints: Hints) -> None:
    kernel = Kernel(hints)
    assert kernel.mode_ceiling(time.monotonic()) == "active"
    for mode in ("observe", "advise", "active", "observe"):
        set_ = service.place.run("policies", mode)
        assert set_.returncode == 0, set_.stderr
        assert hints.policy_ceiling() == mode
        took = _until(lambda: kernel.mode_ceiling(time.monotonic()) == mode)  # noqa: B023 - at once
        assert took < OBEYS_WITHIN_SECONDS
    state_seconds = _until(lambda: (state := hints.state()) and state.policy_ceiling == "observe")
    assert state_seconds < OBEYS_WITHIN_SECONDS
    assert service.metric("resonance_policy_ceiling_info", mode="observe") == 1
    assert "mode       observe (configured: active)" in service.place.run("policies").stdout
    kernel.close()
    assert service.stop() == 0
    assert "policies_set mode=observe before=active" in service.errors


def test_a_killed_daemon_overrules_nobody_and_the_next_one_is_as_configured(
    place: Place, hints: Hints
) -> None:
    place.write_config(policies={"mode": "advise"})
    service = place.start()
    assert hints.policy_ceiling() == "advise"
    assert place.run("policies", "observe").returncode == 0
    assert hints.policy_ceiling() == "observe"
    service.daemon.send_signal(signal.SIGKILL)
    service.process.communicate(timeout=20)
    time.sleep(0.6)  # longer than a page is valid
    assert hints.policy_ceiling() == "observe"
    again = place.start()
    assert "policies advise" in again.said
    assert _until(lambda: hints.policy_ceiling() == "advise") < OBEYS_WITHIN_SECONDS
    assert again.stop() == 0


def test_only_root_and_the_daemon_may_set_it(service: Service) -> None:
    admin = service.place.runtime_directory / "admin.sock"
    assert admin.stat().st_mode & 0o777 == 0o600


def test_a_replica_of_this_host_has_the_pressure_of_its_cgroup(place: Place, hints: Hints) -> None:
    directory = find_hierarchy().mount / f"resonance-test-{os.getpid()}-replica"
    directory.mkdir()
    place.write_config(signals={"cgroups": [f"/{directory.name}"]})
    service, port = place.start(), free_port()
    command = [sys.executable, "-c", LISTEN, str(port)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin
        assert server.stdout
        (directory / "cgroup.procs").write_text(str(server.pid), encoding="ascii")
        server.stdin.write("\n")
        server.stdin.flush()
        assert server.stdout.readline() == "listening\n"
        kernel, replica = Kernel(hints), Replica(f"http://localhost:{port}/items")

        def is_known() -> bool:
            now = time.monotonic()
            kernel.refresh([replica], now)
            return replica.known_pressure(now) is not None

        _until(is_known)
        assert replica.pressure is not None
        assert 0.0 <= replica.pressure <= 1.0
        kernel.close()
        server.stdin.write("\n")
    directory.rmdir()
    assert service.stop() == 0
