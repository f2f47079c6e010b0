# SPDX-License-Identifier: MIT
from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.changes import CPU, HOGS, IDLE, PLAN, THERE, WEB, WEIGHT, entry
from resonance_tuning.host import Host
from resonance_tuning.knobs import make_knobs
from resonance_tuning.records import Receipt, Setting, Target
from resonanced.verbs import report

Golden = Callable[[str, str], None]
KNOBS = make_knobs(Host(Path("/nowhere")))


def _text(lines: list[str]) -> str:
    assert max(map(len, lines)) < 80
    return "\n".join(lines) + "\n"


def test_a_plan_as_text(golden: Golden) -> None:
    golden("cli/plan.txt", _text(report.plan_lines(PLAN, KNOBS)))


def test_a_plan_as_json_has_rung_and_need_of_each_change() -> None:
    document = json.loads(json.dumps(report.plan_data(PLAN, KNOBS)))
    idle, _, there = document["changes"]
    assert idle["setting"]["target"] == {"kind": "cgroup", "name": "/hogs"}
    assert (idle["rung"], idle["is_needed"], there["is_needed"]) == (1, True, False)
    assert idle["prior"] == {"value": "0", "coupled": {"cpu.shares": "700"}}
    assert document["excluded"][2]["reason"] == "needs two online CPUs"


def test_commands_to_go_back_undo_the_last_change_first() -> None:
    text = _text(report.plan_lines(PLAN, KNOBS))
    places = [text.index(f"echo {what}") for what in ("1024 >", "0 >", "700 >")]
    assert places == sorted(places)


def test_a_strange_name_stays_a_name_in_text_and_in_the_command() -> None:
    target = Target("cgroup", "/\x1b]0;me\x07\udcff")
    command = f"echo 0 > '{CPU}{target.name}/cpu.idle'"
    change = dataclasses.replace(
        IDLE, setting=Setting("cpu_idle", target, "1", "batch"), undo=(command,)
    )
    plan = dataclasses.replace(PLAN, changes=(change,), batch=(target.name,))
    lines = report.plan_lines(plan, KNOBS)
    assert all(line.isprintable() for line in lines)
    assert "cgroup /\\x1b]0;me\\x07\\xff  0 -> 1" in "\n".join(lines)
    assert "'$'\\x1b''" in "\n".join(lines)


def test_long_names_and_values_stay_within_the_width() -> None:
    target = Target("cgroup", "/" + "x" * 50)
    setting = Setting("tcp_congestion_control", target, "1", "batch")
    change = dataclasses.replace(WEIGHT, setting=setting, canonical="word " * 30)
    knobs = KNOBS | {"tcp_congestion_control": KNOBS["cpu_weight"]}
    _text(report.plan_lines(dataclasses.replace(PLAN, changes=(change,)), knobs))


def test_equal_changes_of_many_targets_are_told_once() -> None:
    others = [
        dataclasses.replace(IDLE, setting=Setting("cpu_idle", Target("cgroup", name), "1", "batch"))
        for name in ("/b", "/c")
    ]
    text = _text(report.plan_lines(dataclasses.replace(PLAN, changes=(IDLE, *others)), KNOBS))
    assert text.count("batch work gives way") == 1
    assert "      the same: cgroup /b, cgroup /c\n" in text
    assert text.count("echo 0 > ") == 3


def test_an_empty_plan_says_so() -> None:
    plan = dataclasses.replace(
        PLAN, changes=(), excluded=(), notes=(), latency_critical=(), batch=()
    )
    assert report.plan_lines(plan, KNOBS) == [
        "profile balanced: 0 changes, 0 there already, 0 left out"
    ]


def test_receipts_say_what_became_of_each_and_what_is_left_to_do(golden: Golden) -> None:
    receipts = [
        Receipt(3, WEIGHT.setting, "applied", "26215"),
        Receipt(0, THERE.setting, "already", "10"),
        Receipt(2, IDLE.setting, "restored", "0"),
        Receipt(3, WEIGHT.setting, "drifted", "5000", "we left '26215'", WEIGHT.undo),
        Receipt(
            3,
            WEIGHT.setting,
            "conflict-left",
            "5000",
            "it was 1024 before us and is 5000 now",
            WEIGHT.undo,
        ),
        Receipt(1, Setting("nice", Target("process", "9"), "10", "batch"), "vanished"),
        Receipt(4, IDLE.setting, "refused", "", "Permission denied", IDLE.undo),
        Receipt(5, IDLE.setting, "ok", "1"),
    ]
    golden("cli/receipts.txt", _text(report.receipt_lines(receipts)))


@pytest.mark.usefixtures("in_utc")
def test_the_journal_is_a_table(golden: Golden) -> None:
    long = Target("cgroup", "/system.slice/system-backup.slice/backup@nightly.service")
    setting = Setting("tcp_slow_start_after_idle", long, "0", "batch")
    entries = [
        entry(1, IDLE),
        entry(2, WEIGHT, outcome="restored", found="1024"),
        entry(3, dataclasses.replace(WEIGHT, setting=setting), outcome=None, got=None),
        entry(4, IDLE, outcome="conflict-left", found="0"),
    ]
    golden("cli/journal.txt", _text(report.journal_lines(entries)))


def test_an_empty_journal_says_so() -> None:
    assert report.journal_lines([]) == ["nothing was changed since this boot"]


def test_an_entry_as_json_says_what_became_of_it() -> None:
    document = report.entry_data(entry(1, IDLE))
    assert document["fate"] == "in force"
    assert document["setting"]["target"]["name"] == HOGS.name
    assert report.entry_data(entry(1, WEIGHT, outcome="released"))["fate"] == "released"
    assert WEB.name in report.subject(WEIGHT.setting)
