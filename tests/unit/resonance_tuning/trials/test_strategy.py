# SPDX-License-Identifier: MIT
from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pytest

from fakes.tuned_node import WEB, Apply, Level, Node, Undo, knob, node, setting, waits
from resonance_bpf.layouts import BUCKET_UPPER_NS
from resonance_tuning.records import Setting, Target
from resonance_tuning.trials.evidence import Counts, Reading

IDLE, WEIGHT, CPUS = knob("idle", 1), knob("weight", 2), knob("cpuset", 3)
BBR = knob("congestion_control", 1, evidence="srtt")
BAD, GOOD = 0.01, 0.0005


def bad(_now: float, _on: Collection[str]) -> float:
    return BAD


def cpus(value: str) -> Setting:
    return setting("cpuset", value)


def helped_by(*knobs: str) -> Level:
    return lambda _now, on: BAD * (0.1 if set(knobs) <= set(on) else 1.0)


def names(shown: Node) -> list[tuple[str, str]]:
    """The changes so far, as what was done and to which knob."""
    return [(type(action).__name__, action.settings[0].knob) for _, action in shown.changes]  # type: ignore[union-attr]


def test_a_trial_is_with_without_and_with_again() -> None:
    shown = node([IDLE], helped_by("idle")).run(200)
    assert names(shown) == [("Apply", "idle"), ("Undo", "idle"), ("Apply", "idle")]
    assert shown.words == [("idle", "kept")]
    assert shown.verdicts[0][1].verdict.cgroup == WEB
    reasons = [action.reason for _, action in shown.changes]  # type: ignore[union-attr]
    assert reasons[0] == "the wait for a CPU of /web is 4.9 times what it should be: a trial"
    assert reasons[1] == "to see how it is without it"
    assert reasons[2].startswith("p99 is 0.1")


def test_nothing_happens_before_the_objective_is_missed_for_windows_in_a_row() -> None:
    shown = node([IDLE], lambda now, _on: GOOD if 41 <= now <= 60 else BAD).run(119)
    assert shown.changes == []
    shown.run(1)
    assert names(shown) == [("Apply", "idle")]


@pytest.mark.parametrize("level", [GOOD, 0.0019])
def test_an_objective_that_is_met_is_left_alone(level: float) -> None:
    assert node([IDLE], lambda _now, _on: level).run(600).changes == []


def test_too_few_waits_are_no_reason() -> None:
    assert node([IDLE], bad, events=3).run(600).changes == []


def test_the_ladder_is_climbed_one_knob_at_a_time_from_the_least_invasive() -> None:
    shown = node([IDLE, WEIGHT, CPUS], helped_by("weight")).run(400)
    assert shown.words == [("idle", "undone"), ("weight", "kept")]
    assert {each.knob for each in shown.applied} == {"weight"}
    assert {each for _, each in names(shown)} == {"idle", "weight"}


def test_what_was_kept_stays_while_the_next_is_tried() -> None:
    levels = {frozenset(): 0.02, frozenset({"idle"}): 0.008, frozenset({"idle", "weight"}): 0.001}
    shown = node([IDLE, WEIGHT], lambda _now, on: levels[frozenset(on)]).run(400)
    assert shown.words == [("idle", "kept"), ("weight", "kept")]
    assert len(shown.applied) == 2


def test_one_knob_on_all_its_targets_is_one_step() -> None:
    db = setting("idle", target=Target("cgroup", "/db"))
    shown = node([IDLE], bad, settings=[setting("idle"), db]).run(70)
    (_, apply), *_ = shown.changes
    assert isinstance(apply, Apply)
    assert apply.settings == (setting("idle"), db)


@pytest.mark.parametrize(("mode", "knobs"), [("adaptive", 2), ("active", 3)])
def test_adaptive_stays_on_the_lower_rungs(mode: str, knobs: int) -> None:
    shown = node([IDLE, WEIGHT, CPUS], bad, mode=mode).run(600)
    assert len(shown.words) == knobs
    assert shown.strategy.holds_back == "no knob is left to try"


def test_shadow_changes_nothing_and_says_what_it_would() -> None:
    shown = node([IDLE, CPUS], bad, mode="shadow").run(600)
    assert shown.changes == []
    assert shown.words == [("idle", "would"), ("cpuset", "would")]
    assert shown.verdicts[0][1].verdict.reason.endswith("would try this")


def test_a_knob_without_evidence_of_ours_is_never_tried() -> None:
    assert node([knob("qdisc", 1, evidence="none")], bad).run(600).changes == []


def test_harm_is_cut_short() -> None:
    shown = node([IDLE], lambda _now, on: BAD * (5.0 if on else 1.0)).run(200)
    (applied_at, _), (undone_at, undo) = shown.changes
    assert undone_at - applied_at < 15.0
    assert isinstance(undo, Undo)
    assert shown.words == [("idle", "harm")]
    told = shown.verdicts[0][1].verdict
    assert told.reason.startswith("/web: p99 went from 9.89 to 5")
    assert told.p99_during_seconds > 3 * told.p99_before_seconds
    assert np.isnan(told.ratio)


def test_a_gain_of_one_group_at_the_cost_of_another_is_harm() -> None:
    generator = np.random.default_rng(1)

    def level(_now: float, on: Collection[str]) -> Mapping[str, Reading]:
        db = GOOD * (1.6 if on else 1.0)
        web = BAD * (0.2 if on else 1.0)
        return {
            WEB: Reading(waits(generator, web)),
            "/db": Reading(waits(generator, db, 3_000)),
        }

    shown = node([IDLE], level).run(200)
    assert shown.words == [("idle", "harm")]
    told = shown.verdicts[0][1].verdict
    assert told.reason.startswith("/db: p99 is 1.")
    assert told.cgroup == "/db"
    assert told.ratio > 1.1, "the numbers are those of the one that was harmed"
    assert not shown.applied


def test_a_group_that_goes_away_proves_nothing() -> None:
    generator = np.random.default_rng(1)

    def level(now: float, _on: Collection[str]) -> Mapping[str, Reading]:
        return {WEB: Reading(waits(generator, BAD))} if now < 90 else {}

    shown = node([IDLE], level).run(200)
    assert shown.words == [("idle", "no-signal")]
    assert not shown.applied


def test_what_is_refused_rests_and_the_next_is_tried() -> None:
    shown = node([IDLE, WEIGHT], bad)
    shown.refuse = {"idle"}
    shown.run(61)
    assert shown.strategy.holds_back == "the kernel would not"
    shown.run(160)
    assert names(shown) == [("Apply", "weight"), ("Undo", "weight")]


def test_slack_for_long_takes_back_what_reserves() -> None:
    shown = node([CPUS], lambda now, on: GOOD if on or now > 200 else BAD, settings=[cpus("2-3")])
    shown.run(2_000)
    assert shown.words == [("cpuset", "kept"), ("cpuset", "undone")]
    (kept_at, _), (left_at, judged) = shown.verdicts
    assert 200.0 <= left_at - kept_at <= 221.0
    assert judged.verdict.reason == "the wait for a CPU leaves room"
    assert not shown.applied


def test_what_is_needed_again_stays_for_longer_each_time() -> None:
    shown = node([CPUS], lambda _now, on: GOOD if on else BAD, settings=[cpus("2-3")]).run(3_000)
    at = [when for when, _ in shown.verdicts]
    stayed = [left - kept for kept, left in zip(at[::2], at[1::2], strict=False)]
    assert [round(seconds, -2) for seconds in stayed] == [200, 400, 800]


@pytest.mark.parametrize("kind", [IDLE, WEIGHT], ids=["idle", "weight"])
def test_what_makes_the_slack_and_takes_nothing_from_anybody_stays(kind: type[Any]) -> None:
    shown = node([kind], lambda _now, on: GOOD if on else BAD).run(5_000)
    assert shown.words == [(kind.name, "kept")]
    assert len(shown.changes) == 3


def test_slack_leaves_what_takes_nothing_though_it_is_newer() -> None:
    levels = {(): 0.02, ("cpuset",): 0.006, ("weight",): 0.0017, ("cpuset", "weight"): GOOD}
    shown = node(
        [CPUS, WEIGHT],
        lambda _now, on: levels[tuple(sorted(on))],
        settings=[cpus("2-3"), setting("weight")],
    ).run(1_000)
    assert shown.words == [("cpuset", "kept"), ("weight", "kept"), ("cpuset", "undone")]
    assert [each.knob for each in shown.applied] == ["weight"]


def test_neither_good_nor_bad_changes_nothing() -> None:
    shown = node([IDLE], lambda _now, on: 0.0017 if on else BAD).run(2_000)
    assert shown.words == [("idle", "kept")]
    assert len(shown.changes) == 3


def starve(shown: Node, seconds: float) -> Node:
    shown.more["batch_full_ratio"] = 0.9
    return shown.run(seconds)


def test_batch_work_that_starves_is_given_way() -> None:
    shown = starve(node([IDLE], lambda _now, on: 0.0017 if on else BAD).run(150), 60)
    assert shown.words == [("idle", "kept"), ("idle", "harm")]
    assert not shown.applied
    assert starve(shown, 1_000).words[2:] == []


def test_a_trial_that_starves_batch_work_is_over() -> None:
    shown = node([IDLE], bad, batch_full_pressure_seconds=10.0).run(61)
    assert shown.applied
    starve(shown, 10)
    assert not shown.applied
    assert shown.words == [("idle", "harm")]


def test_a_trial_may_end_before_anything_was_seen_of_it() -> None:
    shown = node([IDLE], bad, batch_full_pressure_seconds=62.0)
    shown.more["batch_full_ratio"] = 0.9
    shown.run(62)
    assert names(shown) == [("Apply", "idle"), ("Undo", "idle")]
    assert np.isnan(shown.verdicts[0][1].verdict.p99_during_seconds)


def test_cpus_that_are_too_few_are_not_given() -> None:
    shown = node([CPUS], bad, settings=[cpus("2-3")])
    shown.more["busy_cpus"] = 1.8
    shown.run(300)
    assert shown.changes == []
    (held,) = shown.held_back
    told = "the latency-critical groups keep 1.8 CPUs busy; they would get 2"
    assert (held.reason, shown.strategy.holds_back) == (told, told)


def test_cpus_that_become_too_few_are_given_up() -> None:
    shown = node([CPUS], lambda _now, on: 0.0017 if on else BAD, settings=[cpus("2-3")])
    shown.more["busy_cpus"] = 1.0
    shown.run(200)
    assert shown.applied
    shown.more["busy_cpus"] = 1.9
    shown.run(25)
    assert not shown.applied
    assert shown.words == [("cpuset", "kept"), ("cpuset", "harm")]


# ---- the owner wins -------------------------------------------------------------------------


def test_what_its_owner_changes_is_left_to_them() -> None:
    shown = node([IDLE], helped_by("idle")).run(200)
    (mine,) = shown.applied
    shown.applied.clear()
    shown.do(shown.strategy.lost(shown.now, [mine], "changed by pid 1"))
    shown.run(600)
    assert len(shown.changes) == 3


@pytest.mark.parametrize("seconds", [70, 200], ids=["on trial", "kept"])
def test_what_the_actuator_took_back_for_the_harm_it_did_is_a_verdict(seconds: float) -> None:
    shown = node([IDLE], helped_by("idle")).run(seconds)
    (mine,) = shown.applied
    shown.applied.clear()
    told = shown.strategy.lost(shown.now, [mine], "batch work waited for too long", word="harm")
    shown.do(told)
    assert shown.words[-1:] == [("idle", "harm")]
    assert shown.verdicts[-1][1].verdict.reason == "batch work waited for too long"
    assert shown.run(600).words[-1:] == [("idle", "harm")]


def test_a_trial_whose_owner_steps_in_ends_and_takes_the_rest_back() -> None:
    db = setting("idle", target=Target("cgroup", "/db"))
    shown = node([IDLE], bad, settings=[setting("idle"), db]).run(70)
    shown.applied.remove(db)
    shown.do(shown.strategy.lost(shown.now, [db], "changed by pid 1"))
    assert not shown.applied
    ((_, judged),) = shown.verdicts
    assert (judged.verdict.word, judged.verdict.reason) == ("undone", "changed by pid 1")


def test_an_owner_who_steps_in_while_it_is_done_is_heard_afterwards() -> None:
    shown = node([IDLE], bad).run(59)
    shown.now += 1
    (apply,) = shown.strategy.observe(shown.now, _sample(BAD))
    assert isinstance(apply, Apply)
    assert shown.strategy.lost(shown.now, apply.settings, "it is gone") == []
    (judged,) = shown.strategy.done(shown.now)
    assert judged.verdict.reason == "it is gone"  # type: ignore[union-attr]


def _sample(level: float) -> Any:
    from resonance_tuning.trials.trial import Sample

    return Sample(1.0, {WEB: Reading(waits(np.random.default_rng(1), level))})


# ---- the network ----------------------------------------------------------------------------


def network(shortest: float, queue: float, again: float, *, with_bbr: tuple[float, float]) -> Level:
    """Return paths of this shortest round trip, queue in front of it, and segments sent again."""
    generator = np.random.default_rng(1)

    def round_trips(p99: float) -> Counts:
        counts = waits(generator, p99, 300)
        return counts + waits(generator, shortest, 40)

    def level(_now: float, on: Collection[str]) -> Mapping[str, Reading]:
        p99, ratio = with_bbr if on else (queue, again)
        return {WEB: Reading(waits(generator, GOOD), round_trips(p99), round(340 * ratio))}

    return level


def shallow(seconds: float, again: float) -> Level:
    """Return a path on which every round trip takes about as long as the shortest."""
    generator = np.random.default_rng(1)
    round_trips = np.zeros(len(BUCKET_UPPER_NS), np.uint64)
    round_trips[np.searchsorted(BUCKET_UPPER_NS, int(seconds * 1e9))] = 340
    reading = Reading(waits(generator, GOOD), round_trips, round(340 * again))
    return lambda _now, _on: {WEB: reading}


def test_a_queue_that_another_congestion_control_drains_keeps_it() -> None:
    shown = node([BBR], network(0.02, 0.9, 0.0, with_bbr=(0.1, 0.0))).run(3_000)
    assert shown.words == [("congestion_control", "kept")], "and slack does not take it back"


@pytest.mark.parametrize(
    ("level", "told"),
    [
        (network(0.0005, 0.9, 0.0, with_bbr=(0.1, 0.0)), "there is nothing to gain"),
        (shallow(0.02, 0.04), "the bottleneck looks shallow and shared"),
    ],
    ids=["short path", "shared and shallow"],
)
def test_the_wrong_path_is_not_tried_and_told_once(level: Level, told: str) -> None:
    shown = node([BBR], level).run(600)
    assert shown.changes == []
    (held,) = shown.held_back
    assert held.settings[0].knob == "congestion_control"
    assert told in held.reason


def test_a_deep_buffer_that_overflows_is_not_taken_for_a_shallow_one() -> None:
    shown = node([BBR], network(0.02, 0.9, 0.04, with_bbr=(0.1, 0.0))).run(300)
    assert shown.words == [("congestion_control", "kept")]


def test_a_shallow_buffer_shows_under_trial_and_ends_it() -> None:
    shown = node([BBR], network(0.02, 0.9, 0.004, with_bbr=(0.1, 0.03))).run(300)
    assert shown.words == [("congestion_control", "harm")]
    assert "a shared shallow buffer" in shown.verdicts[0][1].verdict.reason
    assert not shown.applied


def test_old_connections_are_given_time_to_end() -> None:
    shown = node([BBR], network(0.02, 0.9, 0.0, with_bbr=(0.1, 0.0))).run(300)
    (applied_at, _), (undone_at, _), (again_at, _) = shown.changes
    assert undone_at - applied_at >= 40.0
    assert again_at - undone_at >= 40.0


def test_another_plan_is_chosen_from() -> None:
    from fakes.tuned_node import plan

    shown = node([IDLE, WEIGHT], bad, settings=[setting("idle")]).run(150)
    assert shown.words == [("idle", "undone")]
    shown.strategy.replan(plan(setting("idle"), setting("weight")))
    assert shown.run(150).words[1:] == [("weight", "undone")]
