# SPDX-License-Identifier: MIT
from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys

import pytest

from resonanced.verbs import terminal

STRANGE = [
    "/plain",
    "/with blank",
    "/\x1b[2J",
    "/\udcff\udcfe",
    "/line\nline",
    "/'\"$`\\x",
    "/é\u202e",
]
LONG = [name * 30 for name in STRANGE]


@pytest.mark.parametrize("name", STRANGE)
def test_what_would_steer_the_terminal_is_escaped(name: str) -> None:
    assert terminal.printable(name).isprintable()


@pytest.mark.parametrize("name", STRANGE + LONG)
def test_a_pasted_command_names_exactly_what_was_meant(name: str) -> None:
    lines = terminal.command_lines(f"printf %s {shlex.quote(name)}")
    assert all(line.isprintable() for line in lines)
    pasted = subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True, check=True)
    assert pasted.stdout == os.fsencode(name)


def test_a_long_command_is_broken_between_words_below_80_columns() -> None:
    command = "echo 1024 > /sys/fs/cgroup/cpu/system.slice/a-service-with-a-name.service/cpu.shares"
    lines = terminal.command_lines(command)
    assert lines == [
        "  echo 1024 > \\",
        "    /sys/fs/cgroup/cpu/system.slice/a-service-with-a-name.service/cpu.shares",
    ]


def test_a_letter_the_terminal_cannot_show_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    terminal.write(["/sys…"])
    sys.stdout.flush()
    assert raw.getvalue() == b"/sys\\u2026\n"
