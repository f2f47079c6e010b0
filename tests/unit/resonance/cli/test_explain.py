# SPDX-License-Identifier: MIT
from __future__ import annotations

import json
import math
from collections.abc import Callable

from fakes.rhythm import RhythmDaemon
from resonance_api.phase.v1.phase_pb2 import Explanation

from .conftest import Command, ServePhase

NODE = ("Phase control is in mode shadow, so nothing is moved.",)


def _explanation(source: str, **numbers: float) -> Explanation:
    return Explanation(
        source=source,
        pid=4711,
        sentences=[
            f"{source} runs every 100ms and may be moved; its releases are 0.3ms off its lattice.",
            "Seven other sources run within 16ms of it.",
        ],
        numbers={
            "period_seconds": 0.1,
            "phase_rad": 0.125,
            "predicted_ratio": 0.12,
            "releases": 128.0,
            "offset_seconds": 0.0,
            "drift_seconds": -2e-6,
            "delay_bound_seconds": math.inf,
            "target_phase_rad": math.nan,
        }
        | numbers,
    )


def _daemon(*sources: str, left_out: int = 0) -> RhythmDaemon:
    return RhythmDaemon(None, [_explanation(each) for each in sources], NODE, left_out)


def test_a_single_source_comes_with_its_numbers(
    command: Command, serve_phase: ServePhase, golden: Callable[[str, str], None]
) -> None:
    serve_phase(_daemon("flush", "scrape"))
    code, output, error = command("explain", "flush")
    assert (code, error) == (0, "")
    assert max(map(len, output.splitlines())) <= 80
    golden("cli/explain-source.txt", output)


def test_several_sources_come_with_theirs_only_when_asked(
    command: Command, serve_phase: ServePhase
) -> None:
    serve_phase(_daemon("flush-1", "flush-2", "scrape"))
    _, output, _ = command("explain", "flush-*")
    assert "flush-2" in output
    assert "scrape" not in output
    assert "128\n" not in output
    assert output.endswith("--numbers shows what is behind the sentences.\n")
    assert command("explain", "flush-*", "--numbers")[1].count(" 128\n") == 2


def test_what_is_said_of_each_is_said_once_and_sources_come_by_name(
    command: Command, serve_phase: ServePhase
) -> None:
    serve_phase(_daemon("flush-2", "flush-1"))
    _, output, _ = command("explain")
    assert output.index("flush-1  process") < output.index("flush-2  process")
    assert output.count("Seven other sources") == 1
    assert "all 2 of them\n  Seven other sources run within 16ms of it.\n" in output


def test_sources_of_another_group_are_told_apart(command: Command, serve_phase: ServePhase) -> None:
    slow = _explanation("slow", group_period_seconds=60.0)
    serve_phase(RhythmDaemon(None, [_explanation("flush"), slow], NODE, 0))
    output = command("explain")[1]
    assert output.count("Seven other sources") == 2
    assert "of them" not in output


def test_json_has_all_of_it_and_no_number_json_has_not(
    command: Command, serve_phase: ServePhase
) -> None:
    serve_phase(_daemon("flush", left_out=3))
    answer = json.loads(command("explain", "--output", "json")[1])
    assert answer["left_out"] == 3
    assert answer["node"] == list(NODE)
    numbers = answer["sources"][0]["numbers"]
    assert numbers["period_seconds"] == 0.1
    assert numbers["delay_bound_seconds"] == "inf"
    assert numbers["target_phase_rad"] is None


def test_a_name_nobody_has_is_exit_3(command: Command, serve_phase: ServePhase) -> None:
    serve_phase(_daemon("flush"))
    code, output, _ = command("explain", "flsh")
    assert code == 3
    assert output.startswith("no source is called flsh; `resonance explain` lists all\n")
    assert NODE[0] in output


def test_a_node_without_sources_is_explained_too(command: Command, serve_phase: ServePhase) -> None:
    serve_phase(_daemon())
    code, output, _ = command("explain")
    assert code == 0
    assert "resonance.every(...)" in output


def test_what_is_left_out_is_counted(command: Command, serve_phase: ServePhase) -> None:
    serve_phase(_daemon("flush", left_out=9_936))
    assert "and 9936 more; say a narrower name to see them\n" in command("explain")[1]


def test_a_source_cannot_steer_the_terminal(command: Command, serve_phase: ServePhase) -> None:
    serve_phase(_daemon("\33[2Jflush"))
    assert "\33" not in command("explain")[1]
    assert "\33" not in command("explain", "\33[2Jnone")[1]


def test_a_daemon_without_phase_control_is_one_clear_line(
    command: Command, serve_phase: ServePhase
) -> None:
    from resonance_api.phase.v1.phase_pb2_grpc import PhaseServicer

    serve_phase(PhaseServicer())
    code, output, error = command("explain")
    assert (code, output) == (1, "")
    assert error.endswith(": the daemon speaks another version; update the older of the two\n")
