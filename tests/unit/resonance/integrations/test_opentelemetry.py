# SPDX-License-Identifier: MIT
from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Sum

import resonance
from fakes.reports import BUSY, FakeClient, report
from resonance.integrations import opentelemetry
from resonance.integrations.opentelemetry import PolicyInstruments

Attributes = tuple[tuple[str, Any], ...]


class Collected:
    """A provider of the SDK, and what a reader of it collects."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self.provider = MeterProvider([self._reader])
        self.meter = self.provider.get_meter("test")

    def metrics(self) -> dict[str, Any]:
        data = self._reader.get_metrics_data()
        scopes = [
            scope
            for each in (data.resource_metrics if data else ())
            for scope in each.scope_metrics
        ]
        return {metric.name: metric for scope in scopes for metric in scope.metrics}

    def values(self) -> dict[str, dict[Attributes, float]]:
        return {
            name: {
                tuple(sorted((point.attributes or {}).items())): point.value
                for point in metric.data.data_points
            }
            for name, metric in self.metrics().items()
        }


@pytest.fixture
def collected() -> Collected:
    return Collected()


def at(**attributes: str) -> Attributes:
    named = {"service": "shop"} | attributes
    return tuple(sorted((f"resonance.{name}", value) for name, value in named.items()))


def test_what_a_client_did_is_told(collected: Collected) -> None:
    PolicyInstruments(FakeClient(BUSY), meter=collected.meter)
    values = collected.values()
    assert values["resonance.hedges"] == {at(): 10}
    assert values["resonance.attempts"] == {
        at(kind="first"): 100,
        at(kind="hedge"): 10,
        at(kind="retry"): 2,
    }
    assert values["resonance.policy_refusals"][at(reason="budget_empty")] == 7
    assert values["resonance.policy_refusals"][at(reason="limited")] == 0
    assert values["resonance.policy_withheld_wins"] == {at(): 2.5}
    assert values["resonance.policy_mode"] == {at(mode="active"): 1}
    assert values["resonance.budget_tokens"] == {at(): 1.5}
    assert values["resonance.attempt_latency"] == {
        at(quantile="0.5"): 0.01,
        at(quantile="0.999"): 0.2,
    }
    assert len(values) == 16


def test_what_only_grows_is_a_sum_and_units_are_told(collected: Collected) -> None:
    PolicyInstruments(FakeClient(BUSY), meter=collected.meter)
    metrics = collected.metrics()
    sums = {name for name, metric in metrics.items() if isinstance(metric.data, Sum)}
    assert all(metrics[name].data.is_monotonic for name in sums)
    assert {"resonance.calls", "resonance.hedges_won"} <= sums
    assert not sums & {"resonance.budget_tokens", "resonance.policy_mode"}
    assert metrics["resonance.attempt_latency"].unit == "s"
    assert all(metric.description for metric in metrics.values())


def test_each_collection_reads_anew(collected: Collected) -> None:
    client = FakeClient(report(hedges=1))
    PolicyInstruments(client, meter=collected.meter)
    assert collected.values()["resonance.hedges"] == {at(): 1}
    client.reports = (report(hedges=5),)
    assert collected.values()["resonance.hedges"] == {at(): 5}


def test_once_closed_it_says_nothing_and_lets_the_clients_go(collected: Collected) -> None:
    client = FakeClient(BUSY)
    instruments = PolicyInstruments(client, meter=collected.meter)
    instruments.close()
    assert not any(collected.values().values())
    assert client.times_asked == 0


def test_services_beyond_the_bound_are_added_up(collected: Collected) -> None:
    reports = [report(f"service-{number}", hedges=1) for number in range(10)]
    PolicyInstruments(FakeClient(*reports), meter=collected.meter, most_services=3)
    hedges = collected.values()["resonance.hedges"]
    assert len(hedges) == 4
    assert hedges[("resonance.service", "other"),] == 7


def test_by_default_it_is_the_global_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []

    def get_meter(name: str) -> Any:
        names.append(name)
        return NoOpMeterProvider().get_meter(name)

    monkeypatch.setattr(opentelemetry, "get_meter", get_meter)
    PolicyInstruments(FakeClient())
    assert names == ["resonance"]


def test_at_least_one_client(collected: Collected) -> None:
    with pytest.raises(ValueError, match="at least one client"):
        PolicyInstruments(meter=collected.meter)


def test_a_real_client_is_told(collected: Collected) -> None:
    with resonance.Client() as client:
        PolicyInstruments(client, meter=collected.meter)
        client.hedge(lambda: "done", service="shop")
        assert collected.values()["resonance.calls"][at(outcome="success")] == 1
