# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest

from resonance_core.control.parameters import Parameters
from resonance_core.control.records import Decision, GroupState, Mode, Source
from resonanced.phase.attendance import Attendance, Attended
from resonanced.phase.explain import group_line, response
from resonanced.phase.registry import Registry


def _registry(*names: str, mode: Mode = "observe") -> tuple[Registry, Attendance]:
    registry = Registry(Parameters(), mode)
    stream = registry.open(lambda: None)
    for key, name in enumerate(names):
        source = Source(key=key, name=name, period_seconds=0.1, origin_seconds=0.0)
        attended = Attended(source=source, client_key=key, pid=40, cgroup_id=0, held_seconds=0.02)
        registry.register(stream, attended, 1.0)
    return registry, stream


def _group(**fields: object) -> GroupState:
    values: dict[str, object] = dict.fromkeys(GroupState.__slots__, math.nan)
    known = {"state": "shadow", "sources": 8, "eligible": 6, "period_seconds": 0.1, "reason": ""}
    return GroupState(**(values | known | fields))  # type: ignore[arg-type]


def test_each_source_that_matches_is_explained_with_its_numbers() -> None:
    registry, _ = _registry("flush", "scrape")
    answer = response(registry, "scr*")
    (one,) = answer.explanations
    assert (one.source, one.pid) == ("scrape", 40)
    assert one.sentences[0].startswith("scrape runs every 100 ms")
    assert one.numbers["period_seconds"] == 0.1
    assert one.numbers["reported_offset_seconds"] == 0.02
    assert answer.left_out == 0


def test_an_answer_has_an_end_and_says_how_much_is_left_out() -> None:
    registry, _ = _registry(*(f"flush-{key}" for key in range(100)))
    answer = response(registry, "")
    assert (len(answer.explanations), answer.left_out) == (32, 68)


def test_where_nobody_is_the_mode_is_told_all_the_same() -> None:
    registry, _ = _registry(mode="shadow")
    assert list(response(registry, "").sentences) == [
        "The mode is shadow: all is decided as in active, and nothing is moved.",
        "No source is registered.",
    ]


@pytest.mark.parametrize("mode", ["observe", "adaptive", "active"])
def test_another_mode_than_the_configured_one_is_said_so(mode: Mode) -> None:
    registry, _ = _registry("flush", mode="shadow")
    registry.set_mode(mode, 2.0)
    sentences = response(registry, "").sentences
    assert sentences[0].startswith(f"The mode is {mode}: ")
    assert sentences[1] == "The configuration asks for shadow."


def test_groups_and_the_guards_that_acted_are_told() -> None:
    registry, _ = _registry("flush")
    registry.decision = Decision(
        at_seconds=1.0,
        mode="observe",
        commands=(),
        shadowed=0,
        groups=(_group(reason="the plan is no better"),),
        trips={"anti_herd": 0, "rollback": 2},
    )
    assert list(response(registry, "").sentences[1:]) == [
        "8 sources every 0.1 s, 6 may be moved: shadow, the plan is no better.",
        "Guards have acted: rollback 2.",
    ]


def test_a_group_without_a_reason_is_told_without_one() -> None:
    told = group_line(_group(state="active", profile_seconds=np.zeros(64)))
    assert told == "8 sources every 0.1 s, 6 may be moved: active"
