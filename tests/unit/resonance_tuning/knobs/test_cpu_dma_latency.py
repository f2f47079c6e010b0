# SPDX-License-Identifier: MIT
"""A request that lives as long as the process that holds it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from resonance_tuning.errors import TargetVanishedError
from resonance_tuning.host import Host
from resonance_tuning.knobs.cpu_dma_latency import CpuDmaLatency
from resonance_tuning.records import HOST, State


@pytest.fixture
def device(tmp_path: Path) -> Path:
    for name, text in (
        ("dev/cpu_dma_latency", ""),
        ("sys/devices/system/cpu/cpuidle/current_driver", "intel_idle\n"),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return tmp_path / "dev/cpu_dma_latency"


@pytest.fixture
def knob(tmp_path: Path, device: Path) -> CpuDmaLatency:
    return CpuDmaLatency(Host(tmp_path))


def test_it_is_held_until_it_is_let_go(knob: CpuDmaLatency, device: Path) -> None:
    before = os.listdir("/proc/self/fd")
    prior = knob.read(HOST)
    assert prior == State("")
    knob.write(HOST, "20")
    assert device.read_bytes() == (20).to_bytes(4, "little")
    assert knob.read(HOST).value == "20"
    knob.write(HOST, "5")
    assert len(os.listdir("/proc/self/fd")) == len(before) + 1
    knob.restore(HOST, State("20"))
    assert knob.read(HOST).value == "20"
    knob.restore(HOST, prior)
    assert knob.read(HOST) == prior
    assert os.listdir("/proc/self/fd") == before
    knob.restore(HOST, prior)


def test_another_process_holds_nothing(tmp_path: Path, knob: CpuDmaLatency) -> None:
    knob.write(HOST, "20")
    assert CpuDmaLatency(Host(tmp_path)).read(HOST) == State("")
    knob.restore(HOST, State(""))


def test_a_looser_bound_in_force_contradicts(knob: CpuDmaLatency, device: Path) -> None:
    assert not knob.contradiction(HOST, "20")
    knob.write(HOST, "20")
    assert not knob.contradiction(HOST, "20")
    device.write_bytes((100).to_bytes(4, "little"))
    assert knob.contradiction(HOST, "20") == "100 µs are in force"
    knob.restore(HOST, State(""))


def test_it_needs_idle_states_to_choose_among(knob: CpuDmaLatency, device: Path) -> None:
    assert not knob.unavailable(HOST)
    assert knob.identity(HOST)
    assert knob.commands(HOST, State(""))[0].startswith("#")
    driver = device.parent.parent / "sys/devices/system/cpu/cpuidle/current_driver"
    driver.write_text("none\n")
    assert "no cpuidle driver" in knob.unavailable(HOST)
    driver.unlink()
    assert "no cpuidle driver" in knob.unavailable(HOST)
    device.unlink()
    assert knob.unavailable(HOST) == f"there is no {device}"
    with pytest.raises(TargetVanishedError):
        knob.identity(HOST)


@pytest.mark.parametrize("value", [-1, 2_000_000_000, True, "5", None])
def test_microseconds_out_of_range_are_refused(knob: CpuDmaLatency, value: object) -> None:
    assert knob.parse(0) == "0"
    with pytest.raises(ValueError, match="microseconds"):
        knob.parse(value)
