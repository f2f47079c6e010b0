# SPDX-License-Identifier: MIT
from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.changes import IDLE, WEIGHT, entry
from resonance_tuning.host import Host
from resonance_tuning.knobs import make_knobs
from resonance_tuning.records import Receipt, Setting, Target
from resonanced.verbs import story

Golden = Callable[[str, str], None]
KNOBS = make_knobs(Host(Path("/nowhere")))
VERDICT = (
    1_795_272_500.0,
    {
        "knob": "cpu_weight",
        "target": "cgroup /web",
        "verdict": "kept",
        "reason": "the p99 fell by 93 %",
        "ratio": 0.07,
        "low": 0.05,
        "high": 0.11,
        "p99_before_seconds": 0.0041,
        "p99_during_seconds": 0.00029,
        "p99_after_seconds": 0.0039,
    },
)
pytestmark = pytest.mark.usefixtures("in_utc")


def _text(lines: list[str]) -> str:
    assert max(map(len, lines)) < 80
    return "\n".join(lines) + "\n"


def test_a_change_that_was_measured(golden: Golden) -> None:
    receipt = Receipt(2, WEIGHT.setting, "ok", "26215")
    verdicts = story.verdicts_of(entry(2, WEIGHT), [VERDICT])
    golden("cli/explain-step.txt", _text(story.entry_lines(entry(2, WEIGHT), receipt, verdicts)))


def test_a_change_by_hand_that_somebody_else_overwrote() -> None:
    receipt = Receipt(1, IDLE.setting, "drifted", "0", "we left '1'")
    text = _text(story.entry_lines(entry(1, IDLE), receipt, []))
    assert "no verdict" in text
    assert "0: somebody else changed it" in text
    assert "echo 700 > " in text
    assert "with it changes, and is put back: cpu.shares 700" in text


def test_a_change_that_somebody_took_over_says_who_and_when() -> None:
    past = entry(
        1,
        IDLE,
        outcome="released",
        found="0",
        released_by="pid 9 (sh)",
        ended_unix_seconds=1_795_272_900.0,
    )
    text = _text(story.entry_lines(past, None, []))
    assert "released 2026-11-21 14:55:00 by pid 9 (sh), found 0" in text
    assert "theirs stays; if it is not wanted, by hand:" in text
    assert "echo 0 > " in text


def test_a_change_that_was_put_back_leaves_nothing_to_do() -> None:
    past = entry(1, IDLE, outcome="restored", found="0")
    text = _text(story.entry_lines(past, None, []))
    assert "nothing to do" in text
    assert "echo" not in text


def test_a_verdict_of_another_target_is_not_told() -> None:
    assert story.verdicts_of(entry(1, IDLE), [VERDICT]) == []


@pytest.mark.parametrize("missing", ["ratio", "p99_after_seconds"])
@pytest.mark.parametrize("value", [float("nan"), None, "much"])
def test_what_a_verdict_does_not_know_is_left_out(missing: str, value: object) -> None:
    (told,) = story.gain_lines([(VERDICT[0], VERDICT[1] | {missing: value})])
    assert ("ratio" in told) is (missing != "ratio")
    assert ("before" in told) is (missing != "p99_after_seconds")
    assert "nan" not in told


def test_the_overview(golden: Golden) -> None:
    entries = [entry(1, IDLE), entry(2, WEIGHT), entry(3, IDLE, outcome="restored", found="0")]
    golden("cli/explain.txt", _text(story.overview_lines(entries, [VERDICT])))


def test_commands_lead_to_the_same_journal() -> None:
    flags = " --journal-directory /tmp/x"
    told = story.entry_lines(entry(1, IDLE), None, [], flags)
    assert any(line.endswith(f"resonanced rollback{flags}") for line in told)
    overview = story.overview_lines([entry(1, IDLE)], [], flags)
    assert f"resonanced explain 1{flags}" in overview


def test_what_shadow_mode_would_do_is_told_once() -> None:
    would = {"knob": "cpu_idle", "target": "cgroup /hogs", "verdict": "would", "reason": "it waits"}
    verdicts = [(1.0, would | {"reason": "older"}), (2.0, would), VERDICT]
    text = _text(story.overview_lines([], verdicts))
    assert "would be changed, if this were not shadow mode:\n  cpu_idle of cgroup /hogs\n" in text
    assert "it waits" in text
    assert "older" not in text
    assert "cpu_weight" not in text


def test_a_verdict_is_found_though_the_name_was_noted_as_it_can_be_shown() -> None:
    strange = dataclasses.replace(
        IDLE, setting=Setting("cpu_idle", Target("cgroup", "/\x1b"), "1", "batch")
    )
    verdicts = [(1.0, {"knob": "cpu_idle", "target": "cgroup /?"})]
    assert story.verdicts_of(entry(1, strange), verdicts) == verdicts


def test_notes_of_each_kind() -> None:
    notes = [
        ("verdict", VERDICT),
        ("held-back", (2.0, {"knob": "nice", "target": "process 7", "reason": "a rest"})),
        ("step-down", (3.0, {"cgroup": "/hogs", "reason": "it starved"})),
    ]
    text = _text(story.note_lines(notes))
    assert "verdict: cpu_weight of cgroup /web\n          kept 2026" in text
    assert "held-back: nice of process 7\n          1970-01-01 00:00:02; a rest\n" in text
    assert "step-down: /hogs\n          1970-01-01 00:00:03; it starved\n" in text


def test_the_overview_of_nothing() -> None:
    assert "nothing on this host" in _text(story.overview_lines([], []))


def test_a_knob_with_its_values(golden: Golden) -> None:
    values = [("cgroup /web", "26215"), ("cgroup /hogs", "")]
    golden("cli/explain-knob.txt", _text(story.knob_lines(KNOBS["cpu_weight"], values)))


@pytest.mark.parametrize("name", sorted(KNOBS))
def test_every_knob_can_be_told(name: str) -> None:
    assert KNOBS[name].summary[:20] in _text(story.knob_lines(KNOBS[name], []))
