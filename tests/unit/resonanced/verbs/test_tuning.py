# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes.cgroup_tree import CgroupTree
from resonance_tuning.actuator.link import Actuator
from resonance_tuning.errors import ActuatorError
from resonance_tuning.journal import Journal
from resonanced.verbs import tuning

GROUPS = ("--latency-critical", "/web", "--batch", "/hogs")
Command = Callable[..., tuple[int, str, str]]
Ask = Callable[..., dict[str, Any]]


def _surfaces(tree: CgroupTree) -> dict[str, str]:
    names = ("cpu.shares", "cpu.idle", "cpuset.cpus")
    return {f"{path} {name}": tree.get(path, name) for path in ("/web", "/hogs") for name in names}


def test_plan_tells_the_difference_and_writes_nothing(
    command: Command, tree: CgroupTree, tmp_path: Path
) -> None:
    before = _surfaces(tree)
    status, out, err = command("plan", "balanced", *GROUPS)
    assert (status, err) == (0, "")
    assert "cpu_idle of cgroup /hogs  0 -> 1" in out
    assert "cpu_weight of cgroup /web  1024 -> 10240" in out
    assert "700 > " in out.partition("to go back by hand")[2]
    assert out.endswith("\nnothing was written\n")
    assert max(map(len, out.splitlines())) < 80 or str(tmp_path) in out
    assert _surfaces(tree) == before
    assert tree.host.writes == []
    assert not (tmp_path / "journal").exists()


def test_a_rung_that_is_too_high_is_left_out_with_the_reason(ask: Ask) -> None:
    document = ask("plan", "balanced", *GROUPS, "--max-rung", "1")
    assert {change["rung"] for change in document["changes"]} <= {1}
    left = [each for each in document["excluded"] if each["setting"]["knob"] == "cpu_weight"]
    assert left[0]["reason"] == "above rung 1, as --max-rung says"


def test_a_plan_of_one_who_may_not_read_the_journal_says_what_is_not_known(
    command: Command, tmp_path: Path
) -> None:
    (tmp_path / "journal").write_text("this is no directory")
    status, out, _ = command("plan", "balanced", *GROUPS)
    assert status == 0
    assert "what rests after a drift is not known" in out


def test_apply_verify_and_rollback_leave_everything_as_it_was(
    command: Command, tree: CgroupTree, tmp_path: Path
) -> None:
    before = _surfaces(tree)
    status, out, _ = command("apply", "balanced", *GROUPS)
    assert status == 0
    assert "2 written and read back" in out
    assert f"resonanced rollback --config {tmp_path}/resonanced.toml" in out
    assert tree.get("/hogs", "cpu.idle") == "1"
    assert command("verify")[0] == 0
    assert command("apply", "balanced", *GROUPS)[1].startswith(
        "profile balanced: nothing to change: all of it is there already"
    )
    status, out, _ = command("rollback")
    assert status == 0
    assert out.count("put back") == 2
    assert _surfaces(tree) == before
    assert command("rollback")[1] == "nothing to put back, nothing to remove\n"


def test_verify_exits_3_where_somebody_else_changed_a_value(
    command: Command, ask: Ask, tree: CgroupTree
) -> None:
    command("apply", "balanced", *GROUPS)
    tree.set("/web", "cpu.shares", "5000")
    status, out, _ = command("verify")
    assert status == 3
    assert "cpu_weight of cgroup /web = 5000  drifted" in out
    assert "1 of 2 are as they were written" in out
    assert ask("verify")["drifted"] == 1
    status, out, _ = command("rollback")
    assert status == 3
    assert "left: somebody else changed it" in out
    assert tree.get("/web", "cpu.shares") == "5000"
    assert tree.get("/hogs", "cpu.shares") == "700"


def test_verify_of_nothing_is_well(command: Command) -> None:
    assert command("verify") == (0, "nothing is changed\n", "")


def test_the_journal_lists_what_was_done(command: Command, ask: Ask) -> None:
    assert "nothing was changed" in command("journal")[1]
    command("apply", "balanced", *GROUPS)
    command("rollback")
    rows = command("journal")[1].splitlines()
    assert [row.split()[0] for row in rows] == ["step", "1", "2"]
    assert all(row.endswith("restored") for row in rows[1:])
    assert [entry["fate"] for entry in ask("journal")["entries"]] == ["restored", "restored"]


def test_the_journal_tells_what_was_noted_beside_the_changes(
    command: Command, ask: Ask, tree: CgroupTree, tmp_path: Path
) -> None:
    with Journal(tmp_path / "journal", tree.host.boot_id) as journal:
        journal.note("step-down", {"cgroup": "/hogs", "reason": "it starved"})
        journal.note("verdict", {"knob": "nice", "target": "process 7", "verdict": "harm"})
    out = command("journal")[1]
    assert out.startswith("nothing was changed since this boot\n\n")
    assert "step-down: /hogs\n" in out
    assert {note["kind"] for note in ask("journal")["notes"]} == {"step-down", "verdict"}


def test_apply_where_nobody_is_named_says_so(command: Command) -> None:
    status, out, _ = command("apply", "balanced")
    assert status == 0
    assert "nothing to change: nobody is named, or all is left out" in out
    assert "[tuning.latency_critical]" in out


def test_apply_where_a_name_means_nobody_says_which(command: Command) -> None:
    assert "/nix" in command("apply", "balanced", "--batch", "/nix")[1]


def test_apply_needs_root(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    status, out, err = command("apply", "balanced", *GROUPS)
    assert (status, out) == (1, "")
    assert err == "resonanced: not root: only root may change settings; run it with sudo\n"


def test_apply_where_it_can_only_be_shadow_is_refused(
    command: Command, tree: CgroupTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning.Actuator, "shadow_reason", "this is a container")
    status, out, err = command("apply", "balanced", *GROUPS)
    assert (status, out) == (1, "")
    assert err == "resonanced: nothing was written: this is a container\n"
    assert tree.host.writes == []


@pytest.mark.parametrize("verb", ["plan", "apply"])
def test_a_profile_nobody_knows_exits_2(verb: str, command: Command) -> None:
    status, out, err = command(verb, "turbo", *GROUPS)
    assert (status, out) == (2, "")
    assert err.startswith("resonanced: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["web", "unit:web", "process:a/b"])
def test_a_group_that_can_name_nothing_exits_2(name: str, command: Command) -> None:
    status, _, err = command("plan", "--batch", name)
    assert status == 2
    assert "must be" in err


def test_one_writer_at_a_time_and_what_to_do_about_it(
    command: Command, tree: CgroupTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("apply", "balanced", *GROUPS)
    with Journal(tmp_path / "journal", tree.host.boot_id):
        assert command("verify")[0] == 0
        assert command("journal")[0] == 0
        status, _, err = command("rollback")
        assert status == 1
        assert f"is held by pid {os.getpid()}" in err
        # The real actuator, which says so from its own process.
        monkeypatch.setattr(tuning, "Actuator", Actuator)
        monkeypatch.setattr(tree.host, "root", Path("/"))
        status, _, err = command("apply", "balanced")
        assert status == 1
        assert "is held by pid" in err
        assert "systemctl stop resonanced" in err


def test_an_actuator_that_cannot_begin_is_one_line(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ActuatorError("it is gone")

    monkeypatch.setattr(tuning, "Actuator", fail)
    assert command("apply", *GROUPS) == (1, "", "resonanced: actuator: it is gone\n")
