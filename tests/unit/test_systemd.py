# SPDX-License-Identifier: MIT
"""The unit: systemd reads it without a complaint, and it asks for little."""

from __future__ import annotations

import re
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "systemd" / "resonanced.service"
EXPOSURE_CEILING = 31
"""In tenths, of 100; the services of comparable tools score 96."""


@pytest.fixture
def analyze(tmp_path: Path) -> list[str]:
    assert shutil.which("systemd-analyze"), "not installed: apt-get install systemd"
    # The unit as installed, but for its commands, which need not be on this machine.
    text = UNIT.read_text(encoding="utf-8")
    text = re.sub(r"/(opt/resonance/bin/resonanced|bin/kill)\b", "/bin/true", text)
    (tmp_path / UNIT.name).write_text(text, encoding="utf-8")
    return ["systemd-analyze", str(tmp_path / UNIT.name)]


def test_systemd_finds_no_fault_in_the_unit(analyze: list[str]) -> None:
    command, unit = analyze
    done = subprocess.run([command, "verify", unit], check=False, capture_output=True, text=True)
    assert (done.returncode, UNIT.name in done.stderr) == (0, False), done.stderr


def test_exposure_stays_below_the_ceiling(analyze: list[str]) -> None:
    command, unit = analyze
    done = subprocess.run(
        [command, "security", "--offline=true", f"--threshold={EXPOSURE_CEILING}", unit],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_service_promises_is_in_the_unit() -> None:
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT, encoding="utf-8")
    service = parser["Service"]
    assert service["Type"] == "notify"
    assert service["ExecStart"].endswith("/resonanced run")
    assert service["ExecStopPost"].endswith("/resonanced rollback")
    assert float(service["WatchdogSec"]) > 0
    assert service["RuntimeDirectory"] == "resonance"
