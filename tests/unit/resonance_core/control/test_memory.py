# SPDX-License-Identifier: MIT
from __future__ import annotations

import numpy as np
import pytest

from resonance_core.control.memory import Memory, golden_point


def test_a_place_is_given_back_to_whoever_had_it() -> None:
    memory = Memory(10)
    memory.keep("flush", 0.1, 0.25)
    memory.keep("scrape", 0.1, 0.75)
    assert memory.take("scrape", 0.1) == 0.75
    assert memory.take("scrape", 0.1) is None
    assert memory.take("flush", 0.2) is None
    assert memory.take("flush", 0.1) == 0.25
    assert len(memory) == 0


def test_sources_of_one_name_get_each_its_own() -> None:
    memory = Memory(10)
    for phase in (0.1, 0.5, 0.9):
        memory.keep("flush", 0.1, phase)
    assert {memory.take("flush", 0.1) for _ in range(3)} == {0.1, 0.5, 0.9}


def test_only_so_many_are_kept() -> None:
    memory = Memory(100)
    for index in range(10_000):
        memory.keep(f"source-{index}", 0.1, 0.5)
    assert len(memory) == 100
    assert memory.take("source-0", 0.1) is None
    assert memory.take("source-9999", 0.1) == 0.5


@pytest.mark.parametrize("count", [2, 3, 5, 8, 16, 100])
def test_golden_points_keep_apart(count: int) -> None:
    points = np.sort([golden_point(index) for index in range(count)])
    gaps = np.diff(np.append(points, points[0] + 1.0))
    assert gaps.min() > 0.38 / count
    assert gaps.max() < 2.7 / count
