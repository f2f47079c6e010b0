# SPDX-License-Identifier: MIT
"""Routes, sysctls and queueing disciplines on this kernel, in network namespaces of our own."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from privileged.tuning.network import (
    DEFAULT,
    algorithm,
    host_with_namespace,
    in_own_namespace,
    neighbour,
    sh,
)
from resonance_tuning.capabilities import drop_all_but
from resonance_tuning.errors import KnobDriftedError, KnobUnavailableError, TargetVanishedError
from resonance_tuning.host import Host
from resonance_tuning.journal import Journal
from resonance_tuning.knobs.namespace_sysctl import SYSCTL_KNOBS
from resonance_tuning.knobs.qdisc import Qdisc
from resonance_tuning.knobs.route_congestion import RouteCongestion
from resonance_tuning.records import Setting, State, Target
from resonance_tuning.surfaces import netlink
from resonance_tuning.surfaces.namespaces import run_in
from resonance_tuning.tuner import Tuner

HOST = Host()
SYSCTLS = Path("/proc/sys/net/ipv4")
AVAILABLE = (SYSCTLS / "tcp_available_congestion_control").read_text("ascii").split()
OTHERS = [name for name in AVAILABLE if name != DEFAULT]
OTHER = OTHERS[0]
TWO_DEVICES = (
    "ip link add v0 type veth peer name v1",
    "ip addr add 192.0.2.1/24 dev v0",
    "ip link set v0 up",
    "ip link set v1 up",
    "ip -6 addr add fd00::1/64 dev v0 nodad",
)
ROUTES = {
    "198.51.100.0/24": "via 192.0.2.7 metric 7 mtu lock 1400 initcwnd 20 src 192.0.2.1",
    "198.51.101.0/24": "via 192.0.2.7 congctl lock reno rto_min 50ms",
    "203.0.113.0/24": "nexthop via 192.0.2.7 weight 3 nexthop via 192.0.2.8 dev v0 onlink",
    "192.0.2.0/24": "",
    "198.18.0.0/15": "nhid 5",
    "fd00::/64": "",
    "fd01::/64": "via fd00::7 pref high mtu 1400 metric 512",
    "fd02::/64": "nexthop via fd00::7 weight 2 nexthop via fd00::8",
}
WITHOUT_WORDS = {"198.51.101.0/24", "198.18.0.0/15"}


def make_routes() -> None:
    sh(*TWO_DEVICES, "ip nexthop add id 5 via 192.0.2.9 dev v0")
    for destination, words in ROUTES.items():
        if words:
            sh(f"ip route add {destination} {words}")


def table() -> str:
    return sh("ip -d -4 route show table all", "ip -d -6 route show table all")


def route(name: str) -> tuple[RouteCongestion, Target]:
    knob = RouteCongestion(HOST)
    (target,) = knob.targets([Target("route", name)])
    return knob, target


@pytest.mark.parametrize("destination", ROUTES)
def test_a_route_gets_an_algorithm_and_is_put_back_whole(destination: str) -> None:
    def run() -> list[str]:
        make_routes()
        before = table()
        knob, target = route(destination)
        assert knob.unavailable(target) == ""
        prior, identity = knob.read(target), knob.identity(target)
        knob.write(target, OTHER)
        (line,) = [line for line in table().splitlines() if f"congctl {OTHER}" in line]
        assert knob.read(target).value == OTHER == knob.canonical(target, OTHER)
        knob.write(target, f"{OTHER} lock")
        assert knob.read(target).value == f"{OTHER} lock"
        assert knob.identity(target) == identity
        knob.restore(target, prior)
        assert knob.read(target) == prior
        return [line.split()[1], before, table()]

    name, before, after = in_own_namespace(run)
    assert name == destination
    assert after == before


@pytest.mark.parametrize("destination", ROUTES)
def test_the_pasted_command_puts_a_route_back_too(destination: str) -> None:
    def run() -> tuple[str, str, str]:
        make_routes()
        before = table()
        knob, target = route(destination)
        (command,) = knob.commands(target, knob.read(target))
        knob.write(target, f"{OTHER} lock")
        if destination not in WITHOUT_WORDS:
            sh(command)
        return command, before, table()

    command, before, after = in_own_namespace(run)
    if destination in WITHOUT_WORDS:
        assert command == "resonanced rollback"
    else:
        assert after == before


def test_connections_over_the_route_use_it_and_others_do_not() -> None:
    def run() -> tuple[str, str]:
        sh(*TWO_DEVICES)
        with neighbour(
            "ip link set v1 netns {pid}",
            "nsenter -n -t {pid} ip addr add 192.0.2.7/24 dev v1",
            "nsenter -n -t {pid} ip addr add 198.51.100.7/32 dev lo",
            "nsenter -n -t {pid} ip link set v1 up",
            "ip route add 198.51.100.0/24 via 192.0.2.7",
        ) as pid:
            knob, target = route("198.51.100.0/24")
            knob.write(target, OTHER)
            listener = subprocess.Popen(
                ["nsenter", "-n", "-t", str(pid), "python3", "-c", LISTENER],
                stdout=subprocess.PIPE,
            )
            assert listener.stdout
            port = int(listener.stdout.readline())
            try:
                far = socket.create_connection(("198.51.100.7", port), timeout=10)
                near = socket.create_connection(("192.0.2.7", port), timeout=10)
                return algorithm(far), algorithm(near)
            finally:
                listener.kill()
                listener.wait()

    assert in_own_namespace(run) == (OTHER, DEFAULT)


LISTENER = (
    "import socket, time; s = socket.create_server(('', 0)); "
    "print(s.getsockname()[1], flush=True); time.sleep(60)"
)


def test_a_form_the_library_drops_silently_is_caught_by_reading_back(tmp_path: Path) -> None:
    class Dropping(RouteCongestion):
        def write(self, target: Target, value: str) -> None:
            from pyroute2 import IPRoute

            metrics = {"attrs": [("RTAX_CC_ALGO", value)]} if value else {"mtu": 1400}
            with IPRoute() as ip:
                ip.route("replace", dst="198.51.102.0/24", gateway="192.0.2.7", metrics=metrics)

    def run() -> str:
        sh(*TWO_DEVICES, "ip route add 198.51.102.0/24 via 192.0.2.7")
        knob = Dropping(HOST)
        (target,) = knob.targets([Target("route", "198.51.102.0/24")])
        with Journal(tmp_path / "journal", HOST.boot_id) as journal:
            tuner = Tuner(HOST, journal, {knob.name: knob})
            change = tuner.preview(Setting(knob.name, target, OTHER, "network"), "a test")
            with pytest.raises(KnobDriftedError) as raised:
                tuner.apply("network-wan", [change], "a test")
        return str(raised.value)

    assert f"wrote '{OTHER}', found ''" in in_own_namespace(run)


def test_a_route_of_a_link_that_went_down_has_vanished() -> None:
    def run() -> tuple[str, str]:
        make_routes()
        knob, target = route("198.51.100.0/24")
        knob.write(target, OTHER)
        sh("ip link set v0 down", "ip link set v0 up")
        with pytest.raises(TargetVanishedError):
            knob.identity(target)
        with pytest.raises(TargetVanishedError):
            knob.write(target, DEFAULT)
        sh("ip route add 198.51.100.0/24 via 192.0.2.7 metric 7")
        return knob.read(target).value, knob.unavailable(Target("route", "default"))

    assert in_own_namespace(run) == ("", "there is no such route")


def test_a_better_route_that_comes_later_is_left_alone() -> None:
    def run() -> tuple[str, str]:
        make_routes()
        knob, target = route("198.51.100.0/24")
        prior, before = knob.read(target), table()
        knob.write(target, OTHER)
        sh(f"ip route add 198.51.100.0/24 via 192.0.2.8 metric 1 congctl {OTHERS[-1]}")
        knob.restore(target, prior)
        assert knob.read(Target("route", "198.51.100.0/24 metric 1")).value == OTHERS[-1]
        sh("ip route del 198.51.100.0/24 metric 1")
        return before, table()

    before, after = in_own_namespace(run)
    assert after == before


def test_routes_that_the_kernel_would_mix_up_are_refused() -> None:
    def run() -> str:
        sh(*TWO_DEVICES)
        knob, target = route("fe80::/64")
        return knob.unavailable(target)

    assert in_own_namespace(run) == "2 routes lead to fe80::/64"


def qdisc_of(device: str) -> str:
    return sh(f"tc qdisc show dev {device}")


@pytest.mark.parametrize(
    "before",
    ["", "tc qdisc add dev v0 root handle 9: pfifo limit 77", "tc qdisc add dev v0 clsact"],
    ids=["default", "somebody's", "clsact"],
)
@pytest.mark.parametrize("kind", ["bfifo", "pfifo_fast"])
def test_a_qdisc_is_replaced_and_put_back_with_its_options(before: str, kind: str) -> None:
    def run(put_back: Callable[[Qdisc, Target, State], object]) -> tuple[str, str]:
        sh(*TWO_DEVICES, *filter(None, [before]))
        knob, target = Qdisc(HOST), Target("device", "v0")
        assert knob.unavailable(target) == ""
        prior, found = knob.read(target), qdisc_of("v0")
        knob.write(target, kind)
        assert knob.read(target).value == f"{kind} 7e50:" == knob.canonical(target, kind)
        assert f"qdisc {kind} 7e50: root" in qdisc_of("v0")
        put_back(knob, target, prior)
        assert knob.read(target) == prior
        return found, qdisc_of("v0")

    found, after = in_own_namespace(run, Qdisc.restore)
    assert after == found
    found, after = in_own_namespace(
        run, lambda knob, target, prior: sh(*knob.commands(target, prior))
    )
    assert after == found


@pytest.mark.parametrize(
    ("commands", "why"),
    [
        (["tc qdisc add dev v0 root handle 9: tbf rate 1mbit burst 10k latency 10ms"], "classes"),
        (["tc qdisc add dev v0 root handle 9: htb"], "could not be put back with every option"),
        (["ip link add many numtxqueues 4 type veth", "ip link set many name v2"], ""),
    ],
    ids=["tbf", "htb without a class", "many queues"],
)
def test_a_device_that_somebody_arranged_is_left_alone(commands: list[str], why: str) -> None:
    def run() -> str:
        sh(*TWO_DEVICES, *commands)
        return Qdisc(HOST).unavailable(Target("device", "v0"))

    found = in_own_namespace(run)
    assert why in found
    assert bool(why) == bool(found)


def test_whether_the_kernel_has_a_kind_is_asked_without_a_trace() -> None:
    def run() -> tuple[list[bool], str, str]:
        before = qdisc_of("lo")
        kinds = ("pfifo", "bfifo", "nosuch")
        return [netlink.lacks_qdisc(HOST, kind) for kind in kinds], before, qdisc_of("lo")

    lacking, before, after = in_own_namespace(run)
    assert lacking == [False, False, True]
    assert after == before


def test_without_fq_the_qdisc_is_excluded_and_pacing_is_internal() -> None:
    def run() -> str:
        sh(*TWO_DEVICES)
        knob, target = Qdisc(HOST), Target("device", "v0")
        if not netlink.lacks_qdisc(HOST, "fq"):
            knob.write(target, "fq")
            knob.restore(target, State("noqueue", knob.read(target).coupled))
            return "pacing=internal"
        with pytest.raises(KnobUnavailableError) as raised:
            knob.canonical(target, "fq")
        return str(raised.value)

    assert "pacing=internal" in in_own_namespace(run)


def sysctl(name: str) -> str:
    return " ".join((SYSCTLS / name).read_text("ascii").split())


@pytest.mark.parametrize("kind", SYSCTL_KNOBS, ids=lambda knob: knob.name)
def test_a_sysctl_is_written_read_and_put_back(kind: type) -> None:
    values = {
        "tcp_congestion_control": DEFAULT,
        "tcp_rmem": "4096 65536 1048576",
        "tcp_wmem": "4096 65536 1048576",
        "tcp_notsent_lowat": "16384",
        "rmem_max": "524288",
        "wmem_max": "524288",
        "somaxconn": "1021",
        "tcp_pacing_ca_ratio": "127",
        "tcp_pacing_ss_ratio": "211",
    }

    def run() -> tuple[str, str, State, State]:
        knob, target = kind(HOST), Target("namespace", "")
        why = knob.unavailable(target)
        if why:
            return why, "", State(""), State("")
        prior = knob.read(target)
        value = knob.parse(values.get(knob.name, "0" if prior.value != "0" else "1"))
        knob.write(target, value)
        written = knob.read(target)
        assert written.value == knob.canonical(target, value)
        knob.restore(target, prior)
        return "", value, prior, knob.read(target)

    why, _, prior, after = in_own_namespace(run)
    # These two are the host's own on most kernels: absent elsewhere, or not to be written.
    assert not why or kind.name in {"rmem_max", "wmem_max"}
    assert after == prior


def test_uid_0_without_a_capability_turns_the_sysctls_of_its_own_namespace() -> None:
    def run() -> list[str]:
        drop_all_but(())
        knobs = [kind(HOST) for kind in SYSCTL_KNOBS]
        own = Target("namespace", "")
        here = [knob for knob in knobs if not knob.unavailable(own)]
        for knob in here:
            knob.write(own, knob.read(own).value)
        return [knob.name for knob in here]

    assert len(in_own_namespace(run)) >= len(SYSCTL_KNOBS) - 2


def test_a_restricted_algorithm_is_called_that_before_and_when_it_is_written() -> None:
    def run() -> list[str]:
        allowed = sysctl("tcp_allowed_congestion_control").split()
        knob = next(kind for kind in SYSCTL_KNOBS if kind.name == "tcp_congestion_control")(HOST)
        reasons = []
        for name in set(AVAILABLE) - set(allowed):
            for act in (knob.canonical, knob.write):
                with pytest.raises(KnobUnavailableError) as raised:
                    act(Target("namespace", ""), name)
                reasons.append(raised.value.reason)
        return [sysctl("tcp_congestion_control"), *reasons]

    default, *reasons = in_own_namespace(run)
    assert default == DEFAULT
    assert all(reason.startswith("restricted: ") for reason in reasons)


def test_the_sysctl_of_another_namespace_is_turned_and_our_own_is_not(tmp_path: Path) -> None:
    ours = sysctl("tcp_autocorking")
    kind = next(kind for kind in SYSCTL_KNOBS if kind.name == "tcp_autocorking")
    with neighbour() as pid:
        host = host_with_namespace(tmp_path, "resonance-test", pid)
        knob, target = kind(host), Target("namespace", "resonance-test")
        assert knob.unavailable(target) == ""
        assert knob.identity(target) != knob.identity(Target("namespace", ""))
        prior = knob.read(target)
        knob.write(target, "0" if prior.value == "1" else "1")
        inside = sh(f"nsenter -n -t {pid} sysctl -n net.ipv4.tcp_autocorking").strip()
        assert inside == knob.read(target).value != prior.value
        knob.restore(target, prior)
        assert knob.read(target) == prior
    assert sysctl("tcp_autocorking") == ours
    assert os.readlink("/proc/self/ns/net") == os.readlink("/proc/thread-self/ns/net")


def test_a_hundred_looks_leave_no_descriptor_thread_or_child_behind(tmp_path: Path) -> None:
    def state() -> tuple[list[str], int, str]:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii")
        return sorted(os.listdir("/proc/self/fd")), threading.active_count(), children

    def dump() -> int:
        from pyroute2 import IPRoute

        with IPRoute() as ip:
            return len(list(ip.get_links()))

    with neighbour() as pid:
        host = host_with_namespace(tmp_path, "resonance-test", pid)
        netlink.routes(HOST, socket.AF_INET)
        before = state()
        for _ in range(100):
            assert run_in(host, "resonance-test", dump) >= 1
            netlink.routes(HOST, socket.AF_INET)
        assert state() == before


async def test_netlink_works_where_an_event_loop_runs() -> None:
    here = netlink.routes(HOST, socket.AF_INET)
    there = await asyncio.to_thread(netlink.routes, HOST, socket.AF_INET)
    assert here == there


def test_cap_net_admin_is_enough_for_routes_and_qdiscs() -> None:
    def run() -> tuple[str, str]:
        sh(*TWO_DEVICES)
        drop_all_but(RouteCongestion.capabilities | Qdisc.capabilities)
        knob, target = route("192.0.2.0/24")
        knob.write(target, OTHER)
        device = Target("device", "v0")
        Qdisc(HOST).write(device, "pfifo")
        return knob.read(target).value, Qdisc(HOST).read(device).value

    assert in_own_namespace(run) == (OTHER, "pfifo 7e50:")


def test_a_network_profile_is_applied_and_undone_as_one(tmp_path: Path) -> None:
    def surfaces() -> list[str]:
        names = ("tcp_slow_start_after_idle", "tcp_rmem")
        return [table(), qdisc_of("v0"), *map(sysctl, names)]

    def run() -> tuple[list[str], list[tuple[str, str]]]:
        make_routes()
        knobs = {kind.name: kind(HOST) for kind in (*SYSCTL_KNOBS, RouteCongestion, Qdisc)}
        before = surfaces()
        wanted = [
            Setting("route_congestion", Target("route", "fd01::/64 metric 512"), OTHER),
            Setting("route_congestion", Target("route", "198.51.100.0/24 metric 7"), OTHER),
            Setting("tcp_slow_start_after_idle", Target("namespace", ""), "0"),
            Setting("tcp_rmem", Target("namespace", ""), "4096 65536 1048576"),
            Setting("qdisc", Target("device", "v0"), "pfifo"),
        ]
        with Journal(tmp_path / "journal", HOST.boot_id) as journal:
            tuner = Tuner(HOST, journal, knobs)
            changes = [tuner.preview(setting, "a test") for setting in wanted]
            applied = [each.outcome for each in tuner.apply("network-wan", changes, "a test")]
            assert [receipt.outcome for receipt in tuner.verify()] == ["ok"] * len(wanted)
            sh("tc qdisc replace dev v0 root handle 7: pfifo limit 5")
            undone = {each.setting.knob: each.outcome for each in tuner.undo(reason="a test")}
        assert "pfifo 7: root refcnt 3 limit 5p" in qdisc_of("v0")
        sh("tc qdisc del dev v0 root")
        assert surfaces() == before
        return applied, sorted(undone.items())

    applied, undone = in_own_namespace(run)
    assert applied == ["applied"] * 5
    assert undone == [
        ("qdisc", "conflict-left"),
        ("route_congestion", "restored"),
        ("tcp_rmem", "restored"),
        ("tcp_slow_start_after_idle", "restored"),
    ]
