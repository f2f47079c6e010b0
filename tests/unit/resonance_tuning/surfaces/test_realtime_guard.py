# SPDX-License-Identifier: MIT
"""The guard of real-time threads: when it takes them back, and when it goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.tasks import FakeTasks
from resonance_tuning.surfaces import realtime_guard
from resonance_tuning.surfaces.realtime_guard import CpuLoad, Watched, throttle_reason
from resonance_tuning.surfaces.threads import threads

TICKS_PER_LOOK = 25  # a quarter of a second at 100 ticks


@pytest.fixture
def tasks(tmp_path: Path) -> FakeTasks:
    tasks = FakeTasks(tmp_path)
    tasks.make_process(7)
    tasks.make_thread(7, 71)
    return tasks


def looks(tasks: FakeTasks, count: int, run: Callable[[int], None]) -> list[float]:
    load, shares = CpuLoad(), list[float]()
    for number in range(count):
        run(number)
        shares.append(load.busiest(threads(tasks.host, tasks, 7), number * 0.25))
    return shares


def test_nothing_is_judged_before_a_window_is_full(tasks: FakeTasks) -> None:
    shares = looks(tasks, 10, lambda n: tasks.run(7, 7, n * TICKS_PER_LOOK, 0))
    assert shares[:8] == [0.0] * 8
    assert shares[8:] == pytest.approx([1.0, 1.0])


def test_threads_that_share_a_cpu_are_added_and_those_on_two_are_not(tasks: FakeTasks) -> None:
    def on(cpu: int) -> Callable[[int], None]:
        def run(number: int) -> None:
            tasks.run(7, 7, number * TICKS_PER_LOOK // 2, 0)
            tasks.run(7, 71, number * TICKS_PER_LOOK // 2, cpu)

        return run

    assert looks(tasks, 9, on(0))[-1] == pytest.approx(1.0, abs=0.02)
    assert looks(tasks, 9, on(1))[-1] == pytest.approx(0.5, abs=0.02)


def test_what_a_thread_ran_before_it_was_seen_does_not_count(tasks: FakeTasks) -> None:
    assert looks(tasks, 9, lambda _: tasks.run(7, 7, 10**6, 0))[-1] == 0


def test_a_burst_is_forgotten_after_a_window(tasks: FakeTasks) -> None:
    shares = looks(tasks, 20, lambda n: tasks.run(7, 7, min(n, 8) * TICKS_PER_LOOK, 0))
    assert shares[8] == pytest.approx(1.0)
    assert shares[-1] == 0


def test_the_kernels_throttle_is_asked_for(tasks: FakeTasks) -> None:
    assert not throttle_reason(tasks.host)
    tasks.put("/proc/sys/kernel/sched_rt_runtime_us", "-1")
    assert "is -1" in throttle_reason(tasks.host)
    tasks.host.path("/proc/sys/kernel/sched_rt_runtime_us").unlink()
    assert "no throttle" in throttle_reason(tasks.host)


def watch(tasks: FakeTasks, told: Path) -> Watched:
    return Watched(
        host=tasks.host,
        priority=1,
        turned=lambda: threads(tasks.host, tasks, 7),
        take_back=lambda: told.write_text("taken back"),
    )


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_takes_back_when_its_owner_is_done_with_it(tasks: FakeTasks, tmp_path: Path) -> None:
    told = tmp_path / "told"
    guard = realtime_guard.start(watch(tasks, told))
    assert not told.exists()
    guard.end()
    assert told.exists()  # and it is gone, not only asked


def test_it_stays_without_an_owner_that_says_so_until_its_threads_end(
    tasks: FakeTasks, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    realtime_guard.start(watch(tasks, told)).stay()
    time.sleep(0.6)
    assert not told.exists()
    tasks.put("/proc/sys/kernel/sched_rt_runtime_us", "-1")
    wait_for(told)


def test_a_guard_that_cannot_watch_is_an_error(tasks: FakeTasks, tmp_path: Path) -> None:
    def fail() -> None:
        raise RuntimeError

    broken = Watched(host=tasks.host, priority="high", turned=list, take_back=fail)  # type: ignore[arg-type]
    with pytest.raises(ChildProcessError, match="did not start"):
        realtime_guard.start(broken)
