# SPDX-License-Identifier: MIT
"""The pictures in a terminal: shades for the spectrogram, letters on a ring for the phases.

With colours a cell holds two halves; without, four shades of grey say the same more coarsely.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from resonance.cli.spectrum.findings import beat_findings, placement_title, wheel_findings
from resonance.cli.spectrum.spectrogram import Spectrogram, banded
from resonance.cli.spectrum.view import View
from resonance.cli.spectrum.wheel import Hand, Wheel
from resonance.cli.units import duration_text, moment_text, path_text

__all__ = ["print_view"]

_SHADES = " ░▒▓█"
LEVELS_DECIBELS = (9.0, 14.0, 19.0, 24.0)
"""*Chosen*: noise exceeds 9 dB above its median in one cell of 200, and rhythms reach 30."""
_COLOURS = ("", "#3b528b", "#21918c", "#5ec962", "#fde725")
"""Four steps of a map that also reads without colour vision, dark to light."""
_LABEL_COLUMNS = 8
_MOST_COLUMNS = 120
_LEAST_ROWS, _MOST_ROWS = 6, 16
_FRAME_LINES = 5
"""Title, axis and scale of the spectrogram, an empty line, and the prompt."""
_LEGEND_COLUMNS = 26
_LEAST_COLUMNS = 32
"""In a narrower terminal the words have to do."""
_WORK_FROM_COLUMNS = 36
"""In a narrower legend the work gives way to the names."""
_MOST_NAME_COLUMNS = 36
_SHARED = "②③④⑤⑥⑦⑧⑨"


def print_view(view: View, console: Console) -> None:
    """Print all that fits the terminal's width, and as much of its height as is left."""
    width = min(console.width, _MOST_COLUMNS)
    heard = [*_wrapped(beat_findings(view), width)]
    seen = [*_seen(view, width, _wheel_rows(console.height))]
    rows = console.height - len(heard) - len(seen) - _FRAME_LINES
    has_colour = console.color_system is not None
    title = "Waits for a CPU, by frequency"
    if view.duration_seconds:
        title = f"{title}: {view.whose}, last {duration_text(view.duration_seconds)}"
    lines = [Text(title, style="bold")]
    if view.picture and width >= _LEAST_COLUMNS:
        rows = min(max(rows, _LEAST_ROWS), _MOST_ROWS)
        lines += _spectrogram(view, view.picture, width, rows, has_colour=has_colour)
    for line in [*lines, *heard, Text(), *seen]:
        line.truncate(width, overflow="ellipsis")
        console.print(line, no_wrap=True)


def _wheel_rows(height: int) -> int:
    """Return an odd number of rows, so that the ring has a middle."""
    return 7 if height < 30 else 9 if height < 40 else 13


def _wrapped(sentences: Iterator[str], width: int) -> Iterator[Text]:
    for sentence in sentences:
        for line in textwrap.wrap(sentence, width - 1):
            yield Text(line)


def _spectrogram(
    view: View, picture: Spectrogram, width: int, rows: int, *, has_colour: bool
) -> Iterator[Text]:
    columns = width - 2 * _LABEL_COLUMNS - 3
    parts = 2 if has_colour else 1
    _, cells = banded(picture, rows * parts, columns)
    hz, _ = banded(picture, rows, 1)
    stretch = max(columns // len(cells[0]), 1)
    labelled = set(range(0, rows, 2)) | {rows - 1}
    for row in range(rows):
        line = Text()
        rate = _rate_text(hz[row]) if row in labelled else ""
        period = duration_text(1.0 / hz[row]) if row in labelled else ""
        line.append(f"{rate:>{_LABEL_COLUMNS}}│", style="dim")
        for halves in zip(*cells[row * parts : (row + 1) * parts], strict=True):
            line.append_text(_cell(halves, stretch))
        line.append(f"│{period}", style="dim")
        yield line
    yield _axis(view.duration_seconds, stretch * len(cells[0]))
    yield _scale(width, has_colour=has_colour)


def _rate_text(hz: float) -> str:
    return f"{hz:.2g} Hz" if hz < 10 else f"{hz:.0f} Hz"


def _level(decibels: float | None) -> int | None:
    if decibels is None:
        return None
    return sum(decibels >= level for level in LEVELS_DECIBELS)


def _cell(halves: Sequence[float | None], stretch: int) -> Text:
    """Draw one cell: both halves of it in colours, or one shade."""
    levels = [_level(each) for each in halves]
    if None in levels:
        return Text("·" * stretch, style="dim")
    if len(levels) == 1:
        return Text(_SHADES[levels[0] or 0] * stretch)
    upper, lower = (_COLOURS[level or 0] for level in levels)
    if upper and lower:
        return Text("▀" * stretch, style=f"{upper} on {lower}")
    if upper or lower:
        return Text(("▀" if upper else "▄") * stretch, style=upper or lower)
    return Text(" " * stretch)


def _axis(duration_seconds: float, columns: int) -> Text:
    first = f"{duration_text(duration_seconds)} ago"
    middle = f"{duration_text(duration_seconds / 2)} ago"
    gap = max((columns - len(middle)) // 2 - len(first), 1)
    text = f"{first}{' ' * gap}{middle}"
    return Text(f"{'rate':>{_LABEL_COLUMNS}}└{text:<{columns - 3}}now┘every", style="dim")


def _scale(width: int, *, has_colour: bool) -> Text:
    text = Text(f"{'':{_LABEL_COLUMNS + 1}}", style="dim")
    for at, level in enumerate(LEVELS_DECIBELS, 1):
        text.append("█" if has_colour else _SHADES[at], style=_COLOURS[at] if has_colour else "")
        text.append(f" {level:.0f}  ", style="dim")
    full = "dB above the median: lines are rhythms"
    text.append(full if text.cell_len + len(full) <= width else full.partition(":")[0], style="dim")
    return text


def _seen(view: View, width: int, rows: int) -> Iterator[Text]:
    wheel = view.wheel
    if wheel:
        rings = list(_wheels(wheel, width, rows))
        yield Text(_wheel_title(wheel, "".join(line.plain for line in rings)), style="bold")
        yield from rings
    yield from _wrapped(wheel_findings(view), width)


def _wheel_title(wheel: Wheel, drawn: str) -> str:
    title = f"Sources on their period of {duration_text(wheel.period_seconds)}, clockwise"
    sign = next((sign for sign in reversed(_SHARED) if sign in drawn), "")
    return f"{title}; {sign} share a place" if sign else title


def _wheels(wheel: Wheel, width: int, rows: int) -> Iterator[Text]:
    turns = wheel.turns
    columns = 2 * rows - 1
    if width < len(turns) * (columns + 2) + _LEGEND_COLUMNS:
        turns = turns[-1:]
    rings = [_ring(wheel.hands, turn, rows, columns) for turn in turns]
    legend = _legend(wheel, turns, width - len(turns) * (columns + 2), rows)
    for row in range(rows):
        line = Text()
        for ring in rings:
            line.append(ring[row]).append("  ")
        line.append(legend[row] if row < len(legend) else "")
        yield line


def _ring(hands: Sequence[Hand], turn: str, rows: int, columns: int) -> list[str]:
    """Draw a ring with the sources on it; those that share a cell are counted."""
    cells: dict[tuple[int, int], list[str]] = {}
    for hand in hands:
        for place in hand.places(turn) or hand.places("now"):
            cells.setdefault(_at(place, rows, columns), []).append(hand.letter)
    drawn = [[" "] * columns for _ in range(rows)]
    for dot in range(4 * columns):
        row, column = _at(dot / (4 * columns), rows, columns)
        drawn[row][column] = "·"
    title = placement_title(turn)
    titles = title.split() if len(title) > columns - 6 else [title]
    for at, word in enumerate(titles):
        row, start = (rows - len(titles)) // 2 + at, (columns - len(word)) // 2
        drawn[row][start : start + len(word)] = word
    for (row, column), letters in cells.items():
        drawn[row][column] = letters[0] if len(letters) == 1 else _shared(len(letters))
    return ["".join(line) for line in drawn]


def _shared(count: int) -> str:
    """Return a sign for so many sources in one place: no bare digit, two of which would add up."""
    return _SHARED[min(count - 2, len(_SHARED) - 1)]


def _at(turn: float, rows: int, columns: int) -> tuple[int, int]:
    angle = math.tau * turn
    row = (rows - 1) / 2 * (1.0 - math.cos(angle))
    column = (columns - 1) / 2 * (1.0 + math.sin(angle))
    return round(row), round(column)


def _legend(wheel: Wheel, turns: Sequence[str], width: int, rows: int) -> list[str]:
    has_work = width >= _WORK_FROM_COLUMNS
    names = min(max(width - 3 - 7 * (len(turns) + has_work), 6), _MOST_NAME_COLUMNS)
    heads = ["work"] * has_work + [_SHORT[turn] for turn in turns]
    lines = [f"{'':2}{'source':{names}}" + "".join(f"{head:>7}" for head in heads)]
    for hand in wheel.hands:
        cells = [duration_text(hand.work_seconds) if hand.work_seconds else "-"] * has_work
        cells += [_moment(wheel, hand, turn) for turn in turns]
        name = path_text(hand.name, names - 1)
        lines.append(f"{hand.letter} {name:{names}}" + "".join(f"{cell:>7}" for cell in cells))
    if len(lines) > rows:
        hidden = len(lines) - rows + 1
        lines = [*lines[: rows - 1], f"  and {hidden} more"]
    return lines


_SHORT = {"natural": "own", "now": "now", "planned": "plan"}


def _moment(wheel: Wheel, hand: Hand, turn: str) -> str:
    places = hand.places(turn)
    return moment_text(places[0] * wheel.period_seconds) if places else "-"
