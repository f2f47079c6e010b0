# SPDX-License-Identifier: MIT
from __future__ import annotations

import numpy as np
import pytest

from resonance_bpf.catalogue import SLOTS
from resonance_bpf.layouts import HISTOGRAM, bucket_index
from resonance_bpf.reader import Records
from resonanced.signals.waits import Waits

CPUS = 2
WINDOW_SECONDS = 10.0


class Kernel:
    """Histograms as the programs write them."""

    def __init__(self) -> None:
        self.histograms: Records = np.zeros((CPUS, SLOTS), HISTOGRAM)

    def record(self, slot: int, *waits_ns: int) -> None:
        for number, wait_ns in enumerate(waits_ns):
            cell = self.histograms[number % CPUS, slot]
            cell["n"][number % 4] += np.uint64(1)
            cell["sum_ns"][number % 4] += np.uint64(wait_ns)
            cell["buckets"][bucket_index(wait_ns)] += np.uint32(1)


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


def _waits(kernel: Kernel, *, has_buckets: bool = True) -> Waits:
    return Waits(kernel.histograms, has_buckets=has_buckets, window_seconds=WINDOW_SECONDS)


def test_what_was_there_before_the_start_is_nobodys(kernel: Kernel) -> None:
    kernel.record(3, 100, 200)
    waits = _waits(kernel)
    waits.step(0.0)
    distribution = waits.distribution()
    assert distribution.count[3] == distribution.sum_ns[3] == 0
    assert waits.events()[3] == 2


def test_events_of_all_cpus_and_classes_are_summed_per_slot(kernel: Kernel) -> None:
    waits = _waits(kernel)
    kernel.record(3, 100, 2_000, 30_000, 400_000, 5_000_000)
    kernel.record(4, 7)
    waits.step(0.0)
    distribution = waits.distribution()
    assert distribution.buckets is not None
    assert (distribution.count[3], distribution.sum_ns[3]) == (5, 5_432_100)
    assert (distribution.count[4], distribution.sum_ns[4]) == (1, 7)
    assert distribution.buckets[3, bucket_index(30_000)] == 1
    assert (distribution.buckets.sum(axis=1) == distribution.count).all()


def test_a_32_bit_bucket_that_wraps_around_goes_on_counting(kernel: Kernel) -> None:
    bucket = bucket_index(100)
    kernel.histograms["buckets"][0, 3, bucket] = 2**32 - 2
    waits = _waits(kernel)
    kernel.histograms["buckets"][0, 3, bucket] = 3
    kernel.histograms["n"][0, 3, 0] += 5
    waits.step(0.0)
    assert waits.distribution().count[3] == 5


def test_each_event_is_counted_once_over_many_steps(kernel: Kernel) -> None:
    waits = _waits(kernel)
    for step in range(50):
        kernel.record(3, 100 * step)
        waits.step(step / 10)
    assert waits.distribution().count[3] == 50


def test_an_event_that_is_read_half_written_is_counted_once_it_is_whole(kernel: Kernel) -> None:
    waits = _waits(kernel)
    kernel.histograms["n"][0, 3, 0] += 1
    waits.step(0.0)
    assert waits.distribution().count[3] == 0
    kernel.histograms["buckets"][0, 3, 5] += 1
    waits.step(1.0)
    kernel.record(3, 100)
    waits.step(2.0)
    assert waits.distribution().count[3] == 2


def test_the_recent_past_forgets_after_its_window_and_the_sum_does_not(kernel: Kernel) -> None:
    waits = _waits(kernel)
    kernel.record(3, 100)
    waits.step(0.0)
    recent = waits.distribution().recent
    assert recent is not None
    assert recent[3].sum() == 1
    for second in range(1, round(WINDOW_SECONDS)):
        waits.step(float(second))
        recent = waits.distribution().recent
        assert recent is not None
        assert recent[3].sum() == 1, second
    waits.step(WINDOW_SECONDS)
    distribution = waits.distribution()
    assert distribution.recent is not None
    assert distribution.recent[3].sum() == 0
    assert distribution.count[3] == 1


def test_the_next_owner_of_a_slot_starts_at_zero_and_others_go_on(kernel: Kernel) -> None:
    waits = _waits(kernel)
    kernel.record(3, 100)
    kernel.record(4, 100)
    waits.step(0.0)
    waits.begin(3)
    kernel.record(3, 900)
    waits.step(1.0)
    distribution = waits.distribution()
    assert distribution.recent is not None
    assert (distribution.count[3], distribution.sum_ns[3]) == (1, 900)
    assert distribution.recent[3].sum() == 1
    assert distribution.count[4] == 1


def test_a_distribution_once_handed_out_stays_as_it_is(kernel: Kernel) -> None:
    waits = _waits(kernel)
    kernel.record(3, 100)
    waits.step(0.0)
    handed_out = waits.distribution()
    kernel.record(3, 100)
    waits.step(1.0)
    assert handed_out.count[3] == 1
    assert handed_out.buckets is not None
    assert handed_out.buckets[3].sum() == 1


def test_without_buckets_there_are_counts_and_sums_only(kernel: Kernel) -> None:
    waits = _waits(kernel, has_buckets=False)
    kernel.record(3, 100, 200)
    waits.step(0.0)
    distribution = waits.distribution()
    assert (distribution.count[3], distribution.sum_ns[3]) == (2, 300)
    assert distribution.buckets is None
    assert distribution.recent is None
    waits.begin(3)
    assert waits.distribution().count[3] == 0
