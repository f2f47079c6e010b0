# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest

from resonance_bpf.catalogue import SLOTS
from resonance_bpf.layouts import HISTOGRAM
from resonance_bpf.reader import Records
from resonanced.signals.pressure import Pressure

CPUS = 2
WINDOW_SECONDS = 0.1
SECOND_NS = 1_000_000_000
STEP_NS = 5_000_000


class Kernel:
    """Histograms of which only the sums move, and the pressure read from them."""

    def __init__(self) -> None:
        self.histograms: Records = np.zeros((CPUS, SLOTS), HISTOGRAM)
        self.histograms["sum_ns"] = 123_456_789
        self.now_ns = 7 * SECOND_NS
        self.pressure = Pressure(
            self.histograms, window_seconds=WINDOW_SECONDS, monotonic_ns=self.now_ns
        )

    def wait(self, slot: int, ratio: float, seconds: float = 1.0) -> float:
        """Let so many tasks of a slot wait all the time; return the pressure at the end."""
        last = 0.0
        for step in range(round(seconds * SECOND_NS / STEP_NS)):
            self.histograms["sum_ns"][step % CPUS, slot, step % 4] += round(ratio * STEP_NS)
            self.now_ns += STEP_NS
            last = float(self.pressure.update(self.now_ns)[slot])
        return last


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


def test_waits_before_the_start_are_no_pressure(kernel: Kernel) -> None:
    kernel.now_ns += STEP_NS
    assert not kernel.pressure.update(kernel.now_ns).any()


@pytest.mark.parametrize("ratio", [0.0, 0.25, 0.5, 1.0])
def test_steady_waiting_is_the_share_of_time_somebody_waits(kernel: Kernel, ratio: float) -> None:
    assert kernel.wait(3, ratio) == pytest.approx(ratio, abs=1e-3)
    assert np.flatnonzero(kernel.pressure.update(kernel.now_ns)).tolist() == [3] * (ratio > 0)


def test_more_than_one_waiting_task_is_full_pressure_and_no_more(kernel: Kernel) -> None:
    assert kernel.wait(3, 7.0) == 1.0


def test_pressure_falls_with_the_window_when_waiting_ends(kernel: Kernel) -> None:
    kernel.wait(3, 0.5)
    assert kernel.wait(3, 0.0, WINDOW_SECONDS) == pytest.approx(0.5 / math.e, rel=0.02)


def test_pressure_does_not_depend_on_how_often_it_is_read(kernel: Kernel) -> None:
    often = kernel.wait(3, 0.5, 0.2)
    rarely = Kernel()
    for _ in range(2):
        rarely.histograms["sum_ns"][0, 3, 0] += SECOND_NS // 20
        rarely.now_ns += SECOND_NS // 10
        read = rarely.pressure.update(rarely.now_ns)[3]
    assert float(read) == pytest.approx(often, rel=0.01)


def test_two_reads_at_one_instant_are_equal(kernel: Kernel) -> None:
    kernel.wait(3, 0.5)
    first = kernel.pressure.update(kernel.now_ns)
    kernel.histograms["sum_ns"][0, 3, 0] += SECOND_NS
    assert (kernel.pressure.update(kernel.now_ns) == first).all()


def test_a_clock_that_steps_back_changes_nothing(kernel: Kernel) -> None:
    before = kernel.wait(3, 0.5)
    assert float(kernel.pressure.update(kernel.now_ns - SECOND_NS)[3]) == before


def test_an_array_once_handed_out_stays_as_it_is(kernel: Kernel) -> None:
    kernel.wait(3, 0.5)
    handed_out = kernel.pressure.update(kernel.now_ns)
    copy = handed_out.copy()
    kernel.wait(3, 0.0)
    assert (handed_out == copy).all()


def test_the_next_owner_of_a_slot_starts_at_zero(kernel: Kernel) -> None:
    kernel.wait(3, 1.0)
    kernel.wait(4, 1.0, 0.1)
    kernel.pressure.begin(3)
    read = kernel.pressure.update(kernel.now_ns)
    assert read[3] == 0.0
    assert read[4] > 0.5
