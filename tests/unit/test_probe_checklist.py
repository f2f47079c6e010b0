# SPDX-License-Identifier: MIT
"""Was CONTRIBUTING's checklist "to add a probe" followed, for every program there is?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from resonance_bpf.catalogue import PROGRAMS, Program

ROOT = Path(__file__).parents[2]
C = ROOT / "bpf" / "resonance_bpf" / "programs"

every_program = pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@every_program
def test_the_core_backend_attaches_it_where_the_catalogue_says(program: Program) -> None:
    source = _read(C / f"{program.family}.bpf.c")
    found = re.search(
        rf'SEC\("tp_btf/{program.tracepoint}"\)\s+int BPF_PROG\({program.name},', source
    )
    assert found


@every_program
@pytest.mark.parametrize("source", ["raw.bcc.c", "tracefs.bcc.c"])
def test_both_tiers_of_the_bcc_backend_have_it_too(program: Program, source: str) -> None:
    assert re.search(rf"^int {program.name}\(", _read(C / source), re.MULTILINE)


def test_rows_of_the_cost_table_are_in_the_order_of_the_catalogue() -> None:
    rows = re.findall(r"^#define PROGRAM_(\w+) (\d+)$", _read(C / "layout.h"), re.MULTILINE)
    assert rows == [(program.name.upper(), str(row)) for row, program in enumerate(PROGRAMS)]


@every_program
def test_its_header_says_what_is_missed_and_what_it_costs(program: Program) -> None:
    opening = _read(C / f"{program.family}.h").partition("#ifndef")[0]
    assert re.search(r"\bMissed\b", opening)
    assert re.search(r"\bCosts?\b", opening)


@every_program
def test_a_privileged_test_names_it(program: Program) -> None:
    tests = "".join(_read(path) for path in (ROOT / "tests" / "privileged").rglob("*.py"))
    assert re.search(rf"\b{program.name}\b", tests)


def test_the_guide_still_has_the_list_this_file_follows() -> None:
    guide = _read(ROOT / "CONTRIBUTING.md")
    assert Path(__file__).name in guide
    section = guide.partition("## To add a probe")[2].partition("\n## ")[0]
    assert re.findall(r"^(\d)\.", section, re.MULTILINE) == ["1", "2", "3", "4", "5", "6"]
