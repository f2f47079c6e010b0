# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest

from resonance_core.control.gate import Gate
from resonance_core.control.parameters import Parameters
from resonance_core.control.tail import BUCKETS, histogram

NONE = np.zeros(BUCKETS)


class Waits:
    def __init__(self) -> None:
        self._random = np.random.default_rng(4)

    def __call__(self, mean_seconds: float) -> np.ndarray:
        return histogram(self._random.exponential(mean_seconds, 1000))


@pytest.fixture
def waits() -> Waits:
    return Waits()


def in_shadow(waits: Waits, chunks: int = 6) -> Gate:
    gate = Gate(Parameters())
    for _ in range(chunks):
        gate.add_shadow(waits(0.010), waits(0.030))
    return gate


def test_the_level_is_the_p95_of_shadow(waits: Waits) -> None:
    assert in_shadow(waits).level_seconds == pytest.approx(0.010 * math.log(20.0), rel=0.1)


def test_a_baseline_is_as_many_chunks_as_asked_for(waits: Waits) -> None:
    assert not in_shadow(waits, 5).has_baseline
    assert in_shadow(waits, 6).has_baseline


def test_without_anything_active_nothing_is_decided(waits: Waits) -> None:
    gate = in_shadow(waits)
    assert gate.verdict() == "undecided"
    assert math.isnan(gate.tail_ratio())


def test_waits_that_halve_are_a_gain(waits: Waits) -> None:
    gate = in_shadow(waits)
    for _ in range(8):
        gate.add_active(waits(0.005), waits(0.030))
    assert gate.verdict() == "gain"
    assert gate.tail_ratio() < 0.2


def test_waits_that_double_are_harm(waits: Waits) -> None:
    gate = in_shadow(waits)
    for _ in range(6):
        gate.add_active(waits(0.020), waits(0.030))
    assert gate.verdict() == "harm_to_others"


def test_no_verdict_falls_before_the_sixth_chunk(waits: Waits) -> None:
    gate = in_shadow(waits)
    for _ in range(5):
        gate.add_active(waits(0.100), waits(0.300))
    assert gate.verdict() == "undecided"


def test_sources_that_suffer_are_harm_as_well_but_are_asked_later(waits: Waits) -> None:
    gate = in_shadow(waits)
    for chunk in range(24):
        assert gate.verdict() != "harm_to_sources", chunk
        gate.add_active(waits(0.010), waits(0.090))
    assert gate.verdict() == "harm_to_sources"


def test_the_same_waits_decide_nothing(waits: Waits) -> None:
    gate = in_shadow(waits)
    for _ in range(48):
        gate.add_active(waits(0.010), waits(0.030))
        assert gate.verdict() == "undecided"


def test_the_longer_one_looks_the_more_is_asked_for() -> None:
    """What is kept slides over the chunks: each time it is renewed is one more chance to err."""
    random = np.random.default_rng(4)
    shadow = [histogram(random.exponential(0.010, 1000)) for _ in range(24)]
    like_shadow = [histogram(random.exponential(0.010, 1000)) for _ in range(48)]
    a_little_less = [histogram(random.exponential(0.0093, 1000)) for _ in range(48)]
    verdicts = []
    for times in (0, 50):
        gate = Gate(Parameters())
        for chunk in shadow:
            gate.add_shadow(chunk, NONE)
        for chunk in like_shadow * times + a_little_less:
            gate.add_active(chunk, NONE)
        verdicts.append(gate.verdict())
    assert verdicts == ["gain", "undecided"]


def test_a_gain_in_the_middle_does_not_hide_a_longer_tail(waits: Waits) -> None:
    gate = in_shadow(waits)
    for _ in range(6):
        mixed = 0.9 * waits(0.002) + 0.1 * waits(0.060)
        gate.add_active(mixed, waits(0.030))
    assert gate.verdict() != "gain"


def test_where_nobody_else_waits_the_sources_decide(waits: Waits) -> None:
    gate = Gate(Parameters())
    for _ in range(6):
        gate.add_shadow(NONE, waits(0.030))
    for _ in range(8):
        gate.add_active(NONE, waits(0.010))
    assert gate.verdict() == "gain"


def test_without_any_waits_nothing_is_ever_decided() -> None:
    gate = Gate(Parameters())
    for _ in range(30):
        gate.add_shadow(NONE, NONE)
        gate.add_active(NONE, NONE)
    assert gate.verdict() == "undecided"
    assert math.isnan(gate.level_seconds)


@pytest.mark.parametrize(("mean_seconds", "is_changed"), [(0.010, False), (0.030, True)])
def test_after_a_rollback_shadow_is_compared_with_shadow(
    waits: Waits, mean_seconds: float, is_changed: bool
) -> None:
    gate = in_shadow(waits)
    gate.remember_shadow()
    for _ in range(10):
        gate.add_shadow(waits(mean_seconds), waits(0.030))
    assert gate.is_shadow_changed() is is_changed


def test_another_plan_is_judged_anew(waits: Waits) -> None:
    gate = in_shadow(waits)
    for _ in range(8):
        gate.add_active(waits(0.005), waits(0.030))
    gate.forget_active()
    assert gate.active_chunks == 0
    assert gate.verdict() == "undecided"
    gate.forget()
    assert gate.shadow_chunks == 0
