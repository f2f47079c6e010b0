# SPDX-License-Identifier: MIT
"""What a server says of its load."""

from __future__ import annotations

import os

import pytest

from resonance.hints import Hints
from resonance.server import AdmissionPolicy, LoadReport, LoadReporter, parse_load
from resonance.server._admission import Admission, Ending
from resonance.server._gate import FixedLimit


class _Hints(Hints):
    def __init__(self, pressure: float | None) -> None:
        super().__init__("/nowhere/hints.sock")
        self.value = pressure

    def pressure(self, cgroup: str | None = None) -> float | None:
        return self.value


class _Rig:
    """A reporter beside clocks and requests that a test moves."""

    def __init__(self, pressure: float | None = None) -> None:
        self.now = 1_000.0
        self.cpu_seconds = 3.0
        self.admission = Admission(AdmissionPolicy(limit=4), FixedLimit(4))
        self.hints = _Hints(pressure)
        self.reporter = LoadReporter(
            self.admission,
            cpus=2.0,
            hints=self.hints,
            clock=lambda: self.now,
            cpu_clock=lambda: self.cpu_seconds,
        )

    def serve(self, count: int, ending: Ending = "done") -> None:
        for _ in range(count):
            self.admission.leave(self.admission.enter(0.0), 0.0, ending=ending)


def test_before_a_period_is_over_there_are_no_rates() -> None:
    assert _Rig().reporter.report() == LoadReport(application_utilization=0.0)


def test_rates_are_those_of_the_time_since() -> None:
    rig = _Rig()
    rig.serve(6)
    rig.serve(2, "failed")
    rig.cpu_seconds += 0.5
    rig.now += 0.5
    assert rig.reporter.report() == LoadReport(
        cpu_utilization=0.5, application_utilization=0.0, rps_fractional=16.0, eps=4.0
    )


def test_a_report_is_worked_out_once_in_a_period() -> None:
    rig = _Rig()
    first = rig.reporter.report()
    rig.admission.enter(0.0)
    rig.now += 0.099
    assert rig.reporter.report() is first
    rig.now += 0.002
    assert rig.reporter.report().application_utilization == 0.25


def test_rates_move_slowly_from_period_to_period() -> None:
    rig = _Rig()
    rig.serve(10)
    rig.now += 0.1
    assert rig.reporter.report().rps_fractional == 100.0
    rig.now += 0.1
    assert rig.reporter.report().rps_fractional == pytest.approx(90.48, abs=0.01)


def test_those_who_wait_count_as_load_too() -> None:
    rig = _Rig()
    for _ in range(6):
        rig.admission.enter(0.0)
    assert rig.reporter.report().application_utilization == 1.5


@pytest.mark.parametrize(("pressure", "named"), [(None, {}), (0.25, {"runqueue_pressure": 0.25})])
def test_pressure_is_told_where_it_is_known(
    pressure: float | None, named: dict[str, float]
) -> None:
    assert _Rig(pressure).reporter.report().named_metrics == named


def test_the_header_is_the_report() -> None:
    rig = _Rig(0.5)
    report = rig.reporter.report()
    assert parse_load(rig.reporter.header().decode()) == report
    assert parse_load(rig.reporter.header(is_text=True).decode()) == report


def test_a_forked_child_begins_anew() -> None:
    rig = _Rig()
    rig.serve(10)
    rig.now += 0.5
    rig.reporter.report()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        rig.cpu_seconds = 0.0
        rig.now += 0.5
        os.write(writing, rig.reporter.header())
        os._exit(0)
    os.waitpid(child, 0)
    answer = os.read(reading, 1_000)
    os.close(reading)
    os.close(writing)
    assert parse_load(answer.decode()) == LoadReport(application_utilization=0.0)


@pytest.mark.parametrize("cpus", [0.0, -1.0, float("inf")])
def test_cpus_must_be_some(cpus: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        LoadReporter(_Rig().admission, cpus=cpus)
