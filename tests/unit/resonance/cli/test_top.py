# SPDX-License-Identifier: MIT
from __future__ import annotations

import json
import math
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from fakes.hint_daemon import HintDaemon, latency, serve, state
from resonance.cli.readings import HISTORY, Reading, Tracker
from resonance_api.hints.v1.hints_pb2 import CgroupState, GetRequest, GetResponse, State

from .conftest import Command, Serve

ONCE = ("top", "--once", "--interval", "0.01")


def _cgroup(
    cgroup: str,
    slot: int,
    pressure: float | None,
    switches: int = 0,
    retransmits: int = 0,
    *,
    generation: int = 1,
) -> CgroupState:
    return CgroupState(
        slot=slot,
        slot_generation=generation,
        cgroup=cgroup,
        pressure=pressure,
        runqueue=latency({1_024: switches}, p50_seconds=1.024e-6, p99_seconds=pressure),
        srtt=latency({}) if pressure is None else latency({}, p50_seconds=2e-5, p99_seconds=3e-3),
        retransmits=retransmits,
    )


def _state(at_seconds: float, **changes: object) -> State:
    events = round(at_seconds * 100)
    return state(
        _cgroup("other", 0, 0.0, events),
        _cgroup("/system.slice/web.service", 1, 0.25, events * 20, events),
        _cgroup("/system.slice/a-name-that-is-far-too-long.service", 2, 0.75, events * 3),
        _cgroup("/idle", 3, None),
        at_seconds=at_seconds,
        **changes,
    )


def _rows(reading: Reading) -> list[str]:
    return [row.cgroup for row in reading.rows]


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_once(
    columns: int, command: Command, serve_states: Serve, golden: Callable[[str, str], None]
) -> None:
    serve_states(_state(0), _state(2))
    code, output, error = command(*ONCE, columns=columns)
    assert (code, error) == (0, "")
    assert max(map(len, output.splitlines())) <= columns
    golden(f"cli/top-{columns}.txt", output)


def test_json_is_a_line_per_reading(command: Command, serve_states: Serve) -> None:
    serve_states(_state(0), _state(2))
    code, output, _ = command("top", "--for", "0.05", "--interval", "0.01", "--output", "json")
    first, second, *_ = map(json.loads, output.splitlines())
    assert code == 0
    assert first["cgroups"][1]["switches_per_second"] is None
    assert second["cgroups"][1] == {
        "cgroup": "/system.slice/web.service",
        "pressure": 0.25,
        "switches_per_second": 2_000.0,
        "runqueue_p50_seconds": 1.024e-6,
        "runqueue_p99_seconds": 0.25,
        "srtt_p50_seconds": 2e-5,
        "srtt_p99_seconds": 3e-3,
        "retransmits_per_second": 100.0,
    }
    assert (second["tier"], second["is_restarted"]) == ("core", False)


def test_unknown_pressure_comes_last_and_is_not_zero() -> None:
    reading = Tracker().add(_state(0))
    assert _rows(reading)[-2:] == ["other", "/idle"]
    assert reading.rows[-1].pressure is None


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ("pressure", "/system.slice/a-name-that-is-far-too-long.service"),
        ("switches", "/system.slice/web.service"),
        ("retransmits", "/system.slice/web.service"),
        ("cgroup", "/idle"),
    ],
)
def test_sorts(sort: str, first: str) -> None:
    tracker = Tracker(sort)
    tracker.add(_state(0))
    assert _rows(tracker.add(_state(2)))[0] == first


def test_a_restarted_daemon_is_told_and_makes_no_negative_rates() -> None:
    tracker = Tracker()
    tracker.add(_state(5))
    reading = tracker.add(_state(1, instance=2))
    assert reading.is_restarted
    assert {row.switches_per_second for row in reading.rows} == {None}
    assert {len(row.history) for row in reading.rows} == {1}
    assert not tracker.add(_state(2, instance=2)).is_restarted


def test_a_new_owner_of_a_slot_has_no_past() -> None:
    tracker = Tracker()
    tracker.add(state(_cgroup("/old", 1, 0.5, 900)))
    (row,) = tracker.add(state(_cgroup("/new", 1, 0.1, 3, generation=2), at_seconds=1)).rows
    assert row.switches_per_second is None
    assert row.history == (0.1,)


def test_history_is_bounded_and_forgets_cgroups_that_left() -> None:
    tracker = Tracker()
    for second in range(HISTORY + 9):
        reading = tracker.add(state(_cgroup("/web", 1, second / 100), at_seconds=second))
    assert len(reading.rows[0].history) == HISTORY
    assert reading.rows[0].history[-1] == (HISTORY + 8) / 100
    assert tracker.add(state(at_seconds=99)).rows == ()


def test_a_state_read_twice_makes_no_rate() -> None:
    tracker = Tracker()
    tracker.add(_state(1))
    assert {row.switches_per_second for row in tracker.add(_state(1)).rows} == {None}


def _switches(reading: Reading) -> float | None:
    return reading.rows[0].switches_per_second


def test_an_answer_between_two_counts_keeps_the_rate() -> None:
    tracker = Tracker()
    tracker.add(state(_cgroup("/web", 1, 0.5, 100), at_seconds=0))
    assert _switches(tracker.add(state(_cgroup("/web", 1, 0.5, 300), at_seconds=1))) == 200
    assert _switches(tracker.add(state(_cgroup("/web", 1, 0.5, 300), at_seconds=2))) == 200
    assert _switches(tracker.add(state(_cgroup("/web", 1, 0.5, 500), at_seconds=3))) == 100


def test_a_node_that_stands_still_is_told_so() -> None:
    tracker = Tracker()
    tracker.add(state(_cgroup("/web", 1, 0.5, 100), at_seconds=0))
    tracker.add(state(_cgroup("/web", 1, 0.5, 300), at_seconds=1))
    assert _switches(tracker.add(state(_cgroup("/web", 1, 0.5, 300), at_seconds=4))) == 0


class _Leaving(HintDaemon):
    def Get(self, request: GetRequest, context: grpc.ServicerContext) -> GetResponse:  # noqa: N802
        if self.requests:
            context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        return super().Get(request, context)


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_daemon_that_goes_away_meanwhile_is_one_clear_line(
    output: str, command: Command, socket: Path
) -> None:
    with serve(socket, _Leaving([_state(0)])):
        code, _, error = command("top", "--interval", "0.01", "--output", output)
    assert code == 1
    assert error == f"resonance: {socket}: the daemon has gone; start `resonanced run` again\n"


def test_ctrl_c_is_the_ordinary_end(
    command: Command, serve_states: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    serve_states(_state(0))
    monkeypatch.setattr("resonance.cli.top.time.sleep", interrupt)
    code, _, error = command("top", "--output", "json")
    assert (code, error) == (0, "")


def test_without_rich_the_line_says_what_to_install(
    command: Command, serve_states: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_states(_state(0))
    for name in [name for name in sys.modules if name.partition(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("screen", "table"):
        monkeypatch.delitem(sys.modules, f"resonance.cli.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "rich", None)
    code, output, error = command("top", "--once")
    assert (code, output) == (1, "")
    assert error == (
        "resonance: the table needs rich: pip install 'resonance-runtime[cli]',"
        " or say --output json\n"
    )
    assert command(*ONCE, "--output", "json")[0] == 0


def test_a_reader_that_leaves_ends_it_quietly(serve_states: Serve, socket: Path) -> None:
    serve_states(_state(0))
    ours = f"{sys.executable} -c 'import sys; from resonance.cli import main; sys.exit(main())'"
    top = f"{ours} top --interval 0.01 --output json --socket {socket}"
    piped = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {top} | head -n 1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (piped.returncode, piped.stderr) == (141, "")
    assert math.isclose(json.loads(piped.stdout)["age_seconds"], 0.05)


def test_q_leaves_the_live_table_and_gives_the_terminal_back(
    serve_states: Serve, socket: Path
) -> None:
    serve_states(_state(0), _state(2))
    ours, theirs = pty.openpty()
    program = "import sys; from resonance.cli import main; sys.exit(main())"
    with subprocess.Popen(
        [sys.executable, "-c", program, "top", "--interval", "0.05", "--socket", str(socket)],
        stdin=theirs, stdout=theirs, stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"},
    ) as process:  # fmt: skip
        os.close(theirs)
        seen = _read_until(ours, b"web.service")
        os.write(ours, b"xq")
        rest = _read_until(ours, b"\x1b[?1049l")
        assert process.wait(timeout=20) == 0
    os.close(ours)
    assert b"\x1b[?1049h" in seen
    assert b"\x1b[?25h" in rest


def _read_until(descriptor: int, wanted: bytes) -> bytes:
    seen, end = b"", time.monotonic() + 20
    while wanted not in seen and time.monotonic() < end:
        if select.select([descriptor], [], [], 0.1)[0]:
            seen += os.read(descriptor, 65_536)
    assert wanted in seen
    return seen
