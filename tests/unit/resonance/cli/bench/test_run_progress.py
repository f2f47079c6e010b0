# SPDX-License-Identifier: MIT
from __future__ import annotations

import importlib.util
import sys
from io import StringIO

import pytest

from resonance.bench.load import Progress
from resonance.cli.bench.run_progress import Bar, Lines, Silence, open_view


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def _in_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make the error stream one; not in a fixture, after which pytest sets its own."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return terminal


def _progress(elapsed_seconds: float, failed: int = 0) -> Progress:
    return Progress(elapsed_seconds, 10.0, 20_000, 12_345, 12_000, failed, 0.0123)


def test_a_terminal_has_a_bar_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _in_terminal(monkeypatch)
    with open_view(is_quiet=False) as view:
        assert isinstance(view, Bar)
        view.begin("new 3/8")
        view.show(_progress(5.0, failed=7))
    text = terminal.getvalue()
    assert "new 3/8" in text
    assert "50%" in text
    assert "12,345 sent, 7 failed, p99 12.3ms" in text
    assert text.endswith("\33[2K")


def test_a_terminal_without_rich_has_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    _in_terminal(monkeypatch)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with open_view(is_quiet=False) as view:
        assert isinstance(view, Lines)


def test_lines_are_a_second_apart_and_begin_anew(capsys: pytest.CaptureFixture[str]) -> None:
    with open_view(is_quiet=False) as view:
        assert isinstance(view, Lines)
        for title in ("", "new"):
            view.begin(title)
            for quarter in range(1, 13):
                view.show(_progress(quarter / 4))
    assert capsys.readouterr().err.splitlines() == [
        f"{title}{second}/10 s, 12,345 sent, 12,000 answered, 0 failed"
        for title in ("", "new: ")
        for second in (1, 2, 3)
    ]


def test_who_asked_for_quiet_or_has_no_error_stream_sees_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = _in_terminal(monkeypatch)
    with open_view(is_quiet=True) as view:
        assert isinstance(view, Silence)
        view.begin("new")
        view.show(_progress(5.0))
    assert terminal.getvalue() == ""
    monkeypatch.setattr(sys, "stderr", None)
    with open_view(is_quiet=False) as view:
        assert isinstance(view, Silence)
