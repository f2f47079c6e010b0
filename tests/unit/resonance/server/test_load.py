# SPDX-License-Identifier: MIT
"""Load reports, as written and as read."""

from __future__ import annotations

import pytest

from resonance.server import LoadReport, parse_load

FULL = LoadReport(
    cpu_utilization=0.3,
    mem_utilization=0.8,
    application_utilization=1.2,
    rps_fractional=10.5,
    eps=1.0,
    named_metrics={"runqueue_pressure": 0.25},
)


def test_a_report_is_written_as_json_and_text() -> None:
    assert FULL.to_text() == (
        "TEXT cpu_utilization=0.3, mem_utilization=0.8, application_utilization=1.2, "
        "rps_fractional=10.5, eps=1.0, named_metrics.runqueue_pressure=0.25"
    )
    assert FULL.to_json() == (
        'JSON {"cpu_utilization":0.3,"mem_utilization":0.8,"application_utilization":1.2,'
        '"rps_fractional":10.5,"eps":1.0,"named_metrics":{"runqueue_pressure":0.25}}'
    )


@pytest.mark.parametrize("report", [FULL, LoadReport(cpu_utilization=0.0), LoadReport()])
def test_what_is_written_is_read(report: LoadReport) -> None:
    assert parse_load(report.to_json()) == report
    if report != LoadReport():
        assert parse_load(report.to_text()) == report


def test_what_is_not_known_is_left_out() -> None:
    assert LoadReport(eps=0.0).to_json() == 'JSON {"eps":0.0}'


@pytest.mark.parametrize(
    "value",
    [
        "TEXT cpu_utilization=0.3, named_metrics.a=1",
        "TEXT cpu_utilization:0.3,named_metrics.a:1.0",
        'JSON {"cpu_utilization": 0.3, "named_metrics": {"a": 1}}',
        'JSON {"cpuUtilization": 0.3, "namedMetrics": {"a": 1}, "requestCost": {"b": 2}}',
        "TEXT cpu_utilization=0.3, named_metrics.a=1, utilization.disk=0.9",
    ],
)
def test_what_others_write_is_read(value: str) -> None:
    assert parse_load(value) == LoadReport(cpu_utilization=0.3, named_metrics={"a": 1.0})


@pytest.mark.parametrize(
    "value",
    [
        "",
        "TEXT",
        "TEXT cpu_utilization",
        "TEXT cpu_utilization=much",
        "TEXT cpu_utilization=nan",
        "TEXT cpu_utilization=-0.5",
        "TEXT named_metrics.a=inf",
        "JSON",
        "JSON {",
        "JSON []",
        'JSON {"cpu_utilization": "0.3"}',
        'JSON {"named_metrics": {"a": null}}',
        "BIN CZqZ",
        "XML <cpu/>",
    ],
)
def test_what_cannot_be_read_is_nothing(value: str) -> None:
    assert parse_load(value) is None


def test_the_application_knows_better_than_the_cpu() -> None:
    assert FULL.utilization == 1.2
    assert LoadReport(cpu_utilization=0.3, application_utilization=0.0).utilization == 0.3
    assert LoadReport().utilization is None


def test_pressure_is_known_where_it_was_told() -> None:
    assert FULL.runqueue_pressure == 0.25
    assert LoadReport().runqueue_pressure is None
