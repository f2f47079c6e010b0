# SPDX-License-Identifier: MIT
from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from resonance.client import _workers
from resonance.client._workers import Workers
from resonance.errors import ClientClosedError, OverloadedError

PATIENCE = 60.0


def wait_until(is_so: Callable[[], bool]) -> None:
    gives_up_at = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < gives_up_at
        time.sleep(0.001)


def test_a_thread_that_has_done_its_job_takes_the_next() -> None:
    workers, names = Workers(), list[str]()
    for number in range(5):
        assert workers.submit(lambda: names.append(threading.current_thread().name))
        wait_until(lambda number=number: len(names) == number + 1 and workers._idle == 1)  # type: ignore[misc]
    assert len(workers) == 1
    assert set(names) == {"resonance-worker"}
    workers.close()


def test_there_are_no_more_threads_than_allowed() -> None:
    workers, goes_on = Workers(2), threading.Event()
    assert workers.submit(goes_on.wait)
    assert workers.submit(goes_on.wait)
    assert not workers.submit(goes_on.wait)
    assert isinstance(workers.refusal("search"), OverloadedError)
    goes_on.set()
    wait_until(lambda: workers._idle == 2)
    assert workers.submit(lambda: None)
    workers.close()


def test_a_burst_gets_a_thread_for_each_job() -> None:
    workers, together = Workers(), threading.Barrier(20)
    for _ in range(20):
        assert workers.submit(lambda: together.wait(PATIENCE))
    wait_until(lambda: workers._idle == 20)
    assert not together.broken
    workers.close()


def test_idle_threads_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_workers, "_IDLE_SECONDS", 0.01)
    workers, done = Workers(), threading.Event()
    assert workers.submit(done.set)
    assert done.wait(PATIENCE)
    wait_until(lambda: len(workers) == 0)
    assert workers._idle == 0
    done.clear()
    assert workers.submit(done.set)
    assert done.wait(PATIENCE)


def test_no_job_is_lost_while_threads_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_workers, "_IDLE_SECONDS", 0.0005)
    workers, done = Workers(), list[int]()
    for number in range(300):
        assert workers.submit(lambda number=number: done.append(number))  # type: ignore[misc]
        time.sleep(0.0005)
    wait_until(lambda: len(done) == 300)
    assert sorted(done) == list(range(300))


def test_what_was_taken_is_done_though_it_is_closed() -> None:
    workers, goes_on, done = Workers(), threading.Event(), list[bool]()

    def job() -> None:
        goes_on.wait(PATIENCE)
        done.append(True)

    assert workers.submit(job)
    workers.close()
    assert not workers.submit(job)
    assert isinstance(workers.refusal("search"), ClientClosedError)
    goes_on.set()
    wait_until(lambda: done == [True])


def test_where_the_system_has_no_thread_left_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    workers = Workers()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        assert not workers.submit(lambda: None)
    assert len(workers) == 0
    assert workers.submit(lambda: None)
    workers.close()
