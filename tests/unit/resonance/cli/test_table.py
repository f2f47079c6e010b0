# SPDX-License-Identifier: MIT
from __future__ import annotations

import io
import math

import pytest
from rich.console import Console

from fakes.hint_daemon import latency, state
from fakes.rhythm import RHYTHM
from resonance.cli.readings import HISTORY, Reading, Tracker
from resonance.cli.table import reading_table, sparkline
from resonance_api.hints.v1.hints_pb2 import CgroupState, Rhythm


def _reading(cgroups: int, rhythm: Rhythm | None = None) -> Reading:
    tracker = Tracker()
    readings = [
        tracker.add(
            state(
                *(
                    CgroupState(
                        slot=slot,
                        cgroup=f"/kubepods.slice/pod-{slot}/[bold]größe",
                        pressure=(slot + second) % 10 / 10,
                        runqueue=latency({1_024: 1_000_000 * second}, p99_seconds=0.9999e-3),
                    )
                    for slot in range(cgroups)
                ),
                at_seconds=second,
                **({"rhythm": rhythm} if rhythm else {}),
            )
        )
        for second in range(5)
    ]
    return readings[-1]


def _drawn(
    columns: int, lines: int | None, cgroups: int = 64, rhythm: Rhythm | None = None
) -> list[str]:
    output = io.StringIO()
    console = Console(file=output, width=columns, highlight=False)
    console.print(reading_table(_reading(cgroups, rhythm), columns, lines))
    return output.getvalue().splitlines()


@pytest.mark.parametrize("columns", range(30, 200, 7))
@pytest.mark.parametrize("lines", [None, 20, 24])
def test_it_fits_any_terminal(columns: int, lines: int | None) -> None:
    drawn = _drawn(columns, lines)
    assert max(map(len, drawn)) <= columns
    assert lines is None or len(drawn) <= lines
    assert not any("…" in line[-30:] for line in drawn[1:] if columns >= 60)


@pytest.mark.parametrize("columns", range(30, 200, 17))
@pytest.mark.parametrize("lines", [None, 10, 20, 24])
def test_with_a_rhythm_it_fits_any_terminal_too(columns: int, lines: int | None) -> None:
    drawn = _drawn(columns, lines, rhythm=RHYTHM)
    assert max(map(len, drawn)) <= columns
    assert drawn[1].startswith("rhythm   every 100ms")
    assert lines is None or len(drawn) <= lines
    assert any(line.startswith("cgroup") for line in drawn)


def test_what_does_not_fit_is_counted() -> None:
    drawn = _drawn(80, 24)
    rows = sum("/[bold]" in line or "größe" in line for line in drawn)
    assert drawn[-1].strip() == f"and {64 - rows} more"


def test_a_path_is_text_and_not_markup() -> None:
    assert any("[bold]" in line for line in _drawn(120, None))


def test_narrow_terminals_keep_pressure_and_the_run_queue() -> None:
    head = " ".join(_drawn(40, None)[1:3])
    assert "pressure" in head
    assert "run-q" in head
    assert "srtt" not in head


def test_an_idle_daemon_has_a_table_without_rows() -> None:
    assert len(_drawn(80, 24, cgroups=0)) == 3


def test_sparkline_shows_the_newest_on_the_right() -> None:
    assert sparkline((0.0, 1.0), HISTORY).endswith(" ▁█")
    assert len(sparkline((0.0, 1.0), HISTORY)) == HISTORY


def test_readings_that_share_a_column_show_their_worst() -> None:
    calm = [0.0] * HISTORY
    calm[17] = 1.0
    assert sparkline(tuple(calm), 6).count("█") == 1


def test_unknown_readings_are_gaps() -> None:
    assert sparkline((1.0, math.nan, 1.0), HISTORY).endswith("█ █")


def test_one_column_still_draws() -> None:
    assert sparkline((0.0, 0.5), 1) == "▅"
