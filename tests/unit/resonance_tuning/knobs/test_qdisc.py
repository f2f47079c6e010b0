# SPDX-License-Identifier: MIT
from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from resonance_tuning.errors import KnobUnavailableError, TargetVanishedError
from resonance_tuning.host import Host
from resonance_tuning.knobs.qdisc import Qdisc
from resonance_tuning.records import Target
from resonance_tuning.surfaces import netlink
from resonance_tuning.surfaces.netlink import Message

ETH0 = Target("device", "eth0")
INDEX = 3
ROOT = 0xFFFF_FFFF


def qdisc(kind: str, handle: int = 0, options: bytes = b"") -> Message:
    header = {"family": 0, "pad1": 0, "pad2": 0, "index": INDEX, "handle": handle << 16}
    statistics = {3: bytes(40)}
    attributes = {1: kind.encode() + b"\0", 2: options, **statistics}
    return Message({**header, "parent": ROOT, "info": 2}, attributes)


class Device:
    """A device's root, as the kernel keeps it."""

    def __init__(self, default: str = "noqueue", kinds: tuple[str, ...] = ()) -> None:
        self.default = default
        self.root = qdisc(default)
        self.kinds = ("pfifo", "bfifo", "pfifo_fast", *kinds)
        self.classes = self.filters = 0
        self.log: list[str] = []

    def qdiscs(self, host: Host, index: int) -> list[Message]:
        assert index == INDEX
        clsact = qdisc("clsact", 0xFFFF)
        return [Message({**clsact.header, "parent": 0xFFFF_FFF1}, clsact.attributes), self.root]

    def replace_qdisc(self, host: Host, wanted: Message) -> None:
        kind = wanted.attributes[1].rstrip(b"\0").decode()
        handle = wanted.header["handle"]
        if kind not in self.kinds:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        if handle == self.root.header["handle"] and wanted.attributes[1] != self.root.attributes[1]:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        options = wanted.attributes.get(2, b"\xe8\3\0\0" if kind == "pfifo" else b"")
        self.root = qdisc(kind, handle >> 16, options)
        self.log.append(f"replace {kind}")

    def delete_qdisc(self, host: Host, gone: Message) -> None:
        assert gone.header["handle"] == self.root.header["handle"] != 0
        self.root = qdisc(self.default)
        self.log.append("delete")

    def lacks_qdisc(self, host: Host, kind: str) -> bool:
        return kind not in self.kinds


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    device = Device()
    for name in ("qdiscs", "replace_qdisc", "delete_qdisc", "lacks_qdisc"):
        monkeypatch.setattr(netlink, name, getattr(device, name))
    monkeypatch.setattr(netlink, "class_count", lambda host, index: device.classes)
    monkeypatch.setattr(netlink, "filter_count", lambda host, root: device.filters)
    monkeypatch.setattr(socket, "if_nametoindex", lambda name: {"eth0": INDEX}[name])
    return device


@pytest.fixture
def knob(tmp_path: Path) -> Qdisc:
    return Qdisc(Host(tmp_path))


@pytest.mark.parametrize("value", ["fq", "fq_codel", "pfifo_fast", "pfifo", "bfifo"])
def test_kinds_without_classes_are_taken(knob: Qdisc, value: str) -> None:
    assert knob.parse(value) == value


@pytest.mark.parametrize("value", ["", "htb", "tbf", "noqueue", "fq limit 7", 7, None])
def test_other_kinds_are_refused(knob: Qdisc, value: object) -> None:
    with pytest.raises(ValueError, match="expected one of fq, "):
        knob.parse(value)


@pytest.mark.parametrize("default", ["noqueue", "pfifo_fast", "fq_codel"])
def test_the_kernels_default_comes_back_when_ours_is_deleted(
    knob: Qdisc, device: Device, default: str
) -> None:
    device.default, device.root = default, qdisc(default)
    prior = knob.read(ETH0)
    assert prior.value == default
    knob.write(ETH0, "pfifo")
    assert knob.read(ETH0).value == "pfifo 7e50:"
    assert knob.commands(ETH0, prior) == ("tc qdisc del dev eth0 root",)
    knob.restore(ETH0, prior)
    assert knob.read(ETH0) == prior
    assert device.log == ["replace pfifo", "delete"]


def test_what_somebody_put_there_comes_back_with_its_options(knob: Qdisc, device: Device) -> None:
    device.root = qdisc("pfifo", 9, b"\x4d\0\0\0")
    prior = knob.read(ETH0)
    assert prior.value == "pfifo 9:"
    assert knob.unavailable(ETH0) == ""
    knob.write(ETH0, "bfifo")
    knob.restore(ETH0, prior)
    assert device.root == qdisc("pfifo", 9, b"\x4d\0\0\0")
    assert knob.commands(ETH0, prior) == (
        "tc qdisc replace dev eth0 root handle 9: pfifo limit 77",
    )


def test_the_kind_that_is_there_already_is_left(knob: Qdisc, device: Device) -> None:
    device.root = qdisc("pfifo", 9, b"\x4d\0\0\0")
    assert knob.canonical(ETH0, "pfifo") == knob.read(ETH0).value == "pfifo 9:"
    knob.write(ETH0, "pfifo")
    assert device.log == []


def test_one_of_ours_is_replaced_by_another_and_back(knob: Qdisc, device: Device) -> None:
    first = knob.read(ETH0)
    knob.write(ETH0, "pfifo")
    second = knob.read(ETH0)
    knob.write(ETH0, "bfifo")
    assert knob.read(ETH0).value == "bfifo 7e50:"
    knob.restore(ETH0, second)
    assert knob.read(ETH0) == second
    knob.restore(ETH0, first)
    assert knob.read(ETH0) == first


def test_a_delete_that_deletes_nothing_is_no_success(
    knob: Qdisc, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    prior = knob.read(ETH0)
    knob.write(ETH0, "pfifo")
    monkeypatch.setattr(netlink, "delete_qdisc", lambda host, root: None)
    with pytest.raises(OSError, match="pfifo 7e50: is there instead of noqueue"):
        knob.restore(ETH0, prior)


@pytest.mark.parametrize(
    ("kind", "handle", "classes", "filters", "why"),
    [
        ("mq", 0, 2, 0, "mq with classes"),
        ("tbf", 9, 1, 0, "tbf with classes"),
        ("pfifo_fast", 9, 0, 1, "pfifo_fast with filters"),
        ("fq_codel", 9, 0, 0, "could not be put back with every option"),
        ("fq_codel", 0, 0, 0, ""),
        ("pfifo_fast", 9, 0, 0, ""),
        ("fq", 0x7E50, 0, 0, ""),
    ],
)
def test_what_hangs_on_it_is_told(
    knob: Qdisc,
    device: Device,
    kind: str,
    handle: int,
    classes: int,
    filters: int,
    why: str,
) -> None:
    device.root, device.classes, device.filters = qdisc(kind, handle), classes, filters
    found = knob.unavailable(ETH0)
    assert why in found
    assert bool(why) == bool(found)


def test_a_kernel_without_fq_is_told_at_once_and_that_pacing_needs_it_not(
    knob: Qdisc, device: Device
) -> None:
    with pytest.raises(KnobUnavailableError, match="no fq; .*pacing=internal"):
        knob.canonical(ETH0, "fq")
    with pytest.raises(KnobUnavailableError, match="no fq; .*pacing=internal"):
        knob.write(ETH0, "fq")
    with pytest.raises(KnobUnavailableError, match="no fq_codel$"):
        knob.canonical(ETH0, "fq_codel")
    assert device.log == []


def test_a_device_that_is_gone_has_vanished(
    knob: Qdisc, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: str) -> int:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    before = knob.identity(ETH0)
    monkeypatch.setattr(socket, "if_nametoindex", lambda _: INDEX + 1)
    assert knob.identity(ETH0) != before
    monkeypatch.setattr(socket, "if_nametoindex", gone)
    assert knob.unavailable(ETH0) == "there is no device eth0"
    for ask in (knob.read, knob.identity):
        with pytest.raises(TargetVanishedError):
            ask(ETH0)
