# SPDX-License-Identifier: MIT
from __future__ import annotations

from math import inf, nan

import numpy as np
import pytest

from resonance_core.calculus.octaves import CELLS_PER_OCTAVE, OctaveCells


def test_an_octave_is_cut_into_cells_of_equal_width() -> None:
    cells = OctaveCells()
    edges = 4096.0 * (1.0 + np.arange(CELLS_PER_OCTAVE) / CELLS_PER_OCTAVE)
    assert cells.add(tuple(edges.tolist()), 1.0)
    assert cells.add(tuple(np.nextafter(edges, 0.0).tolist()), 1.0)
    (below, last), (octave, counts) = cells.drain()
    assert (below, sum(last), last[-1]) == (11, 1, 1)
    assert (octave, counts) == (12, [2] * (CELLS_PER_OCTAVE - 1) + [1])


def test_values_are_scaled_before_they_are_sorted() -> None:
    cells = OctaveCells()
    assert cells.add((4.096e-6,), 1e9)
    assert cells.add((4096.0,), 1.0)
    ((octave, counts),) = cells.drain()
    assert (octave, counts[0]) == (12, 2)


def test_many_values_in_one_cell_are_all_counted() -> None:
    cells = OctaveCells()
    assert cells.add((5.0,) * 10_007, 1.0)
    ((_, counts),) = cells.drain()
    assert max(counts) == 10_007


def test_draining_begins_at_zero() -> None:
    cells = OctaveCells()
    assert cells.add((5.0,), 1.0)
    cells.drain()
    assert cells.drain() == []


@pytest.mark.parametrize("odd", [0.0, 1.332, -5.0, 2.0**49, inf, -inf, nan, 1e308])
def test_with_one_odd_value_none_is_counted(odd: float) -> None:
    cells = OctaveCells()
    assert not cells.add((5.0, odd), 1.5)
    assert cells.drain() == []
