# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest

from resonance_core.control.parameters import Parameters
from resonance_core.control.records import Command, Decision, Mode, Releases, Source, SourceState
from resonance_core.errors import InvalidSampleError, SourceRefusedError
from resonanced.phase import registry as room
from resonanced.phase.attendance import MOST_SOURCES, Attendance, Attended
from resonanced.phase.registry import Registry


class Scripted:
    """A controller that does what the test says, and remembers what it was told."""

    def __init__(self, parameters: Parameters, mode: Mode, *, seed: int) -> None:
        self.parameters, self.mode, self.seed = parameters, mode, seed
        self.present: dict[int, Source] = {}
        self.observed: list[Releases] = []
        self.granted: float | None = None
        self.due: list[Command] = []
        self.due_seconds = math.inf
        self.is_quiet = True
        self.expected_seconds: list[float] = []

    def expect_reports(self, interval_seconds: float) -> None:
        self.expected_seconds.append(interval_seconds)

    def set_mode(self, mode: Mode, now_seconds: float) -> None:
        self.mode = mode

    def stop(self, now_seconds: float) -> tuple[Command, ...]:
        self.mode = "observe"
        return tuple(command(key, "home", 0.0) for key in self.present)

    def register(self, source: Source, now_seconds: float) -> Command | None:
        if source.name == "liar":
            raise SourceRefusedError(source.name, "has no period")
        self.present[source.key] = source
        return None if self.granted is None else command(source.key, "grant", self.granted)

    def depart(self, key: int) -> None:
        del self.present[key]

    def observe(self, releases: Releases) -> None:
        if np.any(np.diff(releases.at_seconds) <= 0.0):
            raise InvalidSampleError("at_seconds", "must ascend")
        self.observed.append(releases)

    def tick(self, now_seconds: float) -> Decision:
        return Decision(
            at_seconds=now_seconds,
            mode=self.mode,
            commands=tuple(self.due),
            shadowed=5,
            groups=(),
            trips={},
        )

    def source(self, key: int) -> SourceState:
        return SourceState(
            source=self.present[key],
            is_eligible=self.present[key].phase_free,
            reason="",
            phase_rad=math.nan,
            target_phase_rad=math.nan,
            jitter_seconds=0.0,
            work_seconds=0.0,
            releases=0,
            rayleigh_p=1.0,
            offset_seconds=0.0,
            held_seconds=0.0,
        )

    def sources(self) -> tuple[SourceState, ...]:
        return tuple(map(self.source, self.present))

    def explain(self, key: int) -> tuple[str, ...]:
        return (f"{self.present[key].name} is where it is.",)

    def numbers(self, key: int) -> dict[str, float]:
        return {"period_seconds": self.present[key].period_seconds}


def command(key: int, kind: str, offset_seconds: float) -> Command:
    return Command(
        key=key,
        kind=kind,  # type: ignore[arg-type]
        offset_seconds=offset_seconds,
        max_step_seconds=0.007,
        reason="because",
    )


def attended(client_key: int, name: str = "flush", **fields: object) -> Attended:
    source = Source(
        key=client_key,
        name=name,
        period_seconds=0.1,
        origin_seconds=0.0,
        **fields,  # type: ignore[arg-type]
    )
    return Attended(
        source=source, client_key=client_key, pid=1, cgroup_id=client_key, held_seconds=0.0
    )


def releases(client_key: int, *at_seconds: float, held_seconds: float = 0.0) -> Releases:
    times = np.array(at_seconds, dtype=np.float64)
    unknown = np.full(times.size, np.nan)
    return Releases(
        key=client_key,
        at_seconds=times,
        work_seconds=unknown,
        completion_seconds=unknown,
        offset_seconds=held_seconds,
    )


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setattr(room, "Controller", Scripted)
    return Registry(Parameters(), "shadow", seed=3)


@pytest.fixture
def controller(registry: Registry) -> Scripted:
    scripted: Scripted = registry._controller  # type: ignore[assignment]
    return scripted


@pytest.fixture
def stream(registry: Registry) -> Attendance:
    return registry.open(lambda: None)


def test_the_controller_is_made_as_asked(registry: Registry, controller: Scripted) -> None:
    assert (controller.mode, controller.seed) == ("shadow", 3)
    assert registry.configured_mode == registry.mode == "shadow"
    assert registry.most_streams == controller.parameters.max_sources


def test_equal_keys_of_two_streams_are_two_sources(
    registry: Registry, controller: Scripted, stream: Attendance
) -> None:
    other = registry.open(lambda: None)
    registry.register(stream, attended(1), 0.0)
    registry.register(other, attended(1), 0.0)
    assert len(registry) == len(controller.present) == 2
    controller.due = [command(key, "slew", key / 100) for key in controller.present]
    registry.tick(1.0)
    first, second = stream.take().placements, other.take().placements
    assert first[1].offset_seconds != second[1].offset_seconds
    registry.close(other)
    assert len(controller.present) == 1


def test_a_grant_reaches_the_stream_at_once(
    registry: Registry, controller: Scripted, stream: Attendance
) -> None:
    controller.granted = 0.05
    registry.register(stream, attended(1), 0.0)
    assert stream.take().placements[1].kind == "grant"
    assert registry.commands == {"grant": 1, "slew": 0, "home": 0, "shadowed": 0}


def test_a_command_for_a_source_that_is_gone_goes_nowhere(
    registry: Registry, controller: Scripted, stream: Attendance
) -> None:
    registry.register(stream, attended(1), 0.0)
    controller.due = [command(key, "slew", 0.01) for key in controller.present]
    registry.depart(stream, [1, 2])
    registry.tick(1.0)
    assert stream.take().placements == {}
    assert registry.commands == {"grant": 0, "slew": 0, "home": 0, "shadowed": 5}


def test_what_the_controller_refuses_is_told_with_its_reason(
    registry: Registry, stream: Attendance
) -> None:
    registry.register(stream, attended(1, "liar"), 0.0)
    assert stream.take().refusals == {1: "has no period"}
    assert len(registry) == 0


def test_a_stream_has_its_share_of_sources_and_no_more(
    registry: Registry, stream: Attendance
) -> None:
    for key in range(MOST_SOURCES + 1):
        registry.register(stream, attended(key), 0.0)
    assert len(registry) == MOST_SOURCES
    assert list(stream.take().refusals) == [MOST_SOURCES]
    registry.register(registry.open(lambda: None), attended(1), 0.0)
    assert len(registry) == MOST_SOURCES + 1


def test_releases_reach_the_controller_under_its_own_key(
    registry: Registry, controller: Scripted, stream: Attendance
) -> None:
    registry.register(registry.open(lambda: None), attended(1), 0.0)
    registry.register(stream, attended(1), 0.0)
    registry.observe(stream, releases(1, 0.5, 0.6, held_seconds=0.03))
    assert [each.key for each in controller.observed] == [max(controller.present)]
    assert registry.counts() == {"registered": 2, "eligible": 0, "held": 1}


def test_a_report_of_a_hold_alone_is_no_sample(
    registry: Registry, controller: Scripted, stream: Attendance
) -> None:
    registry.register(stream, attended(1), 0.0)
    registry.observe(stream, releases(1, held_seconds=0.03))
    assert controller.observed == []
    assert registry.counts()["held"] == 1


def test_releases_of_a_source_that_is_not_attended_are_let_go(
    registry: Registry, controller: Scripted, stream: Attendance
) -> None:
    registry.observe(stream, releases(1, 0.5))
    assert controller.observed == []
    assert stream.take().refusals == {}


def test_a_source_whose_releases_make_no_sense_is_let_go_with_the_reason(
    registry: Registry, stream: Attendance
) -> None:
    registry.register(stream, attended(1), 0.0)
    registry.register(stream, attended(2), 0.0)
    registry.observe(stream, releases(1, 0.6, 0.5))
    assert stream.take().refusals == {1: "at_seconds: must ascend"}
    assert [each.client_key for each, _ in registry.find("")] == [2]


def test_all_streams_are_told_of_another_mode(registry: Registry) -> None:
    woken: list[int] = []
    for number in (1, 2):
        registry.open(lambda number=number: woken.append(number))  # type: ignore[misc]
    registry.set_mode("active", 1.0)
    assert sorted(woken) == [1, 2]
    assert (registry.mode, registry.configured_mode) == ("active", "shadow")


def test_all_streams_are_told_when_they_are_to_report_more_often_and_only_then(
    registry: Registry, controller: Scripted
) -> None:
    woken: list[int] = []
    for number in (1, 2):
        registry.open(lambda number=number: woken.append(number))  # type: ignore[misc]
    registry.tick(1.0)
    assert woken == []
    controller.is_quiet = False
    registry.tick(2.0)
    assert sorted(woken) == [1, 2]
    controller.is_quiet = True
    registry.tick(3.0)
    assert len(woken) == 2
    quiet, busy, again = controller.expected_seconds
    assert quiet == again > busy
    assert registry.report_interval_seconds == quiet


def test_the_controller_says_when_it_is_to_be_turned(
    registry: Registry, controller: Scripted
) -> None:
    assert registry.due_seconds == math.inf
    controller.due_seconds = 17.5
    assert registry.due_seconds == 17.5


def test_stop_sends_every_source_home_without_waiting_for_a_tick(
    registry: Registry, stream: Attendance
) -> None:
    registry.register(stream, attended(1), 0.0)
    registry.stop(1.0)
    assert stream.take().placements == {1: command(1, "home", 0.0)}
    assert registry.mode == "observe"
    assert registry.commands["home"] == 1


def test_the_cgroups_of_the_sources_are_known_while_they_are_there(
    registry: Registry, stream: Attendance
) -> None:
    for key in (0, 7, 9):
        registry.register(stream, attended(key), 0.0)
    assert registry.cgroup_ids() == {7, 9}
    registry.depart(stream, [9])
    assert registry.cgroup_ids() == {7}


def test_sources_are_found_by_a_pattern_on_their_name(
    registry: Registry, stream: Attendance
) -> None:
    for key, name in enumerate(("flush", "scrape", "flush-2")):
        registry.register(stream, attended(key, name), 0.0)
    found = [each.source.name for each, _ in registry.find("flush*")]
    assert found == ["flush", "flush-2"]
    assert len(list(registry.find(""))) == 3


def test_the_hold_a_source_reports_stands_beside_the_numbers_of_the_controller(
    registry: Registry, stream: Attendance
) -> None:
    registry.register(stream, attended(1), 0.0)
    registry.observe(stream, releases(1, held_seconds=0.03))
    (source, _state), *_ = registry.find("")
    assert registry.explain(source) == ("flush is where it is.",)
    assert registry.numbers(source) == {"period_seconds": 0.1, "reported_offset_seconds": 0.03}
