# SPDX-License-Identifier: MIT
from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.bench_foreign import spectrum, wrk2_text
from resonance.bench.errors import PlanError, ResultFormatError
from resonance.bench.foreign import read_wrk2
from resonance.bench.foreign.wrk2_spectra import Spectrum
from resonance.histogram import Histogram

Write = Callable[[str], Path]

_DRAW = random.Random(3)
LATENCIES_US = [_DRAW.randrange(100, 2_000) for _ in range(1_000)]
PLAIN = """\
  Latency Distribution
     50%    6.67ms
     75%    7.78ms
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "out.txt"
        path.write_text(text)
        return path

    return write


def exact(latencies_us: Sequence[int]) -> Histogram:
    histogram = Histogram()
    for each in latencies_us:
        histogram.add(each / 1e6)
    return histogram


def test_what_it_printed_is_a_run(write: Write) -> None:
    run = read_wrk2(write(wrk2_text(LATENCIES_US)), rate_per_second=200.0)
    (slot,) = run.slots
    assert (run.tool, run.arrival, run.machine, run.name) == ("wrk2", "constant", None, "out")
    assert run.target == "http://127.0.0.1:8080/path?q=1"
    assert run.rate_per_second == 200.0
    assert run.asked == {"connections": 16, "threads": 2}
    assert (slot.planned, slot.sent, slot.answered) == (1_000, 1_000, 1_000)
    assert (slot.seconds, slot.failed, slot.doubts) == (5.0, {}, [])
    assert slot.histogram("response").count == 1_000
    assert slot.histogram("service").count == slot.histogram("lateness").count == 0


@pytest.mark.parametrize("q", [0.5, 0.75, 0.9, 0.99, 0.999, 1.0])
def test_the_quantiles_it_prints_are_kept(write: Write, q: float) -> None:
    run = read_wrk2(write(wrk2_text(LATENCIES_US)), rate_per_second=200.0)
    # Printed to two digits after the point, of milliseconds or of microseconds.
    assert run.slots[0].quantile(q) == pytest.approx(exact(LATENCIES_US).quantile(q), abs=7e-6)


@given(st.lists(st.integers(1, 2_000), min_size=1, max_size=200))
def test_no_latency_is_lost_and_none_gets_shorter(latencies_us: list[int]) -> None:
    taken = Spectrum()
    for number, line in enumerate(spectrum(latencies_us).splitlines(), 1):
        if taken.total is None:
            taken.take(line, number, "spectrum")
    histogram = taken.histogram()
    assert histogram.count == len(latencies_us)
    for q in (0.1, 0.5, 0.9, 0.95, 0.99, 1.0):
        least = exact(latencies_us).quantile(q)
        found = histogram.quantile(q)
        assert least is not None
        assert found is not None
        assert found >= least - 6e-6  # rounded where it stands alone


def test_its_service_times_are_read_where_it_told_them(write: Write) -> None:
    uncorrected = [each // 2 for each in LATENCIES_US]
    text = wrk2_text(LATENCIES_US, uncorrected_us=uncorrected)
    (slot,) = read_wrk2(write(text), rate_per_second=200.0).slots
    service = slot.histogram("service")
    assert service.count == 1_000
    assert service.quantile(0.5) == pytest.approx(exact(uncorrected).quantile(0.5), abs=7e-6)


def test_its_first_ten_seconds_do_not_count_as_time(write: Write) -> None:
    text = wrk2_text(LATENCIES_US, seconds=15.04, requests=3_008, is_calibrated=True)
    (slot,) = read_wrk2(write(text), rate_per_second=200.0).slots
    assert slot.seconds == pytest.approx(5.0)  # 8 connections of a thread, 5 ms each
    assert (slot.planned, slot.sent, slot.doubts) == (1_000, 1_000, [])


def test_what_it_did_not_send_is_doubted(write: Write) -> None:
    (slot,) = read_wrk2(write(wrk2_text(LATENCIES_US)), rate_per_second=400.0).slots
    assert (slot.planned, slot.sent, slot.failed) == (2_000, 1_000, {"none": 1_000})
    assert slot.doubts == ["50.0% of the calls were sent in time, at least 99% must be"]


def test_failures_are_told_apart(write: Write) -> None:
    errors = "  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 7"
    (slot,) = read_wrk2(write(wrk2_text(LATENCIES_US, errors=errors)), rate_per_second=200.0).slots
    assert slot.failed == {"refused": 1, "reset": 5, "timeout": 4, "status": 7}
    assert slot.answered == 993


@pytest.mark.parametrize("rate", [None, 0.0, -1.0, float("nan"), float("inf")])
def test_the_rate_must_be_said(write: Write, rate: float | None) -> None:
    with pytest.raises(PlanError, match=r"^rate: "):
        read_wrk2(write(wrk2_text(LATENCIES_US)), rate_per_second=rate)


def _lines(text: str, change: Callable[[list[str]], None]) -> str:
    lines = text.splitlines()
    change(lines)
    return "\n".join(lines)


def test_every_beginning_of_it_is_refused(write: Write) -> None:
    lines = wrk2_text(LATENCIES_US, uncorrected_us=LATENCIES_US).splitlines()
    last = next(place for place, line in enumerate(lines) if line.startswith("Requests/sec"))
    for end in range(last):
        with pytest.raises(ResultFormatError, match=r"out\.txt: ") as error_info:
            read_wrk2(write("\n".join(lines[:end])), rate_per_second=200.0)
        if end:
            assert "cut off after line" in str(error_info.value)


def test_a_missing_line_of_the_spectrum_is_noticed_at_the_total(write: Write) -> None:
    text = wrk2_text(LATENCIES_US)
    place = next(n for n, line in enumerate(text.splitlines()) if line.startswith("#[Mean"))
    with pytest.raises(ResultFormatError, match=r"line \d+: the counts end at \d+, the total is"):
        # Several ticks of the last latencies have the whole count.
        read_wrk2(
            write(_lines(text, lambda lines: lines.__delitem__(slice(place - 8, place)))),
            rate_per_second=200.0,
        )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("       0.001     0.990000         9999          1.0", r"line \d+: latency or count is"),
        ("       9.001     0.990000            1          1.0", r"line \d+: latency or count is"),
        ("       9.001     0.990000            0          1.0", r"line \d+: a count of 0"),
        ("       9.001     0.99", r"line \d+: not latency, percentile"),
        ("       x         0.990000         9999          1.0", r"line \d+: not latency, perc"),
    ],
)
def test_a_damaged_line_is_told(write: Write, line: str, reason: str) -> None:
    text = wrk2_text(LATENCIES_US)
    place = next(n for n, each in enumerate(text.splitlines()) if each.startswith("#[Mean"))
    with pytest.raises(ResultFormatError, match=reason):
        read_wrk2(write(_lines(text, lambda lines: lines.insert(place, line))), rate_per_second=1.0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not printed by wrk2"),
        ("hello\n", "not printed by wrk2"),
        (f"Running 5s test @ http://h/\n{PLAIN}", r"line 2: this is of wrk, which waits"),
        ("Running 5s test @ http://h/\nRequests/sec: 1\n", "run wrk2 with --latency"),
        (f"{wrk2_text(LATENCIES_US)}{wrk2_text(LATENCIES_US)}", r"line \d+: a second run"),
        (wrk2_text(LATENCIES_US, requests=10), "1000 calls were recorded of 10"),
        ("x" * (2**20 + 1), "more than 1 MiB"),
    ],
)
def test_what_is_none_of_its_texts_is_refused(write: Write, text: str, reason: str) -> None:
    with pytest.raises(ResultFormatError, match=reason):
        read_wrk2(write(text), rate_per_second=200.0)


def test_no_call_at_all_is_no_result(write: Write) -> None:
    text = wrk2_text([1]).replace("           1         ", "           0         ")
    with pytest.raises(ResultFormatError, match=r"line \d+: .*no call was recorded"):
        read_wrk2(write(text), rate_per_second=200.0)
