# SPDX-License-Identifier: MIT
from __future__ import annotations

import numpy as np
import pytest

from resonance_bpf.catalogue import SLOTS
from resonance_bpf.layouts import BIN, CLOCK_PAIR
from resonanced.phase.bins import BinReader, Bins

RING = 64
OFFSET_NS = 7_000_000_000
START = 1_000
"""A millisecond of the scheduler's clock, a multiple of five."""


class Kernel:
    """Two CPUs that count as ``runqueue.h`` does."""

    def __init__(self, cpus: int = 2) -> None:
        self.cells = np.zeros((cpus, RING, SLOTS), BIN)
        self.clock = np.zeros(cpus, CLOCK_PAIR)
        self.pair(0, 1)
        self.reader = BinReader(self.cells, self.clock)

    def pair(self, cpu: int, runqueue_ns: int, offset_ns: int = OFFSET_NS) -> None:
        self.clock[cpu]["runqueue_ns"] = runqueue_ns
        self.clock[cpu]["monotonic_ns"] = runqueue_ns + offset_ns

    def wait(self, epoch: int, slot: int, wait_ns: int, cpu: int = 0) -> None:
        cell = self.cells[cpu, epoch % RING, slot]
        if cell["epoch"] != epoch % (1 << 32):
            cell["epoch"], cell["n"], cell["sum_ns"] = epoch % (1 << 32), 0, 0
        cell["n"] += 1
        cell["sum_ns"] += wait_ns

    def read(self, epoch: int) -> Bins | None:
        """Read in the middle of a millisecond."""
        return self.reader.read(epoch * 1_000_000 + 500_000 + OFFSET_NS)


def read_after(kernel: Kernel, epoch: int) -> Bins:
    bins = kernel.read(epoch)
    assert bins is not None
    return bins


@pytest.fixture
def kernel() -> Kernel:
    kernel = Kernel()
    assert kernel.read(START + 2) is None  # sets the mark
    return kernel


def test_each_event_is_read_once_and_in_its_millisecond(kernel: Kernel) -> None:
    kernel.wait(START + 3, 5, 2_000_000)
    kernel.wait(START + 3, 5, 1_000_000, cpu=1)
    kernel.wait(START + 12, 9, 4_000)
    bins = read_after(kernel, START + 22)
    counts, waits = bins.per_slot()
    assert (bins.first, bins.length, bins.missed) == (START, 20, 0)
    assert counts.shape == waits.shape == (SLOTS, 4)
    assert counts[5].tolist() == [2, 0, 0, 0]
    assert waits[5].tolist() == pytest.approx([0.003, 0, 0, 0])
    assert counts[9].tolist() == [0, 0, 1, 0]
    assert counts.sum() == 3
    again = read_after(kernel, START + 42)
    assert again.first == START + 20
    assert again.per_slot()[0].sum() == 0


def test_a_bin_begins_on_the_clock_that_all_processes_share(kernel: Kernel) -> None:
    assert read_after(kernel, START + 22).start_ns == START * 1_000_000 + OFFSET_NS


def test_the_millisecond_that_is_being_filled_is_left_for_the_next_read(kernel: Kernel) -> None:
    kernel.wait(START + 21, 5, 100)
    assert read_after(kernel, START + 21).per_slot()[0].sum() == 0
    kernel.wait(START + 21, 5, 100)
    assert read_after(kernel, START + 40).per_slot()[0][5, 1] == 2


def test_what_was_not_read_before_the_ring_came_round_is_missed_and_not_silence(
    kernel: Kernel,
) -> None:
    kernel.wait(START + 1, 5, 100)
    late = START + 200
    for epoch in range(late - 10, late):
        kernel.wait(epoch, 6, 100)
    bins = read_after(kernel, late + 2)
    assert bins.missed == bins.first - START
    assert bins.first % 5 == 0
    assert late + 2 - bins.first < RING
    assert bins.per_slot()[0].sum() == 10


def test_a_cell_of_an_earlier_turn_of_the_ring_is_empty(kernel: Kernel) -> None:
    kernel.wait(START + 3 - RING, 5, 100)
    assert read_after(kernel, START + 22).per_slot()[0].sum() == 0


def test_reading_across_the_end_of_the_ring_keeps_the_order(kernel: Kernel) -> None:
    edge = -(-START // RING) * RING
    kernel.read(edge - 8)
    for step in (-9, -1, 0, 5):
        kernel.wait(edge + step, 5, 100)
    bins = read_after(kernel, edge + 12)
    in_order = np.sort(bins.bin) + bins.first - edge
    assert in_order.tolist() == [-9, -1, 0, 5]


def test_the_epoch_is_taken_modulo_its_32_bits() -> None:
    kernel = Kernel()
    wrap = 1 << 32
    assert kernel.read(wrap - 6 + 2) is None
    kernel.wait(wrap - 1, 5, 100)
    kernel.wait(wrap, 5, 100)
    assert read_after(kernel, wrap + 20).per_slot()[0][5].sum() == 2


def test_slots_are_added_up_at_the_full_resolution(kernel: Kernel) -> None:
    kernel.wait(START + 3, 5, 1_000_000)
    kernel.wait(START + 3, 6, 2_000_000)
    kernel.wait(START + 4, 7, 9_000_000)
    chosen = np.zeros(SLOTS, np.bool_)
    chosen[[5, 6]] = True
    counts, waits = read_after(kernel, START + 12).total(chosen)
    assert counts.tolist() == [0, 0, 0, 2, 0, 0, 0, 0, 0, 0]
    assert waits[3] == pytest.approx(0.003)


def test_before_the_clocks_are_paired_nothing_is_read() -> None:
    kernel = Kernel()
    kernel.clock[:] = np.zeros((), CLOCK_PAIR)
    assert kernel.read(START) is None
    kernel.pair(1, 1)
    assert kernel.read(START) is None
    assert read_after(kernel, START + 20).length == 20


def test_the_youngest_pair_of_clocks_is_believed(kernel: Kernel) -> None:
    kernel.pair(1, START * 1_000_000, OFFSET_NS + 40_000_000)
    bins = read_after(kernel, START + 62)
    assert bins.start_ns == bins.first * 1_000_000 + OFFSET_NS + 40_000_000


def test_a_clock_that_goes_back_reads_nothing_twice(kernel: Kernel) -> None:
    kernel.wait(START + 3, 5, 100)
    assert read_after(kernel, START + 22).per_slot()[0].sum() == 1
    assert kernel.read(START - 100) is None
    assert read_after(kernel, START - 80).first == START - 105


def test_a_reader_says_how_often_it_must_be_asked() -> None:
    assert 0.8 * RING / 1_000 < Kernel().reader.reach_seconds < RING / 1_000
