# SPDX-License-Identifier: MIT
"""The timetable of the phase scene, and what its processes say."""

from __future__ import annotations

from itertools import pairwise, permutations
from random import Random

import pytest

from resonance.bench.reference.phase.neighbours import (
    PERIOD_SECONDS,
    TASKS,
    Answer,
    parsed_answers,
)
from resonance.bench.reference.phase.timetable import ARMS, Block, Timing, origins, timetable

TIMING = Timing(measured_seconds=3.0, settle_seconds=2.0, control_seconds=8.0)
ORDERS = list(permutations(ARMS))


@pytest.mark.parametrize("order", ORDERS)
def test_arms_follow_one_another_and_are_measured_equally_long(order: tuple[str, ...]) -> None:
    blocks = timetable(order, TIMING, start=100.0)
    assert [block.name for block in blocks] == list(order)
    assert blocks[0].begin == 100.0
    assert all(one.end == other.begin for one, other in pairwise(blocks))
    assert blocks[-1].end == pytest.approx(100.0 + 4 * (2.0 + 3.0) + 8.0)
    for block in blocks:
        assert block.end - block.measured_from == pytest.approx(3.0)
        extra = 8.0 if block.name == "phase control" else 0.0
        assert block.moved_from == block.begin + 2.0
        assert block.measured_from == block.moved_from + extra


def kept(phases: list[float]) -> list[tuple[float, float]]:
    return list(zip(phases[::2], phases[1::2], strict=True))


def origin_in(block: Block, phases: list[float]) -> float:
    """Return the origin a task has throughout a block."""
    return next(origin for origin, until in kept(phases) if block.end <= until)


@pytest.mark.parametrize("order", ORDERS)
def test_tasks_lie_together_or_anywhere_as_the_arm_says(order: tuple[str, ...]) -> None:
    blocks = timetable(order, TIMING, start=100.0)
    tasks = origins(blocks, Random(7))
    assert len(tasks) == TASKS
    for block in blocks:
        at = [origin_in(block, phases) - 100.0 for phases in tasks]
        if ARMS[block.name].phases == "aligned":
            assert max(at) - min(at) < 0.01
        else:
            assert max(at) - min(at) > 0.3 * PERIOD_SECONDS
            assert all(0.0 <= each < PERIOD_SECONDS for each in at)


@pytest.mark.parametrize("order", ORDERS)
def test_a_task_is_told_a_new_phase_only_where_it_changes(order: tuple[str, ...]) -> None:
    blocks = timetable(order, TIMING, start=0.0)
    kinds = [ARMS[block.name].phases for block in blocks]
    changes = sum(one != other for one, other in pairwise(kinds))
    for phases in origins(blocks, Random(7)):
        ends = [until for _, until in kept(phases)]
        assert len(ends) == changes + 1
        assert ends == sorted(ends)
        assert ends[-1] == blocks[-1].end


def test_what_the_server_says_is_read() -> None:
    assert parsed_answers("100 5 300\n200 6 400\n7000000\n") == (
        [Answer(100, 5, 300), Answer(200, 6, 400)],
        0.007,
    )
