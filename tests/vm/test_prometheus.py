# SPDX-License-Identifier: MIT
"""Does Debian's Prometheus read the service, and do the shipped rules fire when they should?"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from vm import machine
from vm.machine import UNIT, eventually, run

RULES = Path(__file__).parents[2] / "docs" / "alerts" / "resonance.rules.yml"
CONFIG = """\
global:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 1s
rule_files: [resonance.rules.yml]
scrape_configs:
  - job_name: resonance
    scrape_interval: 5s
    scrape_timeout: 5s
    static_configs:
      - targets: ["127.0.0.1:9756"]
"""


@dataclass(frozen=True)
class Prometheus:
    """A running server."""

    port: int

    def get(self, path: str, **query: str) -> Any:
        """Return the data of an answer of its API."""
        url = f"http://127.0.0.1:{self.port}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)["data"]

    def is_ready(self) -> bool:
        """Tell whether it answers."""
        try:
            self.get("/api/v1/status/buildinfo")
        except OSError:
            return False
        return True

    def values(self, expression: str) -> list[float]:
        """Return the values of an expression now."""
        rows = self.get("/api/v1/query", query=expression)["result"]
        return [float(row["value"][1]) for row in rows]

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        alerts = self.get("/api/v1/alerts")["alerts"]
        return {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}

    def rules(self) -> dict[str, dict[str, Any]]:
        """Return the rules that are loaded, by name."""
        groups = self.get("/api/v1/rules")["groups"]
        return {rule["name"]: rule for group in groups for rule in group["rules"]}


def _impatient(rules: str) -> str:
    """Return the rules without the time that an alert must last; expressions stay as they are."""
    text, changed = re.subn(r"(?m)^(\s+for:) \S+$", r"\1 1s", rules)
    assert changed
    return text


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    directory = tmp_path_factory.mktemp("prometheus")
    (directory / "prometheus.yml").write_text(CONFIG, encoding="utf-8")
    rules = _impatient(RULES.read_text(encoding="utf-8"))
    (directory / "resonance.rules.yml").write_text(rules, encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        server = Prometheus(probe.getsockname()[1])
    with (directory / "log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={directory}/prometheus.yml",
                f"--storage.tsdb.path={directory}/data",
                f"--web.listen-address=127.0.0.1:{server.port}",
            ],
            stdout=log,
            stderr=log,
        )
        try:
            assert eventually(server.is_ready), (directory / "log").read_text(encoding="utf-8")
            yield server
        finally:
            process.terminate()
            process.wait(timeout=60)


def test_the_shipped_rules_are_valid_to_debians_promtool() -> None:
    assert "SUCCESS" in run("promtool", "check", "rules", str(RULES)).stdout


def test_what_the_service_exports_is_valid_to_debians_promtool() -> None:
    with machine.running():
        with urllib.request.urlopen(f"{machine.METRICS}/metrics", timeout=60) as answer:
            text = answer.read().decode()
        done = run("promtool", "check", "metrics", stdin=text)
    assert done.stdout + done.stderr == ""


def test_the_running_service_is_scraped_and_the_alert_that_it_is_absent_fires_only_without_it(
    prometheus: Prometheus,
) -> None:
    with machine.running():
        assert eventually(lambda: prometheus.values('up{job="resonance"}') == [1.0])
        assert eventually(lambda: prometheus.values("count(resonance_backend_info)") == [1.0])
        query = "sum(increase(resonance_runqueue_latency_seconds_count[1m])) > 0"
        assert eventually(lambda: prometheus.values(query))
        assert "ResonanceAbsent" in prometheus.rules()
        assert eventually(lambda: "ResonanceAbsent" not in prometheus.firing())
        # Time to be wrong in: three evaluations.
        time.sleep(4)
        assert "ResonanceAbsent" not in prometheus.firing()

        run("systemctl", "stop", UNIT)
        assert eventually(lambda: "ResonanceAbsent" in prometheus.firing())
        run("systemctl", "start", UNIT)
        assert eventually(lambda: "ResonanceAbsent" not in prometheus.firing())


def test_the_alert_of_a_lower_tier_fires_where_the_service_measures_in_one(
    prometheus: Prometheus,
) -> None:
    with machine.running('[probes]\nbackend = "none"\n'):
        assert eventually(lambda: "ResonanceTierDegraded" in prometheus.firing())
        (shown,) = prometheus.values("resonance_backend_info{tier='procfs'}")
        assert shown == 1.0


def test_each_rule_is_loaded_with_its_expression_and_evaluates_without_an_error(
    prometheus: Prometheus,
) -> None:
    with machine.running():
        assert eventually(lambda: prometheus.values('up{job="resonance"}') == [1.0])
        names = re.findall(r"- alert: (\w+)", RULES.read_text(encoding="utf-8"))
        assert len(names) > 10
        loaded = prometheus.rules()
        assert set(loaded) == set(names)
        assert eventually(lambda: all(r["health"] == "ok" for r in prometheus.rules().values()))
