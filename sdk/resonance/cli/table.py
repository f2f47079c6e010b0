# SPDX-License-Identifier: MIT
"""What does one reading look like in so many columns and lines.

Columns give way as the terminal narrows: first the medians, then retransmits, last the round
trip; the sparkline and the path share what is left.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from resonance.cli.readings import HISTORY, Reading, Row
from resonance.cli.rhythm import rhythm_lines
from resonance.cli.units import count_text, duration_text, path_text

__all__ = ["reading_table", "sparkline"]

_BLOCKS = "▁▂▃▄▅▆▇█"
_PATH_COLUMNS = 16
_SPARK_COLUMNS = 8
_RHYTHM_SHARE = 0.4
"""The rhythm gets at most this part of the lines: the table is of the cgroups."""
_FRAME_LINES = 4
"""Header line, two lines of column heads, and the line the cursor rests on."""


@dataclass(frozen=True, slots=True)
class _Column:
    head: str
    columns: int
    text: Callable[[Row], str]


_COLUMNS = (
    _Column("switch\n/s", 6, lambda row: count_text(row.switches_per_second)),
    _Column("run-q\np50", 6, lambda row: duration_text(row.runqueue_p50_seconds)),
    _Column("run-q\np99", 6, lambda row: duration_text(row.runqueue_p99_seconds)),
    _Column("srtt\np50", 6, lambda row: duration_text(row.srtt_p50_seconds)),
    _Column("srtt\np99", 6, lambda row: duration_text(row.srtt_p99_seconds)),
    _Column("retr\n/s", 5, lambda row: count_text(row.retransmits_per_second)),
)
_GIVES_WAY = ("srtt\np50", "run-q\np50", "retr\n/s", "srtt\np99", "switch\n/s")
_PRESSURE_COLUMNS = len("pressure")


def reading_table(reading: Reading, columns: int, lines: int | None = None) -> RenderableType:
    """Return a reading fitted to a terminal.

    Without `lines` it is to be printed: every cgroup is shown, and no sparkline, which lives
    from moving.
    """
    is_live = lines is not None
    rhythm = _rhythm(reading, columns)
    if lines is not None:
        rhythm = rhythm[: round(lines * _RHYTHM_SHARE)]
    taken = _FRAME_LINES + len(rhythm)
    shown = reading.rows if lines is None else reading.rows[: max(1, lines - taken)]
    hidden = len(reading.rows) - len(shown)
    more = [Text(f"and {hidden} more", style="dim")] if hidden else []
    table = _table(shown, columns, is_live=is_live)
    return Group(_header(reading, columns), *rhythm, table, *more)


def _rhythm(reading: Reading, columns: int) -> list[Text]:
    if reading.rhythm is None:
        return []
    lines = [Text(line, no_wrap=True) for line in rhythm_lines(reading.rhythm, columns)]
    for line in lines:
        line.truncate(columns, overflow="ellipsis")
    return lines


def _header(reading: Reading, columns: int) -> Text:
    parts = [
        "daemon restarted" if reading.is_restarted else "resonance",
        f"age {reading.age_seconds:.2f} s",
        f"backend {reading.backend}",
        f"tier {reading.tier}",
        f"cgroups {reading.hierarchy}",
        f"tuning {reading.mode}",
    ]
    text = Text("  ".join(parts), style="bold", no_wrap=True, overflow="ellipsis")
    text.truncate(columns, overflow="ellipsis")
    return text


def _table(rows: tuple[Row, ...], columns: int, *, is_live: bool) -> Table:
    least = _SPARK_COLUMNS if is_live else 0
    shown, left = _fit(columns, _PATH_COLUMNS + least)
    longest = max(map(len, ["cgroup", *(row.cgroup for row in rows)]))
    path_columns = max(min(longest, left - least), 1)
    spark_columns = min(left - path_columns, HISTORY) if is_live else 0
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("cgroup", width=path_columns, no_wrap=True)
    table.add_column("pressure", width=_PRESSURE_COLUMNS + spark_columns, no_wrap=True)
    for column in shown:
        table.add_column(column.head, width=column.columns, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            Text(path_text(row.cgroup, path_columns)),
            _pressure(row, spark_columns),
            *(column.text(row) for column in shown),
        )
    return table


def _fit(columns: int, least: int) -> tuple[list[_Column], int]:
    """Return the columns that leave at least so much, and what they leave."""
    shown = list(_COLUMNS)
    for head in _GIVES_WAY:
        if columns - _taken(shown) >= least:
            break
        shown = [column for column in shown if column.head != head]
    return shown, max(columns - _taken(shown), least)


def _taken(shown: list[_Column]) -> int:
    return _PRESSURE_COLUMNS + 1 + sum(1 + column.columns for column in shown)


def _pressure(row: Row, spark_columns: int) -> Text:
    style = "" if row.pressure is None else _style(row.pressure)
    told = "-" if row.pressure is None else f"{row.pressure:.2f}"
    spark = sparkline(row.history, spark_columns) if spark_columns else ""
    return Text(f"{told:<{_PRESSURE_COLUMNS}}{spark}", style=style)


def _style(pressure: float) -> str:
    if pressure >= 0.5:
        return "red"
    return "yellow" if pressure >= 0.2 else ""


def sparkline(history: tuple[float, ...], columns: int) -> str:
    """Draw the newest readings on the right, the worst of as many as share a column.

    >>> sparkline((0.0, 0.5, math.nan, 1.0), 60)[-4:]
    '▁▅ █'
    """
    share = -(-HISTORY // columns)
    newest_first = history[::-1]
    groups = [newest_first[at : at + share] for at in range(0, len(history), share)]
    return "".join(map(_block, reversed(groups[:columns]))).rjust(columns)


def _block(pressures: tuple[float, ...]) -> str:
    known = [pressure for pressure in pressures if not math.isnan(pressure)]
    if not known:
        return " "
    return _BLOCKS[min(int(max(known) * len(_BLOCKS)), len(_BLOCKS) - 1)]
