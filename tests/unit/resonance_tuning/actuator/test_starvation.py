# SPDX-License-Identifier: MIT
from __future__ import annotations

import select
from collections.abc import Callable
from pathlib import Path

import pytest

from resonance_tuning.actuator import starvation
from resonance_tuning.actuator.poller import Source
from resonance_tuning.actuator.starvation import StarvationWatch
from resonance_tuning.errors import KnobUnavailableError
from resonance_tuning.guard import Guard
from resonance_tuning.host import Host

GUARD = Guard(batch_full_pressure_seconds=10.0)


class _Trigger:
    window_seconds = 2.0

    def __init__(self, path: Path, ratio: float) -> None:
        self.path, self.ratio = path, ratio
        self.is_closed = False

    def fileno(self) -> int:
        return hash(self.path)

    def close(self) -> None:
        self.is_closed = True


class _Poller:
    """Who waits for what; a test lets it happen."""

    def __init__(self) -> None:
        self.waiting: dict[Source, Callable[[int], None]] = {}

    def add(self, source: Source, handler: Callable[[int], None], mask: int) -> None:
        assert mask == select.POLLPRI
        self.waiting[source] = handler

    def remove(self, source: Source) -> None:
        del self.waiting[source]

    def fire(self, mask: int = select.POLLPRI) -> None:
        for handler in list(self.waiting.values()):
            handler(mask)


class _World:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.poller = _Poller()
        self.starved: list[str] = []
        self.log: list[str] = []
        self.missing: set[str] = set()
        monkeypatch.setattr(starvation, "PressureTrigger", _Trigger)
        monkeypatch.setattr(starvation, "pressure_file", self._file)
        monkeypatch.setattr("time.monotonic", lambda: self.now)
        self.watch = StarvationWatch(
            Host(),
            self.poller,  # type: ignore[arg-type]
            self.starved.append,
            self.log.append,
        )

    def _file(self, _host: Host, cgroup: str) -> Path:
        if cgroup in self.missing:
            raise KnobUnavailableError("cpu.pressure", "there is none")
        return Path(cgroup)

    @property
    def watched(self) -> set[str]:
        return {str(trigger.path) for trigger in self.poller.waiting}  # type: ignore[attr-defined]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> _World:
    return _World(monkeypatch)


def test_the_groups_of_the_plan_are_watched_and_no_others(world: _World) -> None:
    world.watch.follow(("/a", "/b"), GUARD)
    before = set(world.poller.waiting)
    world.watch.follow(("/b", "/c"), GUARD)
    assert world.watched == {"/b", "/c"}
    assert [trigger.is_closed for trigger in before if str(trigger.path) == "/a"] == [True]  # type: ignore[attr-defined]
    assert len(before & set(world.poller.waiting)) == 1, "a trigger that stays is not made anew"
    world.watch.close()
    assert world.watched == set()


def test_pressure_that_lasts_is_told_with_the_group(world: _World) -> None:
    world.watch.follow(("/a",), GUARD)
    for _ in range(5):
        world.poller.fire()
        world.now += 2.0
    assert world.starved == []
    world.poller.fire()
    assert world.starved == ["/a"]


def test_a_group_that_is_gone_is_watched_no_more(world: _World) -> None:
    world.watch.follow(("/a",), GUARD)
    world.poller.fire(select.POLLERR | select.POLLPRI)
    assert world.watched == set()
    world.watch.follow(("/a",), GUARD)
    assert world.watched == {"/a"}


def test_a_group_that_cannot_be_watched_is_told_once_and_tried_again(world: _World) -> None:
    world.missing = {"/a"}
    for _ in range(3):
        world.watch.follow(("/a",), GUARD)
    assert world.log == ["pressure_unavailable cgroup='/a' reason='there is none'"]
    world.missing = set()
    world.watch.follow(("/a",), GUARD)
    assert world.watched == {"/a"}
