# SPDX-License-Identifier: MIT
from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

import resonance
from fakes.reports import BUSY, FakeClient, report
from resonance.integrations.prometheus import PolicyCollector, register
from resonance.policies import Reason

DOCUMENT = Path(__file__).parents[4] / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(resonance_\w+)` \| (\w+) \| ([^|]+) \| [^|]+ \|$", re.MULTILINE)


def exposition(*clients: FakeClient, most_services: int = 64) -> str:
    registry = CollectorRegistry()
    register(*clients, registry=registry, most_services=most_services)
    return generate_latest(registry).decode()


def samples(text: str) -> dict[str, float]:
    lines = (line.rpartition(" ") for line in text.splitlines() if line[0] != "#")
    return {sample: float(value) for sample, _, value in lines}


def test_what_a_client_did_is_told() -> None:
    told = samples(exposition(FakeClient(BUSY)))
    expected = {
        'resonance_calls_total{outcome="success",service="shop"}': 90,
        'resonance_calls_total{outcome="failure",service="shop"}': 5,
        'resonance_calls_total{outcome="deadline",service="shop"}': 3,
        'resonance_attempts_total{kind="first",service="shop"}': 100,
        'resonance_attempts_total{kind="hedge",service="shop"}': 10,
        'resonance_attempts_total{kind="retry",service="shop"}': 2,
        'resonance_attempts_cancelled_total{service="shop"}': 9,
        'resonance_hedges_total{service="shop"}': 10,
        'resonance_hedges_won_total{service="shop"}': 6,
        'resonance_retries_total{service="shop"}': 2,
        'resonance_policy_refusals_total{reason="budget_empty",service="shop"}': 7,
        'resonance_policy_refusals_total{reason="throttled",service="shop"}': 1,
        'resonance_policy_withheld_total{service="shop",what="hedge"}': 4,
        'resonance_policy_withheld_total{service="shop",what="retry"}': 1,
        'resonance_policy_withheld_wins_total{service="shop"}': 2.5,
        'resonance_policy_mode_info{mode="active",service="shop"}': 1,
        'resonance_budget_tokens{service="shop"}': 1.5,
        'resonance_inflight_attempts{service="shop"}': 3,
        'resonance_inflight_calls{service="shop"}': 2,
        'resonance_inflight_limit{service="shop"}': 20,
        'resonance_replicas{service="shop"}': 2,
        'resonance_attempt_latency_seconds{quantile="0.5",service="shop"}': 0.01,
        'resonance_attempt_latency_seconds{quantile="0.999",service="shop"}': 0.2,
    }
    assert expected.items() <= told.items()
    assert {sample for sample, value in told.items() if value} == set(expected)


def test_attempts_of_all_kinds_are_all_attempts() -> None:
    told = samples(exposition(FakeClient(BUSY)))
    kinds = [value for sample, value in told.items() if sample.startswith("resonance_attempts_t")]
    assert sum(kinds) == BUSY.attempts


def test_a_service_that_did_nothing_has_its_series_at_zero() -> None:
    told = samples(exposition(FakeClient(report())))
    assert told['resonance_hedges_total{service="shop"}'] == 0
    assert told['resonance_policy_refusals_total{reason="limited",service="shop"}'] == 0
    assert not any("inflight_limit" in sample or "latency" in sample for sample in told)


def test_every_metric_is_named_before_any_service_was_called() -> None:
    text = exposition(FakeClient())
    assert samples(text) == {}
    assert len(re.findall("^# TYPE ", text, re.MULTILINE)) == 16


def test_every_reason_that_refuses_is_one_of_ours() -> None:
    told = samples(exposition(FakeClient(report())))
    reasons = {found[1] for sample in told if (found := re.search('reason="(.*?)"', sample))}
    assert len(reasons) == 17
    assert reasons < set(map(str, Reason))


def test_the_table_of_the_document_is_the_exposition() -> None:
    rows = ROW.findall(DOCUMENT.read_text(encoding="utf-8"))
    text = exposition(FakeClient(BUSY))
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    assert {name: kind for name, kind, _ in rows} == kinds
    for name, _, labels in rows:
        of_it = (line for line in text.splitlines() if re.match(rf"{name}\b", line))
        assert {*labels.split(", ")} == set(re.findall(r'(\w+)="', next(of_it)))


def test_promtool_has_nothing_to_say() -> None:
    promtool = shutil.which("promtool")
    assert promtool, "promtool is missing; apt-get install prometheus"
    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=exposition(FakeClient(BUSY, report("cart"))),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_openmetrics_can_be_parsed_again() -> None:
    registry = CollectorRegistry()
    register(FakeClient(BUSY), registry=registry)
    text = generate_openmetrics(registry).decode()
    names = {family.name for family in text_string_to_metric_families(text)}
    assert {"resonance_hedges", "resonance_attempt_latency_seconds"} <= names


def test_services_beyond_the_bound_are_added_up_and_the_first_keep_their_names() -> None:
    registry = CollectorRegistry()
    client = FakeClient(report("a", hedges=1), report("b", hedges=2))
    register(client, registry=registry, most_services=2)
    generate_latest(registry)
    late = [report(f"late-{number}", hedges=10) for number in range(100)]
    client.reports = (*late, *client.reports)
    told = samples(generate_latest(registry).decode())
    hedges = {sample: value for sample, value in told.items() if "hedges_total" in sample}
    assert hedges == {
        'resonance_hedges_total{service="a"}': 1,
        'resonance_hedges_total{service="b"}': 2,
        'resonance_hedges_total{service="other"}': 1_000,
    }


def test_services_of_one_name_are_added_up_and_the_slower_latency_is_told() -> None:
    fast = report(hedges=1, latency_seconds={0.99: 0.1})
    slow = report(hedges=2, latency_seconds={0.99: 0.2}, mode="observe")
    told = samples(exposition(FakeClient(fast), FakeClient(slow)))
    assert told['resonance_hedges_total{service="shop"}'] == 3
    assert told['resonance_attempt_latency_seconds{quantile="0.99",service="shop"}'] == 0.2
    assert {sample for sample in told if "mode_info" in sample} == {
        'resonance_policy_mode_info{mode="active",service="shop"}',
        'resonance_policy_mode_info{mode="observe",service="shop"}',
    }


def test_a_name_cannot_break_the_exposition() -> None:
    text = exposition(FakeClient(report('shop"}\n# evil 1 \\')))
    assert "\n# evil" not in text


def test_a_client_is_asked_once_per_scrape_and_not_at_registration() -> None:
    registry, client = CollectorRegistry(auto_describe=True), FakeClient(BUSY)
    register(client, registry=registry)
    assert client.times_asked == 0
    generate_latest(registry)
    assert client.times_asked == 1


def test_a_registry_takes_the_names_once_and_gives_them_back() -> None:
    registry = CollectorRegistry()
    collector = register(FakeClient(), registry=registry)
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        register(FakeClient(), registry=registry)
    registry.unregister(collector)
    assert generate_latest(registry) == b""


def test_at_least_one_client_and_one_service() -> None:
    with pytest.raises(ValueError, match="at least one client"):
        PolicyCollector()
    with pytest.raises(ValueError, match="most_services must be 1 or more, not 0"):
        PolicyCollector(FakeClient(), most_services=0)


def test_a_real_client_is_told() -> None:
    registry = CollectorRegistry()
    with resonance.Client() as client:
        register(client, registry=registry)
        client.hedge(lambda: "done", service="shop")
        told = samples(generate_latest(registry).decode())
    assert told['resonance_calls_total{outcome="success",service="shop"}'] == 1
    assert told['resonance_attempts_total{kind="first",service="shop"}'] == 1


@pytest.mark.parametrize(
    ("module", "imported", "package"),
    [
        ("prometheus", "prometheus_client", "prometheus-client"),
        ("opentelemetry", "opentelemetry", "opentelemetry-api"),
    ],
)
def test_without_the_package_it_says_what_to_install(
    module: str, imported: str, package: str
) -> None:
    code = f"""
import sys
sys.modules[{imported!r}] = None
import resonance.errors
try:
    import resonance.integrations.{module}
except resonance.errors.MissingExtraError as error:
    print(error)
"""
    told = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert told.stdout == (
        f"resonance.integrations.{module} needs {package}, which is not installed: "
        f"pip install 'resonance-runtime[{module}]'\n"
    )
