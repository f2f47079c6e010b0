# SPDX-License-Identifier: MIT
"""Are partitions of cgroup v2 made, read back exactly and undone, also while CPUs come and go?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vm import machine
from vm.machine import eventually, run
from vm.tuned import Groups, two_groups

OWN_CPUS = "2-3"
ISOLATED = machine.CGROUPS / "cpuset.cpus.isolated"
"""Since 6.7."""


@pytest.fixture(autouse=True)
def four_cpus() -> None:
    online = machine.read(Path("/sys/devices/system/cpu/online"))
    assert online == "0-3", f"these tests are written for 4 CPUs, and this machine has {online}"


@pytest.fixture
def groups() -> Iterator[Groups]:
    with two_groups() as made:
        yield made


@pytest.fixture
def apply(groups: Groups) -> Iterator[Callable[[str], None]]:
    """Apply a partition to the web group; whatever is in force at the end is taken back."""
    with machine.configured(groups.configuration("observe")):

        def once(partition: str) -> None:
            groups.write_profile(
                f'[latency_critical]\ncpuset = "{OWN_CPUS}"\ncpuset_partition = "{partition}"\n'
            )
            applied = machine.asked("resonanced", "apply")
            assert applied["excluded"] == []
            told = {each["setting"]["knob"]: each["outcome"] for each in applied["receipts"]}
            assert told == {"cpuset": "applied", "cpuset_partition": "applied"}

        yield once
        run("resonanced", "rollback", ok=(0, 3))


def _allowed(pid: int) -> str:
    return machine.status_of(pid)["Cpus_allowed_list"]


def _partition(groups: Groups) -> dict[str, str]:
    names = ("cpuset.cpus", "cpuset.cpus.partition", "cpuset.cpus.effective")
    return machine.values(groups.web, names)


@pytest.mark.parametrize("partition", ["root", "isolated"])
def test_a_partition_reads_back_exactly_takes_its_cpus_from_all_others_and_gives_them_back(
    partition: str, groups: Groups, apply: Callable[[str], None]
) -> None:
    before = groups.values()
    apply(partition)
    assert _partition(groups) == {
        "cpuset.cpus": OWN_CPUS,
        "cpuset.cpus.partition": partition,
        "cpuset.cpus.effective": OWN_CPUS,
    }
    assert eventually(lambda: _allowed(1) == "0-1"), "the first process may still run there"
    worker = int(machine.read(groups.web / "cgroup.procs").split()[0])
    assert _allowed(worker) == OWN_CPUS
    if machine.kernel() >= (6, 7):
        assert machine.read(ISOLATED) == (OWN_CPUS if partition == "isolated" else "")
    assert machine.asked("resonanced", "verify")["drifted"] == 0

    run("resonanced", "rollback")
    assert groups.values() == before
    assert eventually(lambda: _allowed(1) == "0-3")
    assert _allowed(worker) == "0-3"
    assert machine.kernel() < (6, 7) or machine.read(ISOLATED) == ""


def test_a_cpu_that_goes_while_it_is_isolated_leaves_the_rest_isolated_and_the_undo_whole(
    groups: Groups, apply: Callable[[str], None]
) -> None:
    before = groups.values()
    apply("isolated")
    with machine.offline(3):
        assert eventually(lambda: _partition(groups)["cpuset.cpus.effective"] == "2")
        assert _partition(groups)["cpuset.cpus.partition"] == "isolated"
        told = machine.asked("resonanced", "verify", ok=(0, 3))
        assert {each["setting"]["knob"] for each in told["receipts"]} == {
            "cpuset",
            "cpuset_partition",
        }
        run("resonanced", "rollback")
        assert groups.values() == before
    assert groups.values() == before
    assert eventually(lambda: _allowed(1) == "0-3")


def test_a_cpu_that_goes_and_comes_back_is_isolated_again_and_nobody_is_blamed(
    groups: Groups, apply: Callable[[str], None]
) -> None:
    before = groups.values()
    apply("isolated")
    with machine.offline(3):
        assert eventually(lambda: _partition(groups)["cpuset.cpus.effective"] == "2")
    assert eventually(lambda: _partition(groups)["cpuset.cpus.effective"] == OWN_CPUS)
    assert _partition(groups)["cpuset.cpus.partition"] == "isolated"
    assert machine.asked("resonanced", "verify")["drifted"] == 0
    run("resonanced", "rollback")
    assert groups.values() == before


def test_a_partition_without_any_cpu_left_is_told_as_drift_and_undone_all_the_same(
    groups: Groups, apply: Callable[[str], None]
) -> None:
    before = groups.values()
    apply("isolated")
    with machine.offline(2), machine.offline(3):
        assert eventually(
            lambda: _partition(groups)["cpuset.cpus.partition"].startswith("isolated invalid")
        ), _partition(groups)
        told = machine.asked("resonanced", "verify", ok=(3,))
        drifted = [each for each in told["receipts"] if each["outcome"] != "ok"]
        assert "cpuset_partition" in {each["setting"]["knob"] for each in drifted}
        run("resonanced", "rollback")
        assert groups.values() == before
    assert groups.values() == before


def test_the_service_gives_a_group_its_cpus_back_when_its_own_go_offline(groups: Groups) -> None:
    before = groups.values()
    groups.write_profile('[latency_critical]\ncpuset = "3"\n')
    with machine.running(groups.configuration("active")):
        asked = groups.web / "cpuset.cpus"
        assert eventually(lambda: machine.read(asked) == "3"), "nothing was turned"
        processes = machine.processes()
        with machine.offline(3):
            assert eventually(lambda: machine.values(groups.web, (asked.name,))[asked.name] == "")
            assert machine.is_active()
        assert machine.processes() == processes
        assert machine.health() == 200
    assert groups.values() == before


def test_a_partition_of_all_cpus_which_the_kernel_calls_invalid_is_taken_back_and_told(
    groups: Groups,
) -> None:
    """It would leave nobody else a CPU."""
    before = groups.values()
    groups.write_profile('[latency_critical]\ncpuset = "0-3"\ncpuset_partition = "isolated"\n')
    with machine.configured(groups.configuration("observe")):
        done = run("resonanced", "apply", "--output", "json", ok=(0, 1, 3))
        assert "invalid" in done.stdout + done.stderr
        assert machine.read(groups.web / "cpuset.cpus.partition") == "member"
        run("resonanced", "rollback")
    assert groups.values() == before
