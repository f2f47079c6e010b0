# SPDX-License-Identifier: MIT
from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable

import pytest

from fakes.hint_daemon import latency, state
from fakes.rhythm import RHYTHM
from resonance.cli.rhythm import Neighbour, Rhythm, rhythm_from_wire, rhythm_lines
from resonance_api.hints.v1 import hints_pb2
from resonance_api.hints.v1.hints_pb2 import CgroupState

from .conftest import Command, Serve


def _rhythm(**changes: object) -> Rhythm:
    rhythm = rhythm_from_wire(state(rhythm=RHYTHM))
    assert rhythm is not None
    return dataclasses.replace(rhythm, **changes)  # type: ignore[arg-type]


def test_what_the_wire_says_is_kept() -> None:
    rhythm = _rhythm()
    assert (rhythm.mode, rhythm.order_parameter, rhythm.coupling) == ("shadow", 0.97, 0.4)
    assert rhythm.neighbours[0].cgroup == "/flush.slice"
    assert rhythm.neighbours[0].is_named


def test_the_peak_counts_from_the_reading() -> None:
    assert _rhythm().predicted_peak_seconds == pytest.approx(0.042)


def test_what_is_absent_or_nan_is_not_known() -> None:
    rhythm = rhythm_from_wire(state(rhythm=hints_pb2.Rhythm(coupling=math.nan)))
    assert rhythm is not None
    assert (rhythm.coupling, rhythm.order_parameter, rhythm.predicted_peak_seconds) == (None,) * 3


def test_a_state_without_rhythm_has_none() -> None:
    assert rhythm_from_wire(state()) is None


@pytest.mark.parametrize("columns", [50, 60, 80, 200])
def test_lines_keep_their_width_and_every_part(columns: int) -> None:
    lines = list(rhythm_lines(_rhythm(), columns))
    assert max(map(len, lines)) <= columns
    told = " ".join(lines)
    for part in (
        "every 100ms",
        "46% less random",
        "noisy neighbour /flush.slice 0.93",
        "8, 8 may move, 0 held",
        "R 0.97",
        "at 10 deg",
        "K 0.40",
        "shadow",
        "29.6ms per CPU",
        "plan 3.70ms",
        "p99 of others x0.12",
        "peak in 42.0ms",
        "bound 104ms, exceeded 3 of 1.20k",
    ):
        assert part in told


def test_without_sources_only_the_queue_is_told() -> None:
    assert list(rhythm_lines(_rhythm(sources=0, neighbours=()), 80)) == [
        "rhythm   every 100ms  46% less random than noise"
    ]


def test_a_coherence_that_chance_leaves_is_not_told() -> None:
    faint = Neighbour("/faint", 0.03, 0.1, 0.0, is_named=False)
    assert "faint" not in " ".join(rhythm_lines(_rhythm(neighbours=(faint,)), 80))
    named = dataclasses.replace(faint, is_named=True)
    assert "/faint 0.03" in " ".join(rhythm_lines(_rhythm(neighbours=(named,)), 80))


def test_nothing_known_is_said_so() -> None:
    nothing = _rhythm(sources=0, neighbours=(), dominant_period_seconds=None, entropy_excess=None)
    assert list(rhythm_lines(nothing, 80)) == ["rhythm   none known"]


def test_the_guard_is_told_beside_the_mode() -> None:
    lines = rhythm_lines(_rhythm(mode="active", guard_state="lockout", reason="harm"), 120)
    assert "active, lockout  (harm)" in " ".join(lines)


def _states() -> hints_pb2.State:
    web = CgroupState(slot=1, cgroup="/web", pressure=0.25, runqueue=latency({}))
    return state(web, rhythm=RHYTHM)


def test_top_shows_it_above_the_table(
    command: Command, serve_states: Serve, golden: Callable[[str, str], None]
) -> None:
    serve_states(_states())
    code, output, _ = command("top", "--once", "--interval", "0.01")
    assert code == 0
    golden("cli/top-rhythm.txt", output)


def test_top_as_json_has_it_as_fields(command: Command, serve_states: Serve) -> None:
    endless = hints_pb2.Rhythm(sources=1, delay_bound_seconds=math.inf)
    serve_states(state(rhythm=endless))
    output = command("top", "--for", "0.01", "--interval", "0.01", "--output", "json")[1]
    rhythm = json.loads(output.splitlines()[0])["rhythm"]
    assert rhythm["delay_bound_seconds"] == "inf"
    assert rhythm["order_parameter"] is None
    assert "Infinity" not in output
