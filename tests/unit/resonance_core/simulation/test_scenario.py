# SPDX-License-Identifier: MIT
from __future__ import annotations

from typing import Any

import pytest

from resonance_core.errors import InvalidSampleError
from resonance_core.simulation.scenario import (
    Requests,
    Scenario,
    SourceBlock,
    reference_scenario,
)


def test_the_reference_family_has_the_load_it_says() -> None:
    scenario = reference_scenario(8, 0.75)
    (block,) = scenario.sources
    assert scenario.utilisation_ratio == pytest.approx(0.75)
    assert scenario.requests.utilisation_ratio == pytest.approx(0.375)
    assert block.work_seconds == pytest.approx(0.01875)
    assert (scenario.duration_seconds, scenario.warmup_seconds) == pytest.approx((30.0, 8.0))


def test_each_of_several_periods_carries_the_same_load() -> None:
    scenario = reference_scenario(15, 0.75, periods_seconds=(0.1, 0.05, 0.025), periodic_ratio=0.6)
    rates = [each.count * each.work_seconds / each.period_seconds for each in scenario.sources]
    assert rates == pytest.approx([0.6] * 3)
    assert scenario.utilisation_ratio == pytest.approx(0.75)
    assert scenario.period_seconds == 0.1


def test_sources_are_shared_out_evenly_or_not_at_all() -> None:
    with pytest.raises(InvalidSampleError, match="count: must be a multiple"):
        reference_scenario(16, 0.75, periods_seconds=(0.1, 0.05, 0.025))


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"count": 0}, "sources 'a': count"),
        ({"period_seconds": 0.0}, "sources 'a': period_seconds"),
        ({"period_seconds": float("nan")}, "sources 'a': period_seconds"),
        ({"work_seconds": -1.0}, "sources 'a': work_seconds"),
        ({"job_seconds": float("inf")}, "sources 'a': job_seconds"),
        ({"jitter_seconds": -0.1}, "sources 'a': jitter_seconds"),
        ({"drift_seconds": float("nan")}, "sources 'a': drift_seconds"),
        ({"detuning_ratio": 0.5}, "sources 'a': detuning_ratio"),
    ],
)
def test_an_impossible_source_is_refused(fields: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidSampleError) as caught:
        SourceBlock(name="a", **fields)
    assert caught.value.name == name


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"sources": ()}, "sources"),
        ({"cores": 0}, "cores"),
        ({"duration_seconds": float("inf")}, "duration_seconds"),
        ({"warmup_seconds": 30.0}, "warmup_seconds"),
        ({"setup_seconds": -1.0}, "setup_seconds"),
        ({"warm_seconds": float("nan")}, "warm_seconds"),
        ({"restart_seconds": 30.0}, "restart_seconds"),
        ({"requests": Requests(utilisation_ratio=0.98)}, "work of sources and requests"),
    ],
)
def test_an_impossible_node_is_refused(fields: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidSampleError) as caught:
        Scenario(**{"name": "x", "sources": (SourceBlock(),), **fields})
    assert caught.value.name == name


@pytest.mark.parametrize(
    "fields", [{"utilisation_ratio": 1.0}, {"service_seconds": 0.0}, {"service_variation": 0.0}]
)
def test_impossible_requests_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidSampleError, match=r"requests\."):
        Requests(**fields)
