# SPDX-License-Identifier: MIT
"""The C programs of the experiment: what a replica answers and costs, and that nothing stays."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from random import Random

import pytest

from resonance.bench.errors import ExperimentError
from resonance.bench.reference.driving import Driver
from resonance.bench.reference.links import Answer, Kind, Links
from resonance.bench.reference.processes import (
    Server,
    calibrate,
    cpu_seconds,
    neighbours,
    server,
    spin,
)
from resonance.bench.reference.programs import HERE, program
from resonance.bench.reference.slots import Demand, arrivals
from resonance.policies import BudgetPolicy, ChoicePolicy, HedgePolicy, Policy, Service, TaskHint

ITERATIONS_OF_A_MILLISECOND = 900_000  # or of two: nothing here depends on it
PATIENCE_SECONDS = 30.0


@pytest.fixture(scope="module")
def replica() -> str:
    assert shutil.which("clang"), "no C compiler: apt-get install clang"
    return program(HERE / "replica.c")


@pytest.fixture(scope="module")
def neighbour() -> str:
    assert shutil.which("clang"), "no C compiler: apt-get install clang"
    return program(HERE / "neighbours.c")


@contextmanager
def linked(*servers: Server, clients: int = 1) -> Iterator[Links]:
    with closing(Links([each.port for each in servers], clients)) as links:
        yield links


def receive(links: Links, count: int) -> list[Answer]:
    answers: list[Answer] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(answers) < count and time.monotonic() < deadline:
        answers += links.receive(0.1)
    return answers


def ends(answers: list[Answer]) -> list[tuple[int, int]]:
    return [(answer.kind, answer.number) for answer in answers]


def test_requests_are_answered_in_the_order_they_came(replica: str) -> None:
    with server(replica, -1, 1_000) as one, linked(one) as links:
        for number in range(100):
            links.send(0, 0, Kind.REQUEST, number)
        assert ends(receive(links, 100)) == [(Kind.DONE, number) for number in range(100)]


def test_what_waits_is_dropped_and_what_is_worked_on_is_finished(replica: str) -> None:
    with server(replica, -1, 100 * ITERATIONS_OF_A_MILLISECOND) as one, linked(one) as links:
        idle = cpu_seconds(one.pids[0])
        links.send(0, 0, Kind.REQUEST, 1)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while cpu_seconds(one.pids[0]) < idle + 0.005 and time.monotonic() < deadline:
            time.sleep(0.001)
        os.kill(one.pids[0], signal.SIGSTOP)  # what follows is there when it looks again
        links.send(0, 0, Kind.REQUEST, 2)
        links.send(0, 0, Kind.CANCEL, 1)
        links.send(0, 0, Kind.CANCEL, 2)
        os.kill(one.pids[0], signal.SIGCONT)
        assert ends(receive(links, 2)) == [(Kind.DONE, 1), (Kind.DROPPED, 2)]


def test_to_cancel_what_is_over_is_not_answered(replica: str) -> None:
    with server(replica, -1, 1_000) as one, linked(one) as links:
        links.send(0, 0, Kind.REQUEST, 1)
        assert ends(receive(links, 1)) == [(Kind.DONE, 1)]
        links.send(0, 0, Kind.CANCEL, 1)
        links.send(0, 0, Kind.REQUEST, 2)
        assert ends(receive(links, 1)) == [(Kind.DONE, 2)]


def test_a_client_cancels_only_its_own(replica: str) -> None:
    slow = 50 * ITERATIONS_OF_A_MILLISECOND
    with server(replica, -1, slow) as one, linked(one, clients=2) as links:
        links.send(0, 0, Kind.REQUEST, 1)
        links.send(0, 0, Kind.REQUEST, 7)
        links.send(1, 0, Kind.CANCEL, 7)
        assert ends(receive(links, 2)) == [(Kind.DONE, 1), (Kind.DONE, 7)]


def test_a_probe_tells_how_many_wait_and_how_long_one_takes(replica: str) -> None:
    with server(replica, -1, ITERATIONS_OF_A_MILLISECOND) as one, linked(one) as links:
        links.send(0, 0, Kind.REQUEST, 1)
        receive(links, 1)
        links.send(0, 0, Kind.PROBE, 0)
        (answer,) = receive(links, 1)
        assert (answer.kind, answer.target, answer.queued) == (Kind.PROBED, 0, 0)
        assert answer.number > 0


def test_a_client_that_goes_takes_its_requests_with_it(replica: str) -> None:
    with server(replica, -1, 20 * ITERATIONS_OF_A_MILLISECOND) as one:
        with linked(one) as links:
            for number in range(1_000):
                links.send(0, 0, Kind.REQUEST, number)
        with linked(one) as links:
            links.send(0, 0, Kind.REQUEST, 1)
            assert ends(receive(links, 1)) == [(Kind.DONE, 1)]


def test_a_replica_that_goes_is_an_error(replica: str) -> None:
    with server(replica, -1, 1_000) as one, linked(one) as links:
        os.kill(one.pids[0], signal.SIGKILL)
        with pytest.raises(ConnectionError):
            receive(links, 1)


def test_twice_the_work_is_twice_the_iterations(replica: str) -> None:
    once, twice = calibrate(replica, 0.0007), calibrate(replica, 0.0014)
    assert 0.3 < twice / (2.0 * once) < 3.0  # a busy sibling halves what a CPU does


def test_a_request_costs_what_was_calibrated(replica: str) -> None:
    work_seconds, requests = 0.0007, 100
    iterations = calibrate(replica, work_seconds)
    with server(replica, -1, iterations) as one, linked(one) as links:
        before = cpu_seconds(one.pids[0])
        for number in range(requests):
            links.send(0, 0, Kind.REQUEST, number)
        receive(links, requests)
        cost = (cpu_seconds(one.pids[0]) - before) / requests
    assert 0.3 < cost / work_seconds < 4.0  # a busy sibling halves what a CPU does


def test_the_books_balance_with_copies_in_play(replica: str) -> None:
    policy = Policy(
        hedge=HedgePolicy(delay=0.001, saturation_guard=False, max_inflight_pct=1e6),
        budget=BudgetPolicy(ratio=1.0, cap=1_000.0, initial=1_000.0),
        choice=ChoicePolicy(algorithm="random", ejection=None),
    )
    works = [1_000, 1_000, 4 * ITERATIONS_OF_A_MILLISECOND]
    calls = arrivals(Demand(3, 200.0, seconds=1.0), "books")
    services = [Service(policy, random=Random(each)) for each in range(3)]
    with ExitStack() as stack:
        servers = [stack.enter_context(server(replica, -1, each)) for each in works]
        links = stack.enter_context(linked(*servers, clients=3))
        hint = TaskHint(idempotent=True)
        trace = Driver(services, links, hint=hint).run(calls, time.monotonic() + 0.01)
    assert trace.calls == len(calls) == sum(service.successes for service in services)
    assert trace.hedges == sum(service.counts.hedges for service in services) > 0
    assert trace.sent == trace.done + trace.dropped == len(calls) + trace.hedges
    assert trace.wasted == sum(service.counts.late for service in services)
    assert [service.inflight for service in services] == [0, 0, 0]


def test_jobs_take_as_long_as_their_longest_thread_at_least(neighbour: str) -> None:
    cpu = min(os.sched_getaffinity(0))
    with neighbours(neighbour, cpu) as beside:
        beside.begin([(0.0, [0.002, 0.004]), (0.001, [0.001])], time.monotonic())
        took = beside.end()
        assert len(took) == 2
        assert took[0] >= 0.004
        assert cpu_seconds(beside.pid) >= 0.007


def test_a_slot_without_jobs_ends_at_once(neighbour: str) -> None:
    with neighbours(neighbour, min(os.sched_getaffinity(0))) as beside:
        for _ in range(2):
            beside.begin([], time.monotonic())
            assert beside.end() == []


def test_a_saturated_cpu_stays_so(neighbour: str) -> None:
    with spin(neighbour, min(os.sched_getaffinity(0)), 2) as pid:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while cpu_seconds(pid) < 0.01 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert cpu_seconds(pid) >= 0.01


def test_what_is_started_ends_with_its_block(replica: str) -> None:
    with server(replica, -1, 1_000) as one:
        pass
    with pytest.raises(ProcessLookupError):
        os.kill(one.pids[0], 0)


def test_what_is_started_dies_with_who_started_it(replica: str) -> None:
    code = (
        "import os, sys; from resonance.bench.reference.processes import server\n"
        f"with server({replica!r}, -1, 1000) as one:\n"
        "    print(one.pids[0], flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
        parent.communicate()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    """Tell whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_program_that_ends_at_once_is_an_error(replica: str) -> None:
    with pytest.raises(ExperimentError, match="ended with status 2"), server(replica, -1, 0):
        pass
