# SPDX-License-Identifier: MIT
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes.cgroup_tree import CgroupTree
from resonance_tuning.journal import Journal

GROUPS = ("--latency-critical", "/web", "--batch", "/hogs")
Command = Callable[..., tuple[int, str, str]]
Ask = Callable[..., dict[str, Any]]


def test_before_anything_was_changed(command: Command) -> None:
    status, out, _ = command("explain")
    assert status == 0
    assert out.startswith("nothing on this host was changed since it booted\n")


def test_an_overview_names_what_is_in_force(command: Command) -> None:
    command("apply", "balanced", *GROUPS)
    out = command("explain")[1]
    assert out.startswith("in force: 2; ")
    assert "step 1  cpu_idle of cgroup /hogs: 0 -> 1" in out


@pytest.mark.parametrize("subject", ["2", "/web", "cgroup /web"])
def test_one_change_by_its_step_or_target(subject: str, command: Command) -> None:
    command("apply", "balanced", *GROUPS)
    status, out, _ = command("explain", subject)
    assert status == 0
    assert out.startswith("step 2: cpu_weight of cgroup /web\n")
    assert "now       10240, as written" in out
    assert "echo 1024 > " in out


def test_one_knob_with_its_values_and_what_was_done_with_it(command: Command) -> None:
    command("apply", "balanced", *GROUPS)
    out = command("explain", "cpu_weight", *GROUPS)[1]
    assert out.startswith("knob cpu_weight\n")
    assert "cgroup /web: 10240" in out
    assert "\nstep 2: cpu_weight of cgroup /web\n" in out


def test_a_knob_that_was_never_turned(command: Command) -> None:
    status, out, _ = command("explain", "cpuset", "--batch", "/hogs")
    assert status == 0
    assert "cgroup /hogs: (none)" in out


def test_a_value_that_cannot_be_read_says_why(command: Command) -> None:
    out = command("explain", "cpu_idle", "--batch", "/")[1]
    assert "cgroup /: the root group is never idle" in out


def test_what_nobody_knows_is_refused(command: Command) -> None:
    status, out, err = command("explain", "turbo")
    assert (status, out) == (1, "")
    assert err.startswith("resonanced: explain turbo: neither a knob, nor a step")


def test_as_json_with_verdicts_and_whether_it_still_is_so(
    command: Command, ask: Ask, tree: CgroupTree, tmp_path: Path
) -> None:
    command("apply", "balanced", *GROUPS)
    with Journal(tmp_path / "journal", tree.host.boot_id) as journal:
        journal.note("verdict", {"knob": "cpu_weight", "target": "cgroup /web", "ratio": 0.5})
    document = ask("explain", "cpu_weight", *GROUPS)
    assert document["knob"]["values"]["cgroup /web"] == "10240"
    (change,) = document["changes"]
    assert change["verified"]["outcome"] == "ok"
    assert change["verdicts"][0]["ratio"] == 0.5
    assert len(ask("explain")["changes"]) == 2
