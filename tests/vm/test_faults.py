# SPDX-License-Identifier: MIT
"""What does the service do on a host that is broken? It says so in a line, and breaks no more.

A host without systemd is not among them: this machine is one with it. The unit tests of
`resonanced.notify` and of the knobs of units have that case.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vm import machine
from vm.machine import UNIT, eventually, run, sample, scrape
from vm.tuned import Groups, two_groups

READ_ONLY_RUN = "mount --rbind /run /run && mount -o remount,bind,ro /run"
NO_USER = (
    "grep -v '^resonance:' /etc/passwd > /tmp/resonance-test-passwd && "
    "mount --bind /tmp/resonance-test-passwd /etc/passwd"
)
DAY_SECONDS = 86_400
RUN = ("resonanced", "run", "--no-view", "--for", "1")


@pytest.fixture
def groups() -> Iterator[Groups]:
    with two_groups() as made:
        yield made


def _full(directory: str) -> str:
    """Return a script that mounts a full file system over a directory."""
    return (
        f"mkdir -p {directory} && mount -t tmpfs -o size=64k,mode=0700 none {directory} && "
        f"{{ dd if=/dev/zero of={directory}/full bs=4k 2>/dev/null || true; }}"
    )


def test_where_run_is_read_only_the_service_refuses_to_start_and_says_where() -> None:
    done = run(*machine.in_own_mounts(READ_ONLY_RUN), *RUN, ok=(1,))
    assert "/run/resonance: Read-only file system" in machine.complaint(done)
    assert machine.left_behind() == []


def test_where_run_is_read_only_apply_changes_nothing_and_says_why(groups: Groups) -> None:
    before = groups.values()
    # An empty journal may be there from before; then it is opened, and not made.
    with machine.configured(groups.configuration("observe")):
        done = run(*machine.in_own_mounts(READ_ONLY_RUN), "resonanced", "apply", ok=(1,))
    assert "/run/resonance-tuning" in machine.complaint(done)
    assert "Read-only file system" in done.stderr
    assert groups.values() == before


def test_where_run_is_full_the_service_refuses_to_start_and_says_where() -> None:
    hide = f"{_full('/run/resonance')} && mv /run/resonance/full /run/resonance/hints.page"
    done = run(*machine.in_own_mounts(hide), *RUN, ok=(1,))
    assert "No space left on device" in machine.complaint(done)
    Path("/run/resonance").rmdir()  # ours: what was mounted over it is gone with its namespace
    assert machine.left_behind() == []


def test_where_the_journal_has_no_room_apply_changes_nothing_and_says_why(groups: Groups) -> None:
    before = groups.values()
    with machine.configured(groups.configuration("observe")):
        hide = _full("/run/resonance-tuning")
        done = run(*machine.in_own_mounts(hide), "resonanced", "apply", ok=(1,))
    assert "No space left on device" in machine.complaint(done)
    assert groups.values() == before


def test_without_its_user_it_serves_as_nobody_and_says_so() -> None:
    done = run(*machine.in_own_mounts(NO_USER), *RUN)
    assert re.search(r"user +nobody, group \S+ \(there is no user resonance here", done.stdout)


def test_a_user_that_was_asked_for_and_is_missing_is_a_start_that_fails() -> None:
    place = machine.cursor()
    with machine.configured('[service]\nuser = "resonance-test-nobody"\n'):
        run("systemctl", "start", UNIT, ok=(1,))
        run("systemctl", "stop", UNIT)
        run("systemctl", "reset-failed", UNIT)
    assert "resonance-test-nobody: no such user" in machine.messages_since(place)
    assert machine.left_behind() == []


def test_a_masked_unit_does_not_start_and_the_commands_say_that_nobody_is_there() -> None:
    run("systemctl", "mask", "--runtime", UNIT)
    try:
        refused = run("systemctl", "start", UNIT, ok=(1,))
        assert "masked" in refused.stderr
        asked = run("resonance", "hints", "get", ok=(1,))
        assert "no daemon here" in asked.stderr
        assert "Traceback" not in asked.stderr
        # What an operator needs when the service may not start.
        assert "tier core" in run("resonanced", "check").stdout
        run("resonanced", "rollback")
    finally:
        run("systemctl", "unmask", "--runtime", UNIT)
    assert machine.show("LoadState") == "loaded"


def test_a_second_instance_is_refused_with_the_pid_of_the_first() -> None:
    with machine.running():
        keeper = machine.processes()["keeper"]
        done = run(*RUN, "--port", "0", ok=(1,))
        assert f"in use by resonanced, pid {keeper}" in machine.complaint(done)
        assert machine.processes()["keeper"] == keeper
        assert machine.health() == 200


@pytest.mark.parametrize("role", ["daemon", "actuator", "keeper"])
def test_whichever_process_the_kernel_kills_for_want_of_memory_the_service_comes_again(
    role: str, groups: Groups
) -> None:
    """The kernel's own choice of a victim, at its own worst moment: as sysrq(f) has it."""
    with machine.running(groups.configuration("shadow")):
        before = machine.processes()
        place = machine.cursor()
        Path(f"/proc/{before[role]}/oom_score_adj").write_text("1000", encoding="ascii")
        Path("/proc/sysrq-trigger").write_text("f", encoding="ascii")
        assert eventually(lambda: not Path(f"/proc/{before[role]}").exists())
        assert eventually(lambda: int(machine.show("NRestarts")) == 1)
        assert eventually(machine.is_active)
        assert "oom" in machine.messages_since(place).lower()
        after = machine.processes()
        assert not set(after.values()) & set(before.values())
        assert machine.health() == 200
        assert len(list(machine.PINS.iterdir())) == 1
    assert machine.left_behind() == []


@contextmanager
def _clock_set_back(seconds: int) -> Generator[None]:
    """Set the wall clock back, and forth again to where it would be."""
    offset = time.clock_gettime(time.CLOCK_REALTIME) - time.clock_gettime(time.CLOCK_BOOTTIME)
    time.clock_settime(time.CLOCK_REALTIME, time.time() - seconds)
    try:
        yield
    finally:
        now = time.clock_gettime(time.CLOCK_BOOTTIME) + offset
        time.clock_settime(time.CLOCK_REALTIME, now)


def test_a_clock_that_is_set_back_by_a_day_leaves_it_ready_and_counting(groups: Groups) -> None:
    with machine.running(groups.configuration("shadow")):
        assert eventually(lambda: machine.health("/readyz") == 200)
        before, first = machine.processes(), scrape()
        with _clock_set_back(DAY_SECONDS):
            time.sleep(12)  # longer than the watchdog's patience
            second = scrape()
            assert machine.is_active()
            assert machine.processes() == before
            assert (machine.health(), machine.health("/readyz")) == (200, 200)
            ticks, switches = (
                "resonance_tick_duration_seconds_count",
                "resonance_runqueue_switches_total",
            )
            assert sample(second, ticks) > sample(first, ticks)
            assert sample(second, switches) > sample(first, switches)
            last_tick = sample(second, "resonance_last_tick_timestamp_seconds")
            assert abs(last_tick - time.time()) < 60, "it tells the time that is set now"
            state = machine.asked("resonance", "hints", "get")
            assert state["age_seconds"] < 60
        assert machine.processes() == before
        assert machine.health() == 200


def test_what_was_applied_before_the_clock_was_set_back_is_taken_back_after_it(
    groups: Groups,
) -> None:
    before = groups.values()
    with machine.configured(groups.configuration("observe")):
        machine.asked("resonanced", "apply")
        assert groups.values() != before
        with _clock_set_back(DAY_SECONDS):
            run("resonanced", "rollback")
            assert groups.values() == before


def test_a_journal_that_cannot_be_read_is_told_and_does_not_keep_the_rest_from_going_back(
    groups: Groups,
) -> None:
    """As a journal of another version would be: a line that this version makes nothing of."""
    before = groups.values()
    with machine.configured(groups.configuration("observe")):
        machine.asked("resonanced", "apply")
        (journal,) = groups.journal.glob("journal-*.wal")
        with journal.open("a", encoding="utf-8") as file:
            file.write('00000000 {"type":"of another version"}\n')
        done = run("resonanced", "rollback", ok=(3,))
        assert groups.values() == before
        assert machine.complaint(done)
        run("resonanced", "journal")
    journal.unlink()


def test_a_socket_left_by_one_that_was_killed_does_not_keep_the_next_from_starting() -> None:
    with machine.running():
        before = machine.processes()
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in before.values():
                os.kill(pid, number)
        assert eventually(lambda: int(machine.show("NRestarts")) == 1)
        assert eventually(machine.is_active)
        assert machine.health() == 200
