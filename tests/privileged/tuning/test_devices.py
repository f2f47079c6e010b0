# SPDX-License-Identifier: MIT
"""The knobs of devices on this kernel: only what is there already is written to them."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from resonance_tuning.errors import KnobUnavailableError
from resonance_tuning.host import Host
from resonance_tuning.knobs.cpu_dma_latency import CpuDmaLatency
from resonance_tuning.knobs.irq_affinity import IrqAffinity
from resonance_tuning.knobs.rps_affinity import RpsAffinity
from resonance_tuning.knobs.workqueue_affinity import WorkqueueAffinity
from resonance_tuning.records import HOST as WHOLE_HOST
from resonance_tuning.records import Target
from resonance_tuning.surfaces.cpumask import format_mask

HOST = Host()


def test_movable_interrupts_take_what_they_have(host: Host) -> None:
    knob = IrqAffinity(HOST)
    movable = [target for target in knob.targets([]) if not knob.unavailable(target)]
    assert Target("interrupt", "default") in movable
    assert len(movable) > 1
    for target in movable:
        before, identity = knob.read(target), knob.identity(target)
        assert knob.canonical(target, knob.parse(before.value)) == before.value
        knob.restore(target, before)
        assert knob.read(target) == before
        assert knob.identity(target) == identity
        assert not knob.contradiction(target, before.value)


def test_unmovable_interrupts_are_known_and_the_kernel_says_so_too() -> None:
    knob = IrqAffinity(HOST)
    unmovable = [target for target in knob.targets([]) if knob.unavailable(target)]
    assert unmovable, "every interrupt of this machine can be moved"
    for target in unmovable:
        with pytest.raises(KnobUnavailableError, match="unmovable"):
            knob.write(target, knob.read(target).value)


def test_receive_queues_take_what_they_have() -> None:
    knob = RpsAffinity(HOST)
    targets = knob.targets([Target("device", name) for name in os.listdir("/sys/class/net")])
    assert Target("device", "lo/rx-0") in targets
    for target in targets:
        assert not knob.unavailable(target)
        before = knob.read(target)
        assert knob.canonical(target, before.value) == before.value
        knob.restore(target, before)
        assert knob.read(target) == before


def test_deferred_work_takes_what_it_has() -> None:
    knob = WorkqueueAffinity(HOST)
    assert not knob.unavailable(WHOLE_HOST)
    before = knob.read(WHOLE_HOST)
    online = HOST.read(Path("/sys/devices/system/cpu/online"))
    possible = len(HOST.online_cpus())
    assert knob.parse(online) == format_mask(HOST.online_cpus(), possible) == before.value
    knob.restore(WHOLE_HOST, before)
    assert knob.read(WHOLE_HOST) == before


def in_force() -> int:
    with open("/dev/cpu_dma_latency", "rb") as device:
        (latency,) = struct.unpack("=i", device.read(4))
    return int(latency)


def test_a_latency_is_in_force_while_it_is_held() -> None:
    knob, before = CpuDmaLatency(HOST), in_force()
    assert not knob.unavailable(WHOLE_HOST)
    prior = knob.read(WHOLE_HOST)
    knob.write(WHOLE_HOST, "1000")
    assert in_force() == 1000
    assert not knob.contradiction(WHOLE_HOST, "1000")
    knob.restore(WHOLE_HOST, prior)
    assert in_force() == before


def test_a_latency_dies_with_its_process() -> None:
    before = in_force()
    pid = os.fork()
    if pid == 0:
        CpuDmaLatency(HOST).write(WHOLE_HOST, "1000")
        os._exit(int(in_force() != 1000))
    assert os.waitpid(pid, 0)[1] == 0
    assert in_force() == before
