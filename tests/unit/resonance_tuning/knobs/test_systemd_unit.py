# SPDX-License-Identifier: MIT
"""A unit's properties, against a manager on a real bus: what goes over the wire, and back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.cgroup_tree import CgroupTree
from fakes.systemd_bus import Call, SystemdBus
from resonance_tuning.errors import KnobUnavailableError, TargetVanishedError
from resonance_tuning.knobs import systemd_unit
from resonance_tuning.knobs.systemd_unit import UnitAllowedCpus, UnitCpuWeight
from resonance_tuning.records import State, Target

WEB = Target("unit", "web.service")
GROUP = "/system.slice/web.service"
UNSET_WEIGHT = 18446744073709551615


@pytest.fixture
def tree(tmp_path: Path) -> CgroupTree:
    tree = CgroupTree(tmp_path, "v2")
    tree.make_group(GROUP)
    tree.host.path("/run/systemd/system").mkdir(parents=True)
    return tree


@pytest.fixture
def bus(tree: CgroupTree) -> Iterator[SystemdBus]:
    bus = SystemdBus(tree.root)
    bus.add("web.service")
    bus.on_set = lambda name, properties: realize(tree, name, properties)
    bus.start()
    yield bus
    bus.stop()


def realize(tree: CgroupTree, name: str, properties: dict[str, Any]) -> None:
    """Write the cgroup as systemd does."""
    group, weight = f"/system.slice/{name}", properties["CPUWeight"]
    tree.set(group, "cpu.idle", "1" if weight == 0 else "0")
    if weight:
        tree.set(group, "cpu.weight", "100" if weight == UNSET_WEIGHT else str(weight))
    bits = int.from_bytes(properties["AllowedCPUs"], "little")
    cpus = ",".join(str(cpu) for cpu in range(64) if bits >> cpu & 1)
    tree.set(group, "cpuset.cpus", cpus)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd_unit, "_SETTLE_SECONDS", 0.05)


@pytest.fixture
def weight(tree: CgroupTree, bus: SystemdBus) -> Iterator[UnitCpuWeight]:
    knob = UnitCpuWeight(tree.host)
    yield knob
    knob.systemd.close()


@pytest.fixture
def cpus(tree: CgroupTree, bus: SystemdBus) -> Iterator[UnitAllowedCpus]:
    knob = UnitAllowedCpus(tree.host)
    yield knob
    knob.systemd.close()


def sets(bus: SystemdBus) -> list[tuple[Any, ...]]:
    return [call.body for call in bus.calls if call.member == "SetUnitProperties"]


def test_a_weight_is_set_until_the_next_boot_and_put_back(
    tree: CgroupTree, bus: SystemdBus, weight: UnitCpuWeight
) -> None:
    assert not weight.unavailable(WEB)
    prior = weight.read(WEB)
    assert prior == State("unset", {"cpu.weight": "100", "cpu.idle": "0"})
    weight.write(WEB, weight.parse(1000))
    assert bus.calls[-1] == Call(
        "SetUnitProperties", "sba(sv)", ("web.service", True, [("CPUWeight", ("t", 1000))])
    )
    assert tree.get(GROUP, "cpu.weight") == "1000"
    assert weight.read(WEB).value == weight.canonical(WEB, "1000") == "1000"
    assert not weight.contradiction(WEB, "1000")
    weight.restore(WEB, prior)
    assert sets(bus)[-1] == ("web.service", True, [("CPUWeight", ("t", UNSET_WEIGHT))])
    assert weight.read(WEB) == prior
    assert "Reload" not in bus.names()


def test_idle_is_the_weight_zero(tree: CgroupTree, bus: SystemdBus, weight: UnitCpuWeight) -> None:
    weight.write(WEB, "700")
    prior = weight.read(WEB)
    weight.write(WEB, weight.parse("idle"))
    assert sets(bus)[-1][2] == [("CPUWeight", ("t", 0))]
    assert tree.get(GROUP, "cpu.idle") == "1"
    assert weight.read(WEB).value == "idle"
    assert not weight.contradiction(WEB, "idle")
    weight.restore(WEB, prior)
    assert weight.read(WEB) == prior
    assert prior.value == "700"


def test_before_systemd_252_idle_is_the_lowest_weight(
    tree: CgroupTree, bus: SystemdBus, weight: UnitCpuWeight
) -> None:
    bus.version = "249.11-0ubuntu3.16"
    prior = weight.read(WEB)
    weight.write(WEB, weight.parse("idle"))
    assert sets(bus)[-1][2] == [("CPUWeight", ("t", 1))]
    assert weight.read(WEB).value == weight.canonical(WEB, "idle") == "1"
    assert not weight.contradiction(WEB, "idle")
    assert weight.canonical(WEB, "700") == "700"
    weight.restore(WEB, prior)
    assert weight.read(WEB) == prior


def test_cpus_are_a_bit_mask_with_the_lowest_byte_first(
    tree: CgroupTree, bus: SystemdBus, cpus: UnitAllowedCpus
) -> None:
    tree.put("/sys/devices/system/cpu/possible", "0-15\n")
    tree.set_online(range(16))
    tree.set("/", "cpuset.cpus.effective", "0-15")
    for value, mask in (("2,4", b"\x14"), ("0-1,8-9", b"\x03\x03"), ("15", b"\x00\x80")):
        assert cpus.value_of(cpus.parse(value)) == mask
        assert cpus.text_of(mask) == cpus.canonical(WEB, value) == value
    assert cpus.value_of("unset") == b""
    assert cpus.text_of(b"") == cpus.text_of(b"\x00\x00") == "unset"
    cpus.systemd.set_property("web.service", "AllowedCPUs", "ay", b"\x14")
    assert sets(bus)[-1] == ("web.service", True, [("AllowedCPUs", ("ay", b"\x14"))])


def test_cpus_are_set_and_an_unset_list_is_put_back(
    tree: CgroupTree, bus: SystemdBus, cpus: UnitAllowedCpus
) -> None:
    assert not cpus.unavailable(WEB)
    prior = cpus.read(WEB)
    assert prior == State("unset", {"cpuset.cpus": ""})
    cpus.write(WEB, cpus.parse("0-1"))
    assert tree.get(GROUP, "cpuset.cpus") == "0-1"
    assert cpus.read(WEB).value == "0-1"
    assert not cpus.contradiction(WEB, "0-1")
    cpus.restore(WEB, prior)
    assert sets(bus)[-1] == ("web.service", True, [("AllowedCPUs", ("ay", b""))])
    assert tree.get(GROUP, "cpuset.cpus") == ""
    assert cpus.read(WEB) == prior
    assert "Reload" not in bus.names()


def forget_to_clear(tree: CgroupTree, name: str, properties: dict[str, Any]) -> None:
    """Leave the list in the cgroup once it is unset, as systemd issue 43846 tells."""
    if properties["AllowedCPUs"]:
        realize(tree, name, properties)


def test_a_list_left_in_the_cgroup_is_cleared_by_a_reload(
    tree: CgroupTree, bus: SystemdBus, cpus: UnitAllowedCpus
) -> None:
    bus.on_set = lambda name, properties: forget_to_clear(tree, name, properties)
    bus.on_reload = lambda: tree.set(GROUP, "cpuset.cpus", "")
    prior = cpus.read(WEB)
    cpus.write(WEB, "0-1")
    cpus.restore(WEB, prior)
    assert bus.names() == ["SetUnitProperties", "SetUnitProperties", "Reload"]
    assert cpus.read(WEB) == prior


def test_what_a_reload_does_not_clear_is_cleared_in_the_cgroup(
    tree: CgroupTree, bus: SystemdBus, cpus: UnitAllowedCpus
) -> None:
    """systemd leaves it where the kernel does not empty it: seen on Debian 12."""
    bus.on_set = lambda name, properties: forget_to_clear(tree, name, properties)
    prior = cpus.read(WEB)
    cpus.write(WEB, "0-1")
    cpus.restore(WEB, prior)
    assert cpus.read(WEB) == prior
    assert bus.names().count("Reload") == 1


def test_a_list_that_the_kernel_does_not_empty_becomes_one_of_all_cpus(
    tree: CgroupTree, bus: SystemdBus, cpus: UnitAllowedCpus
) -> None:
    bus.on_set = lambda name, properties: forget_to_clear(tree, name, properties)
    prior = cpus.read(WEB)
    cpus.write(WEB, "0-1")
    tree.file(GROUP, "cgroup.procs").write_text("4711\n", encoding="ascii")
    cpus.restore(WEB, prior)
    found = cpus.read(WEB)
    assert found == State("unset", {"cpuset.cpus": "0-3"})
    assert cpus.unsettled(WEB, prior, found) == ""
    narrower = State("unset", {"cpuset.cpus": "0-1"})
    tree.set(GROUP, "cpuset.cpus", "0-1")
    assert cpus.unsettled(WEB, prior, narrower) == "cpuset.cpus is '0-1', was ''"


def test_a_list_that_was_set_is_put_back_without_a_reload(
    tree: CgroupTree, bus: SystemdBus, cpus: UnitAllowedCpus
) -> None:
    cpus.write(WEB, "0-2")
    prior = cpus.read(WEB)
    cpus.write(WEB, "1")
    bus.on_set = lambda _name, _properties: None  # and the cgroup does not follow
    cpus.restore(WEB, prior)
    assert cpus.read(WEB).value == "0-2"
    assert "Reload" not in bus.names()


def test_a_cgroup_that_holds_something_else_contradicts(
    tree: CgroupTree, weight: UnitCpuWeight, cpus: UnitAllowedCpus
) -> None:
    weight.write(WEB, "1000")
    tree.set(GROUP, "cpu.weight", "300")
    assert weight.contradiction(WEB, "1000") == "cpu.weight is '300', not '1000'"
    cpus.write(WEB, "0-1")
    tree.set(GROUP, "cpuset.cpus", "2")
    assert cpus.contradiction(WEB, "0-1") == "cpuset.cpus is '2', not '0-1'"


def test_a_unit_that_does_not_run_can_be_told_and_put_back(
    bus: SystemdBus, weight: UnitCpuWeight
) -> None:
    bus.units["web.service"].properties["ControlGroup"] = ""
    bus.on_set = lambda _name, _properties: None
    prior = weight.read(WEB)
    assert prior == State("unset")
    weight.write(WEB, "1000")
    assert not weight.contradiction(WEB, "1000")
    weight.restore(WEB, prior)
    assert weight.read(WEB) == prior


def test_a_unit_that_has_ended_since_leaves_nothing_unsettled(
    bus: SystemdBus, weight: UnitCpuWeight
) -> None:
    prior = weight.read(WEB)
    weight.write(WEB, "1000")
    bus.units["web.service"].properties["ControlGroup"] = ""
    bus.on_set = lambda _name, _properties: None
    weight.restore(WEB, prior)
    assert not weight.unsettled(WEB, prior, weight.read(WEB))


def test_a_unit_is_the_same_after_a_restart_and_a_transient_one_is_not(
    bus: SystemdBus, weight: UnitCpuWeight
) -> None:
    properties = bus.units["web.service"].properties
    before = weight.identity(WEB)
    properties["InvocationID"] = bytes(range(16))
    assert weight.identity(WEB) == before
    properties["Transient"] = True
    before = weight.identity(WEB)
    assert before.endswith(bytes(range(16)).hex())
    properties["InvocationID"] = bytes(16)
    assert weight.identity(WEB) != before


@pytest.mark.parametrize(
    ("state", "reason"),
    [("not-found", "the unit is not-found"), ("masked", "the unit is masked")],
)
def test_a_unit_that_is_not_there_has_vanished(
    bus: SystemdBus, weight: UnitCpuWeight, state: str, reason: str
) -> None:
    bus.units["web.service"].properties["LoadState"] = state
    with pytest.raises(TargetVanishedError, match=reason):
        weight.read(WEB)
    assert reason in weight.unavailable(WEB)
    with pytest.raises(TargetVanishedError, match="not-found"):
        weight.identity(Target("unit", "nothing.service"))


def test_the_managers_refusal_keeps_its_words(bus: SystemdBus, weight: UnitCpuWeight) -> None:
    bus.errors["SetUnitProperties"] = (
        "org.freedesktop.DBus.Error.InvalidArgs",
        "CPUWeight= value out of range",
    )
    with pytest.raises(OSError, match="out of range"):
        weight.write(WEB, "5")
    bus.errors["LoadUnit"] = ("org.freedesktop.DBus.Error.AccessDenied", "not you")
    assert weight.unavailable(WEB) == "the service manager cannot be asked: not you"


def test_a_bus_that_is_gone_is_not_a_unit_that_is_gone(
    bus: SystemdBus, weight: UnitCpuWeight
) -> None:
    prior = weight.read(WEB)
    bus.stop()
    bus.socket.unlink(missing_ok=True)
    for call in (lambda: weight.restore(WEB, prior), lambda: weight.identity(WEB)):
        with pytest.raises(ConnectionRefusedError, match="no message bus"):
            call()
    bus.start()
    assert weight.read(WEB) == prior


def test_units_without_a_cgroup_and_hosts_without_systemd(
    tree: CgroupTree, weight: UnitCpuWeight
) -> None:
    assert "no cgroup" in weight.unavailable(Target("unit", "web.timer"))
    for name in ("batch.slice", "run-1.scope"):
        assert "not-found" in weight.unavailable(Target("unit", name))
    tree.host.path("/run/systemd/system").rmdir()
    assert weight.unavailable(WEB) == "systemd is not the service manager of this host"


def test_cpus_of_units_need_cgroup_v2_and_two_cpus(tmp_path: Path) -> None:
    hybrid = CgroupTree(tmp_path / "hybrid", "hybrid")
    assert "cgroup v2 only" in UnitAllowedCpus(hybrid.host).unavailable(WEB)
    single = CgroupTree(tmp_path / "single", "v2", cpus=1)
    assert "one CPU" in UnitAllowedCpus(single.host).unavailable(WEB)


def test_without_the_library_it_is_unavailable(
    tree: CgroupTree, weight: UnitCpuWeight, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jeepney", None)
    assert weight.unavailable(WEB) == "the package jeepney is not installed"
    for call in (
        lambda: weight.read(WEB),
        lambda: weight.write(WEB, "5"),
        lambda: weight.restore(WEB, State("unset")),
    ):
        with pytest.raises(KnobUnavailableError, match="jeepney"):
            call()


def test_commands_are_those_of_systemctl(weight: UnitCpuWeight, cpus: UnitAllowedCpus) -> None:
    start = "systemctl set-property --runtime web.service"
    assert weight.commands(WEB, State("unset")) == (f"{start} CPUWeight=",)
    assert weight.commands(WEB, State("700")) == (f"{start} CPUWeight=700",)
    assert cpus.commands(WEB, State("0-1")) == (f"{start} AllowedCPUs=0-1",)


@pytest.mark.parametrize("value", [0, 10_001, "busy", True, None, "100"])
def test_a_weight_out_of_range_is_refused(weight: UnitCpuWeight, value: object) -> None:
    with pytest.raises(ValueError, match='1..10000 or "idle"'):
        weight.parse(value)
