# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable

import pytest

from resonance.histogram import Histogram, _folding

PATIENCE_SECONDS = 20.0


def until(is_so: Callable[[], bool]) -> bool:
    ends_at = time.monotonic() + PATIENCE_SECONDS
    while not is_so() and time.monotonic() < ends_at:
        time.sleep(0.01)
    return is_so()


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the start of a process: nothing lives, no thread runs."""
    monkeypatch.setattr(_folding, "_live", weakref.WeakSet())
    monkeypatch.setattr(_folding, "_thread", None)


def folder() -> threading.Thread | None:
    return _folding._thread


def test_a_histogram_begins_no_thread_before_it_is_recorded_into(alone: None) -> None:
    histogram = Histogram()
    histogram.add(0.1)
    assert histogram.count == 1
    assert histogram.copy().count == 1
    assert folder() is None


def test_what_was_recorded_is_taken_in_without_being_asked_for(alone: None) -> None:
    histogram = Histogram()
    histogram.record(0.1)
    histogram.record_ns(5_000_000)
    assert until(lambda: not histogram._pending.seconds and not histogram._pending.ns)
    assert histogram.count == 2


def test_one_thread_serves_all_and_ends_with_the_last(alone: None) -> None:
    first, second = Histogram(), Histogram()
    first.record(0.1)
    thread = folder()
    second.record(0.1)
    assert folder() is thread
    assert thread is not None
    assert thread.daemon
    del first
    pending = second._pending.seconds
    assert until(lambda: not pending)
    assert thread.is_alive()
    del second
    assert until(lambda: not thread.is_alive())
    assert folder() is None
    third = Histogram()
    third.record(0.1)
    assert until(lambda: not third._pending.seconds)


def test_without_a_thread_values_wait_until_they_are_read(
    alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    histogram = Histogram()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        histogram.record(0.1)
    assert folder() is None
    assert histogram.count == 1
    other = Histogram()
    other.record(0.1)
    assert until(lambda: not other._pending.seconds)


def in_child(check: Callable[[], bool]) -> bool:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if check() else 2
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_goes_on_on_its_own(alone: None) -> None:
    histogram = Histogram()
    histogram.record(0.1)

    def check() -> bool:
        histogram.record(0.2)
        return until(lambda: not histogram._pending.seconds) and histogram.count == 2

    assert in_child(check)
    assert histogram.count == 1


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_while_another_thread_reads_leaves_no_lock_behind(alone: None) -> None:
    histogram = Histogram()
    histogram.record(0.1)
    is_over = threading.Event()

    def read() -> None:
        while not is_over.is_set():
            histogram.copy()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(5):
            assert in_child(lambda: histogram.count == 1)
    finally:
        is_over.set()
        reader.join()
