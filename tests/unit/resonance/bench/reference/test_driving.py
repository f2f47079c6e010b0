# SPDX-License-Identifier: MIT
"""The loop of the experiment: attempts are answered or explained, arms asked the same."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from math import nan
from pathlib import Path
from random import Random

import pytest

from resonance.bench.errors import ExperimentError
from resonance.bench.reference import driving, pressure
from resonance.bench.reference.driving import Driver, Trace, UnexplainedError
from resonance.bench.reference.links import Answer, Kind
from resonance.bench.reference.pressure import page, shown
from resonance.bench.reference.slots import Demand, arrivals, jobs
from resonance.policies import BudgetPolicy, HedgePolicy, Policy, Replica, Service, TaskHint
from resonance.policies.choice import Prequal

PLAIN = Policy()
COPIES = Policy(hedge=HedgePolicy(delay=0.001, saturation_guard=False), budget=BudgetPolicy())
REPEATABLE = TaskHint(idempotent=True)
FIVE_CALLS = [(0.001 * place, 0) for place in range(5)]


class ScriptedLinks:
    """Replicas that answer at once, but for those that are told to be silent.

    A silent one drops what is cancelled, or finishes it then, as if it had already begun.
    """

    def __init__(self, replicas: int = 2, silent: int = -1, finishes: bool = False) -> None:
        self.replicas = replicas
        self.sent: list[tuple[int, Kind, int]] = []
        self.ready: list[Answer] = []
        self.silent = silent
        self.finishes = finishes

    def send(self, client: int, target: int, kind: Kind, number: int) -> None:
        self.sent.append((target, kind, number))
        if kind is Kind.PROBE:
            self.ready.append(Answer(client, target, Kind.PROBED, 3, 2_000_000))
        elif kind is Kind.CANCEL:
            end = Kind.DONE if self.finishes else Kind.DROPPED
            self.ready.append(Answer(client, target, end, 0, number))
        elif target != self.silent:
            self.ready.append(Answer(client, target, Kind.DONE, 0, number))

    def receive(self, timeout: float) -> Iterator[Answer]:
        time.sleep(max(0.0, min(timeout, 0.001)))
        came, self.ready = self.ready, []
        return iter(came)


def drive(
    policy: Policy, links: ScriptedLinks, *, calls: list[tuple[float, int]] = FIVE_CALLS
) -> tuple[Trace, Service]:
    service = Service(policy, random=Random(7))
    driver = Driver([service], links, hint=REPEATABLE)  # type: ignore[arg-type]
    return driver.run(calls, time.monotonic()), service


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driving, "_PATIENCE_SECONDS", 0.05)


def test_every_call_is_answered_and_nothing_stays_in_flight() -> None:
    trace, service = drive(PLAIN, ScriptedLinks())
    assert (trace.calls, trace.sent, trace.done, trace.dropped) == (5, 5, 5, 0)
    assert (service.inflight, service.calls, service.successes) == (0, 5, 5)
    assert trace.extra_ratio == trace.wasted_ratio == 0.0


def test_latency_begins_when_a_call_was_due() -> None:
    service = Service(PLAIN, random=Random(7))
    driver = Driver([service], ScriptedLinks())  # type: ignore[arg-type]
    trace = driver.run([(0.0, 0)], time.monotonic() - 1.0)
    assert trace.due_ns[0] == 0
    assert trace.ended_ns[0] >= trace.sent_ns[0] >= 1e9


def test_a_copy_goes_elsewhere_and_the_loser_is_dropped() -> None:
    links = ScriptedLinks(silent=0)
    trace, service = drive(COPIES, links, calls=[(0.0, 0)] * 5)
    assert trace.hedges > 0
    assert (trace.calls, trace.dropped) == (5, trace.hedges)
    assert trace.wasted == 0
    assert service.counts.cancelled == trace.hedges
    assert service.inflight == 0


def test_a_loser_that_is_finished_was_worked_on_in_vain() -> None:
    trace, service = drive(COPIES, ScriptedLinks(silent=0, finishes=True), calls=[(0.0, 0)] * 5)
    assert trace.wasted == trace.hedges == service.counts.late > 0
    assert trace.dropped == 0
    assert trace.wasted_ratio == trace.wasted / trace.done
    assert service.inflight == 0


def test_nobody_wakes_up_for_the_timer_of_a_call_that_is_over() -> None:
    waits: list[float] = []

    class Watched(ScriptedLinks):
        def receive(self, timeout: float) -> Iterator[Answer]:
            waits.append(timeout)
            return super().receive(timeout)

    drive(COPIES, Watched(), calls=[(0.0, 0), (0.2, 0)])
    assert max(waits) > 0.1  # and not the millisecond until a copy of the first would be due


def test_an_answer_that_never_comes_is_no_measurement(impatience: None) -> None:
    with pytest.raises(UnexplainedError, match="have not ended"):
        drive(PLAIN, ScriptedLinks(replicas=1, silent=0))


def test_a_second_end_of_one_attempt_is_no_measurement() -> None:
    links = ScriptedLinks()
    links.ready = [Answer(0, 0, Kind.DONE, 0, 99)]
    with pytest.raises(UnexplainedError, match="attempt 99"):
        drive(PLAIN, links)


def test_a_service_that_loses_count_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def reply(self: Service, attempt: object, now: float) -> bool:
        return True

    monkeypatch.setattr(Service, "reply", reply)
    with pytest.raises(UnexplainedError, match="in flight when all has ended"):
        drive(PLAIN, ScriptedLinks())


def test_probes_are_sent_and_their_answers_told() -> None:
    service = Service(PLAIN, random=Random(7))
    links, prober = ScriptedLinks(replicas=3), Prequal(Random(7))
    service.cluster._picker = prober
    service.cluster._is_pairwise = False
    service.set_mode("active")
    driver = Driver([service], links, probers=[prober])  # type: ignore[arg-type]
    driver.run(FIVE_CALLS, time.monotonic())
    assert sum(kind is Kind.PROBE for _, kind, _ in links.sent) >= 3
    assert prober._pool


def test_pressure_is_shown_before_each_call() -> None:
    seen: list[int] = []
    service = Service(PLAIN, random=Random(7))
    driver = Driver(
        [service],
        ScriptedLinks(),  # type: ignore[arg-type]
        show=lambda replicas, now: seen.append(len(replicas)),
    )
    driver.run(FIVE_CALLS, time.monotonic())
    assert seen == [1, 2, 2, 2, 2]  # before the first call the replicas are not known


# ---- slots -------------------------------------------------------------------------------------

DEMAND = Demand(20, 450.0, 0.3, seconds=20.0, warm_up_seconds=0.5)


def test_the_same_seed_gives_every_arm_the_same_work() -> None:
    assert arrivals(DEMAND, "a") == arrivals(DEMAND, "a") != arrivals(DEMAND, "b")
    assert jobs(DEMAND, "a", 0) == jobs(DEMAND, "a", 0) != jobs(DEMAND, "a", 1)


def test_calls_come_at_the_rate_that_is_asked_for_from_all_clients() -> None:
    drawn = arrivals(DEMAND, "a")
    assert len(drawn) == pytest.approx(450.0 * 20.5, rel=0.05)
    assert {client for _, client in drawn} == set(range(20))
    assert drawn == sorted(drawn)
    assert drawn[-1][0] < DEMAND.whole_seconds


def test_batch_jobs_are_as_much_work_as_is_asked_for() -> None:
    drawn = [
        seconds for seed in range(30) for _, works in jobs(DEMAND, seed, 0) for seconds in works
    ]
    assert sum(drawn) / (30 * DEMAND.whole_seconds) == pytest.approx(0.3, rel=0.1)
    assert jobs(replace(DEMAND, batch_load=0.0), "a", 0) == []


# ---- pressure ----------------------------------------------------------------------------------


def a_page(directory: Path, *, cgroup: int, pressure: float, read_seconds: float) -> Path:
    """Write a page as docs/shared-page.md has it, with one slot besides `other`."""
    header = struct.pack("<8sIIIIQQI20x", b"RESNPAGE", 1, 128, 32, 2, 1, 500_000_000, 1)
    moments = struct.pack("<QQQI36x", 2, round(read_seconds * 1e9), 1, 0)
    records = struct.pack("<QIId8x", 0, 1, 1, 0.0) + struct.pack("<QIId8x", cgroup, 1, 1, pressure)
    path = directory / "hints.page"
    path.write_bytes(header + moments + records)
    return path


def test_a_replica_has_the_pressure_of_its_cgroup_for_as_long_as_a_client_believes_it(
    tmp_path: Path,
) -> None:
    path = a_page(tmp_path, cgroup=77, pressure=0.75, read_seconds=100.0)
    replica = Replica(0)
    with page(path) as found:
        shown(found, [77])([replica], 100.001)
    assert replica.pressure == 0.75
    assert replica.pressure_until == pytest.approx(100.050)


def test_a_pressure_that_was_not_measured_is_not_known(tmp_path: Path) -> None:
    path = a_page(tmp_path, cgroup=77, pressure=nan, read_seconds=100.0)
    replica = Replica(0)
    with page(path) as found:
        shown(found, [77])([replica], 100.001)
    assert replica.pressure is None


def test_a_cgroup_without_a_slot_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pressure, "_SLOTS_SECONDS", 0.0)
    path = a_page(tmp_path, cgroup=77, pressure=0.5, read_seconds=100.0)
    with page(path) as found, pytest.raises(ExperimentError, match="no slot"):
        shown(found, [78])
