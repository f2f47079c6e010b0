# SPDX-License-Identifier: MIT
"""The knobs that are masks of CPUs: interrupts, receive queues, deferred work."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fakes.cgroup_tree import FakeHost
from resonance_tuning.errors import KnobUnavailableError, TargetVanishedError
from resonance_tuning.knobs.irq_affinity import IrqAffinity
from resonance_tuning.knobs.rps_affinity import RpsAffinity
from resonance_tuning.knobs.workqueue_affinity import WorkqueueAffinity
from resonance_tuning.records import HOST, State, Target

DEFAULT, DISK, NETWORK = (Target("interrupt", name) for name in ("default", "36", "38"))
QUEUE = Target("device", "eth0/rx-1")
RPS = "/sys/class/net/eth0/queues/rx-1/rps_cpus"
WORK = "/sys/devices/virtual/workqueue/cpumask"


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    host = FakeHost(tmp_path)
    for name, text in {
        "/sys/devices/system/cpu/online": "0-3",
        "/sys/devices/system/cpu/possible": "0-3",
        "/sys/devices/system/cpu/isolated": "",
        "/proc/irq/default_smp_affinity": "f",
        "/sys/class/net/eth0/queues/rx-0/rps_cpus": "0",
        "/sys/class/net/eth0/queues/tx-0/xps_cpus": "0",
        RPS: "3",
        WORK: "f",
    }.items():
        put(host, name, text)
    for number, chip in ((36, "PCI-MSIX-0000:00:02.0"), (38, "PCI-MSIX-0000:00:03.0")):
        put(host, f"/proc/irq/{number}/smp_affinity_list", "0-3")
        put(host, f"/proc/irq/{number}/effective_affinity_list", "2")
        put(host, f"/sys/kernel/irq/{number}/chip_name", chip)
        put(host, f"/sys/kernel/irq/{number}/hwirq", "1")
        put(host, f"/sys/kernel/irq/{number}/per_cpu_count", "5,0,7,0")
    return host


def put(host: FakeHost, name: str, text: str) -> None:
    path = host.path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n", encoding="utf-8")


def get(host: FakeHost, name: str) -> str:
    return host.read(host.path(name))


def test_every_interrupt_is_a_target_and_the_default_for_new_ones(host: FakeHost) -> None:
    assert IrqAffinity(host).targets([]) == [DEFAULT, DISK, NETWORK]


def test_where_no_interrupts_are_shown_there_is_none(tmp_path: Path) -> None:
    assert IrqAffinity(FakeHost(tmp_path)).targets([]) == []


@pytest.mark.parametrize(
    ("target", "name", "written"),
    [
        (NETWORK, "/proc/irq/38/smp_affinity_list", "0,3"),
        (DEFAULT, "/proc/irq/default_smp_affinity", "9"),
    ],
)
def test_an_interrupt_is_moved_and_put_back(
    host: FakeHost, target: Target, name: str, written: str
) -> None:
    knob = IrqAffinity(host)
    before = get(host, name)
    assert not knob.unavailable(target)
    prior = knob.read(target)
    assert prior == State("0-3")
    value = knob.parse("3,0")
    knob.write(target, value)
    assert get(host, name) == written
    assert knob.read(target).value == knob.canonical(target, value) == "0,3"
    assert knob.commands(target, prior) == (f"echo {before} > {host.path(name)}",)
    knob.restore(target, prior)
    assert get(host, name) == before


def test_one_that_the_kernel_shows_as_unmovable_is_left_out(host: FakeHost) -> None:
    host.path("/proc/irq/36/smp_affinity_list").chmod(0o444)
    assert IrqAffinity(host).unavailable(DISK).startswith("unmovable")
    assert not IrqAffinity(host).unavailable(NETWORK)
    assert IrqAffinity(host).unavailable(Target("interrupt", "7")) == "there is no such interrupt"


@pytest.mark.parametrize("number", [errno.EPERM, errno.EIO])
def test_one_that_turns_out_unmovable_is_not_asked_again(host: FakeHost, number: int) -> None:
    knob = IrqAffinity(host)
    host.failures["/proc/irq/36/smp_affinity_list"] = number
    assert not knob.unavailable(DISK)
    with pytest.raises(KnobUnavailableError, match="unmovable"):
        knob.write(DISK, "0")
    assert knob.unavailable(DISK).startswith("unmovable")
    host.failures["/proc/irq/38/smp_affinity_list"] = errno.EINVAL
    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
        knob.write(NETWORK, "0")
    assert not knob.unavailable(NETWORK)


def test_a_number_given_out_again_is_another_interrupt(host: FakeHost) -> None:
    knob = IrqAffinity(host)
    before = knob.identity(NETWORK)
    put(host, "/sys/kernel/irq/38/chip_name", "PCI-MSIX-0000:00:09.0")
    assert knob.identity(NETWORK) != before
    assert knob.identity(DEFAULT) == "default"


def test_it_is_handled_elsewhere_only_once_it_fired_again(host: FakeHost) -> None:
    knob = IrqAffinity(host)
    assert not knob.contradiction(NETWORK, "0-1")  # who did not write cannot know
    knob.write(NETWORK, "0-1")
    assert not knob.contradiction(NETWORK, "0-1")
    put(host, "/sys/kernel/irq/38/per_cpu_count", "5,0,8,0")  # the one with which it moves
    assert not knob.contradiction(NETWORK, "0-1")
    put(host, "/sys/kernel/irq/38/per_cpu_count", "5,0,9,0")
    assert knob.contradiction(NETWORK, "0-1") == "it is still handled on CPUs 2"
    put(host, "/proc/irq/38/effective_affinity_list", "1")
    assert not knob.contradiction(NETWORK, "0-1")
    knob.write(DEFAULT, "0-1")
    assert not knob.contradiction(DEFAULT, "0-1")


def test_each_receive_queue_is_a_target(host: FakeHost) -> None:
    matched = [Target("device", "eth0"), Target("process", "7"), Target("device", "gone0")]
    assert RpsAffinity(host).targets(matched) == [Target("device", "eth0/rx-0"), QUEUE]


def test_a_queue_is_turned_and_put_back(host: FakeHost) -> None:
    knob = RpsAffinity(host)
    assert not knob.unavailable(QUEUE)
    prior = knob.read(QUEUE)
    knob.write(QUEUE, knob.parse("2-3"))
    assert get(host, RPS) == knob.canonical(QUEUE, "c") == "c"
    knob.restore(QUEUE, prior)
    assert get(host, RPS) == "3"
    assert knob.parse("") == "0"
    assert "CONFIG_RPS" in knob.unavailable(Target("device", "eth0/rx-9"))
    with pytest.raises(TargetVanishedError):
        knob.read(Target("device", "eth9/rx-0"))


def test_the_kernel_omits_isolated_cpus_of_a_queue(host: FakeHost) -> None:
    put(host, "/sys/devices/system/cpu/isolated", "3")
    assert RpsAffinity(host).canonical(QUEUE, "c") == "4"
    host.path("/sys/devices/system/cpu/isolated").unlink()
    assert RpsAffinity(host).canonical(QUEUE, "c") == "c"


def test_deferred_work_is_put_back_as_it_was_asked_for(host: FakeHost) -> None:
    knob = WorkqueueAffinity(host)
    assert knob.targets([]) == [HOST]
    assert not knob.unavailable(HOST)
    assert knob.read(HOST) == State("f")
    put(host, f"{WORK}_requested", "f")
    put(host, WORK, "7")  # CPU 3 is in an isolated partition
    assert knob.read(HOST) == State("f")
    knob.write(HOST, knob.parse("0-1"))
    assert get(host, WORK) == "3"
    assert knob.commands(HOST, State("f")) == (f"echo f > {host.path(WORK)}",)
    host.path(WORK).unlink()
    assert knob.unavailable(HOST) == "this kernel has no mask of unbound work"


@pytest.mark.parametrize("kind", [IrqAffinity, RpsAffinity, WorkqueueAffinity])
def test_a_list_without_a_usable_cpu_is_refused(
    host: FakeHost, kind: type[IrqAffinity | RpsAffinity | WorkqueueAffinity]
) -> None:
    for value in ("7", "a", None, -1):
        with pytest.raises(ValueError, match="CPUs"):
            kind(host).parse(value)
