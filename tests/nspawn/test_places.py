# SPDX-License-Identifier: MIT
"""No user, no directory, no room, no journal to trust: is it said, and is nothing half made?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nspawn.container import Container
from nspawn.service import JOURNAL, RUNTIME, Service
from nspawn.test_deaths import LEAVE_A_CHANGE, sysctl


@contextmanager
def mounted(container: Container, place: str, options: str) -> Iterator[Path]:
    """Mount a small file system in the container."""
    container.succeed("mkdir", "-p", place)
    container.succeed("mount", "-t", "tmpfs", "-o", options, "tmpfs", place)
    try:
        yield container.path(place)
    finally:
        container.succeed("umount", place)


@contextmanager
def without_user(container: Container) -> Iterator[None]:
    """Take the service's user away for a while."""
    container.succeed("userdel", "resonance")
    try:
        yield
    finally:
        container.succeed("systemd-sysusers", "resonance.conf")


def test_without_its_user_it_serves_as_nobody_and_says_what_to_do(service: Service) -> None:
    with without_user(service.container):
        service.start()
        daemon = service.processes()["daemon"]
        assert Path("/proc", str(daemon)).stat().st_uid == 65534
        assert "there is no user resonance here: run systemd-sysusers" in service.log()
        service.stop()


def test_a_named_user_that_is_not_there_is_refused_in_one_line(service: Service) -> None:
    service.configure('[service]\nuser = "nobody-we-know"\n')
    log = service.fails_to_start()
    line = "resonanced: nobody-we-know: no such user; create it, or set service.user ("
    assert line in log
    assert (service.show("ExecMainStatus"), "Traceback" in log) == ("1", False)


@pytest.mark.parametrize("capability", ["CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_SETUID"])
def test_without_a_capability_it_needs_it_is_refused_in_one_line(
    service: Service, capability: str
) -> None:
    service.drop_in("less", f"[Service]\nCapabilityBoundingSet=~{capability}\n")
    log = service.fails_to_start()
    assert f"resonanced: {capability}: missing, and needed to " in log
    assert (service.show("ExecMainStatus"), "Traceback" in log) == ("1", False)
    assert not service.container.path(RUNTIME).exists()


def test_with_run_read_only_nothing_is_made_and_systemd_says_why(service: Service) -> None:
    container = service.container
    container.succeed("mount", "--bind", "/run", "/run")
    container.succeed("mount", "-o", "remount,bind,ro", "/run")
    try:
        log = service.fails_to_start()
        by_hand = container.run("resonanced", "run", "--no-view")
    finally:
        container.succeed("umount", "/run")
    assert "Failed to set up" in log
    assert "Read-only file system" in log
    assert by_hand.returncode == 1
    assert by_hand.stderr.strip().endswith(
        f"{RUNTIME}: Read-only file system; "
        "set service.runtime_directory to a directory that can be made"
    )
    assert not container.path(RUNTIME).exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("nr_inodes=2", "No space left on device; make room in"),
        ("nr_inodes=3", "No space left on device"),
        ("nr_inodes=4", "No space left on device"),
        ("nr_inodes=5", "No space left on device"),
        ("size=4k", "No space left on device"),
    ],
    ids=["no lock", "no page", "no socket", "no second socket", "no blocks for the page"],
)
def test_with_no_room_left_it_says_so_and_leaves_nothing(
    service: Service, options: str, said: str
) -> None:
    with mounted(service.container, "/run/small", options) as small:
        done = service.container.run(
            "resonanced", "run", "--no-view", "--for=1", "--runtime-directory=/run/small/resonance"
        )
        assert done.returncode == 1, done.stdout + done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stderr
        assert list(small.iterdir()) == []


def test_with_no_room_for_the_service_it_says_so_and_starts_when_there_is(service: Service) -> None:
    with mounted(service.container, RUNTIME, "size=4k"):
        log = service.fails_to_start()
        assert "No space left on device" in log
        assert "child_ended" not in log, "it was told, and not a death by a signal"
    service.systemctl("reset-failed")
    service.start()


@pytest.mark.parametrize("what", ["damaged", "of another format"])
def test_a_journal_that_cannot_be_trusted_is_told_and_the_service_observes(
    service: Service, what: str
) -> None:
    service.python(LEAVE_A_CHANGE)
    (journal,) = service.container.path(JOURNAL).iterdir()
    if what == "damaged":
        said = "this line is damaged, so a change may be unknown"
        with journal.open("ab") as file:
            file.write(b"deadbeef {}\n")
    else:
        said = "another version of Resonance wrote this: format 99"
        journal.unlink()
        code = LEAVE_A_CHANGE.replace("from pathlib", _FORMAT_99 + "from pathlib", 1)
        service.python(code.replace('"0", "network"', '"1", "network"'))
    service.start()
    assert service.state == "active"
    service.await_log("rollback_incomplete")
    assert said in service.log()
    assert service.metric("resonance_backend")
    assert service.systemctl("stop").returncode == 0
    assert service.show("ExecMainStatus") == "0"
    assert service.state == "failed", "what is left must not look like a clean end"
    by_hand = service.container.run("resonanced", "rollback")
    assert by_hand.returncode == 3
    assert said in by_hand.stderr
    service.container.succeed("sysctl", "-qw", "net.ipv4.tcp_slow_start_after_idle=1")
    assert sysctl(service) == "1"


_FORMAT_99 = """
import resonance_tuning.journal as written
written.FORMAT = "99"
written.Journal.begin.__defaults__ = ("99",)
"""
