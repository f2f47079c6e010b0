# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import pytest

from resonance_core.errors import InvalidSampleError
from resonance_core.simulation import ARMS, FLATTERED, compare, play, reference_scenario
from resonance_core.simulation.workload import draw_workload

SHORT = reference_scenario(4, 0.5, cycles=60, warmup_cycles=10)


def test_every_arm_plays_every_seed() -> None:
    compared = compare(SHORT, ARMS, [3, 4])
    assert list(compared.plays) == list(ARMS)
    assert all(len(plays) == 2 for plays in compared.plays.values())
    assert set(FLATTERED) < set(ARMS)


def test_all_arms_of_a_seed_meet_the_same_work() -> None:
    compared = compare(SHORT, ("none", "jitter", "random", "oracle"), [3])
    rates = [plays[0].outcome.jobs_per_second for plays in compared.plays.values()]
    assert max(rates) / min(rates) < 1.01
    assert compared.ratios("none", "none").latency["all"] == (1.0,) * 4


def test_only_the_shipped_controller_predicts_and_has_states() -> None:
    compared = compare(SHORT, ("none", "splay"), [3])
    (none,), (splay,) = compared.plays["none"], compared.plays["splay"]
    assert math.isnan(none.prediction.planned_discrepancy_seconds)
    assert (none.states, none.trips) == ((), {})
    assert splay.states[0][1] == "shadow"
    assert "rollback" in splay.trips


def test_an_arms_luck_is_its_own_and_repeatable() -> None:
    workload = draw_workload(SHORT, 3)
    first, again, other = (play(workload, "random", seed).outcome for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_an_unknown_arm_and_no_seed_are_refused() -> None:
    with pytest.raises(InvalidSampleError, match="'magic' is none of none, jitter"):
        compare(SHORT, ["magic"], [1])
    with pytest.raises(InvalidSampleError, match="seeds: at least one"):
        compare(SHORT, ["none"], [])
