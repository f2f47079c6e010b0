# SPDX-License-Identifier: MIT
"""Laws of profiles and plans, whatever is named and whoever runs."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.cgroup_tree import CgroupTree
from resonance_tuning.errors import ProfileError
from resonance_tuning.knobs import make_knobs
from resonance_tuning.planning.matching import is_within, outermost
from resonance_tuning.planning.planner import Plan, plan
from resonance_tuning.planning.profiles import fill
from resonance_tuning.records import Setting
from resonance_tuning.settings import Group, TuningSettings

_PARTS = st.lists(st.sampled_from(["a", "ab", "docker", "kubepods", "z"]), min_size=1, max_size=3)
_PATHS = _PARTS.map(lambda parts: "/" + "/".join(parts))
_NAMES = st.sampled_from(["nginx", "sshd", "kubelet", "hog"])
_PROFILES = st.sampled_from(["conservative", "balanced", "aggressive", "latency-critical"])


@given(st.lists(_PATHS))
def test_the_outermost_cover_all_and_none_lies_within_another(paths: list[str]) -> None:
    kept = outermost(paths)
    assert set(kept) <= set(paths)
    assert all(any(is_within(path, one) for one in kept) for path in paths)
    assert not any(is_within(one, other) for one in kept for other in kept if one is not other)


@given(
    st.dictionaries(st.sampled_from("abc"), st.integers() | st.text(alphabet="xyz$"), max_size=3),
    st.text(alphabet="abc${}", max_size=12),
)
def test_filling_in_twice_is_filling_in_once(variables: dict[str, Any], text: str) -> None:
    once = fill(text, variables)
    assert fill(once, {}) == once
    assert fill(text, {}) == text


def _plan(root: Path, paths: list[str], processes: list[tuple[str, str]], **chosen: Any) -> Plan:
    tree = CgroupTree(root, "v2")
    tree.put("/proc/sys/kernel/osrelease", "6.18.0\n")
    tree.put("/proc/irq/default_smp_affinity", "f\n")
    for path in paths:
        tree.make_group(path)
    for pid, (path, name) in enumerate(processes, start=100):
        tree.make_process(pid, path, name)
    return plan(
        tree.host,
        TuningSettings(profiles_directory=str(root), **chosen),
        make_knobs(tree.host),
        journal=None,
        held=True,
        now_boottime_seconds=0.0,
    )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(_PATHS, max_size=5),
    st.lists(st.tuples(_PATHS, _NAMES), max_size=4),
    st.lists(_PATHS.map(lambda path: f"{path}*"), max_size=2),
    st.lists(_PATHS, max_size=2),
    _PROFILES,
)
def test_nobody_protected_is_ever_in_a_plan_and_everything_has_a_reason(
    paths: list[str],
    processes: list[tuple[str, str]],
    critical: list[str],
    batch: list[str],
    profile: str,
) -> None:
    # Where somebody is both, the message is the unit tests' matter.
    with tempfile.TemporaryDirectory() as directory, suppress(ProfileError):
        made = _plan(
            Path(directory),
            paths,
            processes,
            profile=profile,
            latency_critical=Group(cgroups=tuple(critical)),
            batch=Group(cgroups=tuple(batch), processes=("hog", "sshd")),
        )
        _check(made, processes)


def _check(made: Plan, processes: list[tuple[str, str]]) -> None:
    planned = [change.setting for change in made.changes]
    assert len(set(planned)) == len(planned)
    assert not set(planned) & {each.setting for each in made.excluded}
    assert all(change.reason and "\n" not in change.reason for change in made.changes)
    assert all(each.reason and "\n" not in each.reason for each in made.excluded)
    guarded = [path for path, name in processes if name in {"sshd", "kubelet"}]
    assert not any(_touches(setting, guarded, processes) for setting in planned)


def _touches(setting: Setting, guarded: list[str], processes: list[tuple[str, str]]) -> bool:
    target = setting.target
    if target.kind == "process":
        return processes[int(target.name) - 100][1] in {"sshd", "kubelet"}
    if target.kind != "cgroup":
        return False
    is_runtimes = bool({"docker", "kubepods"} & set(target.name.split("/")))
    return is_runtimes or any(is_within(path, target.name) for path in guarded)
