# SPDX-License-Identifier: MIT
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fakes.hint_daemon import state
from resonance.cli import main

from .conftest import Command, Serve

COMMANDS = (["top"], ["runqlat"], ["explain"], ["spectrum"])
ADVISE = (["advise"], ["advise", "timers"])
SIMULATE = ["simulate"]
HINTS = (["hints"], ["hints", "get"], ["hints", "watch"], ["hints", "resolve"])


@pytest.mark.parametrize("arguments", COMMANDS)
def test_no_daemon_is_one_clear_line(arguments: list[str], command: Command, socket: Path) -> None:
    assert command(*arguments) == (
        1,
        "",
        f"resonance: {socket}: no daemon here; start `resonanced run`, or say --socket PATH\n",
    )


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_dead_daemons_socket_is_one_clear_line(
    arguments: list[str], command: Command, socket: Path
) -> None:
    socket.touch()
    code, output, error = command(*arguments)
    assert (code, output) == (1, "")
    assert error == f"resonance: {socket}: the daemon has gone; start `resonanced run` again\n"


def test_the_socket_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RESONANCE_HINTS_SOCKET", "/nowhere/hints.sock")
    assert main(["runqlat"]) == 1
    assert capsys.readouterr().err.startswith("resonance: /nowhere/hints.sock: ")


def test_it_says_its_release(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["--version"])
    assert exit_info.value.code == 0
    assert capsys.readouterr().out.count(".") == 2


@pytest.mark.parametrize("arguments", [[], *COMMANDS, *ADVISE, SIMULATE, *HINTS])
def test_help_ends_with_examples_and_fits_80_columns(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as exit_info:
        main([*arguments, "--help"])
    text = capsys.readouterr().out
    assert exit_info.value.code == 0
    assert "examples:\n  resonance " in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["tpo"],
        ["top", "--sort", "colour"],
        ["top", "--once", "--for", "3"],
        ["runqlat", "--for", "0"],
        ["runqlat", "--for", "nan"],
        ["runqlat", "--for", "soon"],
        ["runqlat", "--output", "yaml"],
        ["explain", "one", "two"],
        ["advise"],
        ["advise", "timers", "--spread", "-1"],
    ],
)
def test_wrong_arguments_exit_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(arguments)
    assert exit_info.value.code == 2


def test_only_what_draws_loads_rich_numpy_and_matplotlib() -> None:
    program = (
        "import sys; from resonance.cli import _parser; _parser();"
        " sys.exit(bool({'rich', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(("redirection", "code"), [(">&-", 0), (">/dev/full", 1)])
def test_an_output_that_takes_nothing_is_no_traceback(
    redirection: str, code: int, serve_states: Serve, socket: Path
) -> None:
    serve_states(state())
    program = Path(sys.executable).with_name("resonance")
    command = f"{program} hints get --socket {socket} {redirection}"
    ended = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert ended.returncode == code
    assert "Traceback" not in ended.stderr


def test_a_path_no_socket_can_have_is_one_clear_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / ("x" * 120) / "hints.sock"
    for command in (["top", "--once"], ["hints", "get"]):
        assert main([*command, "--socket", str(path)]) == 1
        wanted = f"resonance: {path}: longer than the 107 bytes a Unix socket's path may have\n"
        assert capfd.readouterr().err == wanted
