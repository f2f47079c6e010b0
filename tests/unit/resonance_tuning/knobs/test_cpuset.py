# SPDX-License-Identifier: MIT
from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from fakes.cgroup_tree import CgroupTree, Layout
from resonance_tuning.errors import KnobRefusedError, TargetVanishedError
from resonance_tuning.knobs.cpuset import Cpuset
from resonance_tuning.records import State, Target

LAYOUTS = pytest.mark.parametrize("layout", ["v1", "v2", "hybrid"])
WEB = Target("cgroup", "/web")


@pytest.fixture(params=["v1", "v2", "hybrid"])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> CgroupTree:
    tree = CgroupTree(tmp_path, request.param)
    tree.make_group("/web")
    return tree


@pytest.fixture
def v1(tmp_path: Path) -> CgroupTree:
    tree = CgroupTree(tmp_path, "v1")
    tree.make_group("/web")
    return tree


@pytest.fixture
def v2(tmp_path: Path) -> CgroupTree:
    tree = CgroupTree(tmp_path, "v2")
    tree.make_group("/web")
    return tree


def allow(monkeypatch: pytest.MonkeyPatch, **affinities: set[int]) -> None:
    """Say which CPUs each thread may run on; one that is not named has ended."""

    def ask(thread: int) -> set[int]:
        try:
            return affinities[f"t{thread}"]
        except KeyError:
            raise ProcessLookupError(errno.ESRCH, "No such process") from None

    monkeypatch.setattr(os, "sched_getaffinity", ask)


def test_cpus_are_written_read_and_put_back_empty(tree: CgroupTree) -> None:
    knob = Cpuset(tree.host)
    prior = knob.read(WEB)
    assert prior == State("", {"cpuset.mems": ""} if tree.version == 1 else {})
    knob.write(WEB, knob.parse("2,1,3"))
    assert knob.read(WEB).value == "1-3" == knob.canonical(WEB, "2,1,3")
    knob.restore(WEB, prior)
    assert knob.read(WEB) == prior


def test_cpus_are_put_back_as_they_were(tree: CgroupTree) -> None:
    knob = Cpuset(tree.host)
    tree.set("/web", "cpuset.mems", "0")
    tree.set("/web", "cpuset.cpus", "0-2")
    prior = knob.read(WEB)
    knob.write(WEB, "3")
    knob.restore(WEB, prior)
    assert knob.read(WEB) == prior


def test_v1_gets_memory_nodes_before_cpus(v1: CgroupTree) -> None:
    Cpuset(v1.host).write(WEB, "1")
    assert [(Path(name).name, text) for name, text in v1.host.writes] == [
        ("cpuset.mems", "0"),
        ("cpuset.cpus", "1"),
    ]


def test_memory_nodes_that_are_there_are_left_alone(v1: CgroupTree) -> None:
    v1.put(f"/{v1.file('/web', 'cpuset.mems').relative_to(v1.root)}", "0\n")
    Cpuset(v1.host).write(WEB, "1")
    assert [Path(name).name for name, _ in v1.host.writes] == ["cpuset.cpus"]


def test_only_what_a_write_would_fill_is_coupled_to_it(v1: CgroupTree) -> None:
    knob = Cpuset(v1.host)
    assert knob.read(WEB).coupled == {"cpuset.mems": ""}
    knob.write(WEB, "1")
    assert knob.read(WEB).coupled == {}


def test_an_apply_killed_between_its_two_writes_is_taken_back(v1: CgroupTree) -> None:
    knob = Cpuset(v1.host)
    prior = knob.read(WEB)
    v1.set("/web", "cpuset.mems", "0")
    knob.restore(WEB, prior)
    assert knob.read(WEB) == prior


def test_tasks_that_came_meanwhile_keep_a_group_from_being_emptied(v1: CgroupTree) -> None:
    knob = Cpuset(v1.host)
    prior = knob.read(WEB)
    knob.write(WEB, "1")
    v1.make_process(4711, "/web", "nginx")
    with pytest.raises(KnobRefusedError, match="it has tasks by now") as caught:
        knob.restore(WEB, prior)
    assert caught.value.errno == errno.ENOSPC


def test_a_group_of_v2_with_tasks_gets_every_cpu_back_where_its_list_cannot_be_emptied(
    v2: CgroupTree,
) -> None:
    """Seen on Linux 6.1: ENOSPC, though an empty list would inherit."""
    knob = Cpuset(v2.host)
    prior = knob.read(WEB)
    v2.make_process(4711, "/web", "nginx")
    knob.write(WEB, "1")
    knob.restore(WEB, prior)
    assert knob.read(WEB).value == "0-3" == knob.canonical(WEB, prior.value)
    assert v2.get("/web", "cpuset.cpus.effective") == "0-3"


def test_a_list_of_v2_is_emptied_once_its_group_has_no_task(v2: CgroupTree) -> None:
    knob = Cpuset(v2.host)
    prior = knob.read(WEB)
    knob.write(WEB, "1")
    knob.restore(WEB, prior)
    assert knob.read(WEB) == prior
    assert knob.canonical(WEB, "") == ""


def test_v1_says_why_a_list_is_refused(v1: CgroupTree) -> None:
    knob = Cpuset(v1.host)
    v1.make_group("/web/child")
    knob.write(WEB, "1-2")
    child = Target("cgroup", "/web/child")
    with pytest.raises(KnobRefusedError, match="within the CPUs of the group above"):
        knob.write(child, "0")
    knob.write(child, "2")
    with pytest.raises(KnobRefusedError, match="a group below it has other CPUs"):
        knob.write(WEB, "1")
    with pytest.raises(OSError) as caught:
        knob.write(WEB, "900")
    assert caught.value.errno == errno.ERANGE


def test_v1_is_narrowed_from_below(v1: CgroupTree) -> None:
    knob = Cpuset(v1.host)
    for path in ("/web/a", "/web/a/b", "/web/empty"):
        v1.make_group(path)
    for path in ("/web", "/web/a", "/web/a/b"):
        knob.write(Target("cgroup", path), "0-3")
    found = knob.targets([WEB, Target("cgroup", "/web/a"), Target("process", "1")])
    assert [target.name for target in found] == ["/web/a/b", "/web/a", "/web"]
    priors = [(target, knob.read(target)) for target in found]
    for target in found:
        knob.write(target, "1")
    for target, prior in reversed(priors):
        knob.restore(target, prior)
    assert {knob.read(target).value for target in found} == {"0-3"}


def test_v2_is_narrowed_where_it_was_named(v2: CgroupTree) -> None:
    v2.make_group("/web/a")
    assert Cpuset(v2.host).targets([WEB]) == [WEB]


def test_cpus_that_v1_drops_as_they_go_offline_are_still_ours(v1: CgroupTree) -> None:
    knob = Cpuset(v1.host)
    v1.set_online({0, 1, 2})
    assert knob.is_ours(WEB, "1-2", ["1-3"])
    assert not knob.is_ours(WEB, "1", ["1-3"])
    assert not knob.is_ours(WEB, "", ["1-3"])


def test_v2_keeps_what_was_asked_for(v2: CgroupTree) -> None:
    knob = Cpuset(v2.host)
    v2.set_online({0, 1, 2})
    assert knob.is_ours(WEB, "1-3", ["1-3"])
    assert not knob.is_ours(WEB, "1-2", ["1-3"])


def test_v1_is_put_back_without_the_cpus_that_are_offline(v1: CgroupTree) -> None:
    knob = Cpuset(v1.host)
    knob.write(WEB, "0")
    v1.set_online({0, 1, 2})
    knob.restore(WEB, State("1-3", {"cpuset.mems": "0"}))
    assert knob.read(WEB).value == "1-2"
    with pytest.raises(KnobRefusedError, match="all of them are offline"):
        knob.restore(WEB, State("3", {"cpuset.mems": "0"}))


def test_effect_and_file_agree(tree: CgroupTree, monkeypatch: pytest.MonkeyPatch) -> None:
    knob = Cpuset(tree.host)
    tree.make_process(21, "/web", "nginx")
    tree.make_process(22, "/web", "nginx")
    tree.make_process(23, "/web", "has ended")
    allow(monkeypatch, t21={1, 2}, t22={2})
    knob.write(WEB, "1-2")
    assert not knob.contradiction(WEB, "1-2")


def test_a_thread_that_may_run_elsewhere_contradicts(
    tree: CgroupTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    knob = Cpuset(tree.host)
    tree.make_process(21, "/web", "nginx")
    allow(monkeypatch, t21={0, 1, 2, 3})
    knob.write(WEB, "1-2")
    assert knob.contradiction(WEB, "1-2") == "thread 21 may still run on CPUs 0,3"


def test_threads_of_another_pid_namespace_are_not_taken_for_ourselves(
    tree: CgroupTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.make_process(0, "/web", "elsewhere")
    allow(monkeypatch, t0={0})
    Cpuset(tree.host).write(WEB, "1-2")
    assert not Cpuset(tree.host).contradiction(WEB, "1-2")


def test_v2_falls_back_to_the_parent_and_that_contradicts(v2: CgroupTree) -> None:
    knob = Cpuset(v2.host)
    inner = v2.make_group("/web/inner")
    knob.write(WEB, "0-1")
    knob.write(inner, "3")
    assert knob.read(inner).value == "3"
    assert knob.contradiction(inner, "3") == "asked for CPUs 3, effective are 0-1"


def test_kernels_that_forget_affinities_are_not_asked_to(
    tree: CgroupTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    knob = Cpuset(tree.host)
    tree.set("/web", "cpuset.mems", "0")
    tree.set("/web", "cpuset.cpus", "0-3")
    tree.make_process(21, "/web", "nginx")
    allow(monkeypatch, t21={2})
    assert not knob.unavailable(WEB)
    tree.put("/proc/sys/kernel/osrelease", "6.1.0-rc3\n")
    assert knob.unavailable(WEB) == (
        "thread 21 has an affinity of its own, CPUs 2, which kernel 6.1.0-rc3 would forget"
    )
    allow(monkeypatch, t21={0, 1, 2, 3})
    assert not knob.unavailable(WEB)


@LAYOUTS
def test_one_cpu_is_nothing_to_choose_from(tmp_path: Path, layout: Layout) -> None:
    tree = CgroupTree(tmp_path, layout)
    tree.make_group("/web")
    tree.set_online({0})
    assert "one CPU online" in Cpuset(tree.host).unavailable(WEB)


@LAYOUTS
def test_the_root_and_a_group_that_is_not_there_are_unavailable(
    tmp_path: Path, layout: Layout
) -> None:
    knob = Cpuset(CgroupTree(tmp_path, layout).host)
    assert knob.unavailable(Target("cgroup", "/"))
    assert "there is no cgroup /gone" in knob.unavailable(Target("cgroup", "/gone"))
    with pytest.raises(TargetVanishedError):
        knob.read(Target("cgroup", "/gone"))


def test_v1_needs_a_group_above_that_has_something_to_give(v1: CgroupTree) -> None:
    knob = Cpuset(v1.host)
    inner = v1.make_group("/web/inner")
    assert knob.unavailable(inner) == "the group above /web/inner has no cpuset.cpus to give"
    v1.set("/web", "cpuset.cpus", "0-3")
    assert knob.unavailable(inner) == "the group above /web/inner has no cpuset.mems to give"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "at least one CPU"),
        ("4", "CPUs 4 are not online"),
        ("2-9", "CPUs 4-9 are not online"),
        ("a-b", "CPUs are a list"),
        ("3-1", "CPUs are a list"),
        (True, "CPUs are a list"),
        (None, "CPUs are a list"),
    ],
)
def test_what_is_no_list_of_online_cpus_is_refused(
    tmp_path: Path, value: object, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        Cpuset(CgroupTree(tmp_path).host).parse(value)


def test_a_single_cpu_may_be_a_number(tmp_path: Path) -> None:
    assert Cpuset(CgroupTree(tmp_path).host).parse(3) == "3"


def test_the_undo_can_be_pasted(tree: CgroupTree) -> None:
    knob = Cpuset(tree.host)
    prior = knob.read(WEB)
    knob.write(WEB, "1")
    for command in knob.commands(WEB, prior):
        subprocess.run(["/bin/sh", "-c", command], check=True)
    assert knob.read(WEB) == prior
