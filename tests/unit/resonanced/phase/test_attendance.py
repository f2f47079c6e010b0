# SPDX-License-Identifier: MIT
from __future__ import annotations

from resonance_core.control.records import Command, Source
from resonanced.phase.attendance import MOST_REFUSALS, Attendance, Attended

WOKEN: list[None] = []


def _attendance(woken: list[None] | None = None) -> Attendance:
    return Attendance(lambda: (woken if woken is not None else WOKEN).append(None))


def _attended(client_key: int, period_seconds: float = 0.1) -> Attended:
    source = Source(
        key=client_key + 100, name="x", period_seconds=period_seconds, origin_seconds=0.0
    )
    return Attended(source=source, client_key=client_key, pid=1, cgroup_id=2, held_seconds=0.0)


def _slew(offset_seconds: float) -> Command:
    return Command(
        key=101, kind="slew", offset_seconds=offset_seconds, max_step_seconds=0.007, reason="plan"
    )


def test_a_later_placement_takes_the_place_of_an_earlier_one() -> None:
    attendance = _attendance()
    attendance.add(_attended(1))
    for offset_seconds in (0.01, 0.02, 0.03):
        attendance.place(1, _slew(offset_seconds))
    assert attendance.take().placements == {1: _slew(0.03)}
    assert attendance.take().placements == {}


def test_a_source_that_is_gone_is_told_nothing_more() -> None:
    attendance = _attendance()
    attendance.add(_attended(1))
    attendance.place(1, _slew(0.01))
    attendance.remove(1)
    assert attendance.take().placements == {}
    assert len(attendance) == 0
    assert attendance.find(1) is None


def test_the_stream_is_woken_for_whatever_waits() -> None:
    woken: list[None] = []
    attendance = _attendance(woken)
    attendance.add(_attended(1))
    assert not woken
    attendance.place(1, _slew(0.01))
    attendance.refuse(2, "why not")
    attendance.tell()
    assert len(woken) == 3
    assert attendance.take().refusals == {2: "why not"}


def test_refusals_do_not_pile_up_behind_a_client_that_does_not_read() -> None:
    attendance = _attendance()
    for key in range(10_000):
        attendance.refuse(key, "no more fit")
    assert len(attendance.take().refusals) == MOST_REFUSALS


def test_a_source_that_is_accepted_after_all_is_not_called_refused() -> None:
    attendance = _attendance()
    attendance.refuse(1, "too many")
    attendance.add(_attended(1))
    assert attendance.take().refusals == {}


def test_the_longest_period_of_its_sources() -> None:
    attendance = _attendance()
    assert attendance.longest_period_seconds == 0.0
    for key, period_seconds in enumerate((0.1, 60.0, 1.0)):
        attendance.add(_attended(key, period_seconds))
    assert attendance.longest_period_seconds == 60.0
    assert [each.client_key for each in attendance] == [0, 1, 2]
