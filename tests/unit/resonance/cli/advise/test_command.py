# SPDX-License-Identifier: MIT
from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.timers import HOST, FakeTimer

from .conftest import Advise, Host


def test_text(host: Host, advise: Advise, golden: Callable[[str, str], None]) -> None:
    host()
    code, output, error = advise()
    assert (code, error) == (0, "")
    assert max(map(len, output.splitlines())) <= 80
    golden("cli/advise-timers.txt", output)


def test_json_has_every_group_whether_or_not_it_is_worth_it(host: Host, advise: Advise) -> None:
    host()
    answer = json.loads(advise("--output", "json")[1])
    assert answer["timers"] == len(HOST)
    assert [group["is_worth_it"] for group in answer["groups"]] == [True, False]
    assert answer["groups"][0]["timers"][0]["suggested"] == [
        "RandomizedDelaySec=10min",
        "FixedRandomDelay=true",
        "AccuracySec=30s",
    ]


def test_nothing_to_gain_is_said(host: Host, advise: Advise) -> None:
    host(HOST[:5])
    code, output, _ = advise()
    assert code == 0
    assert output.startswith("5 timers: nothing to gain by spreading them\n")


def test_no_timer_is_said(host: Host, advise: Advise) -> None:
    host([])
    assert advise("none*")[1] == "no timer matches; `systemctl list-timers --all` lists them\n"


def test_unknown_work_is_said(host: Host, advise: Advise) -> None:
    host([FakeTimer(f"{at}.timer", "*-*-* 00:00:00", last_us=10**15) for at in range(4)])
    assert "4 have no known work" in advise()[1]


def test_a_name_cannot_steer_the_terminal(host: Host, advise: Advise) -> None:
    host([FakeTimer(f"\33[2J{at}.timer", "*-*-* 00:00:00", last_us=10**15) for at in range(4)])
    assert "\33" not in advise()[1]


def test_without_systemd_it_is_one_clear_line(
    advise: Advise, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert advise() == (
        1,
        "",
        "resonance: no systemctl here: timers can be advised only on a host that runs systemd\n",
    )


def test_it_needs_neither_numpy_nor_rich() -> None:
    program = (
        "import sys, resonance.cli.advise; sys.exit(bool({'numpy', 'rich'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
