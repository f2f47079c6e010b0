# SPDX-License-Identifier: MIT
from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fakes.cgroup_tree import FakeHost
from resonance_tuning.errors import KnobUnavailableError, TargetVanishedError
from resonance_tuning.knobs import namespace_sysctl
from resonance_tuning.knobs.namespace_sysctl import (
    SYSCTL_KNOBS,
    NamespaceSysctl,
    TcpCongestionControl,
)
from resonance_tuning.records import State, Target

OWN = Target("namespace", "")
OTHER = Target("namespace", "blue")
GIBIBYTE_KIB = 1 << 20
BY_NAME = {knob.name: knob for knob in SYSCTL_KNOBS}


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    host = FakeHost(tmp_path)
    put(host, "/proc/meminfo", f"MemTotal:       {GIBIBYTE_KIB} kB\nMemFree: 7 kB\n")
    put(host, "/proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n")
    put(host, "/proc/sys/net/ipv4/tcp_autocorking", "1\n")
    put(host, "/proc/sys/net/ipv4/tcp_congestion_control", "cubic\n")
    put(host, "/proc/sys/net/ipv4/tcp_available_congestion_control", "reno bbr cubic\n")
    put(host, "/proc/sys/net/ipv4/tcp_allowed_congestion_control", "reno cubic\n")
    return host


def put(host: FakeHost, name: str, text: str) -> Path:
    path = host.path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="ascii")
    return path


def as_in_a_container(host: FakeHost) -> None:
    host.path("/proc/sys/net/ipv4/tcp_allowed_congestion_control").chmod(0o444)


def test_the_list_is_short_and_holds_nothing_global() -> None:
    assert {*BY_NAME} == {
        "rmem_max",
        "somaxconn",
        "tcp_autocorking",
        "tcp_congestion_control",
        "tcp_ecn",
        "tcp_mtu_probing",
        "tcp_notsent_lowat",
        "tcp_pacing_ca_ratio",
        "tcp_pacing_ss_ratio",
        "tcp_rmem",
        "tcp_slow_start_after_idle",
        "tcp_wmem",
        "wmem_max",
    }
    assert len(SYSCTL_KNOBS) == len(BY_NAME)
    assert {(knob.scope, knob.rung, knob.persistence) for knob in SYSCTL_KNOBS} == {
        ("namespace", 3, "boot")
    }
    assert all(knob.summary.endswith(".") for knob in SYSCTL_KNOBS)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("tcp_autocorking", 0, "0"),
        ("tcp_mtu_probing", "2", "2"),
        ("tcp_notsent_lowat", 4294967295, "4294967295"),
        ("somaxconn", 4096, "4096"),
        ("rmem_max", 67108864, "67108864"),
        ("tcp_rmem", "4096 131072  67108864", "4096 131072 67108864"),
        ("tcp_wmem", [4096, 16384, 4194304], "4096 16384 4194304"),
        ("tcp_congestion_control", "bbr", "bbr"),
    ],
)
def test_values_have_one_text(host: FakeHost, name: str, value: object, text: str) -> None:
    assert BY_NAME[name](host).parse(value) == text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tcp_autocorking", 2),
        ("tcp_autocorking", True),
        ("tcp_autocorking", -1),
        ("tcp_ecn", 1.0),
        ("tcp_pacing_ss_ratio", 99),
        ("somaxconn", 65536),
        ("rmem_max", 67108865),
        ("wmem_max", 4095),
        ("tcp_rmem", "4096 131072 67108865"),
        ("tcp_rmem", "4096 131072"),
        ("tcp_rmem", [131072, 4096, 6291456]),
        ("tcp_wmem", 4096),
        ("tcp_congestion_control", 7),
    ],
)
def test_what_is_out_of_range_is_refused(host: FakeHost, name: str, value: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        BY_NAME[name](host).parse(value)


def test_a_buffer_is_read_with_single_spaces_and_put_back(host: FakeHost) -> None:
    knob = BY_NAME["tcp_rmem"](host)
    prior = knob.read(OWN)
    assert prior == State("4096 131072 6291456")
    knob.write(OWN, "4096 131072 67108864")
    assert knob.read(OWN).value == knob.canonical(OWN, "4096 131072 67108864")
    knob.restore(OWN, prior)
    assert knob.read(OWN) == prior


def test_another_namespace_is_entered_for_each_look(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered: list[str] = []

    def run_in(_: object, name: str, function: object) -> object:
        entered.append(name)
        assert callable(function)
        return function()

    monkeypatch.setattr(namespace_sysctl, "run_in", run_in)
    knob = BY_NAME["tcp_autocorking"](host)
    assert knob.unavailable(OTHER) == ""
    knob.write(OTHER, "0")
    assert knob.read(OTHER) == State("0")
    assert entered == ["blue"] * 3
    assert knob.commands(OTHER, State("1")) == (
        "ip netns exec blue sysctl -w net.ipv4.tcp_autocorking=1",
    )
    assert knob.commands(OWN, State("1")) == ("sysctl -w net.ipv4.tcp_autocorking=1",)


def test_what_is_not_there_is_told(host: FakeHost) -> None:
    knob = BY_NAME["rmem_max"](host)
    assert knob.unavailable(OWN) == "there is no net.core.rmem_max here"
    assert knob.unavailable(OTHER) == "there is no namespace blue"
    put(host, "/run/netns/blue", "")
    assert knob.unavailable(OTHER).startswith("namespace blue cannot be entered: ")
    with pytest.raises(TargetVanishedError):
        knob.identity(Target("namespace", "gone"))


def test_a_namespace_made_anew_is_another(host: FakeHost) -> None:
    file = put(host, "/run/netns/blue", "")
    before = BY_NAME["tcp_ecn"](host).identity(OTHER)
    file.rename(file.with_name("kept"))
    put(host, "/run/netns/blue", "")
    assert BY_NAME["tcp_ecn"](host).identity(OTHER) != before


def test_the_hosts_allowed_list_is_put_back_with_the_default(host: FakeHost) -> None:
    knob = TcpCongestionControl(host)
    prior = knob.read(OWN)
    assert prior == State("cubic", {"tcp_allowed_congestion_control": "reno cubic"})
    knob.write(OWN, knob.canonical(OWN, "bbr"))
    put(host, "/proc/sys/net/ipv4/tcp_allowed_congestion_control", "reno bbr cubic\n")
    knob.restore(OWN, prior)
    assert knob.read(OWN) == prior
    assert knob.commands(OWN, prior) == (
        "sysctl -w net.ipv4.tcp_congestion_control=cubic",
        "sysctl -w 'net.ipv4.tcp_allowed_congestion_control=reno cubic'",
    )


@pytest.mark.parametrize("found", ["reno bbr cubic vegas", "reno bbr"])
def test_an_allowed_list_that_its_owner_changed_meanwhile_stays(host: FakeHost, found: str) -> None:
    knob, allowed = TcpCongestionControl(host), "/proc/sys/net/ipv4/tcp_allowed_congestion_control"
    prior = knob.read(OWN)
    knob.write(OWN, "bbr")
    put(host, allowed, f"{found}\n")
    knob.restore(OWN, prior)
    assert knob.read(OWN) == State("cubic", {"tcp_allowed_congestion_control": found})
    assert "tcp_allowed_congestion_control" in knob.unsettled(OWN, prior, knob.read(OWN))


def test_a_recovery_of_the_allowed_list_that_was_cut_short_is_finished(host: FakeHost) -> None:
    knob, allowed = TcpCongestionControl(host), "/proc/sys/net/ipv4/tcp_allowed_congestion_control"
    prior = knob.read(OWN)
    put(host, allowed, "reno bbr cubic\n")
    knob.restore(OWN, prior)
    assert knob.read(OWN) == prior


def test_the_allowed_list_is_not_written_where_it_is_as_it_was(host: FakeHost) -> None:
    knob = TcpCongestionControl(host)
    prior = knob.read(OWN)
    knob.restore(OWN, prior)
    assert host.writes == [("/proc/sys/net/ipv4/tcp_congestion_control", "cubic")]


def test_a_child_namespace_takes_allowed_algorithms_only(host: FakeHost) -> None:
    as_in_a_container(host)
    knob = TcpCongestionControl(host)
    assert knob.read(OWN) == State("cubic")
    assert knob.canonical(OWN, "reno") == "reno"
    with pytest.raises(KnobUnavailableError, match="restricted: bbr is not in"):
        knob.canonical(OWN, "bbr")


def test_the_kernels_refusal_of_a_restricted_algorithm_is_called_that(host: FakeHost) -> None:
    as_in_a_container(host)
    host.failures["tcp_congestion_control"] = errno.EPERM
    knob = TcpCongestionControl(host)
    with pytest.raises(KnobUnavailableError, match="restricted"):
        knob.write(OWN, "bbr")
    with pytest.raises(PermissionError):
        knob.write(OWN, "reno")


def test_an_algorithm_that_is_not_loaded_is_no_default(host: FakeHost) -> None:
    with pytest.raises(KnobUnavailableError, match="modprobe tcp_dctcp"):
        TcpCongestionControl(host).canonical(OWN, "dctcp")


@pytest.mark.parametrize("knob", SYSCTL_KNOBS, ids=lambda knob: knob.name)
def test_each_is_where_this_kernel_has_it(knob: type[NamespaceSysctl]) -> None:
    assert knob.file.partition("/")[0] in {"core", "ipv4"}
    assert os.path.basename(knob.file) == knob.name
