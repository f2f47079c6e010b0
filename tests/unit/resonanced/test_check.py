# SPDX-License-Identifier: MIT
from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from resonance_bpf.features import Feature
from resonance_bpf.hierarchy import CgroupHierarchy
from resonance_tuning import capabilities
from resonance_tuning.planning.other_tuners import OtherTuner
from resonance_tuning.settings import TuningSettings
from resonanced import check
from resonanced.config import ProbesSettings, Settings
from resonanced.privileges import UNIT_CAPABILITIES
from resonanced.tunable import Reach, Tunables

ALL = frozenset({"core", "bcc", "bcc-tracefs"})
CORE = frozenset({"core"})
BTF = frozenset({"core", "bcc"})


NOTHING = Tunables("", (), ())


def _tuning(monkeypatch: pytest.MonkeyPatch, tunables: Tunables) -> None:
    monkeypatch.setattr(check, "survey_knobs", lambda *_: tunables)


def _host(monkeypatch: pytest.MonkeyPatch, **is_there: bool) -> None:
    """A host of which only this is known."""
    needed = {"capabilities": ALL, "btf": BTF, "objects": CORE, "bcc": ALL - CORE}
    features = [
        Feature(name, is_there.get(name, True), f"detail of {name}", needed_by)  # type: ignore[arg-type]
        for name, needed_by in needed.items()
    ]
    monkeypatch.setattr(check, "survey", lambda _: features)
    _tuning(monkeypatch, NOTHING)
    monkeypatch.setattr(
        check, "find_hierarchy", lambda: CgroupHierarchy("v2", Path("/sys/fs/cgroup"), 1)
    )


def _report(backend: str = "auto") -> tuple[str, int]:
    settings = Settings(probes=ProbesSettings(backend=backend))  # type: ignore[arg-type]
    return check.report(settings, "text")


def test_a_host_that_has_everything_exits_0_with_the_best_tier(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _host(monkeypatch)
    text, status = _report()
    assert status == 0
    assert "tier core: resonanced run would measure with it" in text


@pytest.mark.parametrize(
    ("missing", "tier", "reason"),
    [
        ("objects", "bcc", "not core lacks objects"),
        ("btf", "bcc-tracefs", "not bcc lacks btf"),
        ("capabilities", "procfs", "not bcc-tracefs lacks capabilities"),
    ],
)
def test_a_host_that_lacks_something_exits_3_with_the_tier_and_why(
    missing: str, tier: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _host(monkeypatch, **{missing: False})
    text, status = _report()
    assert status == check.DEGRADED == 3
    assert f"tier {tier}: resonanced run would fall back to it" in text
    assert reason in text
    assert f"no  {missing}" in text


@pytest.mark.parametrize(
    ("backend", "missing", "status"),
    [
        ("none", "capabilities", 0),
        ("bcc", "objects", 0),
        ("bcc", "btf", 0),
        ("bcc", "bcc", 3),
        ("core", "objects", 3),
    ],
)
def test_a_backend_that_was_asked_for_is_judged_by_itself(
    backend: str, missing: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _host(monkeypatch, **{missing: False})
    text, exit_status = _report(backend)
    assert exit_status == status
    assert ("is not possible here" in text) == (status == 3)


def test_no_line_is_wider_than_79_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    _host(monkeypatch)
    wide = [Feature("a name", True, "x" * 200, ALL)]  # type: ignore[arg-type]
    monkeypatch.setattr(check, "survey", lambda _: wide)
    text, _ = _report()
    assert max(map(len, text.splitlines())) <= 79


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Be root, with what the unit has; a test may take some of it away."""
    held = set(UNIT_CAPABILITIES)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(capabilities, "current", lambda *_: {"CapEff": frozenset(held)})
    return held


def test_to_one_who_can_what_the_unit_can_it_does_not_speak_of_the_unit(
    root: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _host(monkeypatch)
    root.add("CAP_SYS_ADMIN")
    assert "resonanced.service" not in _report()[0]
    assert json.loads(check.report(Settings(), "json")[0])["caller_lacks"] == []


@pytest.mark.usefixtures("root")
def test_to_one_who_is_not_root_it_says_in_one_line_that_the_unit_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _host(monkeypatch)
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    line = "\nthis holds for you; resonanced.service runs as root: ask with sudo\n"
    assert line in _report()[0]
    assert json.loads(check.report(Settings(), "json")[0])["caller_lacks"] == ["root"]


def test_to_root_with_less_than_the_unit_it_says_what_the_unit_has(
    root: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _host(monkeypatch)
    root -= {"CAP_BPF", "CAP_SYS_NICE"}
    line = "\nthis holds for you; resonanced.service has CAP_BPF, CAP_SYS_NICE\n"
    assert line in _report()[0]
    document = json.loads(check.report(Settings(), "json")[0])
    assert document["caller_lacks"] == ["CAP_BPF", "CAP_SYS_NICE"]


def test_json_says_the_same_as_text_and_the_status(monkeypatch: pytest.MonkeyPatch) -> None:
    _host(monkeypatch, btf=False)
    text, status = check.report(Settings(), "json")
    document = json.loads(text)
    assert document["exit_status"] == status == 3
    assert document["tier"] == "bcc-tracefs"
    assert document["hierarchy"] == "v2"
    rows = {row["name"]: row for row in document["features"]}
    assert rows["btf"]["is_there"] is False
    assert rows["btf"]["needed_by"] == ["bcc", "core"]


WEIGHT = Reach("cpu_weight", "cgroup", 2, is_there=True, reason="")
UNIT = Reach("unit_cpu_weight", "unit", 2, is_there=False, reason="no systemd here")
OPT_IN = Reach("realtime", "process", 5, is_there=True, reason="only where it is allowed")
TUNED = OtherTuner("TuneD", 7, frozenset({"nice"}), "stop it")
CONTAINER = Tunables("in a container", (), ())


def test_it_tells_which_knobs_are_here_which_not_and_who_else_tunes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _host(monkeypatch)
    _tuning(monkeypatch, Tunables("", (TUNED,), (WEIGHT, UNIT, OPT_IN)))
    text, status = _report()
    assert status == 0
    assert text.partition("tuning: ")[2].splitlines() == [
        "mode observe, profile balanced",
        "  2 of 3 knobs can be turned here; left alone:",
        "    unit_cpu_weight: no systemd here",
        "    realtime: only where it is allowed",
        "  TuneD (pid 7) is at work and keeps nice: stop it",
        "  resonanced plan says what would be turned, on whom, and why",
    ]


@pytest.mark.parametrize(
    ("mode", "status"), [("observe", 0), ("shadow", 0), ("adaptive", 3), ("active", 3)]
)
def test_a_mode_that_cannot_be_had_in_a_container_exits_3_with_the_reason(
    mode: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _host(monkeypatch)
    _tuning(monkeypatch, CONTAINER)
    settings = Settings(tuning=TuningSettings(mode=mode))  # type: ignore[arg-type]
    text, found = check.report(settings, "text")
    assert found == status
    assert "in a container" in text
    assert ("it would be shadow" in text) == (status == 3)
    tuning = json.loads(check.report(settings, "json")[0])["tuning"]
    assert tuning["mode"] == ("shadow" if status else mode)
    assert (tuning["requested_mode"], tuning["reason"]) == (mode, "in a container")


def test_a_tier_that_proves_nothing_lowers_the_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    _host(monkeypatch, capabilities=False)
    settings = Settings(tuning=TuningSettings(mode="active"))
    assert "no gain can be proven" in check.report(settings, "text")[0]


def test_json_has_each_knob_and_who_else_tunes(monkeypatch: pytest.MonkeyPatch) -> None:
    _host(monkeypatch)
    _tuning(monkeypatch, Tunables("", (TUNED,), (WEIGHT, UNIT)))
    tuning = json.loads(check.report(Settings(), "json")[0])["tuning"]
    assert [(knob["knob"], knob["is_there"]) for knob in tuning["knobs"]] == [
        ("cpu_weight", True),
        ("unit_cpu_weight", False),
    ]
    assert tuning["others"] == [{"name": "TuneD", "pid": 7, "knobs": ["nice"], "advice": "stop it"}]


@pytest.mark.parametrize(("mode", "status"), [("observe", 0), ("active", 3)])
def test_what_a_profile_requires_is_told_and_lowers_the_mode(
    mode: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _host(monkeypatch)
    _tuning(monkeypatch, Tunables("", (), (WEIGHT,), "it needs 4 CPUs"))
    settings = Settings(tuning=TuningSettings(mode=mode))  # type: ignore[arg-type]
    text, found = check.report(settings, "text")
    assert found == status
    assert text.count("it needs 4 CPUs") == 1
