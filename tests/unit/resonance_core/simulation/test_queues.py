# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resonance_core.control.records import Floats
from resonance_core.simulation.queues import FirstComeFirstServed, Known, ProcessorSharing

DISCIPLINES = [FirstComeFirstServed, ProcessorSharing]
Discipline = type[FirstComeFirstServed] | type[ProcessorSharing]


def _arrays(*rows: list[float]) -> tuple[Floats, ...]:
    return tuple(np.array(row, dtype=np.float64) for row in rows)


def _all(discipline: Discipline, servers: int, arrival: Floats, service: Floats) -> Known:
    """Serve all at once, in the order of arrival."""
    places, waits, ends = discipline(servers).serve(arrival, service, math.inf)
    order = np.argsort(places)
    return places[order], waits[order], ends[order]


jobs = st.lists(st.tuples(st.floats(0.0, 5.0), st.floats(0.01, 3.0)), min_size=1, max_size=30).map(
    lambda rows: _arrays(*map(list, zip(*sorted(rows), strict=True)))
)


def test_two_servers_take_jobs_in_order() -> None:
    arrival, service = _arrays([0.0, 0.0, 1.0, 1.5, 9.0], [4.0, 2.0, 1.0, 1.0, 0.5])
    places, waits, ends = _all(FirstComeFirstServed, 2, arrival, service)
    assert places.tolist() == [0, 1, 2, 3, 4]
    assert waits.tolist() == [0.0, 0.0, 1.0, 1.5, 0.0]
    assert ends.tolist() == [4.0, 2.0, 3.0, 4.0, 9.5]


def test_three_jobs_share_two_servers() -> None:
    # Two thirds each until the shortest has had its 1; then one server each.
    arrival, service = _arrays([0.0, 0.0, 0.0], [1.0, 2.0, 3.0])
    _, waits, ends = _all(ProcessorSharing, 2, arrival, service)
    assert ends == pytest.approx([1.5, 2.5, 3.5])
    assert waits == pytest.approx([0.5, 0.5, 0.5])


def test_a_job_that_waits_is_known_in_the_window_in_which_it_starts() -> None:
    queue = FirstComeFirstServed(1)
    places, _, _ = queue.serve(*_arrays([0.0, 0.1], [2.0, 1.0]), 1.0)
    assert places.tolist() == [0]
    places, waits, ends = queue.serve(*_arrays([], []), 3.0)
    assert (places.tolist(), waits.tolist(), ends.tolist()) == ([1], [1.9], [3.0])


@pytest.mark.parametrize("discipline", DISCIPLINES)
def test_an_empty_window_is_empty(discipline: Discipline) -> None:
    places, waits, ends = discipline(3).serve(*_arrays([], []), 1.0)
    assert places.size == waits.size == ends.size == 0


@pytest.mark.parametrize("discipline", DISCIPLINES)
@given(jobs, st.lists(st.floats(0.0, 8.0), max_size=5), st.integers(1, 4))
def test_windows_change_nothing(
    discipline: Discipline, jobs: tuple[Floats, Floats], edges: list[float], servers: int
) -> None:
    arrival, service = jobs
    _, waits, ends = _all(discipline, servers, arrival, service)
    queue, first = discipline(servers), 0
    found: dict[int, tuple[float, float]] = {}
    for edge in [*sorted(edges), math.inf]:
        last = int(np.searchsorted(arrival, edge))
        known = queue.serve(arrival[first:last], service[first:last], edge)
        found.update({int(p): (w, e) for p, w, e in zip(*known, strict=True)})
        first = last
    assert sorted(found) == list(range(len(arrival)))
    assert [found[k][0] for k in range(len(arrival))] == pytest.approx(waits, abs=1e-9)
    assert [found[k][1] for k in range(len(arrival))] == pytest.approx(ends, abs=1e-9)


@pytest.mark.parametrize("discipline", DISCIPLINES)
@given(jobs, st.integers(1, 4))
def test_a_node_works_while_there_is_work(
    discipline: Discipline, jobs: tuple[Floats, Floats], servers: int
) -> None:
    arrival, service = jobs
    _, waits, ends = _all(discipline, servers, arrival, service)
    assert (waits >= 0.0).all()
    assert ends == pytest.approx(arrival + waits + service, abs=1e-9)
    assert service.sum() <= servers * (ends.max() - arrival[0]) + 1e-9


@given(jobs, st.integers(1, 4), st.data())
def test_holding_a_job_in_a_fixed_order_makes_nobody_end_earlier(
    jobs: tuple[Floats, Floats], servers: int, data: st.DataObject
) -> None:
    """The max-plus monotonicity of section 3.1 in Kiefer and Wolfowitz' recursion."""
    arrival, service = jobs
    held = data.draw(st.integers(0, len(arrival) - 1))
    room = arrival[held + 1] if held + 1 < len(arrival) else 9.0
    later = arrival.copy()
    later[held] = data.draw(st.floats(float(arrival[held]), float(room)))
    _, _, before = _all(FirstComeFirstServed, servers, arrival, service)
    _, _, after = _all(FirstComeFirstServed, servers, later, service)
    starts_before, starts_after = before - service, after - service
    assert (starts_after >= starts_before - 1e-9).all()


@pytest.mark.parametrize(
    ("load", "waiting", "p99"), [(0.6, 0.287043, 2.0982), (0.8, 0.596432, 5.1105)]
)
def test_four_servers_wait_as_erlang_says(load: float, waiting: float, p99: float) -> None:
    """Batches of 40 000 jobs are long against the memory of the queue, so they scatter freely."""
    generator = np.random.default_rng(11)
    count, batches = 400_000, 10
    arrival = np.cumsum(generator.exponential(1.0 / (4.0 * load), count))
    _, waits, _ = _all(FirstComeFirstServed, 4, arrival, generator.exponential(1.0, count))
    for values, oracle in (
        ([float((part > 0.0).mean()) for part in np.split(waits, batches)], waiting),
        ([float(np.quantile(part, 0.99)) for part in np.split(waits, batches)], p99),
    ):
        error = np.std(values, ddof=1) / math.sqrt(batches)
        assert abs(np.mean(values) - oracle) <= 3.0 * error


def test_periodic_bursts_wait_as_roberts_and_virtamo_say() -> None:
    """N*D/D/1 with 16 sources in 20 slots: P(V > 1, 2, 3, 5), and none where they are splayed."""
    generator = np.random.default_rng(12)
    runs, sources, period = 4_000, 16, 20.0
    seen = []
    for _ in range(runs):
        phases = np.sort(generator.uniform(0.0, period, sources))
        cycles = (phases + period * np.arange(3)[:, None]).ravel()
        _, _, ends = _all(FirstComeFirstServed, 1, cycles, np.ones(cycles.size))
        # The work found by an observer at a random time of the last cycle.
        at = 2.0 * period + generator.uniform(0.0, period)
        begin = np.maximum(ends - 1.0, at)
        seen.append(float(np.maximum(ends - begin, 0.0)[cycles <= at].sum()))
    for level, oracle in ((0.0, 0.8), (1.0, 0.48027), (2.0, 0.22201), (3.0, 0.08063)):
        error = math.sqrt(oracle * (1.0 - oracle) / runs)
        assert abs(np.mean(np.array(seen) > level) - oracle) <= 3.0 * error
    splayed = period / sources * np.arange(3 * sources)
    _, waits, _ = _all(FirstComeFirstServed, 1, splayed, np.ones(splayed.size))
    assert waits.max() == 0.0


def test_one_shared_server_is_slow_in_proportion_to_the_job() -> None:
    """M/G/1-PS: E[time | S = s] = s/(1 - load) for every distribution of S (Kleinrock 1967)."""
    generator = np.random.default_rng(13)
    count, batches, load = 200_000, 10, 0.5
    service = np.where(generator.random(count) < 0.1, 10.0, 1.0) / 1.9
    arrival = np.cumsum(generator.exponential(1.0 / load, count))
    _, waits, _ = _all(ProcessorSharing, 1, arrival, service)
    slowdown = [float(part.mean()) for part in np.split(1.0 + waits / service, batches)]
    error = np.std(slowdown, ddof=1) / math.sqrt(batches)
    assert abs(np.mean(slowdown) - 1.0 / (1.0 - load)) <= 3.0 * error
