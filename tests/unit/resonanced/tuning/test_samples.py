# SPDX-License-Identifier: MIT
from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from fakes.snapshots import OTHER, distribution, snapshot, without_histograms
from resonanced.model import Slot
from resonanced.tuning.samples import SampleReader

WEB = Slot(index=3, generation=1, cgroup="/web", cgroup_id=7)
CHILD = Slot(index=4, generation=1, cgroup="/web/worker", cgroup_id=8)
WEBMAIL = Slot(index=5, generation=1, cgroup="/webmail", cgroup_id=9)


def seen(waits: dict[int, list[int]], *slots: Slot, **changes: Any) -> Any:
    srtt = distribution({slot: ns * 2 for slot, ns in waits.items()})
    values = {"runqueue": distribution(waits), "sockets": {"srtt": srtt}}
    return snapshot(slots=(OTHER, *(slots or (WEB,))), **(values | changes))


def test_a_reading_is_what_came_since_the_last_one() -> None:
    reader = SampleReader()
    assert reader.read(seen({3: [1_000] * 5}), ["/web"]) == {}
    again = np.zeros(64, np.uint64)
    again[3] = 4
    reading = reader.read(seen({3: [1_000] * 12}, retransmits=again), ["/web"])["/web"]
    assert reading.runqueue.sum() == 7
    assert reading.srtt is not None
    assert reading.srtt.sum() == 14
    assert reading.retransmits == 4


def test_cgroups_below_count_and_namesakes_do_not() -> None:
    reader = SampleReader()
    slots = (WEB, CHILD, WEBMAIL)
    reader.read(seen({}, *slots), ["/web"])
    reading = reader.read(seen({3: [1], 4: [1, 1], 5: [1] * 9}, *slots), ["/web"])["/web"]
    assert reading.runqueue.sum() == 3
    assert reading.srtt is not None
    assert reading.srtt.sum() == 6


def test_a_slot_with_another_owner_begins_anew() -> None:
    reader = SampleReader()
    reader.read(seen({3: [1] * 9}), ["/web"])
    heir = dataclasses.replace(WEB, generation=2)
    assert reader.read(seen({3: [1]}, heir), ["/web"]) == {}
    assert reader.read(seen({3: [1] * 4}, heir), ["/web"])["/web"].runqueue.sum() == 3


def test_a_cgroup_without_a_slot_is_left_out() -> None:
    reader = SampleReader()
    for _ in range(2):
        assert reader.read(seen({}), ["/db"]) == {}


def test_what_is_not_measured_is_not_there() -> None:
    reader = SampleReader()
    for _ in range(2):
        bare = seen({}, runqueue=without_histograms(distribution()))
        assert reader.read(bare, ["/web"]) == {}
    for _ in range(2):
        found = reader.read(seen({}, sockets={}), ["/web"])
    assert found["/web"].srtt is None
