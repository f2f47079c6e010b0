# SPDX-License-Identifier: MIT
"""Was CONTRIBUTING's checklist "to add a knob" followed, for every knob there is?"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from resonance_tuning.host import Host
from resonance_tuning.knob import Knob
from resonance_tuning.knobs import KNOBS
from resonance_tuning.planning.reasons import SENTENCES

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests" / "unit" / "resonance_tuning" / "knobs"

every_knob = pytest.mark.parametrize("knob", KNOBS, ids=lambda knob: knob.name)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _module(knob: type[Knob]) -> str:
    return knob.__module__.rpartition(".")[2]


def _is_named(knob: type[Knob], text: str) -> bool:
    return bool(re.search(rf"\b({knob.name}|{knob.__name__}|{_module(knob)})\b", text))


@every_knob
def test_its_file_opens_with_the_kernels_word_for_the_surface(knob: type[Knob]) -> None:
    opening = sys.modules[knob.__module__].__doc__ or ""
    assert "``" in opening or "`/" in opening or re.search(r"[A-Z]{2,}|\(\d\)", opening), opening


@every_knob
def test_it_says_what_it_is_how_invasive_and_what_must_get_better(knob: type[Knob]) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", knob.name)
    assert knob.summary.endswith(".")
    assert knob.rung in range(1, 6)
    assert knob.evidence in {"runqueue", "srtt", "none"}
    assert knob.persistence in {"process", "boot"}
    assert all(name.startswith("CAP_") for name in knob.capabilities)


def test_no_two_have_one_name_and_all_are_on_the_ladder_in_order() -> None:
    places = [(knob.rung, knob.name) for knob in KNOBS]
    assert places == sorted(set(places))
    assert len({knob.name for knob in KNOBS}) == len(KNOBS)


@every_knob
def test_it_can_be_made_without_touching_anything(knob: type[Knob]) -> None:
    assert knob(Host(Path("/nowhere"))).name == knob.name


@every_knob
def test_a_plan_has_a_reason_for_it(knob: type[Knob]) -> None:
    is_of_a_table = knob.scope == "namespace"  # their summaries are reasons
    assert is_of_a_table or knob.name in {name for name, _ in SENTENCES}


@every_knob
def test_unit_tests_turn_it_on_a_tree_of_files(knob: type[Knob]) -> None:
    assert any(_is_named(knob, _read(path)) for path in TESTS.glob("test_*.py"))


@every_knob
def test_it_is_turned_on_the_real_thing(knob: type[Knob]) -> None:
    if knob.scope == "unit":  # where systemd is not the first process, a bus of the test's own
        tests = _read(TESTS / f"test_{_module(knob)}.py")
        assert "fakes.systemd_bus" in tests
    else:
        tests = "".join(_read(path) for path in (ROOT / "tests" / "privileged").rglob("*.py"))
    assert _is_named(knob, tests)


def _row(knob: type[Knob]) -> str:
    forgotten = {"process": "its process", "boot": "reboot"}[knob.persistence]
    return f"| `{knob.name}` | {knob.scope} | {knob.rung} | {forgotten} | {knob.summary} |"


def test_the_guide_has_each_of_them_in_its_own_words() -> None:
    guide = _read(ROOT / "docs" / "tuning.md")
    section = guide.partition("\n## Knobs\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert rows == [_row(knob) for knob in KNOBS]


def test_contributing_still_has_the_list_this_file_follows() -> None:
    text = _read(ROOT / "CONTRIBUTING.md")
    assert Path(__file__).name in text
    section = text.partition("## To add a knob")[2].partition("\n## ")[0]
    assert re.findall(r"^(\d)\.", section, re.MULTILINE) == ["1", "2", "3", "4", "5", "6", "7"]
