# SPDX-License-Identifier: MIT
"""Is the host as it was when the service that tuned it has ended, whoever was killed, and how?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

import psutil
import pytest

from privileged.running import Place
from privileged.tuning.groups import PROFILE, Groups

STUB = Path(__file__).with_name("stub_service.py")
Role = Literal["keeper", "daemon", "actuator"]
ROLES: tuple[Role, ...] = ("keeper", "daemon", "actuator")
SOME = [chosen for count in (1, 2, 3) for chosen in combinations(ROLES, count)]


@dataclass
class Running:
    """A service that has turned what its plan holds."""

    process: subprocess.Popen[str]
    daemon: int
    actuator: int

    def pid(self, role: Role) -> int:
        return {"keeper": self.process.pid, "daemon": self.daemon, "actuator": self.actuator}[role]

    def wait(self) -> int:
        """Wait until all of it is gone; return the keeper's exit status."""
        _, self.errors = self.process.communicate(timeout=20)
        assert _eventually(lambda: not any(map(psutil.pid_exists, (self.daemon, self.actuator))))
        return self.process.returncode


def _eventually(is_so: Callable[[], bool], patience_seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + patience_seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def groups(tmp_path: Path) -> Iterator[Groups]:
    made = Groups(tmp_path)
    made.file(made.hogs, made.weight_file).write_text("713")
    yield made
    made.close()


@pytest.fixture
def start(place: Place, groups: Groups) -> Iterator[Callable[..., Running]]:
    """Start services that tune at once, in a mode."""
    running: list[Running] = []

    def one(mode: str = "active", **tuning: object) -> Running:
        place.write_config(probes={"backend": "none"}, tuning=groups.table(mode) | tuning)
        process = subprocess.Popen(
            [sys.executable, str(STUB), str(place.config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        words = process.stdout.readline().split()
        assert words[:1] == ["ready"], process.communicate()[1]
        running.append(Running(process, int(words[1]), int(words[2])))
        return running[-1]

    yield one
    for service in running:
        for role in ROLES:
            if psutil.pid_exists(service.pid(role)) and service.process.poll() is None:
                os.kill(service.pid(role), signal.SIGKILL)
        service.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_polite_end_puts_all_back(
    number: signal.Signals, start: Callable[..., Running], place: Place, groups: Groups
) -> None:
    before = groups.values()
    service = start()
    assert groups.values() != before
    started = time.monotonic()
    service.process.send_signal(number)
    assert service.wait() == 0, service.errors
    assert time.monotonic() - started < 2.0
    assert groups.values() == before
    assert place.left_behind() == []


@pytest.mark.parametrize("role", ROLES)
def test_when_one_of_the_three_is_killed_the_others_put_all_back(
    role: Role, start: Callable[..., Running], groups: Groups
) -> None:
    before = groups.values()
    service = start()
    assert groups.values() != before
    os.kill(service.pid(role), signal.SIGKILL)
    status = service.wait()
    assert status == (-signal.SIGKILL if role == "keeper" else 1), service.errors
    assert groups.values() == before


@pytest.mark.parametrize("role", ["daemon", "actuator"])
def test_one_that_is_stopped_does_not_keep_the_service_from_putting_all_back(
    role: Role, start: Callable[..., Running], place: Place, groups: Groups
) -> None:
    before = groups.values()
    service = start()
    assert groups.values() != before
    os.kill(service.pid(role), signal.SIGSTOP)
    service.process.send_signal(signal.SIGTERM)
    assert service.wait() == 0, service.errors
    assert groups.values() == before
    assert place.left_behind() == []


def test_a_keeper_that_is_stopped_does_not_keep_the_others_from_putting_all_back(
    start: Callable[..., Running], groups: Groups
) -> None:
    before = groups.values()
    service = start()
    assert groups.values() != before
    os.kill(service.pid("keeper"), signal.SIGSTOP)
    os.kill(service.daemon, signal.SIGTERM)
    assert _eventually(lambda: groups.values() == before)
    os.kill(service.pid("keeper"), signal.SIGCONT)
    assert service.wait() == 1, service.errors
    assert groups.values() == before


@pytest.mark.parametrize("killed", SOME, ids="-".join)
def test_whoever_is_killed_after_a_rollback_all_is_as_before(
    killed: tuple[Role, ...], start: Callable[..., Running], place: Place, groups: Groups
) -> None:
    before = groups.values()
    service = start()
    assert groups.values() != before
    # Stopped first, so that none of them hears of another's end.
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for role in killed:
            os.kill(service.pid(role), number)
    service.wait()
    done = place.run("rollback", "--left-by-services")
    assert done.returncode == 0, done.stderr
    assert groups.values() == before
    assert place.left_behind() == []
    again = place.run("rollback")
    assert (again.returncode, "nothing" in again.stdout) == (0, True)


def test_when_all_are_killed_at_once_the_next_start_puts_all_back(
    start: Callable[..., Running], place: Place, groups: Groups
) -> None:
    before = groups.values()
    service = start()
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for role in ROLES:
            os.kill(service.pid(role), number)
    service.wait()
    assert groups.values() != before
    place.write_config(probes={"backend": "none"}, tuning=groups.table("observe"))
    successor = place.start()
    assert groups.values() == before, "in mode observe too"
    assert successor.stop() == 0


def test_told_to_keep_it_keeps_however_it_ends_until_the_operator_rolls_back(
    start: Callable[..., Running], place: Place, groups: Groups
) -> None:
    before = groups.values()
    service = start(on_stop="keep")
    turned = groups.values()
    service.process.terminate()
    assert service.wait() == 0
    assert groups.values() == turned != before
    place.run("rollback", "--left-by-services")
    assert groups.values() == turned
    assert place.run("rollback").returncode == 0
    assert groups.values() == before


def test_what_an_operator_applied_outlives_a_service(place: Place, groups: Groups) -> None:
    before = groups.values()
    place.write_config(probes={"backend": "none"}, tuning=groups.table("observe"))
    applied = place.run("apply")
    assert applied.returncode == 0, applied.stderr
    turned = groups.values()
    assert turned != before
    service = place.start()
    assert service.stop() == 0
    assert groups.values() == turned
    assert place.run("rollback").returncode == 0
    assert groups.values() == before


def test_while_the_service_tunes_an_operators_apply_is_refused_with_its_pid(
    start: Callable[..., Running], place: Place, groups: Groups
) -> None:
    service = start()
    applied = place.run("apply")
    assert applied.returncode == 1
    assert str(service.actuator) in applied.stderr
    assert "Traceback" not in applied.stderr
    service.process.terminate()
    assert service.wait() == 0


def test_observe_starts_no_actuator_and_makes_no_journal(place: Place, groups: Groups) -> None:
    place.write_config(probes={"backend": "none"}, tuning=groups.table("observe"))
    service = place.start()
    assert service.actuators == []
    assert service.stop() == 0
    assert not groups.journal.exists()


def test_shadow_starts_one_that_can_do_nothing(place: Place, groups: Groups) -> None:
    before = groups.values()
    place.write_config(probes={"backend": "none"}, tuning=groups.table("shadow"))
    service = place.start()
    (actuator,) = service.actuators
    status = Path(f"/proc/{actuator.pid}/status").read_text(encoding="utf-8").splitlines()
    sets = {line.split(":\t")[0]: int(line.split(":\t")[1], 16) for line in status if "Cap" in line}
    assert set(sets.values()) == {0}
    assert service.stop() == 0
    assert not actuator.is_running()
    assert groups.values() == before


def test_the_daemon_can_do_nothing_and_the_keeper_not_more_than_before(
    place: Place, groups: Groups
) -> None:
    place.write_config(probes={"backend": "none"}, tuning=groups.table("active"))
    service = place.start()
    effective = {}
    for name, process in (("keeper", service.keeper), ("daemon", service.daemon)):
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        effective[name] = int(status.partition("CapEff:\t")[2].split()[0], 16)
    assert effective == {"keeper": 1 << 1 | 1 << 5 | 1 << 39, "daemon": 0}
    assert service.stop() == 0


def test_a_profile_that_is_wrong_is_a_start_that_fails_with_one_line(
    place: Place, groups: Groups
) -> None:
    groups.write_profile(PROFILE + "nonsense = 1\n")
    place.write_config(probes={"backend": "none"}, tuning=groups.table("active"))
    done = place.run("run", "--no-view")
    assert done.returncode == 1
    assert done.stderr.startswith("resonanced: tuning: ")
    assert "nonsense" in done.stderr
    assert done.stderr.count("\n") == 1
    assert place.left_behind() == []
