# SPDX-License-Identifier: MIT
"""The tuner: all or none, back again exactly, and nothing that is somebody else's."""

from __future__ import annotations

import errno
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from fakes.knobs import BOOT_ID, FakeHost, FakeWeight, setting
from resonance_tuning import journal_file
from resonance_tuning.errors import (
    JournalError,
    KnobDriftedError,
    KnobRefusedError,
    KnobUnavailableError,
    TargetVanishedError,
)
from resonance_tuning.journal import Journal, read
from resonance_tuning.records import HOST, Change, Receipt, Setting, State, Target, TargetKind
from resonance_tuning.tuner import Tuner

WHY = "asked for"


@pytest.fixture
def fake(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


@pytest.fixture
def journal(fake: FakeHost) -> Iterator[Journal]:
    with Journal(fake.journals, BOOT_ID) as journal:
        yield journal


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def tuner(fake: FakeHost, journal: Journal, said: list[str]) -> Tuner:
    return Tuner(fake.host, journal, fake.knobs, log=said.append)


def apply(tuner: Tuner, *settings: Setting) -> list[Receipt]:
    return tuner.apply("balanced", [tuner.preview(each, "to be quick") for each in settings], WHY)


def outcomes(receipts: list[Receipt]) -> list[str]:
    return [receipt.outcome for receipt in receipts]


# ---- preview and apply -----------------------------------------------------------------------


def test_preview_shows_what_would_be_and_writes_nothing(fake: FakeHost, tuner: Tuner) -> None:
    group = fake.make_group("/web", "700")
    before = fake.snapshot()
    change = tuner.preview(setting("fake_weight", group, "1"), "to be quick")
    assert (change.prior, change.canonical, change.is_needed) == (State("700"), "2", True)
    assert change.undo == (f"echo 700 > {fake.root}/groups/web/weight",)
    assert fake.snapshot() == before
    assert read(fake.journals, BOOT_ID).entries() == []


def test_preview_of_what_cannot_be_says_why(fake: FakeHost, tuner: Tuner) -> None:
    gone = fake.make_group("/gone")
    fake.remove_group(gone)
    with pytest.raises(KnobUnavailableError, match="there is no group /gone"):
        tuner.preview(setting("fake_weight", gone, "1"), "")
    with pytest.raises(KnobUnavailableError, match="no such knob"):
        tuner.preview(setting("moonshot", gone, "1"), "")


def test_a_change_is_made_and_told(fake: FakeHost, tuner: Tuner, said: list[str]) -> None:
    group = fake.make_group("/web", "700")
    (receipt,) = apply(tuner, setting("fake_weight", group, "1000"))
    assert (receipt.step, receipt.outcome, receipt.found) == (1, "applied", "1000")
    assert fake.snapshot()["web/weight"] == b"1000\n"
    (line,) = said
    event, *fields = shlex.split(line)
    assert event == "kernel_write"
    assert dict(field.split("=") for field in fields) == {
        "knob": "fake_weight",
        "target": "cgroup /web",
        "old": "700",
        "new": "1000",
        "reason": "to be quick",
    }


def test_what_is_told_moves_no_cursor(fake: FakeHost, tuner: Tuner, said: list[str]) -> None:
    group = fake.make_group("/we\x9b2Jb\n", "700")
    apply(tuner, setting("fake_weight", group, "1000"))
    assert all(line.isprintable() for line in said)


def test_the_journal_knows_before_the_kernel_does(fake: FakeHost, tuner: Tuner) -> None:
    group, seen = fake.make_group("/web"), list[str]()

    def look(value: str) -> None:
        (entry,) = read(fake.journals, BOOT_ID).live()
        seen.append(f"{entry.prior.value} -> {entry.setting.value}, {value}: {entry.outcome}")

    fake.weight.before_write = look
    apply(tuner, setting("fake_weight", group, "1000"))
    assert seen == ["1024 -> 1000, 1000: None"]


def test_a_value_the_kernel_clamps_is_ours_as_it_reads(fake: FakeHost, tuner: Tuner) -> None:
    group = fake.make_group("/web", "700")
    assert apply(tuner, setting("fake_weight", group, "1"))[0].found == "2"
    assert outcomes(tuner.verify()) == ["ok"]
    assert outcomes(tuner.undo()) == ["restored"]
    assert fake.snapshot()["web/weight"] == b"700\n"


def test_what_is_there_already_is_neither_written_nor_journalled(
    fake: FakeHost, tuner: Tuner
) -> None:
    group = fake.make_group("/web", "2")
    fake.weight.refusal = AssertionError("written")
    (receipt,) = apply(tuner, setting("fake_weight", group, "1"))
    assert (receipt.step, receipt.outcome, receipt.found) == (0, "already", "2")
    assert tuner.journal.path.read_bytes() == b""
    assert tuner.undo() == []


def test_nothing_to_apply_is_nothing(tuner: Tuner) -> None:
    assert tuner.apply("balanced", [], WHY) == []
    assert tuner.journal.path.read_bytes() == b""


def test_what_changed_since_the_preview_is_what_comes_back(fake: FakeHost, tuner: Tuner) -> None:
    group = fake.make_group("/web", "700")
    change = tuner.preview(setting("fake_weight", group, "1000"), "")
    fake.put(group, "weight", "800")
    tuner.apply("balanced", [change], WHY)
    tuner.undo()
    assert fake.snapshot()["web/weight"] == b"800\n"


# ---- all or none -----------------------------------------------------------------------------


def test_a_refusal_takes_everything_before_it_back(fake: FakeHost, tuner: Tuner) -> None:
    web, batch = fake.make_group("/web"), fake.make_group("/batch", "700")
    before = fake.snapshot()
    fake.weight.refusal = OSError(errno.EPERM, "Operation not permitted")
    fake.weight.capabilities = frozenset({"CAP_SYS_NICE"})  # type: ignore[misc]
    with pytest.raises(KnobRefusedError, match="not permitted.*needs CAP_SYS_NICE") as caught:
        apply(tuner, setting("fake_idle", batch, "1"), setting("fake_weight", web, "9"))
    assert caught.value.errno == errno.EPERM
    weight, idle = caught.value.receipts
    assert (weight.setting.knob, weight.outcome) == ("fake_weight", "already")
    assert (idle.setting.knob, idle.outcome) == ("fake_idle", "refused")  # its weight is, again
    fake.weight.refusal = None
    assert outcomes(tuner.recover()) == ["restored"]
    assert fake.snapshot() == before


def test_a_failed_profile_is_undone_in_reverse_and_told(fake: FakeHost, tuner: Tuner) -> None:
    web, batch = fake.make_group("/web"), fake.make_group("/batch", "700")
    before = fake.snapshot()
    idle = tuner.preview(setting("fake_idle", batch, "1"), "")
    weight = tuner.preview(setting("fake_weight", web, "9"), "")
    late = tuner.preview(setting("fake_weight", fake.make_group("/late"), "9"), "")
    fake.remove_group(late.setting.target)
    with pytest.raises(TargetVanishedError) as caught:
        tuner.apply("balanced", [idle, weight, late], WHY)
    assert [receipt.setting for receipt in caught.value.receipts] == [weight.setting, idle.setting]
    assert outcomes(list(caught.value.receipts)) == ["restored", "restored"]
    assert fake.snapshot() == before
    assert tuner.live() == []


def test_a_target_made_anew_since_the_preview_is_not_touched(fake: FakeHost, tuner: Tuner) -> None:
    group = fake.make_group("/web", "700")
    change = tuner.preview(setting("fake_weight", group, "9"), "")
    fake.make_anew(group, "800")
    with pytest.raises(TargetVanishedError, match="another stands in its place"):
        tuner.apply("balanced", [change], WHY)
    assert fake.snapshot()["web/weight"] == b"800\n"


def test_a_target_made_anew_while_the_intent_is_written_is_not_touched(
    fake: FakeHost, tuner: Tuner, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = fake.make_group("/web", "700")
    change = tuner.preview(setting("fake_weight", group, "1000"), "")
    intent = tuner.journal.intent

    def intend(change: Change, persistence: Literal["process", "boot"]) -> int:
        step = intent(change, persistence)
        fake.make_anew(group, "55")
        return step

    monkeypatch.setattr(tuner.journal, "intent", intend)
    with pytest.raises(TargetVanishedError, match="another stands in its place"):
        tuner.apply("balanced", [change], WHY)
    assert fake.snapshot()["web/weight"] == b"55\n"
    assert tuner.live() == []


def test_a_value_that_reads_otherwise_fails_and_is_taken_back(
    fake: FakeHost, tuner: Tuner, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = fake.make_group("/web", "700")
    change = tuner.preview(setting("fake_weight", group, "1000"), "")
    monkeypatch.setattr(fake.weight, "write", lambda target, _: fake.weight.put(target, "999"))
    monkeypatch.setattr(fake.weight, "restore", lambda target, _: fake.weight.put(target, "700"))
    with pytest.raises(KnobDriftedError, match="wrote '1000', found '999'") as caught:
        tuner.apply("balanced", [change], WHY)
    assert outcomes(list(caught.value.receipts)) == ["restored"]
    assert fake.snapshot()["web/weight"] == b"700\n"


class _OfProcess(FakeWeight):
    """A number of a process that may end."""

    name: ClassVar[str] = "fake_task"
    scope: ClassVar[TargetKind] = "process"

    def path(self, target: Target) -> Path:
        return self.host.path(f"/groups/{target.name}/weight")


@pytest.mark.parametrize("moment", ["before", "at the write"])
def test_a_process_that_ends_meanwhile_is_no_reason_to_take_the_others_back(
    fake: FakeHost, tuner: Tuner, moment: str
) -> None:
    knob = fake.knobs["fake_task"] = _OfProcess(fake.host)
    web, task = fake.make_group("/web"), Target("process", "77")
    fake.make_group("/77")
    wanted = setting("fake_task", task, "7"), setting("fake_weight", web, "1000")
    changes = [tuner.preview(each, "to be quick") for each in wanted]

    def end(_value: str) -> None:
        fake.remove_group(Target("cgroup", "/77"))

    if moment == "before":
        end("")
    else:
        knob.before_write = end
    receipts = tuner.apply("balanced", changes, WHY)
    assert outcomes(receipts) == ["vanished", "applied"]
    assert [entry.setting for entry in tuner.live()] == [wanted[1]]


def test_an_interruption_takes_everything_back(fake: FakeHost, tuner: Tuner) -> None:
    web, batch = fake.make_group("/web"), fake.make_group("/batch")
    before = fake.snapshot()

    def interrupt(value: str) -> None:
        if value == "9":
            raise KeyboardInterrupt

    fake.weight.before_write = interrupt
    with pytest.raises(KeyboardInterrupt):
        apply(tuner, setting("fake_weight", web, "8"), setting("fake_weight", batch, "9"))
    assert fake.snapshot() == before


def test_without_room_for_the_intent_the_kernel_is_not_written(
    fake: FakeHost, tuner: Tuner, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = fake.make_group("/web")
    before = fake.snapshot()
    full_after(monkeypatch, 1)  # there is room for `begin`
    with pytest.raises(JournalError, match="No space left"):
        apply(tuner, setting("fake_weight", group, "9"))
    assert fake.snapshot() == before
    assert tuner.live() == []


def test_without_room_for_the_mark_the_change_is_taken_back(
    fake: FakeHost, tuner: Tuner, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = fake.make_group("/web", "700")
    before = fake.snapshot()
    with monkeypatch.context() as patched:
        full_after(patched, 2)  # `begin` and `intent`
        with pytest.raises(JournalError) as caught:
            apply(tuner, setting("fake_weight", group, "9"))
        (receipt,) = caught.value.receipts
        assert (receipt.outcome, receipt.found) == ("restored", "700")
        assert "not marked in the journal" in receipt.reason
    assert fake.snapshot() == before
    assert outcomes(tuner.recover()) == ["already"]


def full_after(monkeypatch: pytest.MonkeyPatch, records: int) -> None:
    """Let the disk be full once so many records are on it."""
    real, left = os.fdatasync, [records]

    def sync(descriptor: int) -> None:
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left[0] -= 1
        real(descriptor)

    monkeypatch.setattr(journal_file.os, "fdatasync", sync)


# ---- undo ------------------------------------------------------------------------------------


def test_what_is_coupled_comes_back_too(fake: FakeHost, tuner: Tuner) -> None:
    group = fake.make_group("/batch", "700")
    before = fake.snapshot()
    apply(tuner, setting("fake_idle", group, "1"))
    assert fake.snapshot()["batch/weight"] == b"3\n"
    assert outcomes(tuner.undo()) == ["restored"]
    assert fake.snapshot() == before


def test_one_setting_that_was_made_in_two_steps_ends_at_the_oldest_value(
    fake: FakeHost, tuner: Tuner
) -> None:
    group = fake.make_group("/web", "700")
    before = fake.snapshot()
    apply(tuner, setting("fake_weight", group, "9"), setting("fake_weight", group, "10"))
    apply(tuner, setting("fake_weight", group, "11"))
    assert [(receipt.step, receipt.outcome) for receipt in tuner.undo()] == [
        (3, "restored"),
        (2, "restored"),
        (1, "restored"),
    ]
    assert fake.snapshot() == before


def test_some_steps_can_be_undone_alone(fake: FakeHost, tuner: Tuner) -> None:
    web, batch = fake.make_group("/web", "700"), fake.make_group("/batch", "800")
    apply(tuner, setting("fake_weight", web, "9"), setting("fake_weight", batch, "10"))
    assert [receipt.step for receipt in tuner.undo([1])] == [1]
    assert fake.snapshot()["web/weight"] == b"700\n"
    assert fake.snapshot()["batch/weight"] == b"10\n"
    assert [entry.step for entry in tuner.live()] == [2]


def test_a_step_takes_along_what_stands_on_it(fake: FakeHost, tuner: Tuner) -> None:
    web, batch = fake.make_group("/web", "700"), fake.make_group("/batch", "800")
    before = fake.snapshot()
    apply(tuner, setting("fake_weight", batch, "9"), setting("fake_weight", web, "10"))
    apply(tuner, setting("fake_idle", batch, "1"), setting("fake_weight", web, "11"))
    assert [receipt.step for receipt in tuner.undo([1])] == [3, 1]
    assert [receipt.step for receipt in tuner.undo([2])] == [4, 2]
    assert fake.snapshot() == before


def test_what_was_made_where_a_coupled_value_was_reset_goes_with_it(
    fake: FakeHost, tuner: Tuner
) -> None:
    group = fake.make_group("/batch", "800")
    before = fake.snapshot()
    apply(tuner, setting("fake_idle", group, "1"), setting("fake_idle", group, "0"))
    apply(tuner, setting("fake_weight", group, "9"))
    assert [receipt.step for receipt in tuner.undo([1])] == [3, 2, 1]
    assert fake.snapshot() == before


def test_what_is_coupled_to_something_else_is_left_alone(
    fake: FakeHost, tuner: Tuner, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = fake.make_group("/web", "700")
    apply(tuner, setting("fake_weight", group, "9"))
    monkeypatch.setattr(fake.hold, "read", lambda _: State(fake.hold.held, {"nodes": "0"}))
    monkeypatch.setattr(fake.hold, "identity", lambda _: "it")
    apply(tuner, setting("fake_hold", group, "20"))
    assert [receipt.step for receipt in tuner.undo([1])] == [1]
    assert [entry.setting.knob for entry in tuner.live()] == ["fake_hold"]


def test_undoing_twice_is_undoing_once(fake: FakeHost, tuner: Tuner) -> None:
    apply(tuner, setting("fake_weight", fake.make_group("/web"), "9"))
    tuner.undo()
    assert tuner.undo() == []


def test_a_value_somebody_else_wrote_stays(fake: FakeHost, tuner: Tuner) -> None:
    web, batch = fake.make_group("/web", "700"), fake.make_group("/batch", "800")
    apply(tuner, setting("fake_weight", web, "9"), setting("fake_weight", batch, "10"))
    fake.put(web, "weight", "555")
    batch_receipt, web_receipt = tuner.undo()
    assert batch_receipt.outcome == "restored"
    assert (web_receipt.outcome, web_receipt.found) == ("conflict-left", "555")
    assert web_receipt.reason == "it was '700'"
    assert web_receipt.commands == (f"echo 700 > {fake.root}/groups/web/weight",)
    assert fake.snapshot()["web/weight"] == b"555\n"
    assert tuner.undo() == []


def test_a_group_made_anew_under_the_name_is_not_ours(fake: FakeHost, tuner: Tuner) -> None:
    web = fake.make_group("/web", "700")
    apply(tuner, setting("fake_weight", web, "9"))
    fake.make_anew(web, "9")
    assert outcomes(tuner.undo()) == ["vanished"]
    assert fake.snapshot()["web/weight"] == b"9\n"


def test_a_group_that_is_gone_is_told(fake: FakeHost, tuner: Tuner) -> None:
    web = fake.make_group("/web")
    apply(tuner, setting("fake_weight", web, "9"))
    fake.remove_group(web)
    assert outcomes(tuner.undo()) == ["vanished"]
    assert tuner.live() == []


@pytest.mark.parametrize(
    ("number", "outcome"),
    [(errno.ENODEV, "vanished"), (errno.ESRCH, "vanished"), (errno.EBUSY, "refused")],
)
def test_a_refusal_is_told_and_the_others_are_put_back(
    fake: FakeHost, tuner: Tuner, number: int, outcome: str
) -> None:
    web, batch = fake.make_group("/web", "700"), fake.make_group("/batch", "800")
    apply(tuner, setting("fake_weight", web, "9"), setting("fake_idle", batch, "1"))
    fake.idle.refusal = OSError(number, os.strerror(number))
    idle, weight = tuner.undo()
    assert (idle.outcome, weight.outcome) == (outcome, "restored")
    assert bool(idle.commands) == (outcome == "refused")
    assert len(tuner.live()) == (outcome == "refused")


def test_a_fault_of_a_knob_does_not_keep_the_others(fake: FakeHost, tuner: Tuner) -> None:
    web, batch = fake.make_group("/web", "700"), fake.make_group("/batch", "800")
    apply(tuner, setting("fake_weight", web, "9"), setting("fake_idle", batch, "1"))
    fake.idle.refusal = ZeroDivisionError("a defect")
    idle, weight = tuner.undo()
    assert (idle.outcome, idle.reason) == ("refused", "a defect")
    assert weight.outcome == "restored"
    fake.idle.refusal = None
    assert outcomes(tuner.recover()) == ["restored"]


def test_a_knob_that_is_not_here_leaves_its_commands(
    fake: FakeHost, journal: Journal, tuner: Tuner
) -> None:
    web, batch = fake.make_group("/web", "700"), fake.make_group("/batch", "800")
    apply(tuner, setting("fake_weight", web, "9"), setting("fake_idle", batch, "1"))
    without = Tuner(fake.host, journal, {"fake_weight": fake.weight})
    idle, weight = without.recover()
    assert (idle.outcome, weight.outcome) == ("refused", "restored")
    assert idle.commands == (f"echo 0 > {fake.root}/groups/batch/idle",)


def test_what_a_restore_did_not_restore_is_told(
    fake: FakeHost, tuner: Tuner, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(tuner, setting("fake_weight", fake.make_group("/web", "700"), "9"))
    monkeypatch.setattr(fake.weight, "restore", lambda *_: None)
    (receipt,) = tuner.undo()
    assert (receipt.outcome, receipt.reason) == ("refused", "put '700' back, found '9'")
    assert len(tuner.live()) == 1


def test_a_prior_the_kernel_takes_only_in_part_is_restored_as_far_as_it_goes(
    fake: FakeHost, tuner: Tuner
) -> None:
    group = fake.make_group("/web", "1")  # below what can be written today
    apply(tuner, setting("fake_weight", group, "9"))
    (receipt,) = tuner.undo()
    assert (receipt.outcome, receipt.found) == ("restored", "2")
    assert receipt.reason == "it was '1', which cannot be had now"


def test_what_was_put_back_but_not_marked_is_found_in_its_place(
    fake: FakeHost, tuner: Tuner, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = fake.make_group("/web", "700")
    apply(tuner, setting("fake_weight", group, "9"))
    apply(tuner, setting("fake_weight", group, "10"))
    with monkeypatch.context() as patched:
        full_after(patched, 0)
        assert outcomes(tuner.undo()) == ["restored", "restored"]
    assert outcomes(tuner.recover()) == ["already", "already"]
    assert fake.snapshot()["web/weight"] == b"700\n"


def test_a_crash_between_a_value_and_what_is_coupled_is_made_good(
    fake: FakeHost, tuner: Tuner
) -> None:
    group = fake.make_group("/batch", "700")
    apply(tuner, setting("fake_idle", group, "1"))
    fake.idle.write(group, "0")  # as a recovery does that is killed before the weight
    assert fake.snapshot()["batch/weight"] == b"1024\n"
    assert outcomes(tuner.recover()) == ["restored"]
    assert fake.snapshot()["batch/weight"] == b"700\n"


def test_a_coupled_value_of_its_owner_stays(fake: FakeHost, tuner: Tuner) -> None:
    group = fake.make_group("/batch", "700")
    apply(tuner, setting("fake_idle", group, "1"))
    fake.idle.write(group, "0")
    fake.put(group, "weight", "555")
    (receipt,) = tuner.recover()
    assert (receipt.outcome, receipt.reason) == ("conflict-left", "weight is '555', was '700'")
    assert fake.snapshot()["batch/weight"] == b"555\n"


# ---- what a process holds --------------------------------------------------------------------


def test_what_this_process_holds_is_let_go(fake: FakeHost, tuner: Tuner) -> None:
    apply(tuner, setting("fake_hold", HOST, "20"))
    assert fake.hold.held == "20"
    assert outcomes(tuner.verify()) == ["ok"]
    assert outcomes(tuner.undo()) == ["restored"]
    assert fake.hold.held == ""


def test_what_a_dead_process_held_went_with_it(fake: FakeHost, tuner: Tuner) -> None:
    script = (
        "import pathlib, sys; from fakes.knobs import *; from resonance_tuning.records import *;"
        "from resonance_tuning.journal import Journal; from resonance_tuning.tuner import Tuner;"
        "fake = FakeHost.__new__(FakeHost); root = pathlib.Path(sys.argv[1]); host = Host(root);"
        "hold = FakeHold(host); journal = Journal(root / 'journals', BOOT_ID).__enter__();"
        "tuner = Tuner(host, journal, {'fake_hold': hold});"
        "tuner.apply('p', [tuner.preview(setting('fake_hold', HOST, '20'), '')], '')"
    )
    tuner.journal.__exit__()
    tests = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": tests}
    subprocess.run([sys.executable, "-c", script, str(fake.root)], check=True, env=environment)
    with tuner.journal:
        (receipt,) = tuner.verify()
        assert receipt.outcome == "vanished"
        fake.hold.held = "mine"
        (receipt,) = tuner.recover()
    assert (receipt.outcome, receipt.reason) == (
        "already",
        "it ended with the process that held it",
    )
    assert fake.hold.held == "mine"


# ---- verify and release ----------------------------------------------------------------------


def test_verify_tells_drift_and_writes_nothing(fake: FakeHost, tuner: Tuner) -> None:
    web, batch = fake.make_group("/web", "700"), fake.make_group("/batch", "800")
    gone = fake.make_group("/gone")
    apply(tuner, *(setting("fake_weight", each, "9") for each in (web, batch, gone)))
    fake.put(web, "weight", "555")
    fake.remove_group(gone)
    before = (fake.snapshot(), tuner.journal.path.read_bytes())
    drifted, fine, vanished = tuner.verify()
    assert (drifted.outcome, drifted.found, drifted.reason) == ("drifted", "555", "we left '9'")
    assert (fine.outcome, vanished.outcome) == ("ok", "vanished")
    assert (fake.snapshot(), tuner.journal.path.read_bytes()) == before


def test_verify_needs_no_hold_of_the_journal(fake: FakeHost, tuner: Tuner) -> None:
    apply(tuner, setting("fake_weight", fake.make_group("/web"), "9"))
    reader = Tuner(fake.host, read(fake.journals, BOOT_ID), fake.knobs)
    assert outcomes(reader.verify()) == ["ok"]


def test_an_effect_that_contradicts_the_value_is_drift(
    fake: FakeHost, tuner: Tuner, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(tuner, setting("fake_weight", fake.make_group("/web", "700"), "9"))
    monkeypatch.setattr(fake.weight, "contradiction", lambda *_: "a task is elsewhere")
    (receipt,) = tuner.verify()
    assert (receipt.outcome, receipt.reason) == ("drifted", "a task is elsewhere")
    (receipt,) = tuner.release_drifted()
    assert (receipt.outcome, receipt.found) == ("restored", "700")


def test_what_only_the_write_finds_missing_is_left_out_and_the_others_stay(
    fake: FakeHost, tuner: Tuner, monkeypatch: pytest.MonkeyPatch
) -> None:
    web, fixed = fake.make_group("/web", "700"), fake.make_group("/fixed", "700")
    write = fake.weight.write

    def refuse(target: Target, value: str) -> None:
        if target == fixed:
            raise KnobUnavailableError("fake_weight", "it cannot be moved")
        write(target, value)

    monkeypatch.setattr(fake.weight, "write", refuse)
    before = fake.snapshot()
    receipts = apply(tuner, setting("fake_weight", fixed, "9"), setting("fake_weight", web, "9"))
    assert [(each.outcome, each.reason) for each in receipts] == [
        ("refused", "it cannot be moved"),
        ("applied", ""),
    ]
    assert outcomes(tuner.undo()) == ["restored"]
    assert fake.snapshot() == before


def test_the_newest_of_steps_upon_each_other_speaks_for_all(fake: FakeHost, tuner: Tuner) -> None:
    group = fake.make_group("/batch", "700")
    apply(tuner, setting("fake_weight", group, "9"))
    apply(tuner, setting("fake_weight", group, "10"), setting("fake_idle", group, "1"))
    (receipt,) = tuner.verify()
    assert (receipt.setting.knob, receipt.outcome) == ("fake_idle", "ok")


def test_what_somebody_else_changed_is_released_and_never_written(
    fake: FakeHost, tuner: Tuner
) -> None:
    web, batch = fake.make_group("/web", "700"), fake.make_group("/batch", "800")
    apply(tuner, setting("fake_weight", web, "9"), setting("fake_weight", batch, "9"))
    apply(tuner, setting("fake_weight", web, "10"))
    fake.put(web, "weight", "555")
    before = fake.snapshot()
    assert outcomes(tuner.release_drifted()) == ["ok", "released"]
    assert fake.snapshot() == before
    released = tuner.journal.releases("fake_weight", web)
    assert [(entry.step, entry.found) for entry in released] == [(1, "555"), (3, "555")]
    assert outcomes(tuner.release_drifted()) == ["ok"]
    assert outcomes(tuner.undo()) == ["restored"]
    assert fake.snapshot() == before | {"batch/weight": b"800\n"}


def test_who_may_have_changed_it_is_told_and_written_down(fake: FakeHost, tuner: Tuner) -> None:
    by = Tuner(fake.host, tuner.journal, tuner.knobs, who=lambda knob: f"a rival for {knob}")
    group = fake.make_group("/web", "700")
    apply(by, setting("fake_weight", group, "9"))
    fake.put(group, "weight", "555")
    (receipt,) = by.release_drifted()
    assert "a rival for fake_weight" in receipt.reason
    assert [each.released_by for each in by.journal.entries()] == ["a rival for fake_weight"]


def test_a_value_its_owner_put_back_is_released_and_our_debt_is_paid(
    fake: FakeHost, tuner: Tuner
) -> None:
    group = fake.make_group("/batch", "700")
    before = fake.snapshot()
    apply(tuner, setting("fake_idle", group, "1"))
    fake.idle.write(group, "0")
    assert outcomes(tuner.release_drifted()) == ["released"]
    assert fake.snapshot() == before
    assert len(tuner.journal.releases("fake_idle", group)) == 1


def test_a_target_that_vanished_is_forgotten(fake: FakeHost, tuner: Tuner) -> None:
    group = fake.make_group("/web")
    apply(tuner, setting("fake_weight", group, "9"))
    fake.make_anew(group, "9")
    assert outcomes(tuner.release_drifted()) == ["vanished"]
    assert tuner.release_drifted() == []
    assert tuner.journal.releases("fake_weight", group) == []


def test_what_cannot_be_read_for_the_moment_is_kept(
    fake: FakeHost, tuner: Tuner, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(tuner, setting("fake_weight", fake.make_group("/web"), "9"))

    def fail(_: object) -> State:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(fake.weight, "read", fail)
        assert outcomes(tuner.release_drifted()) == ["refused"]
    assert outcomes(tuner.verify()) == ["ok"]
