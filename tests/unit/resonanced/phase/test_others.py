# SPDX-License-Identifier: MIT
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from resonance_bpf.catalogue import SLOTS
from resonance_bpf.layouts import HISTOGRAM, bucket_index
from resonanced.model import Slot
from resonanced.phase.others import Load, Others, OthersWaits

OTHER = Slot(0, 1, "other", 0)
WEB = Slot(3, 2, "/web", 33)
FLUSHER = Slot(5, 1, "/flusher", 55)
SLOTS_NOW = (OTHER, WEB, FLUSHER)


def chosen(*indices: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    mask = np.zeros(SLOTS, np.bool_)
    mask[list(indices)] = True
    return mask


def test_all_judge_who_host_no_source() -> None:
    mask = Others(()).slots(SLOTS_NOW, {FLUSHER.cgroup_id})
    assert np.flatnonzero(mask).tolist() == [0, 3]


def test_where_a_source_is_in_no_slot_of_its_own_the_common_one_tells_nothing() -> None:
    mask = Others(()).slots(SLOTS_NOW, {FLUSHER.cgroup_id, 99})
    assert np.flatnonzero(mask).tolist() == [3]


def test_the_operator_may_say_who_judges_also_one_that_hosts_a_source() -> None:
    mask = Others(("/we*", "/flusher")).slots(SLOTS_NOW, {FLUSHER.cgroup_id})
    assert np.flatnonzero(mask).tolist() == [3, 5]
    assert not Others(("/nobody",)).slots(SLOTS_NOW, set()).any()


class Kernel:
    def __init__(self) -> None:
        self.histograms = np.zeros((2, SLOTS), HISTOGRAM)

    def wait(self, slot: int, wait_ns: int, cpu: int = 0) -> None:
        self.histograms["buckets"][cpu, slot, bucket_index(wait_ns)] += 1


def test_waits_are_those_since_the_last_reading_of_the_slots_asked_for() -> None:
    kernel = Kernel()
    kernel.wait(3, 1_000_000)
    waits = OthersWaits(kernel.histograms)
    seconds, counts = waits.read(chosen(3))
    assert not seconds.size
    assert not counts.size
    for cpu in (0, 1):
        kernel.wait(3, 20_000, cpu)
    kernel.wait(3, 5_000_000)
    kernel.wait(5, 9_000_000)
    seconds, counts = waits.read(chosen(0, 3))
    assert counts.tolist() == [2, 1]
    assert seconds == pytest.approx([20e-6, 5e-3], rel=1 / 15)
    assert not waits.read(chosen(0, 3))[0].size


def test_a_slot_that_joins_brings_nothing_of_what_was_before_the_last_reading() -> None:
    kernel = Kernel()
    kernel.wait(5, 9_000_000)
    waits = OthersWaits(kernel.histograms)
    waits.read(chosen(3))
    kernel.wait(5, 9_000_000)
    assert waits.read(chosen(3, 5))[1].tolist() == [1]


def test_what_happened_while_nobody_was_to_be_judged_is_not_counted() -> None:
    kernel = Kernel()
    waits = OthersWaits(kernel.histograms)
    waits.read(chosen(3))
    kernel.wait(3, 1_000)
    waits.forget()
    assert not waits.read(chosen(3))[0].size


def test_counters_of_32_bits_that_run_over_are_no_flood_of_waits() -> None:
    kernel = Kernel()
    bucket = bucket_index(1_000_000)
    kernel.histograms["buckets"][0, 3, bucket] = (1 << 32) - 1
    waits = OthersWaits(kernel.histograms)
    waits.read(chosen(3))
    kernel.histograms["buckets"][0, 3, bucket] = 2
    assert waits.read(chosen(3))[1].tolist() == [3]


def test_the_load_is_what_was_not_idle_between_two_readings(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  10 0 10 60 20 0 0 0 7 0\ncpu0 1 1 1 1 1\n", encoding="ascii")
    load = Load(stat)
    assert load.read() is None
    assert load.read() is None  # no time has passed
    stat.write_text("cpu  70 10 20 70 20 0 0 10 7 0\ncpu0 1 1 1 1 1\n", encoding="ascii")
    assert load.read() == pytest.approx(0.9)
    stat.write_text("cpu  170 10 20 60 20 0 0 10 7 0\n", encoding="ascii")
    assert load.read() == 1.0
    load.forget()
    assert load.read() is None
