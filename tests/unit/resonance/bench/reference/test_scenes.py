# SPDX-License-Identifier: MIT
"""The plan of the experiment: what was promised is in it, and it fits into a quarter of an hour."""

from __future__ import annotations

import pytest

from resonance.bench import reference
from resonance.bench.reference.arms import AGAIN, ARMS, BASELINE
from resonance.bench.reference.scenes import EXTRA, SCENES, smoke
from resonance.policies.choice.candidates import __all__ as candidates

ALL = {**SCENES, **EXTRA}


@pytest.mark.parametrize("name", ALL)
def test_every_scene_has_its_baseline_a_placebo_and_arms_that_there_are(name: str) -> None:
    arms = ALL[name].arms
    assert arms[:2] == (BASELINE, AGAIN)
    assert set(arms) <= set(ARMS)
    assert len(set(arms)) == len(arms)


def test_every_balancer_meets_one_client_and_twenty() -> None:
    one, twenty = SCENES["two nodes, one client"], SCENES["two nodes, twenty clients"]
    assert one.arms == twenty.arms
    assert (one.demand.clients, twenty.demand.clients) == (1, 20)
    assert one.demand.rate_per_second == twenty.demand.rate_per_second
    assert {"round-robin", "p2c", "peak-ewma", "full scan"} <= set(one.arms)


def test_each_candidate_that_asks_the_kernel_is_measured_beside_its_control() -> None:
    made = [arm.make for name, arm in ARMS.items() if arm.make and name in
            SCENES["two nodes, twenty clients"].arms]  # fmt: skip
    kinds = {type(make(__import__("random").Random(1))).__name__ for make in made}
    assert kinds == set(candidates) - {"Shares"}
    assert {"p2c", "peak-ewma", "full scan"} <= set(SCENES["two nodes, twenty clients"].arms)


def test_every_way_to_isolate_is_on_one_node() -> None:
    asked = {"hedge", "p2c, guarded hedge", "idle", "weight", "soft set", "hard set", "real time"}
    assert asked | {"all", "all but real time"} <= set(SCENES["one node"].arms)


def test_p999_has_answers_enough_on_one_node() -> None:
    demand = SCENES["one node"].demand
    assert demand.rate_per_second * demand.seconds >= 3_000


def test_isolation_is_only_asked_for_where_there_are_two_services() -> None:
    for spec in ALL.values():
        if spec.topology == "two nodes":
            assert not any(ARMS[arm].profile for arm in spec.arms)


def test_a_smoke_run_has_the_same_arms_once() -> None:
    spec = smoke(SCENES["one node"])
    assert spec.arms == SCENES["one node"].arms
    assert spec.repetitions == 1
    assert spec.demand.whole_seconds < 1.0


def test_names_are_told_once_each() -> None:
    assert len(set(reference.NAMES)) == len(reference.NAMES)
    assert set(reference.DEFAULT) <= set(reference.NAMES)
