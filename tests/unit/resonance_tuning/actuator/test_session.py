# SPDX-License-Identifier: MIT
from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fakes.cgroup_tree import CgroupTree
from resonance_tuning import journal
from resonance_tuning.actuator import wire
from resonance_tuning.actuator.session import Session
from resonance_tuning.errors import ActuatorError, ProfileError
from resonance_tuning.knobs import make_knobs
from resonance_tuning.records import Setting, Target
from resonance_tuning.settings import Group, Network, TuningSettings

PROFILE = """\
description = "What these tests turn."
[latency_critical]
cpu_weight = 1000
cpuset = "2-3"
[batch]
cpu_idle = 1
task_idle = 1
"""
WEB, HOGS = Target("cgroup", "/web"), Target("cgroup", "/hogs")
WEIGHT = Setting("cpu_weight", WEB, "1000", "latency_critical")
CPUSET = Setting("cpuset", WEB, "2-3", "latency_critical")
IDLE = Setting("cpu_idle", HOGS, "1", "batch")


class Desk:
    """A host, and the sessions on it."""

    def __init__(self, directory: Path) -> None:
        self.tree = CgroupTree(directory / "host")
        self.tree.make_group("/web")
        self.tree.make_group("/hogs")
        self.profiles = directory / "profiles"
        self.profiles.mkdir()
        self.write_profile(PROFILE)
        self.settings = TuningSettings(
            mode="active",
            profile="testing",
            profiles_directory=str(self.profiles),
            journal_directory=str(directory / "journal"),
            latency_critical=Group(cgroups=("/web",)),
            batch=Group(cgroups=("/hogs",)),
        )
        self.log: list[str] = []
        self._last_id = 1

    def write_profile(self, text: str) -> None:
        (self.profiles / "testing.toml").write_text(text)

    def session(
        self, *, is_resident: bool = True, is_shadow: bool = False, max_rung: int = 5, **keys: Any
    ) -> Session:
        begin = wire.Begin(
            settings=msgspec.structs.replace(self.settings, **keys),
            is_resident=is_resident,
            is_shadow=is_shadow,
            max_rung=max_rung,
        )
        return Session(self.tree.host, begin, make_knobs(self.tree.host), log=self.log.append)

    def begun(self, **terms: Any) -> Session:
        session = self.session(**terms)
        session.begin()
        return session

    def id(self) -> int:
        self._last_id += 1
        return self._last_id

    def apply(self, session: Session, *settings: Setting) -> wire.Answer:
        return session.answer(wire.Apply(self.id(), settings, "a reason"))

    def undo(self, session: Session, *settings: Setting) -> wire.Answer:
        return session.answer(wire.Undo(self.id(), settings, "a reason"))

    def values(self) -> tuple[str, str, str]:
        get = self.tree.get
        return get("/web", "cpu.weight"), get("/web", "cpuset.cpus"), get("/hogs", "cpu.idle")

    def journal(self) -> journal.Journal:
        return journal.read(Path(self.settings.journal_directory), self.tree.host.boot_id)


_KEPT = (
    "mode",
    "profile",
    "profiles_directory",
    "journal_directory",
    "latency_critical",
    "batch",
)
BEFORE, AFTER = ("100", "", "0"), ("1000", "2-3", "1")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr("resonance_tuning.planning.protection.container_reason", lambda _: "")
    return Desk(tmp_path)


def _outcomes(answer: wire.Answer) -> list[str]:
    assert isinstance(answer, wire.Receipts | wire.Failed), answer
    return [receipt.outcome for receipt in answer.receipts]


def test_what_the_plan_holds_is_made_and_undone_at_the_end(desk: Desk) -> None:
    session = desk.begun()
    assert _outcomes(desk.apply(session, WEIGHT, CPUSET, IDLE)) == ["applied"] * 3
    assert desk.values() == AFTER
    assert [receipt.outcome for receipt in session.end()] == ["restored"] * 3
    assert desk.values() == BEFORE


@pytest.mark.parametrize(
    "stranger",
    [
        replace(WEIGHT, value="9999"),
        replace(WEIGHT, target=Target("cgroup", "/system.slice")),
        replace(WEIGHT, role="batch"),
        Setting("no_such_knob", WEB, "1", "host"),
        Setting("realtime", Target("process", "1"), "50", "latency_critical"),
    ],
)
def test_a_setting_that_is_not_in_its_own_plan_is_refused_and_none_beside_it_is_made(
    stranger: Setting, desk: Desk
) -> None:
    session = desk.begun()
    answer = desk.apply(session, IDLE, stranger)
    assert isinstance(answer, wire.Failed)
    (refused,) = answer.receipts
    assert (refused.setting, refused.outcome, refused.step) == (stranger, "refused", 0)
    assert refused.reason
    assert desk.values() == BEFORE
    assert desk.tree.host.writes == []


def test_what_the_configuration_refuses_is_refused_with_its_reason(desk: Desk) -> None:
    session = desk.begun(refuse=("cpu_idle",))
    answer = desk.apply(session, IDLE)
    assert _outcomes(answer) == ["refused"]
    assert desk.tree.host.writes == []


def test_no_rung_above_the_highest_is_climbed(desk: Desk) -> None:
    session = desk.begun(max_rung=2)
    plan = session.make_plan()
    assert {change.setting for change in plan.changes} == {WEIGHT, IDLE}
    reasons = {each.setting: each.reason for each in plan.excluded}
    assert reasons[CPUSET] == "it is on rung 3 of the ladder; only 2 may be climbed"
    answer = desk.apply(session, CPUSET)
    assert isinstance(answer, wire.Failed)
    assert answer.reason == reasons[CPUSET]


def test_the_plan_is_that_of_the_moment(desk: Desk) -> None:
    session = desk.begun()
    desk.tree.remove_group("/hogs")
    assert _outcomes(desk.apply(session, IDLE)) == ["refused"]


def test_shadow_plans_and_turns_nothing(desk: Desk) -> None:
    session = desk.begun(is_shadow=True)
    answer = session.answer(wire.PlanRequest(desk.id()))
    assert isinstance(answer, wire.Planned)
    assert len(answer.plan.changes) == 3
    assert _outcomes(desk.apply(session, IDLE)) == ["refused"]
    assert _outcomes(desk.undo(session)) == []
    assert session.look() == []
    assert session.end() == ()
    assert (desk.values(), desk.tree.host.writes) == (BEFORE, [])
    assert session.capabilities() == frozenset()


def test_shadow_keeps_verdicts_without_holding_the_journal(desk: Desk) -> None:
    shadow = desk.begun(is_shadow=True)
    noted = shadow.answer(wire.Record(desk.id(), "verdict", {"knob": "cpu_idle", "gain": 0.5}))
    assert isinstance(noted, wire.Receipts)
    command = desk.begun(is_resident=False)
    assert _outcomes(desk.apply(command, IDLE)) == ["applied"]
    refused = shadow.answer(wire.Record(desk.id(), "verdict", {}))
    assert isinstance(refused, wire.Failed)
    command.end()
    ((_, data),) = desk.journal().notes("verdict")
    assert data == {"knob": "cpu_idle", "gain": 0.5}


def test_a_command_leaves_what_it_made(desk: Desk) -> None:
    session = desk.begun(is_resident=False)
    desk.apply(session, WEIGHT, CPUSET, IDLE)
    assert session.end() == ()
    assert desk.values() == AFTER


def test_a_service_that_is_to_keep_leaves_what_it_made(desk: Desk) -> None:
    session = desk.begun(on_stop="keep")
    desk.apply(session, WEIGHT, IDLE)
    assert session.end() == ()
    assert desk.values() == ("1000", "", "1")


def _die(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a session's process be one that is gone, with all it had begun."""
    session._stack.close()
    monkeypatch.setattr(os, "getpid", lambda: 4_711)


def test_what_a_dead_service_left_is_put_back_at_the_next_beginning(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = desk.begun()
    desk.apply(dead, WEIGHT, IDLE)
    _die(dead, monkeypatch)
    successor = desk.session()
    assert [receipt.outcome for receipt in successor.begin()] == ["restored"] * 2
    assert desk.values() == BEFORE


@pytest.mark.parametrize("terms", [{"is_resident": False}, {"on_stop": "keep"}])
def test_what_is_to_stay_outlives_its_process(
    terms: dict[str, Any], desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = desk.begun(**terms)
    desk.apply(dead, WEIGHT)
    _die(dead, monkeypatch)
    successor = desk.session()
    assert successor.begin() == ()
    assert desk.values() == ("1000", "", "0")
    # A service does not turn back what it did not turn.
    assert _outcomes(desk.undo(successor, WEIGHT)) == ["refused"]
    assert successor.end() == ()
    assert desk.values() == ("1000", "", "0")


def test_what_somebody_else_changes_is_released_told_and_left_to_them(desk: Desk) -> None:
    session = desk.begun()
    desk.apply(session, WEIGHT, IDLE)
    assert session.look() == []
    desk.tree.set("/web", "cpu.weight", "333")
    (event,) = session.look()
    assert isinstance(event, wire.Drifted)
    (receipt,) = event.receipts
    assert (receipt.setting, receipt.outcome, receipt.found) == (WEIGHT, "released", "333")
    assert session.look() == []
    session.end()
    assert desk.values() == ("333", "", "0")


def test_a_group_that_is_gone_is_told_once(desk: Desk) -> None:
    session = desk.begun()
    desk.apply(session, WEIGHT, IDLE)
    desk.tree.remove_group("/hogs")
    (event,) = session.look()
    assert isinstance(event, wire.Drifted)
    assert [(each.setting, each.outcome) for each in event.receipts] == [(IDLE, "vanished")]
    assert session.look() == []


def test_cpus_that_go_take_with_them_what_keeps_a_group_on_them(desk: Desk) -> None:
    session = desk.begun()
    desk.apply(session, WEIGHT, CPUSET, IDLE)
    desk.tree.set_online({0, 1, 2})
    first, *_ = session.cpus_changed("CPU 3 is offline")
    assert isinstance(first, wire.Replanned)
    assert first.reason == "CPU 3 is offline"
    assert [(each.setting, each.outcome) for each in first.receipts] == [(CPUSET, "restored")]
    assert desk.values() == ("1000", "", "1")


def test_cpus_that_come_only_ask_for_a_new_plan(desk: Desk) -> None:
    session = desk.begun()
    desk.apply(session, CPUSET)
    desk.tree.set_online(range(8))
    (event,) = session.cpus_changed("CPU 7 is online")
    assert event == wire.Replanned("CPU 7 is online")
    assert desk.values() == ("100", "2-3", "0")


def test_starved_batch_work_is_given_way_a_step_at_a_time(desk: Desk) -> None:
    session = desk.begun()
    desk.apply(session, WEIGHT, CPUSET, IDLE)
    steps = [session.step_down("/hogs") for _ in range(4)]
    undone = [
        [receipt.setting for event in events for receipt in event.receipts] for events in steps
    ]
    assert undone == [[IDLE], [CPUSET], [WEIGHT], []]
    assert desk.values() == BEFORE
    assert len(desk.journal().notes("step-down")) == 3


def test_a_full_disk_does_not_keep_batch_work_starved(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = desk.begun()
    desk.apply(session, IDLE)

    def no_room(_file: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("resonance_tuning.journal_file.os.write", no_room)
    monkeypatch.setattr(
        type(desk.tree.host), "write", lambda _self, path, text: path.write_text(f"{text}\n")
    )
    (event,) = session.step_down("/hogs")
    assert isinstance(event, wire.SteppedDown)
    assert desk.values() == BEFORE


def test_undo_without_a_name_means_all_of_this_session(desk: Desk) -> None:
    session = desk.begun()
    desk.apply(session, WEIGHT, IDLE)
    assert sorted(_outcomes(desk.undo(session))) == ["restored", "restored"]
    assert _outcomes(desk.undo(session)) == []
    assert desk.values() == BEFORE


def test_undo_of_what_is_not_in_force_is_refused_and_the_rest_is_done(desk: Desk) -> None:
    session = desk.begun()
    desk.apply(session, WEIGHT)
    assert _outcomes(desk.undo(session, WEIGHT, IDLE)) == ["restored", "refused"]


def test_a_failure_takes_the_whole_request_back_and_says_so(desk: Desk) -> None:
    session = desk.begun()
    desk.tree.host.failures["/sys/fs/cgroup/hogs/cpu.idle"] = 16
    answer = desk.apply(session, WEIGHT, IDLE)
    assert isinstance(answer, wire.Failed)
    assert "cpu_idle" in answer.reason
    assert desk.values() == BEFORE


def test_a_kernel_file_that_cannot_be_read_is_an_answer_and_no_crash(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = desk.begun()

    def refuse(_: Path) -> str:
        raise PermissionError(13, "Permission denied", "/proc/x")

    monkeypatch.setattr(desk.tree.host, "read", refuse)
    answer = session.answer(wire.PlanRequest(desk.id()))
    assert answer == wire.Failed(2, "/proc/x: Permission denied")


def test_live_and_verify_tell_what_is_in_force(desk: Desk) -> None:
    session = desk.begun()
    desk.apply(session, WEIGHT, IDLE)
    live = session.answer(wire.Live(desk.id()))
    assert isinstance(live, wire.Receipts)
    assert {receipt.setting for receipt in live.receipts} == {WEIGHT, IDLE}
    desk.tree.set("/web", "cpu.weight", "333")
    assert sorted(_outcomes(session.answer(wire.Verify(desk.id())))) == ["drifted", "ok"]


def test_a_client_gone_wild_is_stopped_before_it_fills_the_journal(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    session = desk.begun()
    note = wire.Record(2, "verdict", {"n": 1})
    answers = [session.answer(note) for _ in range(300)]
    assert sum(isinstance(answer, wire.Failed) for answer in answers) == 60
    now[0] += 60.0
    assert isinstance(session.answer(note), wire.Receipts)
    command = desk.begun(is_shadow=True)
    assert isinstance(command.answer(wire.PlanRequest(3)), wire.Planned)


@pytest.mark.parametrize("is_shadow", [False, True])
@pytest.mark.parametrize("kind", ["owner", "step-down"])
def test_a_client_cannot_say_whose_the_changes_are(desk: Desk, kind: str, is_shadow: bool) -> None:
    session = desk.begun(is_shadow=is_shadow)
    before = desk.journal().notes(kind)
    forged = wire.Record(2, kind, {"pid": os.getpid(), "at_end": "keep", "after_step": 0})
    assert isinstance(session.answer(forged), wire.Failed)
    assert desk.journal().notes(kind) == before


@pytest.mark.parametrize("is_shadow", [False, True])
def test_a_note_that_would_fill_the_disk_is_refused(desk: Desk, is_shadow: bool) -> None:
    session = desk.begun(is_shadow=is_shadow)
    much = wire.Record(2, "verdict", {f"k{n}": "\N{GRINNING FACE}" * 4_000 for n in range(20)})
    assert isinstance(session.answer(much), wire.Failed)
    assert desk.journal().notes("verdict") == []
    usual = wire.Record(3, "verdict", {"reason": "x" * 4_000, "target": "y" * 3_000, "ratio": 0.5})
    assert isinstance(session.answer(usual), wire.Receipts)


@pytest.mark.parametrize("is_replaced", [False, True])
def test_when_its_journal_is_gone_it_puts_back_what_nobody_could_after_it(
    desk: Desk, tmp_path: Path, is_replaced: bool
) -> None:
    session = desk.begun()
    desk.apply(session, WEIGHT, IDLE)
    journals = Path(desk.settings.journal_directory)
    journals.rename(tmp_path / "elsewhere")
    if is_replaced:
        journals.symlink_to(tmp_path / "elsewhere")
    (event,) = session.look()
    assert isinstance(event, wire.Replanned)
    assert "while in use" in event.reason
    assert {receipt.outcome for receipt in event.receipts} == {"restored"}
    assert desk.values() == BEFORE
    assert session.look() == []
    assert isinstance(desk.apply(session, WEIGHT), wire.Failed)
    assert {receipt.outcome for receipt in session.end()} <= {"already"}
    assert desk.values() == BEFORE


def test_what_a_dead_process_of_our_number_was_told_to_keep_is_not_ours(desk: Desk) -> None:
    command = desk.begun(is_resident=False)
    desk.apply(command, IDLE)
    command.end()
    session = desk.begun()  # in this test the same process
    desk.apply(session, WEIGHT)
    assert {receipt.setting for receipt in session.end()} == {WEIGHT}
    assert desk.values() == ("100", "", "1")


def test_beginning_twice_is_nonsense(desk: Desk) -> None:
    session = desk.begun()
    with pytest.raises(ActuatorError, match="twice"):
        session.answer(wire.Begin(settings=desk.settings, is_resident=True))


def test_a_profile_that_is_wrong_is_no_beginning(desk: Desk) -> None:
    desk.write_profile("nonsense = 1\n")
    with pytest.raises(ProfileError):
        desk.begun()


def test_a_host_the_profile_is_not_for_is_shadow_with_the_reason(desk: Desk) -> None:
    desk.write_profile(PROFILE + "[require]\ncpus_online = 64\n")
    session = desk.begun()
    assert session.is_shadow
    assert "64 CPUs online" in session.reason
    assert session.capabilities() == frozenset()
    refused = desk.apply(session, IDLE)
    assert isinstance(refused, wire.Failed)
    assert "64 CPUs online" in refused.reason


@pytest.mark.parametrize("is_resident", [True, False])
def test_with_a_journal_that_cannot_be_trusted_it_is_shadow_and_lets_go_of_it(
    desk: Desk, *, is_resident: bool
) -> None:
    first = desk.begun(is_resident=False)
    desk.apply(first, WEIGHT)
    first.end()
    with desk.journal().path.open("ab") as file:
        file.write(b"deadbeef {}\n")
    session = desk.begun(is_resident=is_resident)
    assert (session.is_shadow, session.capabilities()) == (True, frozenset())
    assert "this line is damaged" in session.reason
    answer = desk.apply(session, IDLE)
    assert isinstance(answer, wire.Failed)
    assert "this line is damaged" in answer.reason
    assert desk.values() == ("1000", "", "0"), "what was made before stays as it was"
    with journal.Journal(Path(desk.settings.journal_directory), desk.tree.host.boot_id):
        pass  # nobody holds it, so a rollback can
    session.end()


def test_a_container_is_shadow_with_the_reason(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "resonance_tuning.planning.protection.container_reason", lambda _: "in a container"
    )
    session = desk.begun()
    assert (session.is_shadow, session.reason) == (True, "in a container")
    assert _outcomes(desk.apply(session, IDLE)) == ["refused"]


def test_only_what_the_profiles_knobs_need_is_kept(desk: Desk) -> None:
    assert desk.begun().capabilities() == {"CAP_SYS_NICE"}  # of task_idle


def test_what_seeing_processes_needs_is_kept_where_they_are_hidden(desk: Desk) -> None:
    mounts = desk.tree.host.path("/proc/self/mountinfo")
    line = "21 1 0:21 / /proc rw - proc proc rw,hidepid=ptraceable\n"
    mounts.write_text(mounts.read_text() + line)
    desk.tree.put("/proc/self/status", "CapEff:\t000001ffffffffff\n")
    assert desk.begun().capabilities() == {"CAP_SYS_NICE", "CAP_SYS_PTRACE"}


@pytest.mark.parametrize("terms", [{"refuse": ("task_idle",)}])
def test_what_a_refused_knob_needs_is_not_kept(desk: Desk, terms: dict[str, Any]) -> None:
    assert desk.begun(**terms).capabilities() == frozenset()


@pytest.mark.parametrize(
    ("namespaces", "is_needed"), [((), False), (("self",), False), (("blue", "self"), True)]
)
def test_to_enter_another_network_namespace_is_kept_only_where_one_is_named(
    namespaces: tuple[str, ...], is_needed: bool, desk: Desk
) -> None:
    desk.write_profile("description = 'x'\n[network]\nsomaxconn = 4096\n")
    session = desk.begun(network=Network(namespaces=namespaces))
    assert session.capabilities() == ({"CAP_SYS_ADMIN"} if is_needed else set())


def test_what_undoing_needs_is_kept_though_the_profile_does_not_ask_for_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = desk.begun(is_resident=False)
    desk.apply(command, WEIGHT)
    command.end()
    desk.write_profile("description = 'Nothing.'\n")
    monkeypatch.setattr(
        "resonance_tuning.knobs.cpu_weight.CpuWeight.capabilities", frozenset({"CAP_BPF"})
    )
    assert desk.begun().capabilities() == {"CAP_BPF"}
