# SPDX-License-Identifier: MIT
"""The daemon as the experiment uses it, on this kernel: it serves, it tunes, and it is gone."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from resonance import hints
from resonance.bench.errors import ExperimentError
from resonance.bench.reference.daemon import applied, service
from resonance_tuning.host import Host

pytestmark = [pytest.mark.privileged, pytest.mark.timeout(60)]


class Groups:
    """Two cgroups below one of this test's own."""

    def __init__(self, stack: ExitStack) -> None:
        mount = Host().controller("cpu")
        assert mount
        self._weight = "cpu.shares" if mount.version == 1 else "cpu.weight"
        self._top = mount.directory / f"resonance-test-{os.getpid()}-bench"
        for directory in (self._top, self._top / "web", self._top / "hogs"):
            directory.mkdir()
            stack.callback(directory.rmdir)
        self.web, self.hogs = (f"/{self._top.name}/{name}" for name in ("web", "hogs"))

    def values(self) -> tuple[str, str]:
        """Return the weight of the one and the class of the other."""
        files = (self._top / "web" / self._weight, self._top / "hogs" / "cpu.idle")
        weight, idle = (file.read_text().strip() for file in files)
        return weight, idle


@pytest.fixture
def groups() -> Iterator[Groups]:
    with ExitStack() as stack:
        yield Groups(stack)


def places() -> set[Path]:
    return set(Path("/run").glob(f"resonance-bench-{os.getpid()}-*"))


def test_a_service_answers_where_it_says_and_leaves_nothing() -> None:
    with service() as daemon:
        with hints.connect(daemon.socket) as connected:
            assert connected.state(timeout=10.0) is not None
        with urllib.request.urlopen(f"http://127.0.0.1:{daemon.port}/metrics") as answer:
            assert b"resonance_build_info" in answer.read()
        assert daemon.admin_socket.is_socket()
        assert daemon.page.is_file()
        before = daemon.cpu_seconds()
        assert daemon.cpu_seconds() >= before > 0.0
    assert not any(Path(f"/proc/{pid}").exists() for pid in daemon.pids)
    assert places() == set()


def test_a_service_ends_with_a_block_that_raises() -> None:
    with pytest.raises(KeyError), service() as daemon:
        raise KeyError
    assert not any(Path(f"/proc/{pid}").exists() for pid in daemon.pids)
    assert places() == set()


def test_a_profile_is_in_force_and_then_everything_is_as_it_was(groups: Groups) -> None:
    before = groups.values()
    profile = "[latency_critical]\ncpu_weight = 1000\n[batch]\ncpu_idle = 1\n"
    with applied(profile, latency_critical=[groups.web], batch=[groups.hogs]):
        weight, idle = groups.values()
        assert int(weight) == 10 * int(before[0])
        assert idle == "1"
    assert groups.values() == before
    assert places() == set()


def applied_and_broken(groups: Groups) -> None:
    before = groups.values()
    with applied("[batch]\ncpu_idle = 1\n", batch=[groups.hogs]):
        assert groups.values() != before
        raise KeyError


def test_a_profile_is_taken_back_from_under_a_block_that_raises(groups: Groups) -> None:
    before = groups.values()
    with pytest.raises(KeyError):
        applied_and_broken(groups)
    assert groups.values() == before


def test_a_shipped_profile_can_be_included(groups: Groups) -> None:
    with applied('include = ["balanced"]\n', batch=[groups.hogs]):
        assert groups.values()[1] == "1"


def test_real_time_outlasts_the_command_and_is_taken_back() -> None:
    name = f"res-test-{os.getpid()}"[:15]
    script = f"open('/proc/self/comm', 'w').write({name!r}); print(); input()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe) as process:
        assert process.stdout
        process.stdout.readline()
        with applied("[latency_critical]\nrealtime = 1\n", latency_critical=[f"process:{name}"]):
            policy = os.sched_getscheduler(process.pid)
            assert policy & ~os.SCHED_RESET_ON_FORK == os.SCHED_RR
        assert os.sched_getscheduler(process.pid) == os.SCHED_OTHER
        process.communicate(b"\n")


@pytest.mark.parametrize(
    ("profile", "told"),
    [
        ('[latency_critical]\ncongestion_control = "reno"\n', "let the service apply it"),
        ("[latency_critical]\ncpu_wait = 1\n", "there is no such knob"),
        ("[latency_critical]\nnice = -5\n", "not turned anywhere"),
    ],
)
def test_what_cannot_be_done_is_said_in_the_daemons_words(
    groups: Groups, profile: str, told: str
) -> None:
    before = groups.values()
    with (
        pytest.raises(ExperimentError, match=told),
        applied(profile, latency_critical=[groups.web]),
    ):
        pytest.fail("it was not in force")
    assert groups.values() == before
