# SPDX-License-Identifier: MIT
from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.hint_service import HintService
from fakes.snapshots import TUNING, WEB, distribution
from resonance.cli import main
from resonanced.hints.settings import HintsSettings
from resonanced.model import Slot

from .conftest import Command

SETTINGS = HintsSettings(heartbeat_seconds=0.1, valid_for_seconds=60.0)
DEEP = Slot(5, 1, "/kubepods.slice/" + "burstable" * 12 + "/web.scope", 4712)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[HintService]:
    with HintService(tmp_path, SETTINGS) as service:
        waits = {WEB.index: [1_000] * 99 + [2_000_000]}
        service.publish(runqueue=distribution(waits))
        yield service


def test_get_prints_the_busiest_first(service: HintService, command: Command) -> None:
    code, out, err = command("hints", "get")
    assert (code, err) == (0, "")
    head, names, web, other = out.splitlines()
    assert head.startswith("core on v2, observe; ")
    assert names.split() == [
        "CGROUP",
        "PRESSURE",
        "RUNQ",
        "p50",
        "RUNQ",
        "p99",
        "SRTT",
        "p50",
        "SRTT",
        "p99",
    ]
    assert web.split()[:2] == [WEB.cgroup, "0.250"]
    assert other.split() == ["other", "0.000", "-", "-", "-", "-"]


def test_cpus_of_its_own_are_shown_below_a_cgroup(service: HintService, command: Command) -> None:
    service.publish(tuning=TUNING)
    _, out, _ = command("hints", "get")
    head, _, web, own, _ = out.splitlines()
    assert head.startswith("core on v2, adaptive; ")
    assert web.startswith(WEB.cgroup)
    assert own == "  alone on CPUs 1-3"
    _, out, _ = command("hints", "get", "--output", "json")
    assert [each["exclusive_cpus"] for each in json.loads(out)["cgroups"]] == [[], [1, 2, 3]]


def test_text_stays_under_eighty_columns(service: HintService, command: Command) -> None:
    service.publish(slots=(DEEP,))
    _, out, _ = command("hints", "get")
    assert "web.scope" in out
    assert max(len(line) for line in out.splitlines()) < 80


def test_get_as_json(service: HintService, command: Command) -> None:
    _, out, _ = command("hints", "get", "--cgroup", "*.service", "--output", "json")
    state = json.loads(out)
    assert (state["tier"], state["sequence"]) == ("core", 1)
    assert state["age_seconds"] >= 0.0
    (web,) = state["cgroups"]
    assert (web["cgroup"], web["runqueue"]["count"]) == (WEB.cgroup, 100)


def test_a_pattern_that_matches_nothing_says_so(service: HintService, command: Command) -> None:
    code, out, _ = command("hints", "get", "--cgroup", "/nothing")
    assert code == 0
    assert out.splitlines()[-1] == "no cgroup with a slot matches"


def test_watch_prints_one_line_of_json_per_state(service: HintService, command: Command) -> None:
    code, out, _ = command(
        "hints", "watch", "--count", "3", "--interval", "0.01", "--output", "json"
    )
    assert code == 0
    states = [json.loads(line) for line in out.splitlines()]
    assert [state["is_heartbeat"] for state in states] == [False, True, True]


def test_watch_prints_a_table_per_state(service: HintService, command: Command) -> None:
    _, out, _ = command("hints", "watch", "--count", "2", "--interval", "0.01")
    assert out.count("core on v2") == 2


def test_resolve(service: HintService, command: Command) -> None:
    assert command("hints", "resolve", ":8080")[:2] == (
        0,
        f"{WEB.cgroup}  id {WEB.cgroup_id}, slot {WEB.index}\n",
    )
    _, out, _ = command("hints", "resolve", "4711", "--output", "json")
    assert json.loads(out)["cgroup"] == WEB.cgroup


def test_what_the_daemon_does_not_know_has_its_own_exit_status(
    service: HintService, command: Command
) -> None:
    assert command("hints", "resolve", "1") == (3, "not known: no such process\n", "")


def test_what_is_no_endpoint_is_one_clear_line(service: HintService, command: Command) -> None:
    code, out, err = command("hints", "resolve", "localhost:80")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "names are not looked up" in err


@pytest.mark.parametrize("arguments", [["get"], ["watch"], ["resolve", "1"]])
def test_no_daemon_is_one_clear_line(arguments: list[str], command: Command, socket: Path) -> None:
    line = f"resonance: {socket}: no daemon here; start `resonanced run`\n"
    assert command("hints", *arguments) == (1, "", line)


@pytest.mark.parametrize(
    "arguments",
    [[], ["get", "--output", "yaml"], ["watch", "--count", "0"], ["watch", "--interval", "-1"]],
)
def test_wrong_arguments_are_a_usage_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["hints", *arguments])
    assert ended.value.code == 2


def test_help_ends_with_examples_and_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["hints", "--help"])
    out = capsys.readouterr().out
    assert "resonance hints resolve 127.0.0.1:8080" in out
    assert max(len(line) for line in out.splitlines()) < 80
