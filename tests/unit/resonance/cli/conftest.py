# SPDX-License-Identifier: MIT
"""The command line against a daemon in this process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fakes.hint_daemon import HintDaemon, serve
from fakes.hint_daemon import state as hint_state
from fakes.rhythm import RHYTHM
from resonance.cli import main
from resonance_api.hints.v1.hints_pb2 import State
from resonance_api.phase.v1.phase_pb2_grpc import PhaseServicer

Command = Callable[..., tuple[int, str, str]]
Serve = Callable[..., HintDaemon]
ServePhase = Callable[[PhaseServicer], None]


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "hints.sock"


@pytest.fixture
def serve_states(socket: Path) -> Iterator[Serve]:
    with contextlib.ExitStack() as stack:

        def serve_states(*states: State) -> HintDaemon:
            daemon = HintDaemon(states)
            stack.enter_context(serve(socket, daemon))
            return daemon

        yield serve_states


@pytest.fixture
def serve_phase(socket: Path) -> Iterator[ServePhase]:
    with contextlib.ExitStack() as stack:

        def serve_phase(phase: PhaseServicer) -> None:
            hints = HintDaemon([hint_state(rhythm=RHYTHM)])
            stack.enter_context(serve(socket, hints, phase))

        yield serve_phase


@pytest.fixture
def command(
    socket: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    def command(*arguments: str, columns: int = 80, lines: int = 24) -> tuple[int, str, str]:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("LINES", str(lines))
        code = main([*arguments, "--socket", str(socket)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command
