# SPDX-License-Identifier: MIT
"""Are the CPU knobs left alone while a scheduler from user space is at work, and only then?"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from vm import machine
from vm.machine import eventually, run
from vm.tuned import Groups, two_groups

STATE = Path("/sys/kernel/sched_ext/state")
SCHEDULER = Path(__file__).parents[2] / "build" / "vm" / "minimal_scheduler.bpf.o"
LINKS = Path("/sys/fs/bpf/resonance-test-scheduler")
NAME = "resonance_test"
CPU_KNOBS = {
    "autogroup",
    "cpu_idle",
    "cpu_weight",
    "cpuset",
    "cpuset_partition",
    "nice",
    "realtime",
    "task_idle",
    "unit_allowed_cpus",
    "unit_cpu_weight",
}
BALANCED = (
    *("balanced", "--latency-critical", "/resonance-test-web"),
    *("--batch", "/resonance-test-hogs"),
)


@pytest.fixture
def groups() -> Iterator[Groups]:
    with two_groups() as made:
        yield made


@contextmanager
def _scheduler() -> Generator[None]:
    """Load the scheduler; it is gone with its pin."""
    assert SCHEDULER.exists(), f"{SCHEDULER} was not built: see its source in tests/vm"
    LINKS.mkdir()
    run("bpftool", "struct_ops", "register", str(SCHEDULER), str(LINKS))
    try:
        assert eventually(lambda: machine.read(STATE) == "enabled")
        yield
    finally:
        for link in LINKS.iterdir():
            link.unlink()
        LINKS.rmdir()
        assert eventually(lambda: machine.read(STATE) == "disabled")


def _others(checked: dict[str, Any]) -> list[str]:
    return [each["name"] for each in checked["tuning"]["others"] if "sched_ext" in each["name"]]


def _wanted(plan: dict[str, Any]) -> set[str]:
    return {change["setting"]["knob"] for change in plan["changes"]} & CPU_KNOBS


def test_without_such_a_scheduler_check_names_none_and_the_cpu_knobs_are_offered(
    groups: Groups,
) -> None:
    """So it is on a kernel without sched_ext, and on one that has it and where nobody uses it."""
    assert not STATE.exists() or machine.read(STATE) == "disabled"
    checked = machine.asked("resonanced", "check", ok=(0, 3))
    assert _others(checked) == []
    offered = {each["knob"] for each in checked["tuning"]["knobs"] if each["is_there"]}
    assert {"cpu_weight", "cpu_idle", "cpuset"} <= offered
    assert _wanted(machine.asked("resonanced", "plan", *BALANCED)) == {"cpu_weight", "cpu_idle"}


def test_while_one_is_at_work_cpu_knobs_are_refused_with_the_reason_and_offered_again_after(
    groups: Groups,
) -> None:
    if not STATE.exists():
        # Nothing takes a scheduler here, and the kernel itself says so.
        config = Path(f"/boot/config-{os.uname().release}").read_text(encoding="utf-8")
        assert "CONFIG_SCHED_CLASS_EXT=y" not in config
        assert _others(machine.asked("resonanced", "check", ok=(0, 3))) == []
        return
    before = groups.values()
    with _scheduler():
        checked = machine.asked("resonanced", "check", ok=(0, 3))
        (other,) = _others(checked)
        assert NAME in other
        plan = machine.asked("resonanced", "plan", *BALANCED)
        assert _wanted(plan) == set()
        reasons = {
            each["setting"]["knob"]: each["reason"]
            for each in plan["excluded"]
            if each["setting"]["knob"] in {"cpu_weight", "cpu_idle"}
        }
        assert set(reasons) == {"cpu_weight", "cpu_idle"}
        assert all("sched_ext" in reason and NAME in reason for reason in reasons.values())
        refused = run("resonanced", "apply", *BALANCED, ok=(0, 1))
        assert "Traceback" not in refused.stderr
        assert groups.values() == before
        # This profile requires that there is none, and names who is.
        whole = run("resonanced", "plan", "latency-critical", *BALANCED[1:], ok=(1,))
        assert NAME in machine.complaint(whole)
    assert _others(machine.asked("resonanced", "check", ok=(0, 3))) == []
    assert _wanted(machine.asked("resonanced", "plan", *BALANCED)) == {"cpu_weight", "cpu_idle"}
