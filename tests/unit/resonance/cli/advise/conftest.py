# SPDX-License-Identifier: MIT
"""The command on a host whose systemd is a pair of programs in a directory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from fakes.timers import HOST, FakeTimer, install
from resonance.cli import main

Advise = Callable[..., tuple[int, str, str]]
Host = Callable[..., None]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    def host(timers: Sequence[FakeTimer] = HOST) -> None:
        install(tmp_path, timers)
        monkeypatch.setenv("PATH", str(tmp_path))

    return host


@pytest.fixture
def advise(capsys: pytest.CaptureFixture[str]) -> Advise:
    def advise(*arguments: str) -> tuple[int, str, str]:
        code = main(["advise", "timers", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return advise
