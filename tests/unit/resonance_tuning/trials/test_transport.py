# SPDX-License-Identifier: MIT
from __future__ import annotations

import numpy as np
import pytest

from fakes.tuned_node import waits
from resonance_bpf.layouts import BUCKET_UPPER_NS
from resonance_tuning.guard import Guard
from resonance_tuning.trials.evidence import Reading, Window
from resonance_tuning.trials.transport import Transport, harm, load, read_transport, why_not

GUARD = Guard()
WAN = Transport(0.02, 0.03, 0.05, 50, 0.005)


def path(**changes: float) -> Transport:
    fields = {name: getattr(WAN, name) for name in WAN.__slots__}
    return Transport(**(fields | changes))


def test_a_window_tells_its_paths() -> None:
    generator = np.random.default_rng(1)
    nothing = np.zeros(len(BUCKET_UPPER_NS), np.uint64)
    readings = [Reading(nothing, waits(generator, 0.05, 1_000), 10) for _ in range(20)]
    found = read_transport(Window.of(readings, 20.0), BUCKET_UPPER_NS)
    assert found
    assert found.shortest_seconds < found.median_seconds < found.p99_seconds
    assert found.p99_seconds == pytest.approx(0.05, rel=0.1)
    assert (found.retransmits, found.retransmit_ratio) == (200, pytest.approx(0.01, rel=0.1))


def test_too_few_segments_tell_nothing() -> None:
    nothing = np.zeros(len(BUCKET_UPPER_NS), np.uint64)
    few = nothing.copy()
    few[100] = 499
    assert read_transport(Window.of([Reading(nothing, few)], 1.0), BUCKET_UPPER_NS) is None
    assert read_transport(Window.of([Reading(nothing, None)], 1.0), BUCKET_UPPER_NS) is None


@pytest.mark.parametrize(
    ("now", "shortest_seconds", "is_breach"),
    [
        (path(), 0.02, False),
        (path(median_seconds=0.07), 0.02, True),
        (path(shortest_seconds=0.06, median_seconds=0.07), 0.02, True),
        (path(retransmit_ratio=0.016), 0.02, True),
    ],
    ids=["quiet", "queueing", "a standing queue", "loss"],
)
def test_queues_and_loss_are_worth_a_change(
    now: Transport, shortest_seconds: float, is_breach: bool
) -> None:
    assert (load(now, shortest_seconds, GUARD) > 1.0) == is_breach


def test_an_objective_decides_alone() -> None:
    guard = Guard(slo_srtt_p99_seconds=0.1)
    assert load(path(median_seconds=1.0), 0.02, guard) == 0.5


@pytest.mark.parametrize(
    ("now", "shortest_seconds", "told"),
    [
        (path(), 0.02, ""),
        (path(), 0.0003, "the shortest round trip is 0.3 ms; below 2 ms there is nothing to gain"),
        (path(retransmit_ratio=0.03), 0.02, "3.0% of segments are sent again and no queue stands"),
        (path(retransmit_ratio=0.04, median_seconds=0.2), 0.02, ""),
    ],
    ids=["wide area", "same rack", "shallow", "deep and overflowing"],
)
def test_the_wrong_path_is_recognised(now: Transport, shortest_seconds: float, told: str) -> None:
    assert why_not(now, shortest_seconds, GUARD).startswith(told)
    assert bool(why_not(now, shortest_seconds, GUARD)) == bool(told)


@pytest.mark.parametrize(
    ("before", "during", "is_harm"),
    [
        (path(), path(), False),
        (path(), path(retransmits=160, retransmit_ratio=0.016), True),
        (path(), path(retransmits=140, retransmit_ratio=0.014), False),
        (path(retransmit_ratio=0.015), path(retransmits=210, retransmit_ratio=0.021), True),
        (path(retransmit_ratio=0.03), path(retransmits=210, retransmit_ratio=0.021), False),
        (path(retransmit_ratio=0.0), path(retransmits=19, retransmit_ratio=0.002), False),
        (path(retransmit_ratio=0.0), path(retransmits=20, retransmit_ratio=0.002), True),
    ],
    ids=["same", "three times", "less", "beyond 2 %", "better", "chance", "from nothing"],
)
def test_retransmits_that_grow_are_harm(
    before: Transport, during: Transport, is_harm: bool
) -> None:
    assert bool(harm(before, during, GUARD)) == is_harm
