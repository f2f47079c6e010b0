# SPDX-License-Identifier: MIT
from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from resonance.client import _wheel
from resonance.client._wheel import LoopWheel, ThreadWheel

NOW = 1_000.0
PATIENCE = 60.0


class FakeLoop:
    """Timers that a test fires."""

    def __init__(self) -> None:
        self.timers: list[FakeTimer] = []
        self.told: list[Any] = []

    def call_later(self, delay: float, callback: Any) -> FakeTimer:
        self.timers = [timer for timer in self.timers if not timer.is_over]
        self.timers.append(FakeTimer(delay, callback))
        return self.timers[-1]

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.told.append(context["exception"])


class FakeTimer:
    def __init__(self, delay: float, callback: Any) -> None:
        self.delay, self.callback, self.is_over = delay, callback, False

    def cancel(self) -> None:
        self.is_over = True


class Turned:
    """A wheel in a loop, and a clock, that a test turns."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = NOW
        monkeypatch.setattr(_wheel, "monotonic", lambda: self.now)
        self.loop: Any = FakeLoop()
        self.seen: list[tuple[str, float]] = []
        self.wheel = LoopWheel(self.loop, self.on_time)

    def on_time(self, call: Any, now: float) -> None:
        self.seen.append((call, now))

    def put(self, seconds: float, call: Any) -> dict[Any, bool]:
        return self.wheel.put(self.now + seconds, call, self.now)

    @property
    def timer(self) -> FakeTimer:
        (timer,) = [each for each in self.loop.timers if not each.is_over]
        return timer

    def turn(self) -> None:
        timer = self.timer
        self.now += timer.delay
        timer.is_over = True
        timer.callback()


@pytest.fixture
def turned(monkeypatch: pytest.MonkeyPatch) -> Turned:
    return Turned(monkeypatch)


def test_a_call_is_looked_at_in_the_millisecond_after_its_time(turned: Turned) -> None:
    turned.put(0.0104, "call")
    turned.turn()
    ((call, now),) = turned.seen
    assert call == "call"
    assert NOW + 0.0104 <= now <= NOW + 0.0115


def test_there_is_one_timer_for_the_first_call_of_all(turned: Turned) -> None:
    for seconds in (0.5, 0.010, 0.2):
        turned.put(seconds, str(seconds))
    assert turned.timer.delay == pytest.approx(0.010, abs=0.0011)
    for _ in range(3):
        turned.turn()
    assert [call for call, _ in turned.seen] == ["0.01", "0.2", "0.5"]
    assert all(timer.is_over for timer in turned.loop.timers)


def test_whoever_takes_a_call_out_owns_it(turned: Turned) -> None:
    slot = turned.put(0.010, "call")
    assert slot.pop("call", False)
    turned.turn()
    assert turned.seen == []


def test_what_the_timer_has_taken_is_gone(turned: Turned) -> None:
    slot = turned.put(0.010, "call")
    turned.turn()
    assert not slot.pop("call", False)


def test_what_is_long_overdue_is_looked_at_at_once(turned: Turned) -> None:
    turned.put(-5.0, "call")
    assert turned.timer.delay == 0.0
    turned.turn()
    assert [call for call, _ in turned.seen] == ["call"]


def test_a_call_may_be_put_again_while_it_is_looked_at(turned: Turned) -> None:
    def again(call: Any, now: float) -> None:
        turned.seen.append((call, now))
        if len(turned.seen) < 4:
            turned.wheel.put(now + 0.010, call, now)

    turned.wheel._on_time = again
    turned.put(0.010, "call")
    for _ in range(4):
        turned.turn()
    times = [now for _, now in turned.seen]
    assert times == pytest.approx([NOW + 0.011 * number for number in range(1, 5)], abs=0.0045)


def test_calls_that_come_and_go_do_not_move_the_timer(turned: Turned) -> None:
    armed = 0
    for number in range(1_000):
        turned.now += 0.000_1
        slot = turned.put(0.010, number)
        slot.pop(number)
        if turned.timer.delay <= 0.0:
            turned.turn()
        armed = len(turned.loop.timers)
    assert armed <= 3
    assert turned.seen == []


def test_far_deadlines_share_slots(turned: Turned) -> None:
    for number in range(60_000):  # a minute of a call in each millisecond
        turned.put(60.0 + number / 1_000, number).pop(number)
    assert len(turned.wheel._slots) < 1_000


def test_a_far_call_comes_a_little_early_and_never_late(turned: Turned) -> None:
    turned.put(2.0, "call")
    turned.turn()
    assert NOW + 1.93 < turned.now <= NOW + 2.0


def test_what_one_call_raises_does_not_stop_the_others(turned: Turned) -> None:
    def fail(call: Any, now: float) -> None:
        turned.seen.append((call, now))
        raise ZeroDivisionError(call)

    turned.wheel._on_time = fail
    for call in "ab":
        turned.put(0.010, call)
    turned.put(0.020, "c")
    turned.turn()
    turned.turn()
    assert sorted(call for call, _ in turned.seen) == ["a", "b", "c"]
    assert [type(error) for error in turned.loop.told] == [ZeroDivisionError] * 3


async def test_it_turns_by_itself_in_a_loop() -> None:
    seen = list[Any]()
    all_seen = asyncio.Event()

    def on_time(call: Any, now: float) -> None:
        assert now >= due[call]
        seen.append(call)
        if len(seen) == 100:
            all_seen.set()

    wheel = LoopWheel(asyncio.get_running_loop(), on_time)
    chance, now = Random(1), time.monotonic()
    due: dict[Any, float] = {number: now + chance.random() * 0.05 for number in range(100)}
    for call, at in due.items():
        wheel.put(at, call, now)
    async with asyncio.timeout(PATIENCE):
        await all_seen.wait()
    assert sorted(seen) == sorted(due)


@pytest.fixture
def often_switched() -> Iterator[None]:
    """Have the interpreter change threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("often_switched")
def test_every_call_is_taken_once_by_its_thread_or_by_the_timer() -> None:
    seen: Counter[Any] = Counter()

    def on_time(call: Any, now: float) -> None:
        assert now >= call[1]
        seen[call] += 1

    wheel = ThreadWheel(on_time)
    owned = list[Any]()

    def work(seed: int) -> None:
        chance = Random(seed)
        for number in range(500):
            now = time.monotonic()
            at = now + chance.random() * 0.003
            call: Any = (seed * 1_000 + number, at)
            slot = wheel.put(at, call, now)
            if chance.random() < 0.1:
                time.sleep(chance.random() * 0.004)
            if chance.random() < 0.8 and slot.pop(call, False):
                owned.append(call)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gives_up_at = time.monotonic() + PATIENCE
    while seen.total() + len(owned) < 4_000:
        assert time.monotonic() < gives_up_at, "a call was lost"
        time.sleep(0.001)
    assert set(seen.values()) <= {1}
    assert not set(seen) & set(owned)
    assert seen.total() + len(owned) == 4_000
    wheel.close()


def test_the_thread_of_an_idle_wheel_ends_and_another_one_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_wheel, "_IDLE_SECONDS", 0.01)
    fired = threading.Event()
    wheel = ThreadWheel(lambda *_: fired.set())
    for _ in range(2):
        fired.clear()
        now = time.monotonic()
        wheel.put(now, object(), now)  # type: ignore[arg-type]
        assert fired.wait(PATIENCE)
        thread = wheel._thread
        if thread is not None:
            thread.join(PATIENCE)
        assert wheel._thread is None
