# SPDX-License-Identifier: MIT
from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from resonance_tuning.actuator import link
from resonance_tuning.errors import ActuatorRefusedError
from resonance_tuning.settings import TuningSettings
from resonanced import actuator
from resonanced.errors import StartError


def test_where_nothing_is_tuned_nothing_is_started_or_imported() -> None:
    code = (
        "import sys\n"
        "from resonance_tuning.settings import TuningSettings\n"
        "from resonanced import actuator\n"
        "settings = TuningSettings(journal_directory='/no/such/directory')\n"
        "assert actuator.start(settings) is None\n"
        "actuator.roll_back(settings)\n"
        "ours = {name for name in sys.modules if name.startswith('resonance_tuning.')}\n"
        "assert ours == {'resonance_tuning.settings'}, ours\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("mode", "is_shadow", "max_rung"),
    [("shadow", True, 5), ("adaptive", False, 2), ("active", False, 5)],
)
def test_a_mode_says_how_far_the_actuator_may_go(
    mode: Any, is_shadow: bool, max_rung: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def spawn(settings: TuningSettings, **terms: Any) -> Any:
        asked.update(terms)
        raise ActuatorRefusedError("no such profile")

    monkeypatch.setattr(link, "spawn", spawn)
    with pytest.raises(StartError, match="^tuning: no such profile; see: resonanced plan"):
        actuator.start(TuningSettings(mode=mode))
    assert asked == {"is_resident": True, "is_shadow": is_shadow, "max_rung": max_rung}


def test_a_rollback_is_a_process_that_is_given_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    actuator.roll_back(TuningSettings(journal_directory=str(tmp_path)))
    ((executable, *words),) = commands
    assert executable == sys.executable
    assert words == [
        *("-I", "-m", "resonance_tuning", "--left-by-services"),
        *("--journal-directory", str(tmp_path)),
    ]
    assert caplog.records == []


@pytest.mark.parametrize("status", [1, 3])
def test_a_rollback_that_left_something_is_logged_with_what_it_said(
    status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    done = subprocess.CompletedProcess([], status, "conflict-left  cpu_weight of /web\n", "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    with caplog.at_level(logging.WARNING):
        actuator.roll_back(TuningSettings(journal_directory=str(tmp_path)))
    (record,) = caplog.records
    assert record.getMessage() == (
        f"rollback_incomplete status={status} said='conflict-left  cpu_weight of /web'"
    )


def test_a_rollback_that_hangs_does_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def hang(command: list[str], **_: Any) -> Any:
        raise subprocess.TimeoutExpired(command, 10.0)

    monkeypatch.setattr(subprocess, "run", hang)
    actuator.roll_back(TuningSettings(journal_directory=str(tmp_path)))
    assert "rollback_incomplete" in caplog.text
