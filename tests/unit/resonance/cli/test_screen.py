# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest

from resonance.cli.screen import PlainScreen, open_screen


@pytest.mark.parametrize("terminal", ["dumb", "unknown"])
def test_a_terminal_without_another_screen_gets_plain_tables(
    terminal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich: there is a terminal
    monkeypatch.setenv("TERM", terminal)
    with open_screen(is_live=True) as screen:
        assert type(screen) is PlainScreen
