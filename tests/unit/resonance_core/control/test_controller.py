# SPDX-License-Identifier: MIT
from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from fakes.periodic_node import PeriodicNode, aligned_node
from resonance_core.control.controller import Controller
from resonance_core.control.parameters import Parameters
from resonance_core.control.records import Releases, Source
from resonance_core.errors import InvalidSampleError, SourceRefusedError


def harmful(discrepancy_seconds: float) -> float:
    """Others wait longer the better the work is spread, as with a shared set-up cost."""
    return 0.004 + 10.0 * max(0.0, 0.008 - discrepancy_seconds)


def a_source(**changes: object) -> Source:
    source = Source(key=1, name="flush", period_seconds=0.1, origin_seconds=5.0, phase_free=True)
    return replace(source, **changes)  # type: ignore[arg-type]


def some_releases(*at: float, key: int = 1) -> Releases:
    times = np.array(at)
    return Releases(
        key=key,
        at_seconds=times,
        work_seconds=np.full(len(times), 0.001),
        completion_seconds=np.full(len(times), 0.002),
    )


# -- the loop


def test_aligned_sources_are_spread_and_the_gain_is_proven() -> None:
    node = aligned_node()
    node.register()
    before = node.discrepancy()
    node.run(12.0)
    assert node.group.state == "active"
    assert node.group.reason == "the gain is proven"
    assert node.discrepancy() < 0.15 * before
    assert node.group.planned_discrepancy_seconds == pytest.approx(node.discrepancy(), rel=0.2)
    assert node.group.tail_ratio < 0.5


def test_sources_that_lie_anywhere_are_spread_as_well() -> None:
    node = aligned_node(start="random")
    node.register()
    before = node.discrepancy()
    node.run(10.0)
    assert node.group.order_parameter < 0.35  # nothing that would be called synchronised
    assert node.discrepancy() < 0.5 * before


def test_nothing_is_moved_before_the_baseline_is_known() -> None:
    node = aligned_node(wait_of=lambda _: 0.002)
    node.register()
    node.run(2.4)
    assert not node.commands
    assert "of 6 chunks of its baseline are known" in node.group.reason


def test_sources_in_place_are_not_moved_again() -> None:
    node = aligned_node()
    node.register()
    node.run(8.0)
    there = len(node.commands)
    node.run(20.0)
    assert len(node.commands) == there


def test_a_hold_changes_by_a_step_and_in_total_by_what_the_bucket_holds() -> None:
    node = aligned_node()
    node.register()
    node.run(20.0)
    cycles = 200
    assert all(command.max_step_seconds <= 0.007 for command in node.commands)
    assert (node.increases <= 0.1 * (1.5 + 0.001 * cycles) + 1e-9).all()


def test_the_same_calls_give_the_same_answers() -> None:
    one, other = (aligned_node(start="random", seed=7) for _ in range(2))
    for node in (one, other):
        node.register()
        node.run(15.0)
    assert one.commands == other.commands
    assert one.states == other.states


def test_work_too_light_to_queue_is_left_alone() -> None:
    node = aligned_node()
    node.work = node.work / 1000.0
    node.register()
    node.run(8.0)
    assert not node.commands
    assert "no queue worth speaking of" in node.group.reason


def test_sources_that_are_spread_already_are_left_alone() -> None:
    node = aligned_node()
    node.work[:] = 0.15 / 16
    node.natural = np.arange(16) * 0.1 / 16 + 0.001
    node.jitter = 0.0005
    node.register()
    node.run(8.0)
    assert not node.commands


def test_harmonic_periods_are_one_group_and_are_placed_together() -> None:
    controller = Controller(Parameters(cores=1.0), "active")
    for key, period in enumerate((0.05, 0.1, 0.025, 0.1)):
        controller.register(
            Source(
                key=key,
                name=str(key),
                period_seconds=period,
                origin_seconds=0.0,
                phase_free=True,
            ),
            0.0,
        )
    ordered: dict[int, float] = {}
    for tick in range(1, 60):
        now = tick * 0.1
        for key, period in enumerate((0.05, 0.1, 0.025, 0.1)):
            controller.observe(
                some_releases(*(now - 0.1 + period * np.arange(round(0.1 / period))), key=key)
            )
        decision = controller.tick(now)
        ordered.update({command.key: command.offset_seconds for command in decision.commands})
    (group,) = decision.groups
    assert (group.sources, group.period_seconds) == (4, 0.1)
    assert group.state == "active"
    assert group.discrepancy_seconds < 0.6 * group.natural_discrepancy_seconds
    assert len(ordered) >= 3


# -- who is not moved


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"phase_free": False}, "anchored"),
        ({"importance": "critical"}, "critical"),
        ({"phase_free": False, "slack_seconds": 0.005}, "anchored"),
    ],
    ids=["anchored", "critical", "slack without permission"],
)
def test_a_source_that_may_not_be_moved_never_is(changes: dict[str, object], reason: str) -> None:
    node = aligned_node()
    node.register(**changes)
    node.run(10.0)
    assert not node.commands
    assert reason in node.controller.source(0).reason


def test_an_anchored_source_with_slack_is_held_within_it_where_the_operator_allows() -> None:
    node = aligned_node(parameters=Parameters(cores=4.0, hold_anchored=True, act_ratio=1.0))
    node.register(phase_free=False, slack_seconds=0.004)
    node.run(10.0)
    assert node.commands
    assert max(command.offset_seconds for command in node.commands) <= 0.004


def test_sources_around_an_anchored_one_are_placed_around_it() -> None:
    node = aligned_node(sources=4)
    node.work[:] = 0.15 / 4
    for index in range(4):
        node.controller.register(replace(node.source(index), phase_free=index > 0), node.now)
    node.run(10.0)
    assert {command.key for command in node.commands} <= {1, 2, 3}
    assert node.discrepancy() < 0.5 * node.group.natural_discrepancy_seconds


def test_a_source_that_lies_about_its_period_is_not_moved() -> None:
    node = aligned_node()
    node.register()
    drift = 0.001  # a hundredth of the period per cycle
    for _ in range(100):
        node.natural[0] += drift
        node.cycle()
    assert node.controller.source(0).is_eligible is False
    assert "drifts" in node.controller.source(0).reason
    assert node.controller.source(1).is_eligible is True


def test_releases_without_a_period_are_not_moved() -> None:
    node = aligned_node(jitter_seconds=1.0)
    random = np.random.default_rng(3)
    node.register()
    for _ in range(100):
        node.natural[:] = random.uniform(0.0, 0.1, 16)
        node.jitter = 0.0
        node.cycle()
    assert not node.commands
    assert "do not follow the period" in node.controller.source(0).reason


def test_a_source_whose_work_is_not_known_is_not_moved() -> None:
    node = aligned_node()
    node.work[:] = math.nan
    node.discrepancy = lambda: 0.01  # type: ignore[method-assign]
    node.register()
    node.run(6.0)
    assert not node.commands
    assert node.controller.source(0).reason == "its work is not known"


# -- the guard


def test_proven_harm_takes_every_source_home_and_locks_the_group() -> None:
    node = aligned_node(wait_of=harmful)
    node.register()
    decision = node.run(20.0)
    assert node.group.state == "lockout"
    assert decision.trips["rollback"] == 1
    assert not node.hold.any()


def test_a_lockout_ends_when_the_workload_changes() -> None:
    node = aligned_node(wait_of=harmful)
    node.register()
    node.run(20.0)
    node.wait_of = lambda discrepancy: 0.002 + discrepancy
    node.work *= 2.5
    node.run(12.0)
    assert node.states[-1] != "lockout"


def test_a_gain_that_cannot_be_proven_is_compared_with_shadow_now_and_then() -> None:
    node = aligned_node(start="random", wait_of=lambda _: 0.004)
    node.register()
    node.run(200.0)
    first = node.states.index("active")
    assert "shadow" in node.states[first:]
    spent = node.increases.sum() - np.maximum(node.hold, 0.0).sum()
    assert spent / 16 <= 0.001 * 200.0  # a thousandth of the time at most


def test_holds_that_align_what_would_lie_apart_are_taken_back() -> None:
    node = aligned_node()
    node.register()
    node.run(6.0)
    assert node.group.state == "active"
    # by themselves the sources now lie where the holds bring them together again
    node.natural = (0.05 - node.hold) % 0.1
    for _ in range(40):
        node.controller.observe_load(1.0)  # and nothing better may be done about it
    decision = node.run(6.0)
    assert decision.trips["anti_herd"] == 1
    assert node.group.state == "lockout"
    assert not node.hold.any()


def test_an_overloaded_node_is_not_touched() -> None:
    node = aligned_node()
    node.register()
    node.controller.observe_load(0.99)
    decision = node.run(8.0)
    assert not node.commands
    assert decision.trips["overload"] == 1
    assert "overloaded" in node.group.reason


def test_sources_in_step_with_too_much_jitter_get_a_random_phase_when_they_restart() -> None:
    node = aligned_node(jitter_seconds=0.02)
    node.register()
    decision = node.run(12.0)
    assert decision.trips["jitter_fallback"] == 1
    assert not node.commands
    node.depart()
    granted = node.register()
    assert len({round(command.offset_seconds, 6) for command in granted}) == 16


# -- modes


def test_observe_decides_nothing() -> None:
    node = aligned_node("observe")
    node.register()
    decision = node.run(10.0)
    assert not node.commands
    assert decision.shadowed == 0
    assert node.group.state == "shadow"
    assert node.group.discrepancy_seconds == pytest.approx(node.discrepancy(), rel=0.1)


def test_shadow_goes_through_everything_and_commands_nothing() -> None:
    node = aligned_node("shadow")
    node.register()
    decision = node.run(10.0)
    assert not node.commands
    assert decision.shadowed == 15
    assert node.group.state == "active"
    assert node.group.discrepancy_seconds == pytest.approx(node.discrepancy(), rel=0.1)
    assert max(state.offset_seconds for state in node.controller.sources()) > 0.05


def test_from_shadow_to_active_the_baseline_need_not_be_learnt_again() -> None:
    node = aligned_node("shadow")
    node.register()
    node.run(10.0)
    node.controller.set_mode("active", node.now)
    node.run(1.0)
    assert node.commands


@pytest.mark.parametrize("mode", ["observe", "shadow"])
def test_switching_off_slews_every_source_home_in_steps(mode: str) -> None:
    node = aligned_node()
    node.register()
    node.run(8.0)
    held = {command.key for command in node.commands}
    node.commands.clear()
    node.controller.set_mode(mode, node.now)  # type: ignore[arg-type]
    node.cycle()
    assert {command.key for command in node.commands} == held
    assert {(each.kind, each.offset_seconds) for each in node.commands} == {("slew", 0.0)}
    assert node.hold.any()
    node.run(2.0)
    assert not node.hold.any()


def test_the_kill_switch_sends_everybody_home_at_once() -> None:
    node = aligned_node()
    node.register()
    node.run(8.0)
    commands = node.controller.stop(node.now)
    assert {(each.kind, each.offset_seconds) for each in commands} == {("home", 0.0)}
    assert len(commands) == 16
    node.obey(commands)
    decision = node.run(5.0)
    assert decision.mode == "observe"
    assert decision.trips["kill_switch"] == 1
    assert not node.hold.any()


def test_adaptive_moves_a_quarter_and_more_with_each_proven_gain() -> None:
    node = aligned_node("adaptive")
    node.register()
    node.run(5.5)
    assert len({command.key for command in node.commands}) == 4
    node.run(40.0)
    assert len({command.key for command in node.commands}) >= 15
    assert node.group.reason == "the gain is proven"


def test_a_mode_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidSampleError, match="mode"):
        Controller(Parameters(), "on")  # type: ignore[arg-type]


# -- restarts


def test_a_restart_of_all_sources_gives_each_its_old_place() -> None:
    node = aligned_node()
    node.register()
    node.run(10.0)
    spread = node.discrepancy()
    node.depart()
    node.hold[:] = node.ordered[:] = 0.0
    granted = node.register()
    assert {command.kind for command in granted} == {"grant"}
    assert node.discrepancy() == pytest.approx(spread, rel=0.3)
    node.run(5.0)
    assert node.group.state == "active"


def test_newcomers_to_a_placed_group_are_not_aligned() -> None:
    node = aligned_node()
    node.register()
    node.run(10.0)
    offsets = []
    for key in range(100, 116):
        command = node.controller.register(
            a_source(key=key, name=f"new-{key}", origin_seconds=node.now), node.now
        )
        assert command is not None
        offsets.append(command.offset_seconds)
    gaps = np.diff(np.sort([*offsets, min(offsets) + 0.1]))
    assert gaps.min() > 0.1 / 60


def test_sources_of_a_minute_are_placed_when_they_register_and_never_slewed() -> None:
    controller = Controller(Parameters(), "active")
    granted = [
        controller.register(a_source(key=key, name=f"scrape-{key}", period_seconds=60.0), 0.0)
        for key in range(8)
    ]
    offsets = sorted(command.offset_seconds for command in granted if command is not None)
    assert len(offsets) == 8
    assert np.diff(offsets).min() > 3.0


def test_nothing_is_granted_in_observe_and_shadow() -> None:
    for mode in ("observe", "shadow"):
        controller = Controller(Parameters(), mode)  # type: ignore[arg-type]
        assert controller.register(a_source(period_seconds=60.0), 0.0) is None


def test_a_controller_that_comes_back_goes_on_with_the_holds_it_finds() -> None:
    node = aligned_node()
    node.register()
    node.run(8.0)
    holds = node.hold.copy()
    spread = node.discrepancy()
    node.controller = Controller(Parameters(cores=4.0), "active")
    for index in range(16):
        source = replace(node.source(index), offset_seconds=float(holds[index]))
        assert node.controller.register(source, node.now) is None
    node.run(8.0)
    assert node.group.state == "active"
    assert node.discrepancy() == pytest.approx(spread, rel=0.3)


def test_a_controller_that_comes_back_without_a_mandate_sends_them_home() -> None:
    node = aligned_node("observe")
    node.register(offset_seconds=0.03)
    node.run(2.0)
    assert not node.hold.any()


# -- time and silence


@pytest.mark.parametrize("jump_seconds", [3600.0, -5.0], ids=["suspend", "set back"])
def test_after_a_jump_of_the_clock_nothing_old_is_believed(jump_seconds: float) -> None:
    node = aligned_node()
    node.register()
    node.run(8.0)
    node.now += jump_seconds
    decision = node.controller.tick(node.now)
    assert decision.trips["anti_freeze"] == 1
    assert {(each.kind, each.offset_seconds) for each in decision.commands} == {("slew", 0.0)}
    assert decision.groups[0].state == "shadow"
    assert all(math.isnan(state.phase_rad) for state in node.controller.sources())


def test_holds_that_grew_while_the_clock_jumped_are_paid_for() -> None:
    node = aligned_node(sources=8)
    node.register()
    began = node.now
    for _ in range(6):
        while not (node.decision and node.group.state == "acquire"):
            node.cycle()
        node.increases += np.maximum(node.ordered - node.hold, 0.0)
        node.hold[:] = node.ordered  # its sources went on while the controller was stopped
        node.now += 3.0
        node.obey(node.controller.tick(node.now).commands)
        node.run(3.0)
    assert (node.increases <= 0.15 + 0.001 * (node.now - began)).all()


def test_when_most_held_sources_fall_silent_they_are_taken_home() -> None:
    node = aligned_node()
    node.register()
    node.run(8.0)
    node.silent = set(range(12))
    node.commands.clear()
    decision = node.run(5.2)
    assert decision.trips["anti_freeze"] == 1
    assert node.group.state == "rollback"
    assert all(command.offset_seconds == 0.0 for command in node.commands)


def test_one_silent_source_is_no_reason() -> None:
    node = aligned_node()
    node.register()
    node.run(8.0)
    node.silent = {3}
    decision = node.run(7.0)
    assert decision.trips["anti_freeze"] == 0
    assert node.group.state == "active"


def test_sources_that_never_arrive_are_given_up() -> None:
    node = aligned_node()
    node.register()
    while not node.commands:
        node.cycle()
    for _ in range(100):
        for index in range(16):
            at = node.now + node.natural[index]
            node.controller.observe(replace(some_releases(at, key=index), offset_seconds=0.0))
        node.now += 0.1
        decision = node.controller.tick(node.now)
    assert decision.trips["anti_freeze"] >= 1


# -- what comes in


@pytest.mark.parametrize(
    "changes",
    [
        {"period_seconds": math.nan},
        {"period_seconds": -1.0},
        {"period_seconds": 0.0},
        {"period_seconds": 1e-6},
        {"period_seconds": 1e9},
        {"period_seconds": math.inf},
        {"origin_seconds": math.nan},
        {"slack_seconds": -1.0},
        {"slack_seconds": math.nan},
        {"offset_seconds": 0.2},
        {"offset_seconds": -0.1},
        {"name": "x" * 10_000},
    ],
    ids=str,
)
def test_an_impossible_source_is_refused(changes: dict[str, object]) -> None:
    controller = Controller(Parameters(), "active")
    with pytest.raises(SourceRefusedError):
        controller.register(a_source(**changes), 0.0)
    assert controller.sources() == ()


def test_who_comes_and_goes_with_ever_other_periods_leaves_little_behind() -> None:
    controller = Controller(Parameters(), "active")
    period = 80_000.0
    for key in range(200):
        period *= 0.95
        now = float(key)
        controller.register(
            Source(key=key, name="fickle", period_seconds=period, origin_seconds=now), now
        )
        controller.depart(key)
        controller.tick(now)
    assert len(list(controller._groups)) <= 64


def test_a_key_is_given_once() -> None:
    controller = Controller(Parameters())
    controller.register(a_source(), 0.0)
    with pytest.raises(SourceRefusedError, match="taken"):
        controller.register(a_source(name="other"), 0.0)


def test_ten_thousand_sources_are_refused_beyond_the_limit() -> None:
    controller = Controller(Parameters(max_sources=100))
    refused = 0
    for key in range(10_000):
        try:
            controller.register(a_source(key=key), 0.0)
        except SourceRefusedError:
            refused += 1
    assert refused == 9_900
    assert len(controller.sources()) == 100


@pytest.mark.parametrize(
    "releases",
    [
        some_releases(math.nan),
        some_releases(math.inf),
        some_releases(2.0, 1.0),
        some_releases(1.0, 1.0),
        some_releases(1.0, key=99),
        replace(some_releases(1.0), work_seconds=np.array([-1.0])),
        replace(some_releases(1.0), work_seconds=np.array([math.inf])),
        replace(some_releases(1.0), completion_seconds=np.array([math.inf])),
        replace(some_releases(1.0), work_seconds=np.array([0.1, 0.1])),
    ],
)
def test_impossible_releases_are_refused_and_change_nothing(releases: Releases) -> None:
    controller = Controller(Parameters())
    controller.register(a_source(), 0.0)
    with pytest.raises(InvalidSampleError):
        controller.observe(releases)
    assert controller.source(1).releases == 0


def test_a_report_that_is_repeated_is_refused() -> None:
    controller = Controller(Parameters())
    controller.register(a_source(), 0.0)
    controller.observe(some_releases(1.0, 1.1))
    with pytest.raises(InvalidSampleError, match="after the last report"):
        controller.observe(some_releases(1.0, 1.1))


def test_an_empty_report_is_fine() -> None:
    controller = Controller(Parameters())
    controller.register(a_source(), 0.0)
    controller.observe(some_releases())
    assert controller.source(1).releases == 0


@pytest.mark.parametrize(
    ("seconds", "counts"),
    [([-1.0], [1.0]), ([math.nan], [1.0]), ([1.0], [-1.0]), ([1.0], [1.0, 2.0])],
)
def test_impossible_waits_are_refused(seconds: list[float], counts: list[float]) -> None:
    with pytest.raises(InvalidSampleError):
        Controller(Parameters()).observe_waits(0.0, np.array(seconds), np.array(counts))


@pytest.mark.parametrize("now", [math.nan, math.inf])
def test_a_time_that_is_none_is_refused(now: float) -> None:
    controller = Controller(Parameters())
    with pytest.raises(InvalidSampleError):
        controller.tick(now)
    with pytest.raises(InvalidSampleError):
        controller.register(a_source(), now)


def test_the_source_that_is_not_there_has_no_state() -> None:
    controller = Controller(Parameters())
    controller.depart(1)
    with pytest.raises(InvalidSampleError, match="no source has the key 1"):
        controller.source(1)


def test_a_single_source_is_left_alone() -> None:
    node = aligned_node(sources=1)
    node.register()
    node.run(8.0)
    assert not node.commands
    assert "alone" in node.group.reason


def test_sources_without_any_work_are_left_alone() -> None:
    node = aligned_node()
    node.work = np.zeros(16)
    node.register()
    node.run(8.0)
    assert not node.commands


# -- what is told


def test_the_counterfactual_says_in_shadow_what_the_plan_is_worth() -> None:
    node = aligned_node("shadow")
    node.register()
    # who comes during the 37 ms of the burst waits for half of what is left of it
    came = np.arange(0.05, 0.087, 0.0002)
    waited = (0.087 - came) / 2.0
    ended = ((came + waited) * 1000.0).astype(np.intp)
    events = np.bincount(ended, minlength=100) + 5.0
    waits = np.bincount(ended, weights=waited, minlength=100)
    for _ in range(100):
        start = node.now
        node.cycle()
        node.controller.observe_bins(start, 0.001, events, waits)
    assert node.group.predicted_ratio < 0.5


def test_an_explanation_has_the_numbers_behind_it() -> None:
    node = aligned_node()
    node.register()
    node.run(10.0)
    sentences = " ".join(node.controller.explain(3))
    numbers = node.controller.numbers(3)
    assert "flush-3 runs every 100 ms" in sentences
    assert "The gain is proven" in sentences or "the gain is proven" in sentences
    assert numbers["group_sources"] == 16.0
    assert numbers["offset_seconds"] == pytest.approx(node.hold[3])
    assert "after its own release" in sentences or "not held" in sentences


def test_the_delay_bound_is_checked_against_every_burst() -> None:
    node = aligned_node()
    node.register()
    node.run(10.0)
    assert node.group.delay_bound_checks > 1000
    assert 0.0 < node.group.delay_bound_seconds < 0.05
    assert node.group.peak_seconds > node.now


def test_a_drifting_anchored_source_is_followed() -> None:
    node: PeriodicNode = aligned_node(sources=4)
    for index in range(4):
        node.controller.register(replace(node.source(index), phase_free=index > 0), node.now)
    for _ in range(160):
        node.natural[0] += 0.0003
        node.cycle()
    assert node.controller.source(0).is_eligible is False
    assert node.discrepancy() < 0.7 * node.group.natural_discrepancy_seconds


# -- how often it is to be turned, and sources are to report


def test_it_is_turned_at_once_while_sources_move_and_by_the_chunk_else() -> None:
    node = aligned_node()
    assert node.controller.due_seconds == math.inf
    node.register()
    assert node.controller.due_seconds <= node.now + 0.5
    while not node.commands:
        node.cycle()
    assert node.controller.due_seconds == -math.inf
    node.run(8.0)
    assert node.group.state == "active"
    assert node.now <= node.controller.due_seconds <= node.now + 2.0
    node.controller.set_mode("observe", node.now)
    assert node.controller.due_seconds == -math.inf


def test_it_is_quiet_once_a_gain_is_proven_and_not_before() -> None:
    node = aligned_node()
    node.register()
    assert not node.controller.is_quiet
    while node.decision is None or node.group.state != "active":
        node.cycle()
    assert not node.controller.is_quiet
    node.run(20.0)
    assert node.group.reason == "the gain is proven"
    assert node.controller.is_quiet


def test_in_shadow_it_is_quiet_once_the_plan_would_be_in_force() -> None:
    node = aligned_node("shadow")
    node.register()
    assert not node.controller.is_quiet
    node.run(15.0)
    assert node.group.state == "active"
    assert node.controller.is_quiet


def test_where_no_plan_is_worth_it_it_becomes_quiet_until_somebody_comes() -> None:
    node = aligned_node(parameters=Parameters(cores=4.0, min_discrepancy_ratio=1e6))
    node.register()
    node.run(3.0)
    assert not node.controller.is_quiet
    node.run(6.0)
    assert node.group.state == "shadow"
    assert node.controller.is_quiet
    node.controller.register(replace(node.source(0), key=99), node.now)
    assert not node.controller.is_quiet


def test_in_observe_it_is_always_quiet() -> None:
    node = aligned_node("observe")
    assert node.controller.is_quiet
    node.register()
    node.run(2.0)
    assert node.controller.is_quiet


def test_who_reports_rarely_is_silent_later() -> None:
    node = aligned_node()
    node.register()
    node.run(8.0)
    node.controller.expect_reports(4.0)
    node.silent = set(range(16))
    assert node.run(11.0).trips["anti_freeze"] == 0
    assert node.run(2.0).trips["anti_freeze"] == 1


@pytest.mark.parametrize("interval", [0.0, -1.0, math.nan, math.inf])
def test_an_interval_is_a_positive_number(interval: float) -> None:
    with pytest.raises(InvalidSampleError):
        Controller(Parameters()).expect_reports(interval)
