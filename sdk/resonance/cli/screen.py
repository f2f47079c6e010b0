# SPDX-License-Identifier: MIT
"""How is the live table shown: the terminal's other screen, and ``q`` to leave it.

Where standard output is no terminal, or one without another screen (``TERM=dumb``), tables are
printed one below the other.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Generator

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from resonance.cli.readings import Reading
from resonance.cli.table import reading_table

__all__ = ["PlainScreen", "open_screen"]


@contextlib.contextmanager
def open_screen(*, is_live: bool, note: str = "") -> Generator[PlainScreen]:
    """Open the live screen if it is wanted and there is a terminal, else the plain one."""
    console = Console(highlight=False)
    if not (is_live and console.is_terminal and not console.is_dumb_terminal):
        yield PlainScreen(console)
        return
    with Live(console=console, screen=True, auto_refresh=False) as live, _keys() as has_keys:
        yield _LiveScreen(console, live, has_keys=has_keys, note=note)


class PlainScreen:
    """Print each reading whole."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, reading: Reading) -> None:
        """Show one reading."""
        self._console.print(reading_table(reading, self._console.width))

    def pause(self, pause_seconds: float) -> bool:
        """Wait; return whether the user wants to go."""
        time.sleep(pause_seconds)
        return False


class _LiveScreen(PlainScreen):
    def __init__(self, console: Console, live: Live, *, has_keys: bool, note: str) -> None:
        super().__init__(console)
        self._live = live
        self._has_keys = has_keys
        self._note = note

    def show(self, reading: Reading) -> None:
        width, height = self._console.size
        if not self._note:
            self._live.update(reading_table(reading, width, height), refresh=True)
            return
        note = Text(self._note, style="dim", no_wrap=True, overflow="ellipsis")
        table = reading_table(reading, width, height - 2)
        self._live.update(Group(table, Text(), note), refresh=True)

    def pause(self, pause_seconds: float) -> bool:
        end = time.monotonic() + pause_seconds
        if not self._has_keys:
            return super().pause(pause_seconds)
        while (left_seconds := end - time.monotonic()) > 0:
            readable, _, _ = select.select([sys.stdin], [], [], left_seconds)
            if readable and _wants_to_go(os.read(sys.stdin.fileno(), 64)):
                return True
        return False


def _wants_to_go(keys: bytes) -> bool:
    return not keys or b"q" in keys.lower()


@contextlib.contextmanager
def _keys() -> Generator[bool]:
    """Give keys as they are pressed, unechoed; yield whether there is a keyboard."""
    if not sys.stdin.isatty():
        yield False
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield True
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
