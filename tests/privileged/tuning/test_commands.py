# SPDX-License-Identifier: MIT
"""The verbs of tuning as an operator types them, on groups of this test's own."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from privileged.tuning.conftest import Groups
from resonance_tuning.records import Target

RESONANCED = str(Path(sys.executable).with_name("resonanced"))
Run = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = pytest.mark.privileged


@pytest.fixture
def run(tmp_path: Path) -> Run:
    configuration = tmp_path / "resonanced.toml"
    configuration.write_text(
        f'[service]\nruntime_directory = "{tmp_path}/run"\n'
        f'[probes]\nbpffs_directory = "{tmp_path}/bpf"\n'
        f'[tuning]\njournal_directory = "{tmp_path}/journal"\n'
    )

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [RESONANCED, *arguments, "--config", str(configuration)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    return run


def _named(web: Target, hogs: Target) -> tuple[str, ...]:
    return ("balanced", "--latency-critical", web.name, "--batch", hogs.name)


def _json(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_plan_apply_verify_explain_rollback_leave_every_byte_as_it_was(
    run: Run, groups: Groups
) -> None:
    web, hogs = groups.make("web"), groups.make("hogs", **{_weight(groups): "700"})
    before = groups.snapshot()
    named = _named(web, hogs)

    planned = run("plan", *named)
    assert planned.returncode == 0, planned.stderr
    assert "nothing was written" in planned.stdout
    assert groups.snapshot() == before

    applied = run("apply", *named)
    assert applied.returncode == 0, applied.stderr
    assert (groups.directory(hogs) / "cpu.idle").read_text() == "1\n"
    assert run("verify").returncode == 0
    assert run("explain", web.name).stdout.startswith("step 2: cpu_weight of cgroup ")
    assert [entry["fate"] for entry in _json(run("journal", "--output", "json"))["entries"]] == [
        "in force",
        "in force",
    ]

    back = run("rollback")
    assert back.returncode == 0, back.stderr
    assert groups.snapshot() == before


def test_what_was_changed_by_hand_is_drift_and_stays(run: Run, groups: Groups) -> None:
    web, hogs = groups.make("web"), groups.make("hogs")
    run("apply", *_named(web, hogs))
    theirs = groups.directory(web) / f"cpu.{_weight(groups)}"
    theirs.write_text("500\n")
    drifted = run("verify")
    assert drifted.returncode == 3
    assert f"cpu_weight of cgroup {web.name}" in drifted.stdout
    assert "drifted" in drifted.stdout
    back = run("rollback")
    assert back.returncode == 3
    assert "changed it" in back.stdout
    assert theirs.read_text() == "500\n"
    assert (groups.directory(hogs) / "cpu.idle").read_text() == "0\n"


def test_the_printed_commands_put_everything_back(run: Run, groups: Groups) -> None:
    web, hogs = groups.make("we'b "), groups.make("hogs", **{_weight(groups): "700"})
    before = groups.snapshot()
    named = _named(web, hogs)
    told = run("plan", *named).stdout.partition("to go back by hand, in this order\n")[2]
    commands = told.partition("\n\n")[0]
    assert run("apply", *named).returncode == 0
    assert groups.snapshot() != before
    subprocess.run(["bash", "-euc", commands], check=True)
    assert groups.snapshot() == before
    assert run("rollback").returncode == 0


@pytest.mark.parametrize("name", ["\x1b[2Jweb", os.fsdecode(b"web\xff"), "w\teb"], ids=ascii)
def test_a_name_in_any_bytes_is_tuned_and_taken_back(run: Run, groups: Groups, name: str) -> None:
    web, hogs = groups.make(name), groups.make("hogs")
    before = groups.snapshot()
    parent = web.name.rpartition("/")[0]
    named = ("balanced", "--latency-critical", f"{parent}/*w*eb*", "--batch", hogs.name)
    planned = run("plan", *named)
    assert planned.returncode == 0, planned.stderr
    assert all(line.isprintable() for line in planned.stdout.splitlines())
    applied = run("apply", *named)
    assert applied.returncode == 0, applied.stderr
    assert groups.snapshot() != before
    assert run("explain").returncode == 0
    assert run("journal").returncode == 0
    assert run("rollback").returncode == 0
    assert groups.snapshot() == before


def test_the_service_holds_the_journal_alone(run: Run, groups: Groups, tmp_path: Path) -> None:
    web, hogs = groups.make("web"), groups.make("hogs")
    named = _named(web, hogs)
    assert run("apply", *named).returncode == 0
    holder = (
        "import sys, time; from pathlib import Path; from resonance_tuning.host import Host\n"
        "from resonance_tuning.journal import Journal\n"
        f"with Journal(Path({str(tmp_path / 'journal')!r}), Host().boot_id):\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        for verb in (("apply", *named), ("rollback",)):
            refused = run(*verb)
            assert refused.returncode == 1
            assert f"is held by pid {process.pid}" in refused.stderr
        assert run("verify").returncode == 0
        process.kill()
    assert run("rollback").returncode == 0


def test_an_operators_own_change_outlives_what_services_leave(run: Run, groups: Groups) -> None:
    web, hogs = groups.make("web"), groups.make("hogs")
    before = groups.snapshot()
    run("apply", *_named(web, hogs))
    after = groups.snapshot()
    assert run("rollback", "--left-by-services").returncode == 0
    assert groups.snapshot() == after
    assert run("rollback").returncode == 0
    assert groups.snapshot() == before


def test_commands_of_explain_are_shell(run: Run, groups: Groups) -> None:
    web, hogs = groups.make("web"), groups.make("hogs")
    run("apply", *_named(web, hogs))
    document = _json(run("explain", web.name, "--output", "json"))
    (command,) = document["changes"][0]["undo"]
    assert shlex.split(command)[-1] == str(groups.directory(web) / f"cpu.{_weight(groups)}")
    run("rollback")


def _weight(groups: Groups) -> str:
    return "shares" if groups.version == 1 else "weight"
