# SPDX-License-Identifier: MIT
from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from fakes.bench_foreign import STARTED_AT, dropped, request_points
from resonance.bench.errors import PlanError, ResultFormatError
from resonance.bench.foreign import read_k6
from resonance.bench.foreign.marks import mark_of
from resonance.bench.plan import Load, Request, Stage, Target

Write = Callable[[Sequence[str]], Path]

URL = "http://127.0.0.1:8080/"
METRIC = (
    '{"type":"Metric","data":{"name":"http_req_duration","type":"trend","contains":"time",'
    '"thresholds":[],"submetrics":null},"metric":"http_req_duration"}'
)


def _point(metric: str, data: str) -> str:
    return f'{{"type":"Point","metric":"{metric}","data":{data}}}'


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(lines: Sequence[str]) -> Path:
        path = tmp_path / "points.json"
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    return write


def load(seconds: float = 2.0, warm_up: float = 0.0, names: Sequence[str] = ("all",)) -> Load:
    return Load(
        Target("http", "127.0.0.1", 8080),
        (Stage(seconds, 10.0),),
        "constant",
        tuple(Request(name) for name in names),
        warm_up_seconds=warm_up,
    )


def points(count: int = 20, mark: str = "") -> list[str]:
    """Return requests due every tenth of a second, that took as many milliseconds."""
    lines = [METRIC]
    for number in range(count):
        lines += request_points(number / 10, 1.0 + number, mark=mark)
    return lines


def test_points_of_an_exported_script_are_a_run(write: Write) -> None:
    run = read_k6(write(points(mark=mark_of(load()))))
    (slot,) = run.slots
    assert (run.tool, run.arrival, run.machine, run.name) == ("k6", "constant", None, "points")
    assert (run.target, run.rate_per_second) == (URL, 10.0)
    assert run.asked["requests"] == ["all"]
    assert slot.started_at == STARTED_AT.timestamp()
    assert (slot.seconds, slot.planned, slot.sent, slot.answered) == (2.0, 20, 20, 20)
    assert (slot.failed, slot.doubts, slot.parts) == ({}, [], {})
    assert slot.quantile(0.5) == pytest.approx(0.010, rel=1e-3)
    assert slot.quantile(1.0) == pytest.approx(0.020, rel=1e-3)
    assert slot.histogram("lateness").count == 0
    assert [(each.planned, each.answered) for each in slot.timeline] == [(10, 10), (10, 10)]


def test_waiting_for_a_connection_is_of_the_response_and_not_of_the_service(write: Write) -> None:
    lines = request_points(0.0, 5.0, blocked_ms=20.0) + request_points(0.1, 5.0)
    (slot,) = read_k6(write(lines), target=URL).slots
    assert slot.quantile(1.0) == pytest.approx(0.025, rel=1e-3)
    assert slot.quantile(0.5) == pytest.approx(0.005, rel=1e-3)
    assert slot.histogram("service").quantile(1.0) == pytest.approx(0.005, rel=1e-3)


def test_the_warm_up_of_the_script_is_left_out(write: Write) -> None:
    (slot,) = read_k6(write(points(mark=mark_of(load(warm_up=1.0))))).slots
    assert (slot.seconds, slot.planned) == (1.0, 10)
    assert slot.quantile(0.0) == pytest.approx(0.011, rel=1e-3)
    assert sum(each.planned for each in slot.timeline) == 20


def test_dropped_iterations_were_due_and_not_sent(write: Write) -> None:
    lines = [*points(15), dropped(1.5, 3), dropped(1.9, 2)]
    run = read_k6(write(lines), target=URL)
    (slot,) = run.slots
    assert run.arrival == "constant"  # only at a rate is anything dropped
    assert (slot.planned, slot.sent, slot.failed) == (20, 15, {"none": 5})
    assert slot.doubts == ["75.0% of the calls were sent in time, at least 99% must be"]


def test_calls_of_which_there_is_no_word_were_due_all_the_same(write: Write) -> None:
    (slot,) = read_k6(write(points(12, mark=mark_of(load())))).slots
    assert (slot.planned, slot.sent, slot.failed) == (20, 12, {"none": 8})
    assert slot.doubts


def test_one_call_more_or_less_is_k6_counting(write: Write) -> None:
    for count in (19, 20, 21):
        (slot,) = read_k6(write(points(count, mark=mark_of(load())))).slots
        assert (slot.planned, slot.sent, slot.doubts) == (count, count, [])


def test_without_a_word_on_the_rate_calls_waited_for_each_other(write: Write) -> None:
    run = read_k6(write(points()), target=URL, name="theirs")
    assert (run.arrival, run.name) == ("closed", "theirs")
    assert run.rate_per_second == pytest.approx(10.0)
    assert run.slots[0].seconds == pytest.approx(2.0)


def test_the_rate_may_be_said(write: Write) -> None:
    run = read_k6(write(points()), target=URL, rate_per_second=20.0)
    assert (run.arrival, run.rate_per_second) == ("constant", 20.0)
    assert run.slots[0].achieved_ratio == pytest.approx(0.5, abs=0.02)
    with pytest.raises(PlanError, match=r"^rate: must be above 0"):
        read_k6(write(points()), target=URL, rate_per_second=0.0)


def test_the_target_must_be_known(write: Write) -> None:
    with pytest.raises(PlanError, match=r"^target: .*say --target URL"):
        read_k6(write(points()))


def test_requests_of_a_mix_are_told_apart(write: Write) -> None:
    mark = mark_of(load(names=("read", "write")))
    lines: list[str] = []
    for number in range(20):
        name = "write" if number % 4 == 0 else "read"
        lines += request_points(number / 10, 2.0, name=name, mark=mark)
    (slot,) = read_k6(write(lines)).slots
    assert {name: part.planned for name, part in slot.parts.items()} == {"read": 15, "write": 5}


@pytest.mark.parametrize(
    ("status", "error_code", "failed"),
    [
        ("404", "1404", "status"),
        ("500", "1500", "status"),
        ("0", "1050", "timeout"),
        ("0", "1211", "timeout"),
        ("0", "1212", "refused"),
        ("0", "1101", "refused"),
        ("0", "1310", "refused"),
        ("0", "1220", "reset"),
        ("0", "1000", "reset"),
        ("0", "1631", "garbage"),
        ("", "1701", "garbage"),
        ("0", "", "reset"),
    ],
)
def test_failures_are_told_apart(write: Write, status: str, error_code: str, failed: str) -> None:
    lines = [*points(), *request_points(2.0, 1.0, status=status, error_code=error_code)]
    (slot,) = read_k6(write(lines), target=URL).slots
    assert (slot.answered, slot.failed) == (20, {failed: 1})


@pytest.mark.parametrize("status", ["200", "204", "301", ""])
def test_what_is_no_error_is_an_answer(write: Write, status: str) -> None:
    (slot,) = read_k6(write(request_points(0.0, 1.0, status=status)), target=URL).slots
    assert slot.answered == 1


def test_compressed_points_are_read(write: Write, tmp_path: Path) -> None:
    plain = write(points(mark=mark_of(load())))
    packed = tmp_path / "points.json.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert read_k6(packed).slots == read_k6(plain).slots
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(ResultFormatError, match=r"line \d+: what is compressed was cut off"):
        read_k6(packed)


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "[]",
        '{"type":"Point"}',
        _point("http_req_duration", '{"value":1}'),
        _point("http_req_duration", '{"time":"yesterday","value":1}'),
        _point("http_req_duration", '{"time":"2025-01-01T00:00:00","value":1}'),
        _point("http_req_duration", '{"time":"2025-01-01T00:00:00Z","value":"1"}'),
        _point("http_req_duration", '{"time":"2025-01-01T00:00:00Z","value":-1}'),
        _point("http_req_blocked", '{"time":"2025-01-01T00:00:00Z","value":1e300}'),
    ],
)
def test_a_damaged_line_is_told(write: Write, line: str) -> None:
    lines = points()
    with pytest.raises(ResultFormatError, match=rf"points\.json: line {len(lines) + 1}: "):
        read_k6(write([*lines, line]), target=URL)


def test_a_line_that_was_cut_off_is_told(write: Write) -> None:
    path = write(points())
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ResultFormatError, match=r"line 101: it was cut off in the middle"):
        read_k6(path, target=URL)


@pytest.mark.parametrize("indent", [None, 2])
def test_the_summary_is_refused_with_the_right_command(write: Write, indent: int | None) -> None:
    summary = {"root_group": {}, "metrics": {"http_req_duration": {"p(99)": 12.0}}}
    with pytest.raises(ResultFormatError, match=r"this is k6's summary.*--out json="):
        read_k6(write([json.dumps(summary, indent=indent)]))


def test_csv_is_refused_with_the_right_command(write: Write) -> None:
    with pytest.raises(ResultFormatError, match=r"this is CSV.*--out json="):
        read_k6(write(["metric_name,timestamp,metric_value", "http_reqs,1595325560,1.0"]))


@pytest.mark.parametrize("lines", [[], [METRIC], [dropped(1.0)]])
def test_points_without_a_request_are_refused(write: Write, lines: list[str]) -> None:
    with pytest.raises(ResultFormatError, match="k6 sent no request over HTTP"):
        read_k6(write(lines))


@pytest.mark.parametrize(
    "mark",
    [
        "nonsense",
        '{"target":"x","rate":0,"seconds":1}',
        '{"target":"x","rate":1,"seconds":1,"warm_up_seconds":1}',
        '{"target":"x","rate":1,"seconds":1,"requests":["other"]}',
    ],
)
def test_a_damaged_mark_is_refused(write: Write, mark: str) -> None:
    with pytest.raises(ResultFormatError, match=r"points\.json: "):
        read_k6(write(points(mark=mark)))
