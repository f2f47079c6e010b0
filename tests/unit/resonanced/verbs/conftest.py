# SPDX-License-Identifier: MIT
"""The verbs on a host that is a tree of files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

import pytest

from fakes.cgroup_tree import CgroupTree
from resonance_tuning.actuator.wire import Begun
from resonance_tuning.host import Host
from resonance_tuning.journal import Journal
from resonance_tuning.knobs import make_knobs
from resonance_tuning.ownership import note_owner
from resonance_tuning.planning.planner import Plan, plan
from resonance_tuning.records import Receipt, Setting
from resonance_tuning.settings import TuningSettings
from resonance_tuning.tuner import Tuner
from resonanced import cli
from resonanced.verbs import desk, rollback, tuning

Command = Callable[..., tuple[int, str, str]]
Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def tree(tmp_path: Path) -> CgroupTree:
    tree = CgroupTree(tmp_path / "host", "hybrid")
    tree.make_group("/web")
    tree.make_group("/hogs")
    tree.set("/hogs", "cpu.shares", "700")
    return tree


class InProcess:
    """An actuator without a process of its own."""

    shadow_reason = ""
    host: Host

    def __init__(self, settings: TuningSettings, *, max_rung: int) -> None:
        self._journal = Journal(Path(settings.journal_directory), self.host.boot_id)
        self._knobs = make_knobs(self.host)
        self._settings, self._max_rung = settings, max_rung
        self.begun = Begun(
            1,
            boot_id=self.host.boot_id,
            recovered=(),
            capabilities=(),
            is_shadow=bool(self.shadow_reason),
            reason=self.shadow_reason,
        )

    def __enter__(self) -> Self:
        self._journal.__enter__()
        note_owner(self._journal, at_end="keep")
        return self

    def __exit__(self, *_: object) -> None:
        self._journal.__exit__()

    def plan(self) -> Plan:
        return plan(
            self.host,
            self._settings,
            self._knobs,
            journal=self._journal,
            held=False,
            now_boottime_seconds=1e9,
        )

    def apply(self, settings: Iterable[Setting], reason: str) -> list[Receipt]:
        wanted = set(settings)
        changes = [change for change in self.plan().changes if change.setting in wanted]
        return Tuner(self.host, self._journal, self._knobs).apply("balanced", changes, reason)


@pytest.fixture
def command(
    tree: CgroupTree,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Command:
    """Run a verb on the tree; its configuration is a file of its own."""
    configuration = tmp_path / "resonanced.toml"
    configuration.write_text(
        f'[service]\nruntime_directory = "{tmp_path}/run"\n'
        f'[probes]\nbpffs_directory = "{tmp_path}/bpf"\n'
        f'[tuning]\njournal_directory = "{tmp_path}/journal"\n',
        encoding="utf-8",
    )
    for module in (desk, rollback):
        monkeypatch.setattr(module, "Host", lambda: tree.host)
    monkeypatch.setattr(InProcess, "host", tree.host, raising=False)
    monkeypatch.setattr(tuning, "Actuator", InProcess)

    def command(*arguments: str) -> tuple[int, str, str]:
        status = cli.main([*arguments, "--config", str(configuration)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return command


@pytest.fixture
def ask(command: Command) -> Ask:
    """Run a verb for its JSON."""

    def ask(*arguments: str) -> dict[str, Any]:
        _, out, err = command(*arguments, "--output", "json")
        assert err == ""
        document: dict[str, Any] = json.loads(out)
        return document

    return ask
