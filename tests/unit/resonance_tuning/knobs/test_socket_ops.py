# SPDX-License-Identifier: MIT
from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fakes.cgroup_tree import CgroupTree
from resonance_bpf import socket_options
from resonance_bpf.errors import ProbeRejectedError
from resonance_bpf.socket_options import (
    SO_MAX_PACING_RATE,
    TCP_CONGESTION,
    TCP_NOTSENT_LOWAT,
    OptionCounts,
    SocketOption,
)
from resonance_tuning.errors import KnobUnavailableError, TargetVanishedError
from resonance_tuning.knobs.pacing import Pacing
from resonance_tuning.knobs.socket_ops import CongestionControl, NotsentLowat, SocketOptionKnob
from resonance_tuning.records import State, Target

AVAILABLE = "/proc/sys/net/ipv4/tcp_available_congestion_control"
NOTHING = OptionCounts(0, 0, 0, 0, 0, 0)


@dataclass
class Link:
    """Stands for what the kernel holds."""

    option: SocketOption
    directory: Path
    cgroup_id: int = 7
    is_closed: bool = False
    seen: OptionCounts = NOTHING

    def counts(self) -> OptionCounts:
        return self.seen

    def close(self) -> None:
        self.is_closed = True


@dataclass
class Kernel:
    """Every link that was made, and how many were open when the last one was."""

    links: list[Link] = field(default_factory=list)
    open_before: int = 0

    def attach(self, option: SocketOption, directory: Path) -> Link:
        self.open_before = len(self.open())
        os.stat(directory)
        self.links.append(Link(option, directory))
        return self.links[-1]

    def open(self) -> list[Link]:
        return [link for link in self.links if not link.is_closed]


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(socket_options, "attach", kernel.attach)
    monkeypatch.setattr(socket_options, "missing", lambda: "")
    return kernel


@pytest.fixture
def tree(tmp_path: Path) -> CgroupTree:
    tree = CgroupTree(tmp_path, "hybrid")
    tree.put(AVAILABLE, "reno bbr cubic\n")
    return tree


@pytest.fixture
def web(tree: CgroupTree) -> Target:
    return tree.make_group("/web")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("bbr", "bbr"),
        ("bbr canary=0.1", "bbr canary=0.1"),
        ("bbr  min_rtt_seconds=0.002 canary=.10", "bbr canary=0.1 min_rtt_seconds=0.002"),
        ("cubic canary=1 min_rtt_seconds=0", "cubic"),
        ({"algorithm": "bbr", "canary": 0.25}, "bbr canary=0.25"),
        ({"algorithm": "bbr", "min_rtt_seconds": 0.002}, "bbr min_rtt_seconds=0.002"),
    ],
)
def test_a_value_has_one_text(tree: CgroupTree, value: object, text: str) -> None:
    knob = CongestionControl(tree.host)
    assert knob.parse(value) == text
    assert knob.parse(text) == text


@pytest.mark.parametrize(
    ("knob", "key", "value", "text"),
    [
        (NotsentLowat, "bytes", 16384, "16384"),
        (NotsentLowat, "bytes", "16384 canary=0.5", "16384 canary=0.5"),
        (Pacing, "bytes_per_second", 12_500_000, "12500000"),
    ],
)
def test_amounts_are_numbers_or_text_or_a_table(
    tree: CgroupTree, knob: type[SocketOptionKnob], key: str, value: object, text: str
) -> None:
    assert knob(tree.host).parse(value) == text
    assert knob(tree.host).parse({key: text.partition(" ")[0]}) == text.partition(" ")[0]


@pytest.mark.parametrize(
    "value",
    [
        "",
        7,
        None,
        "BBR",
        "a" * 16,
        "bbr 0.1",
        "bbr canary=0",
        "bbr canary=1.01",
        "bbr canary=x",
        "bbr canary=nan",
        "bbr canary=0.1 canary=0.2",
        "bbr min_rtt_seconds=11",
        "bbr min_rtt_seconds=-1",
        "bbr share=0.1",
        {"canary": 0.1},
        {"algorithm": "bbr", "canary": True},
    ],
)
def test_what_is_no_congestion_control_is_refused(tree: CgroupTree, value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        CongestionControl(tree.host).parse(value)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "many", "0x10", 0xFFFF_FFFF, None])
@pytest.mark.parametrize("knob", [NotsentLowat, Pacing])
def test_what_is_no_amount_is_refused(
    tree: CgroupTree, knob: type[SocketOptionKnob], value: object
) -> None:
    with pytest.raises(ValueError, match="bytes"):
        knob(tree.host).parse(value)


@pytest.mark.parametrize(
    ("knob", "text", "option"),
    [
        (
            CongestionControl,
            "bbr canary=0.1 min_rtt_seconds=0.002",
            SocketOption(TCP_CONGESTION, "bbr", 0, 0.1, 0.002),
        ),
        (NotsentLowat, "16384", SocketOption(TCP_NOTSENT_LOWAT, value=16384)),
        (Pacing, "12500000", SocketOption(SO_MAX_PACING_RATE, value=12_500_000)),
    ],
)
def test_what_is_written_is_held_until_it_is_put_back(
    tree: CgroupTree,
    web: Target,
    kernel: Kernel,
    knob: type[SocketOptionKnob],
    text: str,
    option: SocketOption,
) -> None:
    holder = knob(tree.host)
    assert holder.unavailable(web) == ""
    prior = holder.read(web)
    assert prior == State("")
    holder.write(web, text)
    (link,) = kernel.open()
    assert (link.option, link.directory) == (option, tree.hierarchy("") / "web")
    assert holder.read(web).value == text == holder.canonical(web, text)
    holder.restore(web, prior)
    assert kernel.open() == []
    assert holder.read(web) == prior


def test_a_second_value_takes_over_without_a_gap(
    tree: CgroupTree, web: Target, kernel: Kernel
) -> None:
    holder = CongestionControl(tree.host)
    holder.write(web, "bbr canary=0.1")
    holder.write(web, "bbr")
    assert kernel.open_before == 1
    assert [link.option.canary_ratio for link in kernel.open()] == [1.0]
    holder.restore(web, State("bbr canary=0.1"))
    assert [link.option.canary_ratio for link in kernel.open()] == [0.1]


def test_a_value_that_cannot_be_attached_leaves_the_one_before(
    tree: CgroupTree, web: Target, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Link:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    holder = CongestionControl(tree.host)
    holder.write(web, "bbr canary=0.1")
    monkeypatch.setattr(socket_options, "attach", refuse)
    with pytest.raises(PermissionError):
        holder.write(web, "bbr")
    assert holder.read(web).value == "bbr canary=0.1"
    assert len(kernel.open()) == 1


def test_another_process_holds_nothing(tree: CgroupTree, web: Target, kernel: Kernel) -> None:
    CongestionControl(tree.host).write(web, "bbr")
    assert CongestionControl(tree.host).read(web) == State("")


def test_what_somebody_took_off_is_not_held(tree: CgroupTree, web: Target, kernel: Kernel) -> None:
    holder = CongestionControl(tree.host)
    holder.write(web, "bbr")
    kernel.links[0].cgroup_id = 0
    assert holder.read(web) == State("")
    assert kernel.open() == []


@pytest.mark.parametrize("ask", [CongestionControl.read, CongestionControl.identity])
def test_a_cgroup_that_is_gone_takes_its_link_along(
    tree: CgroupTree,
    web: Target,
    kernel: Kernel,
    ask: Callable[[CongestionControl, Target], object],
) -> None:
    holder = CongestionControl(tree.host)
    holder.write(web, "bbr")
    tree.remove_group("/web")
    with pytest.raises(TargetVanishedError):
        ask(holder, web)
    assert kernel.open() == []
    with pytest.raises(TargetVanishedError):
        holder.write(web, "bbr")


def test_a_cgroup_made_anew_is_another(tree: CgroupTree, web: Target) -> None:
    before = CongestionControl(tree.host).identity(web)
    tree.hierarchy("").joinpath("web").rename(tree.hierarchy("") / "kept")
    tree.make_group("/web")
    assert CongestionControl(tree.host).identity(web) != before


def test_a_program_the_kernel_refuses_makes_the_knob_unavailable(
    tree: CgroupTree, web: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Link:
        raise ProbeRejectedError("socket_options.bpf.o", "Permission denied", "it needs CAP_BPF")

    monkeypatch.setattr(socket_options, "attach", refuse)
    with pytest.raises(KnobUnavailableError, match="needs CAP_BPF"):
        CongestionControl(tree.host).write(web, "bbr")


@pytest.mark.parametrize("value", ["dctcp", "dctcp canary=0.1"])
def test_an_algorithm_that_is_not_loaded_is_told_before_it_is_written(
    tree: CgroupTree, web: Target, value: str
) -> None:
    with pytest.raises(KnobUnavailableError, match="modprobe tcp_dctcp"):
        CongestionControl(tree.host).canonical(web, value)


def test_nothing_is_the_canonical_form_of_nothing(tree: CgroupTree, web: Target) -> None:
    assert CongestionControl(tree.host).canonical(web, "") == ""


def test_it_says_what_is_missing(
    tree: CgroupTree, web: Target, kernel: Kernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    holder = CongestionControl(tree.host)
    assert "no cgroup /gone" in holder.unavailable(Target("cgroup", "/gone"))
    monkeypatch.setattr(socket_options, "missing", lambda: "not built")
    assert holder.unavailable(web) == "not built"
    v1 = CgroupTree(tmp_path / "v1", "v1")
    assert "no cgroup v2" in CongestionControl(v1.host).unavailable(v1.make_group("/web"))


def test_counts_are_of_what_is_held(tree: CgroupTree, web: Target, kernel: Kernel) -> None:
    holder = CongestionControl(tree.host)
    assert holder.counters(web) == {}
    holder.write(web, "bbr")
    kernel.links[0].seen = OptionCounts(5, 1, 2, 3, 0, 0)
    assert holder.counters(web) == {
        "taken": 5,
        "own_choice": 1,
        "too_near": 2,
        "outside_canary": 3,
        "failed": 0,
        "last_error": 0,
    }


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (NOTHING, ""),
        (OptionCounts(5, 0, 0, 0, 3, errno.EPERM), ""),
        (OptionCounts(0, 0, 0, 0, 3, errno.ENOENT), "on 3 connections: No such file"),
    ],
)
def test_a_kernel_that_refuses_every_connection_contradicts_the_value(
    tree: CgroupTree, web: Target, kernel: Kernel, seen: OptionCounts, why: str
) -> None:
    holder = CongestionControl(tree.host)
    holder.write(web, "bbr")
    kernel.links[0].seen = seen
    assert why in holder.contradiction(web, "bbr")
    assert bool(why) == bool(holder.contradiction(web, "bbr"))


def test_the_paste_able_undo_is_a_remark(tree: CgroupTree, web: Target) -> None:
    (line,) = CongestionControl(tree.host).commands(web, State(""))
    assert line.startswith("# ")
