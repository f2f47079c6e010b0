# SPDX-License-Identifier: MIT
"""What the documents, the dashboard and the alerts name is what is exported, and all of it."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from fakes.snapshots import REPORT, RHYTHM, TUNING, distribution, snapshot
from resonance_bpf.report import Rejection
from resonanced.telemetry.server import Telemetry
from resonanced.telemetry.settings import TelemetrySettings

DOCS = Path(__file__).parents[4] / "docs"
RULES = DOCS / "alerts" / "resonance.rules.yml"
DASHBOARD = DOCS / "grafana" / "resonance.json"
ROW = re.compile(r"^\| `(resonance_\w+)` \| (\w+) \|([^|]*)\| [^|]+ \| [^|]+ \|$", re.MULTILINE)
NAME = re.compile(r"\bresonance_\w+")


@pytest.fixture(scope="module")
def exposition() -> str:
    """All that the whole daemon exports when everything is there."""
    importlib.import_module("resonanced.service")
    rejected = (Rejection(backend="core", reason="no BTF"),)
    room = Telemetry(
        TelemetrySettings(port=0), msgspec.structs.replace(REPORT, rejected=rejected), 0.1
    )
    waits = distribution({0: [5_000], 3: [7_000]})
    kinds = dict.fromkeys(("srtt", "connect", "receive"), waits)
    room.start()
    room.publish(snapshot(runqueue=waits, sockets=kinds, tuning=TUNING, rhythm=RHYTHM))
    text = room._metrics()
    room.stop()
    return text


@pytest.fixture(scope="module")
def series(exposition: str) -> set[str]:
    """Names as PromQL knows them, and those of whole histograms as texts do."""
    return {
        name
        for family in text_string_to_metric_families(exposition)
        for name in (family.name, *(sample.name for sample in family.samples))
    }


def _promtool(*arguments: str, cwd: Path | None = None) -> None:
    promtool = shutil.which("promtool")
    assert promtool, "promtool is missing; apt-get install prometheus"
    checked = subprocess.run(
        [promtool, *arguments], capture_output=True, text=True, check=False, cwd=cwd
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_table_of_metrics_is_the_exposition(exposition: str) -> None:
    rows = ROW.findall((DOCS / "metrics.md").read_text(encoding="utf-8"))
    assert dict(re.findall(r"^# TYPE (\S+) (\S+)$", exposition, re.MULTILINE)) == {
        name: kind for name, kind, _ in rows
    }


def test_the_table_of_metrics_tells_every_label(exposition: str) -> None:
    exported: dict[str, set[str]] = defaultdict(set)
    for family in text_string_to_metric_families(exposition):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        for sample in family.samples:
            exported[name] |= set(sample.labels) - {"le"}
    rows = ROW.findall((DOCS / "metrics.md").read_text(encoding="utf-8"))
    told = {name: set(filter(None, labels.strip().split(", "))) for name, _, labels in rows}
    assert told == dict(exported)


def test_only_the_slot_info_carries_a_path(exposition: str) -> None:
    with_a_path = [line for line in exposition.splitlines() if "web.service" in line]
    assert {line.partition("{")[0] for line in with_a_path} == {"resonance_slot_info"}


def _expressions(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in {"expr", "query"} and isinstance(value, str):
                yield value
            else:
                yield from _expressions(value)
    elif isinstance(node, list):
        for each in node:
            yield from _expressions(each)


def test_the_dashboard_names_only_what_is_exported(series: set[str]) -> None:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    names = set(NAME.findall(" ".join(_expressions(dashboard))))
    assert len(names) > 15
    assert names - series == set()


def test_every_panel_has_a_title_a_description_and_a_place_of_its_own() -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    assert all(panel["title"] and panel["description"] for panel in panels)
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken
        taken |= cells


def test_every_query_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    targets = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(targets)
    ]
    path = tmp_path / "dashboard.rules.json"  # JSON is YAML
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    _promtool("check", "rules", str(path))


def test_the_alerts_name_only_what_is_exported(series: set[str]) -> None:
    text = RULES.read_text(encoding="utf-8")
    assert set(NAME.findall(text)) - series == set()


def test_promtool_finds_nothing_to_say_about_the_alerts() -> None:
    _promtool("check", "rules", str(RULES))


def test_the_alerts_fire_on_what_they_are_about_and_on_nothing_else(tmp_path: Path) -> None:
    story = Path(__file__).with_name("alerts.test.yml").read_text(encoding="utf-8")
    (tmp_path / "story.yml").write_text(story.replace("RULES", str(RULES)), encoding="utf-8")
    _promtool("test", "rules", "story.yml", cwd=tmp_path)
