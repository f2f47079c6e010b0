# SPDX-License-Identifier: MIT
from __future__ import annotations

import sys
from collections.abc import Callable
from fractions import Fraction
from math import inf, nan

import pytest

from resonance.histogram._cells import Cells, PlainCells, make_cells
from resonance_core.calculus.octaves import OctaveCells

KINDS: list[Callable[[], Cells]] = [PlainCells, OctaveCells]


@pytest.fixture(params=KINDS)
def cells(request: pytest.FixtureRequest) -> Cells:
    made: Cells = request.param()
    return made


def places(cells: Cells) -> dict[tuple[int, int], int]:
    return {
        (octave, cell): count
        for octave, counts in cells.drain()
        for cell, count in enumerate(counts)
        if count
    }


@pytest.mark.parametrize("octave", [1, 2, 10, 15, 16, 17, 31, 32, 33, 47, 48])
def test_each_octave_begins_with_its_first_cell_and_ends_with_its_last(
    cells: Cells, octave: int
) -> None:
    first = 2.0**octave
    last = first * (2.0 - 1.0 / 1024.0)
    assert cells.add((first, last, last + first / 4096.0), 1.0)
    assert places(cells) == {(octave, 0): 1, (octave, 1023): 2}


def test_every_cell_of_an_octave_is_found(cells: Cells) -> None:
    assert cells.add(tuple(float(1024 + cell) for cell in range(1024)), 1024.0)
    assert places(cells) == {(20, cell): 1 for cell in range(1024)}


def test_whole_numbers_are_like_floats(cells: Cells) -> None:
    assert cells.add((1_000_000, 1_000_000.0), 1.0)
    assert list(places(cells).values()) == [2]


def test_draining_begins_at_zero(cells: Cells) -> None:
    assert cells.add((5.0,), 1.0)
    cells.drain()
    assert cells.drain() == []
    assert cells.add((7.0,), 1.0)
    assert list(places(cells).values()) == [1]


@pytest.mark.parametrize(
    "odd", [0.0, -0.0, 1.999, -5.0, 2.0**49, inf, -inf, nan, -nan, 10**400, 5e-324, 1e308]
)
def test_with_one_odd_value_none_is_counted(cells: Cells, odd: float) -> None:
    assert not cells.add((5.0, odd, 7.0), 1.0)
    assert cells.drain() == []


def test_what_grows_too_large_by_scaling_is_odd(cells: Cells) -> None:
    assert not cells.add((1e308, 1.0), 1e9)


@pytest.mark.parametrize("odd", ["12", None, 1j, [1.0]])
def test_what_is_no_number_is_odd(cells: Cells, odd: object) -> None:
    for scale in (1.0, 1e9):
        assert not cells.add((5.0, odd), scale)  # type: ignore[arg-type]  # that is the test
    assert cells.drain() == []


def test_what_can_be_a_float_is_a_number(cells: Cells) -> None:
    assert cells.add((Fraction(11, 2), True + 4), 1.0)  # type: ignore[arg-type]  # a float by its method
    assert sum(places(cells).values()) == 2


def test_with_numpy_installed_it_counts() -> None:
    assert isinstance(make_cells(), OctaveCells)


def test_without_numpy_the_interpreter_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "resonance_core.calculus.octaves")
    monkeypatch.setitem(sys.modules, "numpy", None)
    assert isinstance(make_cells(), PlainCells)


def test_another_import_that_fails_is_not_taken_for_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resonance_core.calculus.octaves", None)
    with pytest.raises(ModuleNotFoundError, match="octaves"):
        make_cells()
