# SPDX-License-Identifier: MIT
from __future__ import annotations

import numpy as np
import numpy.typing as npt

from resonance_core.control.chunk import Chunk, Kind
from resonance_core.control.tail import BUCKETS

NOTHING: npt.NDArray[np.float64] = np.zeros(BUCKETS)


def chunk(kind: Kind = "shadow", at: float = 100.0) -> Chunk:
    made = Chunk(0.5)
    made.begin(kind, at, NOTHING)
    return made


def completed(made: Chunk, *at: float) -> None:
    made.completed(np.array(at), np.array(at) % 1.0)


def test_bursts_that_are_reported_late_count_for_the_next_chunk_of_their_kind() -> None:
    made = chunk()
    made.begin("shadow", 100.5, NOTHING)
    completed(made, 100.125, 100.25, 100.625)
    assert made.close(NOTHING)[1].tolist() == [0.125, 0.25, 0.625]


def test_bursts_of_before_the_plan_was_in_force_do_not_count_for_it() -> None:
    made = chunk()
    made.begin("active", 100.5, NOTHING)
    completed(made, 100.125, 100.25, 100.625)
    made.begin("active", 101.0, NOTHING)
    completed(made, 100.375, 100.75, 101.25)
    assert made.close(NOTHING)[1].tolist() == [0.75, 0.25]


def test_a_burst_of_before_a_spoilt_chunk_does_not_count_after_it() -> None:
    made = chunk()
    made.spoil(100.25)
    made.begin("shadow", 100.5, NOTHING)
    completed(made, 100.125, 100.75)
    assert made.close(NOTHING)[1].tolist() == [0.75]


def test_a_spoilt_chunk_is_no_longer_than_usual() -> None:
    made = Chunk(0.5)
    made.begin("shadow", 100.0, NOTHING, 4.0)
    assert made.end_seconds == 102.0
    made.spoil(100.25)
    assert made.end_seconds == 100.75
    assert made.kind == ""


def test_waits_and_bursts_that_are_not_known_are_left_out() -> None:
    made = chunk()
    made.completed(np.array([100.1, 100.2]), np.array([np.nan, -0.001]))
    waits = NOTHING.copy()
    waits[3] = 2.0
    others, bursts = made.close(waits)
    assert bursts.tolist() == [0.0]
    assert others[3] == others.sum() == 2.0
