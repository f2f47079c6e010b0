# SPDX-License-Identifier: MIT
from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from typing import Any

import pytest

from fakes.hint_service import HintService
from fakes.snapshots import WEB
from resonance.client import _kernel
from resonance.client._kernel import Kernel
from resonance.hints import PolicyCeiling, Reading, Resolution, connect
from resonance.policies._replica import Replica
from resonanced.hints.page import PageWriter
from resonanced.hints.settings import HintsSettings


class FakeHints:
    """What the daemon would say, and what it was asked."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.ceiling: PolicyCeiling | None = None
        self.looks = 0
        self.readings: dict[int | None, Reading] = {}
        self.read: list[int | None] = []
        self.cgroups: dict[str, int] = {}
        self.asked: list[str] = []
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.is_closed = False

    def policy_ceiling(self) -> PolicyCeiling | None:
        self.looks += 1
        return self.ceiling

    def reading(self, cgroup: int | None) -> Reading | None:
        self.read.append(cgroup)
        return self.readings.get(cgroup)

    def resolve(self, endpoint: str, *, timeout: float) -> Resolution:
        assert 0 < timeout < 5
        self.asked.append(endpoint)
        assert self.may_answer.wait(20)
        number = self.cgroups.get(endpoint)
        if number is None:
            return Resolution(is_known=False, reason="nobody listens")
        return Resolution(is_known=True, cgroup_id=number, slot=number % 100)

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def hints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHints:
    (tmp_path / "hints.sock").touch()
    monkeypatch.setattr(_kernel, "shares_network", lambda _: True)
    return FakeHints(tmp_path / "hints.sock")


@pytest.fixture
def kernel(hints: FakeHints) -> Iterator[Kernel]:
    kernel = make(hints)
    yield kernel
    hints.may_answer.set()
    kernel.close()


def make(hints: Any) -> Kernel:
    return Kernel(hints)


def eventually(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def is_at_rest(kernel: Kernel) -> bool:
    """Whether all questions are answered."""
    with kernel._turn:
        return not kernel._asked and bool(kernel._turn._waiters)


def known(kernel: Kernel, replica: Replica, now: float = 0.0) -> None:
    """Let the kernel find out where a replica is."""
    kernel.refresh([replica], now)
    eventually(lambda: is_at_rest(kernel))


# ---- the ceiling -------------------------------------------------------------------------------


def test_where_nobody_says_anything_clients_do_what_they_are_set_to(kernel: Kernel) -> None:
    assert kernel.mode_ceiling(0.0) == "active"


@pytest.mark.parametrize("ceiling", ["observe", "advise", "active"])
def test_the_ceiling_is_what_the_operator_says(
    kernel: Kernel, hints: FakeHints, ceiling: PolicyCeiling
) -> None:
    hints.ceiling = ceiling
    assert kernel.mode_ceiling(0.0) == ceiling


def test_it_is_looked_at_four_times_a_second(kernel: Kernel, hints: FakeHints) -> None:
    for step in range(1_000):
        kernel.mode_ceiling(step / 1_000)
    assert hints.looks == 4


def test_a_clock_that_does_not_advance_costs_one_look(kernel: Kernel, hints: FakeHints) -> None:
    assert {kernel.mode_ceiling(5.0) for _ in range(100)} == {"active"}
    assert hints.looks == 1


def test_what_was_said_last_holds_while_nothing_is_said(kernel: Kernel, hints: FakeHints) -> None:
    hints.ceiling = "observe"
    assert kernel.mode_ceiling(0.0) == "observe"
    hints.ceiling = None
    assert kernel.mode_ceiling(1.0) == "observe"
    hints.ceiling = "active"
    assert kernel.mode_ceiling(2.0) == "active"


def test_a_closed_kernel_keeps_its_ceiling_and_asks_nobody(
    kernel: Kernel, hints: FakeHints
) -> None:
    hints.ceiling = "observe"
    kernel.mode_ceiling(0.0)
    kernel.close()
    hints.ceiling = "active"
    assert kernel.mode_ceiling(1.0) == "observe"
    assert hints.looks == 1
    assert not hints.is_closed


# ---- the own pressure --------------------------------------------------------------------------


def test_the_own_pressure_is_read_once_in_five_milliseconds(
    kernel: Kernel, hints: FakeHints
) -> None:
    assert kernel.own_pressure(0.0) is None
    hints.readings[None] = Reading(0.5, 0.001)
    assert kernel.own_pressure(0.004) is None
    assert kernel.own_pressure(0.006) == 0.5
    assert hints.read == [None, None]


@pytest.mark.parametrize(("age_seconds", "expected"), [(0.05, 0.5), (0.051, None), (0.4, None)])
def test_a_pressure_older_than_fifty_milliseconds_is_not_known(
    kernel: Kernel, hints: FakeHints, age_seconds: float, expected: float | None
) -> None:
    hints.readings[None] = Reading(0.5, age_seconds)
    assert kernel.own_pressure(0.0) == expected


def test_a_closed_kernel_knows_no_pressure(kernel: Kernel, hints: FakeHints) -> None:
    hints.readings[None] = Reading(0.5, 0.0)
    kernel.close()
    assert kernel.own_pressure(0.0) is None


# ---- replicas ----------------------------------------------------------------------------------


def test_a_replica_of_this_host_gets_its_pressure_for_as_long_as_it_is_young(
    kernel: Kernel, hints: FakeHints
) -> None:
    hints.cgroups["127.0.0.1:80"] = 4_711
    hints.readings[4_711] = Reading(0.75, 0.01)
    replica = Replica("http://127.0.0.1/")
    known(kernel, replica)
    kernel.refresh([replica], 1.0)
    assert replica.known_pressure(1.039) == 0.75
    assert replica.known_pressure(1.041) is None


def test_a_stale_pressure_is_taken_back_at_once(kernel: Kernel, hints: FakeHints) -> None:
    hints.cgroups["127.0.0.1:80"] = 4_711
    hints.readings[4_711] = Reading(0.75, 0.0)
    replica = Replica(("127.0.0.1", 80))
    known(kernel, replica)
    kernel.refresh([replica], 1.0)
    hints.readings[4_711] = Reading(0.75, 0.2)
    kernel.refresh([replica], 1.01)
    assert (replica.pressure, replica.pressure_until) == (None, -inf)


@pytest.mark.parametrize("target", ["db.internal:80", "192.0.2.1:80", object(), None, 7])
def test_what_load_reports_said_of_other_hosts_stays(
    kernel: Kernel, hints: FakeHints, target: Any
) -> None:
    replica = Replica(target)
    replica.pressure, replica.pressure_until = 0.5, 9.0
    known(kernel, replica)
    kernel.refresh([replica], 1.0)
    assert (replica.pressure, replica.pressure_until) == (0.5, 9.0)
    assert hints.asked == []


def test_what_load_reports_said_stays_where_the_kernel_knows_nothing(
    kernel: Kernel, hints: FakeHints
) -> None:
    hints.cgroups["127.0.0.1:80"] = 4_700  # slot 0: measured together with all others
    replica = Replica("127.0.0.1:80")
    replica.pressure, replica.pressure_until = 0.5, 9.0
    known(kernel, replica)
    kernel.refresh([replica], 1.0)
    assert (replica.pressure, replica.pressure_until) == (0.5, 9.0)
    assert hints.read == []


def test_replicas_in_one_cgroup_share_its_pressure(kernel: Kernel, hints: FakeHints) -> None:
    hints.cgroups |= {"127.0.0.1:80": 4_711, "127.0.0.1:81": 4_711}
    hints.readings[4_711] = Reading(0.75, 0.0)
    replicas = [Replica("127.0.0.1:80"), Replica("127.0.0.1:81")]
    for replica in replicas:
        known(kernel, replica)
    kernel.refresh(replicas, 1.0)
    assert [replica.known_pressure(1.0) for replica in replicas] == [0.75, 0.75]


def test_localhost_with_two_servers_is_nobody(kernel: Kernel, hints: FakeHints) -> None:
    hints.cgroups |= {"127.0.0.1:80": 4_711, "[::1]:80": 4_712}
    hints.readings |= {4_711: Reading(0.75, 0.0), 4_712: Reading(0.25, 0.0)}
    replica = Replica("localhost:80")
    known(kernel, replica)
    kernel.refresh([replica], 1.0)
    assert replica.pressure is None


def test_the_caller_never_waits_for_the_daemon(kernel: Kernel, hints: FakeHints) -> None:
    hints.may_answer.clear()
    replica = Replica("127.0.0.1:80")
    for step in range(100):
        kernel.refresh([replica], step / 100)
    eventually(lambda: hints.asked)
    assert replica.pressure is None


def test_a_target_is_asked_for_once_in_five_seconds(kernel: Kernel, hints: FakeHints) -> None:
    hints.cgroups["127.0.0.1:80"] = 7
    replica = Replica("127.0.0.1:80")
    known(kernel, replica)
    for step in range(500):
        kernel.refresh([replica], step / 100)
    eventually(lambda: is_at_rest(kernel))
    assert hints.asked == ["127.0.0.1:80"]
    known(kernel, replica, 5.0)
    assert hints.asked == ["127.0.0.1:80"] * 2


def test_a_target_of_which_nothing_is_known_is_asked_for_again_after_a_second(
    kernel: Kernel, hints: FakeHints
) -> None:
    replica = Replica("127.0.0.1:80")
    known(kernel, replica)
    known(kernel, replica, 0.9)
    assert hints.asked == ["127.0.0.1:80"]
    known(kernel, replica, 1.0)
    assert hints.asked == ["127.0.0.1:80"] * 2


def test_another_hosts_target_is_looked_at_once_in_a_minute(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[object] = []
    monkeypatch.setattr(_kernel, "local_endpoints", lambda target: looked.append(target) or ())
    replica = Replica("db.internal:80")
    for now in range(60):
        known(kernel, replica, float(now))
    assert looked == ["db.internal:80"]
    known(kernel, replica, 60.0)
    assert len(looked) == 2


def test_a_service_that_moves_is_followed(kernel: Kernel, hints: FakeHints) -> None:
    hints.readings |= {4_711: Reading(0.75, 0.0), 4_712: Reading(0.25, 0.0)}
    replica = Replica("127.0.0.1:80")
    for at, number, expected in ((0.0, 4_711, 0.75), (5.0, 4_712, 0.25)):
        hints.cgroups["127.0.0.1:80"] = number
        known(kernel, replica, at)
        kernel.refresh([replica], at + 1.0)
        assert replica.known_pressure(at + 1.0) == expected
    del hints.cgroups["127.0.0.1:80"]
    known(kernel, replica, 10.0)
    assert replica.known_pressure(11.0) is None


def test_a_daemon_in_another_network_is_not_asked_for_addresses(
    hints: FakeHints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_kernel, "shares_network", lambda _: False)
    kernel = make(hints)
    known(kernel, Replica("127.0.0.1:80"))
    kernel.close()
    assert hints.asked == []


def test_without_a_daemon_nothing_is_asked(kernel: Kernel, hints: FakeHints) -> None:
    hints.socket.unlink()
    known(kernel, Replica("127.0.0.1:80"))
    assert hints.asked == []


def test_ten_thousand_targets_fill_neither_the_memory_nor_the_queue(
    kernel: Kernel, hints: FakeHints
) -> None:
    hints.may_answer.clear()
    replicas = [Replica(("127.0.0.1", port)) for port in range(1, 10_001)]
    kernel.refresh(replicas, 0.0)
    assert len(kernel._places) <= 1_024
    assert len(kernel._asked) <= 64


def test_places_that_are_not_used_any_more_make_room(kernel: Kernel, hints: FakeHints) -> None:
    kernel.refresh([Replica(f"db{number}:80") for number in range(1_024)], 0.0)
    fresh = Replica("127.0.0.1:80")
    kernel.refresh([fresh], 1.0)
    assert fresh.target not in kernel._places
    kernel.refresh([fresh], 61.0)
    assert list(kernel._places) == [fresh.target]


def test_many_threads_refresh_at_once(kernel: Kernel, hints: FakeHints) -> None:
    hints.cgroups["127.0.0.1:80"] = 4_711
    hints.readings[4_711] = Reading(0.75, 0.0)
    replicas = [Replica("127.0.0.1:80") for _ in range(8)]

    def refresh(replica: Replica) -> None:
        for step in range(300):
            kernel.refresh([replica, Replica(f"db{step}:80")], 0.0)

    threads = [threading.Thread(target=refresh, args=[replica]) for replica in replicas]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: is_at_rest(kernel))
    kernel.refresh(replicas, 1.0)
    assert [replica.known_pressure(1.0) for replica in replicas] == [0.75] * 8


# ---- the end, and forks ------------------------------------------------------------------------


def test_closing_ends_the_thread_and_leaves_replicas_alone(
    kernel: Kernel, hints: FakeHints
) -> None:
    hints.cgroups["127.0.0.1:80"] = 4_711
    hints.readings[4_711] = Reading(0.75, 0.0)
    replica = Replica("127.0.0.1:80")
    known(kernel, replica)
    thread = kernel._thread
    assert thread is not None
    kernel.close()
    kernel.close()
    thread.join(20)
    assert not thread.is_alive()
    kernel.refresh([replica, Replica("127.0.0.1:81")], 100.0)
    assert replica.pressure is None
    assert kernel._thread is None


def test_a_thread_without_questions_ends_and_another_one_follows(
    kernel: Kernel, hints: FakeHints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_kernel, "_IDLE_SECONDS", 0.01)
    replica = Replica("127.0.0.1:80")
    for at in (0.0, 5.0):
        kernel.refresh([replica], at)
        eventually(lambda: kernel._thread is None)
    assert len(hints.asked) == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_fails_is_followed_by_another(
    kernel: Kernel, hints: FakeHints, monkeypatch: pytest.MonkeyPatch
) -> None:
    hints.cgroups["127.0.0.1:80"] = 4_711
    hints.readings[4_711] = Reading(0.75, 0.0)
    replica = Replica("127.0.0.1:80")
    with monkeypatch.context() as patch:
        patch.setattr(_kernel, "local_endpoints", lambda _: 1 / 0)
        kernel.refresh([replica], 0.0)
        thread = kernel._thread
        assert thread is not None
        thread.join(20)
    known(kernel, replica, 5.0)
    kernel.refresh([replica], 6.0)
    assert replica.known_pressure(6.0) == 0.75


def test_where_no_thread_can_be_had_places_stay_unknown(
    kernel: Kernel, hints: FakeHints, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        kernel.refresh([Replica("127.0.0.1:80")], 0.0)
    assert hints.asked == []
    kernel.refresh([Replica("127.0.0.1:80")], 5.0)
    eventually(lambda: hints.asked)


def test_a_kernel_nobody_has_is_collected(hints: FakeHints) -> None:
    kernel = make(hints)
    gone = weakref.ref(kernel)
    del kernel
    gc.collect()
    assert gone() is None


def test_a_forked_child_asks_with_a_thread_of_its_own(kernel: Kernel, hints: FakeHints) -> None:
    hints.cgroups["127.0.0.1:80"] = 4_711
    hints.readings[4_711] = Reading(0.75, 0.0)
    hints.ceiling = "observe"
    replica = Replica("127.0.0.1:80")
    known(kernel, replica)
    assert kernel.mode_ceiling(0.0) == "observe"
    child = os.fork()
    if child == 0:
        known(kernel, replica, 5.0)
        kernel.refresh([replica], 6.0)
        is_right = replica.known_pressure(6.0) == 0.75 and kernel.mode_ceiling(0.0) == "observe"
        os._exit(0 if is_right and len(hints.asked) == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# ---- with the hints themselves -----------------------------------------------------------------

SETTINGS = HintsSettings(valid_for_seconds=60.0)


def test_the_whole_way_from_a_page_to_a_replica(tmp_path: Path) -> None:
    with (
        HintService(tmp_path, SETTINGS) as service,
        connect(tmp_path / "hints.sock") as hints,
    ):
        service.publish()
        service.write()
        kernel = Kernel(hints)
        service.page.say_policy_ceiling("advise")
        assert kernel.mode_ceiling(0.0) == "advise"
        replica = Replica("http://localhost:8080/")

        def is_known() -> bool:
            service.write()
            now = time.monotonic()
            kernel.refresh([replica], now)
            return replica.known_pressure(now) == 0.25

        assert WEB.cgroup_id != 0
        eventually(is_known)
        kernel.close()


def test_by_default_it_finds_the_daemon_of_this_host_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESONANCE_HINTS_SOCKET", str(tmp_path / "hints.sock"))
    kernel = Kernel()
    assert kernel.mode_ceiling(0.0) == "active"
    writer = PageWriter(tmp_path / "hints.page", SETTINGS, "v2", "observe")
    eventually(lambda: kernel.mode_ceiling(time.monotonic()) == "observe")
    kernel.close()
    writer.close()


def test_without_a_daemon_grpc_is_never_loaded(tmp_path: Path) -> None:
    code = """
import sys
from resonance.client._kernel import Kernel
from resonance.policies._replica import Replica
kernel = Kernel()
for now in range(20):
    kernel.refresh([Replica("127.0.0.1:80")], float(now))
    kernel.own_pressure(float(now)), kernel.mode_ceiling(float(now))
kernel.close()
assert "grpc" not in sys.modules
"""
    environment = {
        "RESONANCE_HINTS_SOCKET": str(tmp_path / "hints.sock"),
        "PATH": os.environ["PATH"],
    }
    subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, check=True)
