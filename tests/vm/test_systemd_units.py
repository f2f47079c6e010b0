# SPDX-License-Identifier: MIT
"""Are properties of units turned through the real systemd, and given back as they were?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vm import machine, units
from vm.machine import run
from vm.units import HOGS, WEB

WEIGHTS = "[latency_critical]\ncpu_weight = 777\n[batch]\ncpu_idle = 1\n"
CPUS = '[latency_critical]\ncpuset = "2-3"\n[batch]\ncpuset = "0-1"\n'
NAMED = ("--latency-critical", f"unit:{WEB}", "--batch", f"unit:{HOGS}")


@pytest.fixture(autouse=True)
def two_units() -> Iterator[None]:
    with units.two_units():
        yield


@pytest.fixture
def apply(tmp_path: Path) -> Callable[[str], None]:
    """Apply a profile of the test's own to the two units."""
    config = tmp_path / "resonanced.toml"
    config.write_text(f'[tuning]\nprofiles_directory = "{tmp_path}"\n', encoding="utf-8")

    def once(profile: str) -> None:
        text = f'description = "What this test turns."\n{profile}'
        (tmp_path / "testing.toml").write_text(text, encoding="utf-8")
        applied = machine.asked("resonanced", "apply", "testing", "--config", str(config), *NAMED)
        assert applied["excluded"] == []
        outcomes = {
            each["setting"]["target"]["name"]: each["outcome"] for each in applied["receipts"]
        }
        assert outcomes == {WEB: "applied", HOGS: "applied"}

    return once


def test_weight_and_idle_class_are_asked_of_systemd_and_given_back(
    apply: Callable[[str], None],
) -> None:
    before = units.held()
    assert before[WEB]["CPUWeight"] == "[not set]"
    apply(WEIGHTS)
    turned = units.held()
    assert turned[WEB] | {"AllowedCPUs": ""} == before[WEB] | {
        "AllowedCPUs": "",
        "CPUWeight": "777",
        "cpu.weight": "777",
        "cpu.idle": "0",
    }
    assert turned[HOGS]["CPUWeight"] in {"0", "idle"}
    assert turned[HOGS]["cpu.idle"] == "1"
    run("systemctl", "daemon-reload")
    assert units.held() == turned, "a reload of systemd forgets it"
    assert machine.asked("resonanced", "verify")["drifted"] == 0

    run("resonanced", "rollback")
    _is_as(before)


def test_cpus_are_asked_of_systemd_and_given_back(apply: Callable[[str], None]) -> None:
    before = units.held()
    apply(CPUS)
    turned = units.held()
    assert turned[WEB]["AllowedCPUs"] == turned[WEB]["cpuset.cpus"] == "2-3"
    assert turned[HOGS]["AllowedCPUs"] == turned[HOGS]["cpuset.cpus"] == "0-1"
    pid = int(machine.show("MainPID", WEB))
    assert machine.status_of(pid)["Cpus_allowed_list"] == "2-3"
    assert machine.asked("resonanced", "verify")["drifted"] == 0

    run("resonanced", "rollback")
    _is_as(before)
    assert machine.status_of(pid)["Cpus_allowed_list"] == _all_cpus()


def test_what_the_operator_had_set_is_what_comes_back(apply: Callable[[str], None]) -> None:
    run("systemctl", "set-property", "--runtime", WEB, "CPUWeight=333", "AllowedCPUs=1-2")
    before, said = units.held(), units.drop_ins()
    assert before[WEB]["cpu.weight"] == "333"
    assert before[WEB]["cpuset.cpus"] == "1-2"
    apply(WEIGHTS)
    run("resonanced", "rollback")
    apply(CPUS)
    run("resonanced", "rollback")
    assert units.held() == before
    assert units.drop_ins() == said


def test_what_systemd_leaves_in_the_cgroup_of_an_unset_list_is_seen_and_removed(
    apply: Callable[[str], None], record_property: Callable[[str, object], None]
) -> None:
    """systemd issue 43846: an unset list stays in the cgroup, in 252 while a sibling has one."""
    run("systemctl", "set-property", "--runtime", WEB, "AllowedCPUs=1")
    run("systemctl", "set-property", "--runtime", HOGS, "AllowedCPUs=2")
    run("systemctl", "set-property", "--runtime", HOGS, "AllowedCPUs=")
    left = machine.values(units.directory_of(HOGS), ("cpuset.cpus",)).get("cpuset.cpus", "")
    record_property("systemd_leaves", left)
    print(f"systemd leaves {left!r} of an unset list here")
    assert machine.show("AllowedCPUs", HOGS) == ""
    assert left in {"", "2"}
    run("systemctl", "set-property", "--runtime", WEB, "AllowedCPUs=")
    run("systemctl", "restart", WEB, HOGS)

    before = units.held()
    apply(CPUS)
    run("resonanced", "rollback")
    _is_as(before)
    assert {each.get("cpuset.cpus", "") for each in units.held().values()} == {""}


def _is_as(before: dict[str, dict[str, str]]) -> None:
    assert units.differences(before) == {}
    assert set(units.drop_ins().values()) == {""}


def _all_cpus() -> str:
    return machine.read(Path("/sys/devices/system/cpu/online"))


def test_the_plan_says_the_commands_that_go_back_and_they_do(tmp_path: Path) -> None:
    before = units.held()
    applied = machine.asked("resonanced", "apply", "balanced", *NAMED)
    needed = [change for change in applied["changes"] if change["is_needed"]]
    commands = [command for change in needed for command in change["undo"]]
    assert len(commands) == 2
    assert all(command.startswith("systemctl set-property --runtime ") for command in commands)
    for command in reversed(commands):
        run("sh", "-c", command)
    _is_as(before)
    # Found as it was: the journal is told, and nothing is written.
    run("resonanced", "rollback", ok=(0, 3))
    _is_as(before)
