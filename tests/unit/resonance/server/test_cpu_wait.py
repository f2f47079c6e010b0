# SPDX-License-Identifier: MIT
"""How long this process waited for a CPU, read from files of ours and from the kernel's."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path

import pytest

from resonance.server._cpu_wait import PoolWait, ThreadWait


@pytest.fixture
def schedstat(tmp_path: Path) -> Path:
    path = tmp_path / "schedstat"
    path.write_text("500 2000000000 7\n")
    return path


def _wait_until(path: Path, wait_ns: int) -> None:
    path.write_text(f"900 {wait_ns} 9\n")


def _descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def test_waits_are_counted_from_the_first_look(schedstat: Path) -> None:
    meter = ThreadWait(schedstat)
    assert meter.seconds() == 0.0
    _wait_until(schedstat, 3_500_000_000)
    assert meter.seconds() == 1.5
    assert meter.is_known


@pytest.mark.parametrize("text", ["0 0 0\n", "", "1 2\n"])
def test_a_kernel_that_does_not_count_is_not_known(schedstat: Path, text: str) -> None:
    schedstat.write_text(text)
    meter = ThreadWait(schedstat)
    assert meter.seconds() == 0.0
    assert not meter.is_known


def test_a_kernel_without_the_file_is_not_known_and_is_asked_once(tmp_path: Path) -> None:
    path = tmp_path / "schedstat"
    meter = ThreadWait(path)
    assert meter.seconds() == 0.0
    path.write_text("1 5000000000 1\n")
    assert meter.seconds() == 0.0
    assert not meter.is_known


def test_what_was_waited_stays_when_another_thread_goes_on(schedstat: Path) -> None:
    meter = ThreadWait(schedstat)
    meter.seconds()
    _wait_until(schedstat, 3_000_000_000)
    assert meter.seconds() == 1.0
    meter.begin_in_child()
    _wait_until(schedstat, 0)
    assert meter.seconds() == 1.0
    _wait_until(schedstat, 500_000_000)
    assert meter.seconds() == 1.5


def test_a_thread_that_has_ended_is_followed_by_the_one_that_asks() -> None:
    meter = ThreadWait()
    thread = threading.Thread(target=meter.seconds)
    thread.start()
    thread.join()
    before = meter.seconds()
    assert meter.is_known
    assert meter.seconds() >= before


def test_closing_gives_the_descriptor_back_and_keeps_what_was_waited(schedstat: Path) -> None:
    before = _descriptors()
    meter = ThreadWait(schedstat)
    meter.seconds()
    _wait_until(schedstat, 3_000_000_000)
    meter.seconds()
    meter.close()
    assert meter.seconds() == 1.0
    assert _descriptors() == before


def test_a_meter_that_is_dropped_leaves_no_descriptor(schedstat: Path) -> None:
    before = _descriptors()
    ThreadWait(schedstat).seconds()
    assert _descriptors() == before


def test_a_forked_child_measures_itself() -> None:
    meter = ThreadWait()
    meter.seconds()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        meter.seconds()
        is_own = any(
            os.readlink(f"/proc/self/fd/{name}").startswith(f"/proc/{os.getpid()}/")
            for name in os.listdir("/proc/self/fd")
            if os.path.islink(f"/proc/self/fd/{name}")
        )
        os.write(writing, b"own" if is_own else b"not")
        os._exit(0)
    os.waitpid(child, 0)
    answer = os.read(reading, 3)
    os.close(reading)
    os.close(writing)
    assert answer == b"own"


def test_a_pool_waits_as_long_as_its_threads_on_average(schedstat: Path) -> None:
    pool = PoolWait(schedstat)
    begun = pool.begin()
    _wait_until(schedstat, 5_000_000_000)
    pool.end(begun, places=2)
    assert pool.seconds() == 1.5
    assert pool.is_known


def test_a_pool_on_a_kernel_that_does_not_count_says_so(tmp_path: Path) -> None:
    pool = PoolWait(tmp_path / "none")
    pool.end(pool.begin(), places=1)
    assert (pool.seconds(), pool.is_known) == (0.0, False)


def test_threads_that_end_leave_no_descriptors() -> None:
    pool = PoolWait()
    before = _descriptors()
    for _ in range(5):
        thread = threading.Thread(target=pool.begin)
        thread.start()
        thread.join()
    assert _descriptors() == before
