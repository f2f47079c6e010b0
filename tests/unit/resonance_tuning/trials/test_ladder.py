# SPDX-License-Identifier: MIT
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from fakes.tuned_node import knob, plan, setting
from resonance_tuning.guard import Guard
from resonance_tuning.records import Setting, State, Target
from resonance_tuning.trials.ladder import Ladder, cpus_given
from resonance_tuning.trials.limits import Limits
from resonance_tuning.trials.transport import Transport
from resonance_tuning.trials.view import View

KNOBS = [
    knob("idle", 1),
    knob("weight", 2),
    knob("cpuset", 3),
    knob("congestion_control", 1, evidence="srtt"),
    knob("route_congestion", 2, evidence="srtt"),
]
FAR = Transport(0.02, 0.09, 0.2, 0, 0.0)
NEAR = replace(FAR, shortest_seconds=0.0005)
VIEW = View({}, {"runqueue": {"/web": 5.0}, "srtt": {}}, {}, None)


def ladder(*settings: Setting, mode: Any = "active") -> Ladder:
    limits = Limits(Guard())
    return Ladder(plan(*settings), mode, {kind.name: kind for kind in KNOBS}, limits)


def chosen(made: Ladder, view: View = VIEW, live: Sequence[Setting] = (), kind: Any = "runqueue"):  # noqa: ANN201
    step = made.next_step(0.0, kind, view, live)
    return step.settings if step else None


def paths(**found: tuple[Transport, float]) -> View:
    named = {f"/{name}": path for name, path in found.items()}
    loads = dict.fromkeys(named, 1.5)
    return View(dict.fromkeys(named), {"runqueue": {}, "srtt": loads}, named, None)  # type: ignore[arg-type]


def test_the_order_is_the_plans() -> None:
    first, second = setting("weight"), setting("idle")
    assert chosen(ladder(first, second)) == (first,)


def test_what_is_in_force_or_there_already_is_passed_over() -> None:
    idle, weight = setting("idle"), setting("weight")
    made = ladder(idle, weight)
    assert chosen(made, live=[idle]) == (weight,)
    there = replace(made.plan.changes[0], prior=State("1"))
    made.plan = replace(made.plan, changes=(there, made.plan.changes[1]))
    assert chosen(made) == (weight,)


def test_a_breach_is_answered_by_a_knob_of_its_kind() -> None:
    assert chosen(ladder(setting("congestion_control"))) is None


def test_adaptive_leaves_high_rungs_alone() -> None:
    cpus = setting("cpuset", "2-3")
    assert chosen(ladder(cpus)) == (cpus,)
    assert chosen(ladder(cpus, mode="adaptive")) is None


@pytest.mark.parametrize(("busy", "is_refused"), [(None, False), (1.7, False), (1.8, True)])
def test_a_group_gets_no_fewer_cpus_than_it_needs(busy: float | None, is_refused: bool) -> None:
    made = ladder(setting("cpuset", "2-3"))
    assert (chosen(made, replace(VIEW, busy_cpus=busy)) is None) == is_refused
    assert bool(made.refusals) == is_refused


def test_cpus_of_batch_work_are_no_matter_of_that() -> None:
    batch = setting("cpuset", "1", role="batch")
    assert cpus_given([batch]) == 0
    assert chosen(ladder(batch), replace(VIEW, busy_cpus=100.0)) == (batch,)
    assert cpus_given([setting("cpuset", "0-1"), setting("unit_allowed_cpus", "1-3")]) == 4


def test_congestion_control_is_for_the_groups_whose_paths_are_right() -> None:
    web = setting("congestion_control", "bbr")
    cache = setting("congestion_control", "bbr", Target("cgroup", "/cache"))
    view = paths(web=(FAR, 0.02), cache=(NEAR, 0.0005))
    assert chosen(ladder(web, cache), view, kind="srtt") == (web,)
    made = ladder(cache)
    assert chosen(made, view, kind="srtt") is None
    ((_, reason),) = made.refusals.items()
    assert reason.startswith("/cache: the shortest round trip is 0.5 ms")


def test_a_group_that_nobody_measures_is_left_alone() -> None:
    made = ladder(setting("congestion_control", "bbr"))
    view = replace(paths(), windows={"/web": None})  # type: ignore[dict-item]
    assert chosen(made, view, kind="srtt") is None
    assert list(made.refusals.values()) == ["/web: too few segments to tell its paths"]


def test_a_group_whose_paths_are_good_is_left_alone() -> None:
    made = ladder(setting("congestion_control", "bbr"))
    view = paths(web=(FAR, 0.02))
    calm = replace(view, loads={"runqueue": {}, "srtt": {"/web": 0.9}})
    assert chosen(made, calm, kind="srtt") is None
    assert list(made.refusals.values()) == ["/web: its paths neither queue nor lose"]


def test_a_route_is_judged_by_the_worst_paths() -> None:
    route = setting("route_congestion", "bbr", Target("route", "default"), "network")
    assert chosen(ladder(route), paths(web=(FAR, 0.02)), kind="srtt") == (route,)
    assert chosen(ladder(route), paths(web=(NEAR, 0.0005)), kind="srtt") is None
