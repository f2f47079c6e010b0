# SPDX-License-Identifier: MIT
from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes.cgroup_tree import CgroupTree
from fakes.changes import IDLE
from resonance_bpf import pins
from resonance_tuning.host import Host
from resonance_tuning.journal import Journal
from resonance_tuning.records import Setting, Target
from resonanced import cli, config
from resonanced.verbs import rollback

GROUPS = ("--latency-critical", "/web", "--batch", "/hogs")
Command = Callable[..., tuple[int, str, str]]
Ask = Callable[..., dict[str, Any]]


def test_the_configuration_is_where_the_service_has_it() -> None:
    assert rollback.DEFAULT_PATH == config.DEFAULT_PATH


@pytest.mark.parametrize(
    "broken",
    ["[tuning]\nmodus = 1\n", "[tuning]\nmode = 1\n", "[nothing]\n", "[telemetry]\nport = -1\n"],
)
def test_a_broken_configuration_is_told_and_what_it_says_of_places_is_kept(
    broken: str, command: Command, tree: CgroupTree, tmp_path: Path
) -> None:
    command("apply", "balanced", *GROUPS)
    path = tmp_path / "resonanced.toml"
    text = path.read_text(encoding="utf-8")
    name, _, key = broken.partition("\n")
    path.write_text(text.replace(name, f"{name}\n{key}") if name in text else text + broken)
    status, out, err = command("rollback")
    assert status == 0
    assert out.count("put back") == 2
    assert err.startswith(f"resonanced: {path}: ")
    assert err.endswith("; taking the defaults\n")
    assert err.count("\n") == 1
    assert tree.get("/hogs", "cpu.shares") == "700"


def test_a_file_that_is_missing_is_named_without_a_number(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pins, "rollback", lambda _: ([], []))
    path = tmp_path / "resonanced.toml"
    path.unlink()
    _, _, err = command("rollback", "--journal-directory", str(tmp_path / "journal"))
    assert err == f"resonanced: {path}: No such file or directory; taking the defaults\n"


@pytest.mark.parametrize("content", [b"this is [no TOML", b"\xff\xfe"])
def test_a_file_that_is_no_toml_leaves_the_flags(
    content: bytes,
    command: Command,
    tree: CgroupTree,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The default place of pins is the host's own.
    monkeypatch.setattr(pins, "rollback", lambda _: ([], []))
    command("apply", "balanced", *GROUPS)
    (tmp_path / "resonanced.toml").write_bytes(content)
    places = (
        *("--journal-directory", str(tmp_path / "journal")),
        *("--runtime-directory", str(tmp_path / "run")),
    )
    status, out, err = command("rollback", *places)
    assert status == 0
    assert out.count("put back") == 2
    assert "taking the defaults" in err


def test_what_fails_afterwards_does_not_keep_the_kernels_settings(
    command: Command, tree: CgroupTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'msgspec'")

    command("apply", "balanced", *GROUPS)
    monkeypatch.setattr(pins, "rollback", fail)
    status, out, err = command("rollback")
    assert status == 1
    assert out.count("put back") == 2
    assert err == "resonanced: ModuleNotFoundError: No module named 'msgspec'\n"
    assert tree.get("/hogs", "cpu.idle") == "0"


def test_what_was_applied_by_hand_stays_when_only_services_are_meant(
    command: Command, ask: Ask, tree: CgroupTree
) -> None:
    command("apply", "balanced", *GROUPS)
    assert ask("rollback", "--left-by-services")["receipts"] == []
    assert tree.get("/hogs", "cpu.idle") == "1"
    assert len(ask("rollback")["receipts"]) == 2


def test_it_needs_nothing_but_the_standard_library_to_give_the_settings_back(
    tmp_path: Path,
) -> None:
    gone = dataclasses.replace(IDLE, setting=Setting("cpu_idle", Target("cgroup", "/gone"), "1"))
    with Journal(tmp_path, Host().boot_id) as journal:
        journal.begin("balanced", "a test")
        journal.done(journal.intent(gone, "boot"), "1")
    program = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name.partition('.')[0] in {'msgspec', 'numpy', 'grpc', 'jeepney', 'pyroute2'}:"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "from resonanced import cli\n"
        "sys.exit(cli.main(sys.argv[1:]))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, "rollback", "--journal-directory", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout.startswith("step 1  cpu_idle of cgroup /gone  vanished\n")
    assert ended.stderr == "resonanced: ModuleNotFoundError: msgspec\n"
    assert ended.returncode == 1


def test_a_journal_that_may_not_be_trusted_exits_3(
    command: Command, tree: CgroupTree, tmp_path: Path
) -> None:
    command("apply", "balanced", *GROUPS)
    (path,) = (tmp_path / "journal").glob("*.wal")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join((*lines[:-1], b"00000000 {}\n", lines[-1])))
    status, out, err = command("rollback")
    assert status == 3
    assert "put back" in out
    assert "this line is damaged" in err
    assert tree.get("/hogs", "cpu.shares") == "700"


def test_flags_reach_it(command: Command, tmp_path: Path) -> None:
    assert command("rollback", "--port", "70000")[0] == 1
    with pytest.raises(SystemExit):
        cli.main(["rollback", "--journal-directory"])
