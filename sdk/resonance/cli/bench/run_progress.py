# SPDX-License-Identifier: MIT
"""How far is it? A bar in a terminal, otherwise a line per second; both on the error stream."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from resonance.bench.load import Progress
from resonance.cli.bench.run_rounds import View
from resonance.cli.units import duration_text

__all__ = ["open_view"]

_STOPS = "Ctrl-C stops"
_SPARE_COLUMNS = 3
"""For the ^C of the terminal itself: in the next line it would keep the bar from going away."""
_LEAST_COLUMNS = 20


@contextmanager
def open_view(*, is_quiet: bool) -> Generator[View]:
    """Open what fits the error stream."""
    if is_quiet or sys.stderr is None:
        yield Silence()
    elif sys.stderr.isatty() and importlib.util.find_spec("rich") is not None:
        with Bar() as bar:
            yield bar
    else:
        yield Lines()


class Silence:
    """Shows nothing."""

    def begin(self, title: str) -> None:
        """Say nothing."""

    def show(self, progress: Progress) -> None:
        """Say nothing."""


class Lines:
    """A line per second, for a log."""

    def __init__(self) -> None:
        self._title = ""
        self._next_seconds = 1.0

    def begin(self, title: str) -> None:
        """Start counting anew."""
        self._title = f"{title}: " if title else ""
        self._next_seconds = 1.0

    def show(self, progress: Progress) -> None:
        """Write a line, if a second has gone by."""
        if progress.elapsed_seconds < self._next_seconds:
            return
        self._next_seconds = float(int(progress.elapsed_seconds) + 1)
        print(
            f"{self._title}{progress.elapsed_seconds:.0f}/{progress.whole_seconds:g} s, "
            f"{progress.sent:,} sent, {progress.answered:,} answered, {progress.failed:,} failed",
            file=sys.stderr,
            flush=True,
        )


class Bar:
    """A bar that goes away when it is done.

    It draws when it is told to and has no thread, because the process is copied while it is
    shown.
    """

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn
        from rich.progress import Progress as Bars

        width = shutil.get_terminal_size().columns
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn("{task.fields[state]}"),
            console=Console(stderr=True, width=max(_LEAST_COLUMNS, width - _SPARE_COLUMNS)),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            expand=True,
        )
        self._task = self._bars.add_task("", total=1.0, state=_STOPS)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def begin(self, title: str) -> None:
        """Start from the left."""
        self._bars.update(self._task, description=title, completed=0.0, state=_STOPS)
        self._bars.refresh()

    def show(self, progress: Progress) -> None:
        """Draw how far it is, and the p99 of the last moment."""
        state = [f"{progress.sent:,} sent"]
        if progress.failed:
            state.append(f"{progress.failed:,} failed")
        if progress.p99_seconds is not None:
            state.append(f"p99 {duration_text(progress.p99_seconds)}")
        self._bars.update(
            self._task,
            total=progress.whole_seconds,
            completed=min(progress.elapsed_seconds, progress.whole_seconds),
            state=", ".join(state),
        )
        self._bars.refresh()
