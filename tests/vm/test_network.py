# SPDX-License-Identifier: MIT
"""Are fq and BBR set and given back, and are the waits of sockets those that the kernel tells?

The measurements are ratios: the same events, seen by the service's probes and by the kernel's
own books. So they hold on a slow machine too.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vm import machine
from vm.machine import eventually, run, sample, scrape, slot_of

TALKER = str(Path(__file__).with_name("talker.py"))
CLIENT, SERVER = "resonance-test-client", "resonance-test-server"
HERE, THERE, PORT = "198.18.0.1", "198.18.0.2", 7_919
DEVICE = "rsntest0"
CONGESTION = Path("/proc/sys/net/ipv4/tcp_congestion_control")


# ---- fq and BBR -------------------------------------------------------------------------------


@pytest.fixture
def device() -> Iterator[str]:
    """A device with a queue, which nothing is sent through."""
    run("ip", "link", "add", DEVICE, "type", "ifb")
    run("ip", "link", "set", DEVICE, "up")
    yield DEVICE
    run("ip", "link", "del", DEVICE)


def _qdisc(device: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(
        run("tc", "-json", "qdisc", "show", "dev", device).stdout
    )
    return rows


def test_fq_and_bbr_are_set_for_new_connections_and_given_back(device: str, tmp_path: Path) -> None:
    before, was = _qdisc(device), machine.read(CONGESTION)
    assert before[0]["kind"] != "fq"
    assert was != "bbr"
    (tmp_path / "testing.toml").write_text(
        'description = "What this test turns."\n'
        '[network]\ntcp_congestion_control = "bbr"\nqdisc = "fq"\n',
        encoding="utf-8",
    )
    config = (
        f'[tuning]\nprofile = "testing"\nprofiles_directory = "{tmp_path}"\n'
        f'[tuning.network]\ndevices = ["{device}"]\nnamespaces = ["self"]\n'
    )
    with machine.configured(config):
        applied = machine.asked("resonanced", "apply")
        told = {each["setting"]["knob"]: each["outcome"] for each in applied["receipts"]}
        assert told == {"tcp_congestion_control": "applied", "qdisc": "applied"}
        assert [row["kind"] for row in _qdisc(device) if row.get("root")] == ["fq"]
        assert machine.read(CONGESTION) == "bbr"
        assert _congestion_of_a_new_connection() == "bbr"
        assert machine.asked("resonanced", "verify")["drifted"] == 0

        run("resonanced", "rollback")
    assert _qdisc(device) == before
    assert machine.read(CONGESTION) == was
    assert _congestion_of_a_new_connection() == was


def _congestion_of_a_new_connection() -> str:
    script = (
        "import socket as s\n"
        "with s.create_server(('127.0.0.1', 0)) as at:\n"
        "    with s.create_connection(at.getsockname()) as to:\n"
        "        name = to.getsockopt(s.IPPROTO_TCP, s.TCP_CONGESTION, 16)\n"
        "        print(name.partition(b'\\0')[0].decode())\n"
    )
    return run(sys.executable, "-I", "-c", script).stdout.strip()


# ---- what sockets wait for --------------------------------------------------------------------


@pytest.fixture(scope="module")
def measuring() -> Iterator[None]:
    """The service, which gives a slot to the groups of these tests."""
    with machine.running(f'[signals]\ncgroups = ["/{CLIENT}", "/{SERVER}"]\n'):
        yield


@pytest.fixture
def path() -> Iterator[Callable[..., None]]:
    """Two namespaces and a cable between them; call it with what netem does on the way there."""
    for name in (CLIENT, SERVER):
        run("ip", "netns", "add", name)
    try:
        run(
            "ip",
            "link",
            "add",
            "near",
            "netns",
            CLIENT,
            "type",
            "veth",
            "peer",
            "far",
            "netns",
            SERVER,
        )
        for name, device, address in ((CLIENT, "near", HERE), (SERVER, "far", THERE)):
            run("ip", "-n", name, "addr", "add", f"{address}/30", "dev", device)
            # A segment is a packet: what is lost, is sent again and is counted is the same.
            run("ip", "-n", name, "link", "set", device, "gso_max_segs", "1", "up")

        def shape(*netem: str) -> None:
            run(
                "ip",
                "netns",
                "exec",
                CLIENT,
                "tc",
                "qdisc",
                "add",
                "dev",
                "near",
                "root",
                "netem",
                *netem,
            )

        yield shape
    finally:
        for name in (CLIENT, SERVER):
            run("ip", "netns", "del", name)


@pytest.fixture
def clients() -> Iterator[Path]:
    with machine.cgroup(CLIENT) as group:
        yield group


@pytest.fixture
def server(path: Callable[..., None]) -> Iterator[None]:
    """An echo at the far end, in a group of its own."""
    with machine.cgroup(SERVER) as group:
        command = ("ip", "netns", "exec", SERVER, sys.executable, "-I", TALKER)
        process = machine.start_in(group, *command, "serve", THERE, str(PORT))
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield
        process.kill()
        process.communicate()


def _talk(clients: Path, what: str, count: int) -> Any:
    """Run a client in the group of clients; return what it says."""
    assert eventually(lambda: slot_of(scrape(), f"/{clients.name}")), "the group has no slot"
    command = ("ip", "netns", "exec", CLIENT, sys.executable, "-I", TALKER)
    process = machine.start_in(clients, *command, what, THERE, str(PORT), str(count))
    said, _ = process.communicate(timeout=400)
    assert process.returncode == 0
    return json.loads(said)


def _counted(clients: Path, before: machine.Samples, name: str, **labels: str) -> float:
    """Return how much a counter of the group of clients has grown, once the last tick is in."""
    time.sleep(1)
    after = scrape()
    slot = slot_of(after, f"/{clients.name}")
    assert slot is not None
    was = 0.0
    if any(row.get("slot") == slot for row in machine.labels_of(before, name)):
        was = sample(before, name, slot=slot, **labels) if _has(before, name, slot, labels) else 0.0
    return (
        sample(after, name, slot=slot, **labels) if _has(after, name, slot, labels) else 0.0
    ) - was


def _has(samples: machine.Samples, name: str, slot: str, labels: dict[str, str]) -> bool:
    wanted = {"slot": slot, **labels}.items()
    return any(wanted <= row.items() for row in machine.labels_of(samples, name))


@pytest.mark.parametrize("delay_ms", [5, 20])
def test_connect_latency_is_the_round_trip_of_the_handshake(
    delay_ms: int, measuring: None, path: Callable[..., None], clients: Path, server: None
) -> None:
    path("delay", f"{delay_ms}ms")
    connects = 101
    before = scrape()
    told = _talk(clients, "connect", connects)["rtt_seconds"]
    assert min(told) >= delay_ms / 1e3
    histogram = "resonance_socket_latency_seconds"
    count = _counted(clients, before, f"{histogram}_count", kind="connect")
    total = _counted(clients, before, f"{histogram}_sum", kind="connect")
    assert count == connects
    assert total / count == pytest.approx(statistics.mean(told), rel=0.05)


@pytest.mark.parametrize("delay_ms", [5, 20])
def test_round_trips_and_retransmits_over_a_path_that_loses_are_those_of_the_kernels_books(
    delay_ms: int, measuring: None, path: Callable[..., None], clients: Path, server: None
) -> None:
    path("delay", f"{delay_ms}ms", "loss", "1%")
    before, lost = scrape(), _lost()
    told = _talk(clients, "converse", 997)
    sent_again = _kernels_count("TcpRetransSegs", CLIENT)
    assert sent_again > 0, "nothing was lost, so nothing is shown"
    assert told["mean_seconds"] >= delay_ms / 1e3

    count = _counted(clients, before, "resonance_tcp_rtt_seconds_count")
    total = _counted(clients, before, "resonance_tcp_rtt_seconds_sum")
    assert count >= 997
    assert total / count == pytest.approx(told["mean_seconds"], rel=0.05)
    counted = _counted(clients, before, "resonance_tcp_retransmits_total")
    # An event in the middle of another one of its program is missed, and counted as such.
    assert counted <= sent_again <= counted + _lost() - lost


def _kernels_count(name: str, namespace: str) -> int:
    """Return a counter of a network namespace since it is there."""
    # All, zeros too, since the beginning, and without a note of it for the next call.
    told = run("ip", "netns", "exec", namespace, "nstat", "-j", "-a", "-z", "-s", name).stdout
    return int(json.loads(told)["kernel"][name])


def _lost() -> float:
    return sample(scrape(), "resonance_probe_lost_events_total", program="socket_retransmit")


def test_ss_and_the_service_speak_of_the_same_connection(
    measuring: None, path: Callable[..., None], clients: Path, server: None
) -> None:
    """What `ss -ti` prints of a connection at its end is what TCP_INFO said of it."""
    path("delay", "20ms")
    hold = (
        "import socket, sys\n"
        f"with socket.create_connection(({THERE!r}, {PORT})) as to:\n"
        "    for _ in range(53):\n"
        "        to.sendall(b'?'); to.recv(1)\n"
        "    print('done', flush=True); sys.stdin.read()\n"
    )
    before = scrape()
    assert eventually(lambda: slot_of(scrape(), f"/{clients.name}"))
    command = ("ip", "netns", "exec", CLIENT, sys.executable, "-I", "-c", hold)
    process = machine.start_in(clients, *command)
    assert process.stdout
    assert process.stdout.readline() == "done\n"
    told = run("ip", "netns", "exec", CLIENT, "ss", "-tinH", "dst", THERE).stdout
    process.communicate("")
    rtt_seconds = float(told.partition(" rtt:")[2].partition("/")[0]) / 1e3
    assert rtt_seconds >= 0.020
    count = _counted(clients, before, "resonance_tcp_rtt_seconds_count")
    total = _counted(clients, before, "resonance_tcp_rtt_seconds_sum")
    assert count >= 53
    # Both begin at the first round trip and end here; a smoothed value wanders little between.
    assert total / count == pytest.approx(rtt_seconds, rel=0.25)
