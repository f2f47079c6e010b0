# SPDX-License-Identifier: MIT
from __future__ import annotations

import json
from pathlib import Path

import pytest

from resonance_bpf.features import Feature
from resonance_bpf.hierarchy import CgroupHierarchy
from resonanced import check
from resonanced.config import ProbesSettings, Settings

ALL = frozenset({"core", "bcc", "bcc-tracefs"})
CORE = frozenset({"core"})
BTF = frozenset({"core", "bcc"})


def _host(monkeypatch: pytest.MonkeyPatch, **is_there: bool) -> None:
    """A host of which only this is known."""
    needed = {"capabilities": ALL, "btf": BTF, "objects": CORE, "bcc": ALL - CORE}
    features = [
        Feature(name, is_there.get(name, True), f"detail of {name}", needed_by)  # type: ignore[arg-type]
        for name, needed_by in needed.items()
    ]
    monkeypatch.setattr(check, "survey", lambda _: features)
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
