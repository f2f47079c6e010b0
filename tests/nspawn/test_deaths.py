# SPDX-License-Identifier: MIT
"""Whatever ends the service: is it started again, and does nothing of it stay?"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from nspawn.container import wait_until
from nspawn.service import JOURNAL, RUNTIME, Service

SYSCTL = "/proc/sys/net/ipv4/tcp_slow_start_after_idle"
LEAVE_A_CHANGE = """
from pathlib import Path
from resonance_tuning.host import Host
from resonance_tuning.journal import Journal
from resonance_tuning.knobs import make_knobs
from resonance_tuning.ownership import note_owner
from resonance_tuning.records import Setting, Target
from resonance_tuning.tuner import Tuner
host = Host()
with Journal(Path("/run/resonance-tuning"), host.boot_id) as journal:
    note_owner(journal, at_end="restore")
    tuner = Tuner(host, journal, make_knobs(host))
    setting = Setting("tcp_slow_start_after_idle", Target("namespace", ""), "0", "network")
    (receipt,) = tuner.apply("testing", [tuner.preview(setting, "a test")], "a test")
    assert receipt.outcome == "applied", receipt
"""
"""As an actuator that was killed leaves it, in the container's own network namespace."""


def sysctl(service: Service) -> str:
    """Read the setting as the container has it: which namespace's depends on who opens it."""
    return service.container.succeed("cat", SYSCTL).strip()


@pytest.mark.parametrize("role", ["keeper", "daemon"])
def test_killed_it_is_started_again_and_nothing_of_the_first_stays(
    service: Service, role: str
) -> None:
    service.start()
    first = service.processes()
    os.kill(first[role], signal.SIGKILL)
    service.await_restart()
    second = service.processes()
    assert second.keys() == {"keeper", "daemon"}
    assert not set(first.values()) & set(second.values())
    assert not any(Path("/proc", str(pid)).exists() for pid in first.values())
    between = service.log().partition("Main process exited")[2].partition("Starting")[0]
    assert "nothing to put back" in between or f"removed {RUNTIME}" in between
    assert "Control process exited" not in between, "the rollback itself failed"
    assert service.metric("resonance_backend")


def test_killed_for_want_of_memory_the_rest_is_not_left_alone(service: Service) -> None:
    """The kernel's killer sends SIGKILL too, and systemd counts it by OOMPolicy=."""
    assert service.show("OOMPolicy") == "stop"
    assert service.show("Restart") == "on-failure"


def test_a_killed_actuator_ends_the_service_which_begins_again(service: Service) -> None:
    service.configure('[tuning]\nmode = "shadow"\n[tuning.batch]\ncgroups = ["/nobody*"]\n')
    service.start()
    first = service.processes()
    assert first.keys() == {"keeper", "daemon", "actuator"}
    os.kill(first["actuator"], signal.SIGKILL)
    service.await_restart()
    assert "child_ended role=actuator status=-9" in service.log()
    assert service.processes().keys() == {"keeper", "daemon", "actuator"}


def test_a_daemon_that_hangs_is_bitten_by_the_watchdog_and_started_again(
    service: Service,
) -> None:
    service.drop_in("watchdog", "[Service]\nWatchdogSec=2\n")
    service.start()
    first = service.processes()
    os.kill(first["daemon"], signal.SIGSTOP)
    service.await_log("Watchdog timeout")
    service.await_restart()
    assert "watchdog_bite" in service.log()
    assert not any(Path("/proc", str(pid)).exists() for pid in first.values())


@pytest.mark.parametrize("how", ["stop", "keeper", "daemon", "watchdog"])
def test_however_it_ends_what_is_left_in_the_kernel_is_put_back(service: Service, how: str) -> None:
    watchdog = "WatchdogSec=2\n" if how == "watchdog" else ""
    service.drop_in("once", f"[Service]\nRestart=no\n{watchdog}")
    service.start()
    before = sysctl(service)
    service.python(LEAVE_A_CHANGE)
    assert sysctl(service) == "0" != before
    if how == "stop":
        service.stop()
    elif how == "watchdog":
        os.kill(service.processes()["daemon"], signal.SIGSTOP)
    else:
        os.kill(service.processes()[how], signal.SIGKILL)
    wait_until(lambda: service.state in {"failed", "inactive"}, "it has ended")
    assert service.processes() == {}
    assert sysctl(service) == before
    assert "tcp_slow_start_after_idle of namespace = 1  put back" in service.log()
    assert "Control process exited" not in service.log(), "the rollback itself failed"


def test_a_machine_that_goes_down_takes_a_change_along(service: Service) -> None:
    """The journal is of this boot, in memory: after another one nobody acts on it."""
    service.python(LEAVE_A_CHANGE)
    kind = service.container.succeed("stat", "--file-system", "--format=%T", JOURNAL).strip()
    assert kind == "tmpfs"
    (journal,) = service.container.path(JOURNAL).iterdir()
    of_another_boot = journal.with_name("journal-of-another-boot.wal")
    journal.rename(of_another_boot)
    service.start()
    service.stop()
    assert sysctl(service) == "0", "nothing was done for it"
    service.container.succeed("sysctl", "-qw", "net.ipv4.tcp_slow_start_after_idle=1")


def test_five_failed_starts_are_the_last_and_it_says_so(service: Service) -> None:
    service.configure('[service]\nuser = "nobody-we-know"\n')
    assert service.systemctl("start").returncode != 0
    service.await_log("Start request repeated too quickly")
    log = service.log()
    assert log.count("no such user; create it, or set service.user") == 5
    assert service.state == "failed"
    service.configure("")
    assert service.systemctl("start").returncode != 0, "it is right now, but was asked too often"
    assert service.log().count("Start request repeated too quickly") == 2
    service.systemctl("reset-failed")
    service.start()


def test_a_wrong_key_is_told_once_and_not_tried_again(service: Service) -> None:
    service.configure("[signals]\ninterval_seconds = 99\n")
    assert service.systemctl("start").returncode != 0
    assert (service.state, service.show("ExecMainStatus")) == ("failed", "2")
    assert service.show("NRestarts") == "0"
    assert "resonanced.toml: signals.interval_seconds: Expected `float` <= 10.0" in service.log()
