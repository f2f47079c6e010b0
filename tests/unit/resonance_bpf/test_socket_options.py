# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from resonance_bpf import socket_options, syscalls
from resonance_bpf.errors import ProbeUnsupportedError, ToolchainError
from resonance_bpf.socket_options import (
    TCP_CONGESTION,
    OptionCounts,
    SocketOption,
    SocketOptionLink,
    attach,
    missing,
)

SOURCE = Path(socket_options.__file__).parent / "programs" / "socket_options.bpf.c"
BYTES = {"u32": 4, "u64": 8, "char": 1}


@pytest.fixture
def no_btf(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(socket_options, "_BTF", tmp_path / "vmlinux")


@pytest.fixture
def ends() -> Iterator[list[int]]:
    descriptors = [os.open(os.devnull, os.O_RDONLY) for _ in range(2)]
    yield descriptors
    for descriptor in descriptors:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


def fields(structure: str) -> list[tuple[str, str, int]]:
    body = re.search(
        rf"struct {structure} {{(.*?)\n}};", SOURCE.read_text(encoding="utf-8"), re.DOTALL
    )
    assert body
    found = re.findall(r"(u32|u64|char) (\w+)(?:\[(\d+)\])?;", body[1])
    return [(name, kind, int(length or 1)) for kind, name, length in found]


def test_the_option_is_packed_as_the_program_declares_it() -> None:
    size = sum(BYTES[kind] * length for _, kind, length in fields("rs_socket_option"))
    option = SocketOption(TCP_CONGESTION, "bbr", canary_ratio=0.25, min_rtt_seconds=0.002)
    assert len(option.pack()) == size
    expected = struct.pack("=II16sQII", 13, 0, b"bbr", 1 << 30, 2000, 0)
    assert option.pack() == expected


def test_a_full_share_is_more_than_any_draw_of_32_bits() -> None:
    assert SocketOption(TCP_CONGESTION, "bbr").pack()[24:32] == (1 << 32).to_bytes(8, "little")


def test_the_counts_are_named_in_the_order_of_the_program() -> None:
    names = [name for name, _, _ in fields("rs_option_counts")]
    assert list(OptionCounts(*range(6)).as_dict()) == names
    assert list(OptionCounts(*range(6)).as_dict().values()) == list(range(6))


def test_a_closed_link_lets_go_of_both_descriptors_once(ends: list[int]) -> None:
    link = SocketOptionLink(*ends)
    link.close()
    link.close()


def test_where_a_link_is_attached_and_what_it_counted_is_asked_of_the_kernel(
    ends: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syscalls, "cgroup_of_link", {ends[0]: 77}.__getitem__)
    monkeypatch.setattr(syscalls, "map_lookup", lambda fd, key, size: bytes([fd == ends[1]] * size))
    link = SocketOptionLink(*ends)
    assert link.cgroup_id == 77
    assert link.counts().taken == 0x0101_0101_0101_0101
    link.close()


@pytest.mark.usefixtures("no_btf")
def test_without_btf_it_says_so() -> None:
    assert "no BTF" in missing()
    with pytest.raises(ProbeUnsupportedError, match="no BTF"):
        attach(SocketOption(TCP_CONGESTION, "bbr"), "/")


def test_an_object_that_was_not_built_is_told_with_the_way_to_build_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(socket_options, "_BTF", tmp_path)
    monkeypatch.setattr(socket_options.resources, "files", lambda _: tmp_path)
    assert "make bpf" in missing()


def test_a_missing_libbpf_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse() -> None:
        raise ToolchainError("libbpf", "libbpf.so.1 was not found", "install it")

    (tmp_path / "objects").mkdir()
    (tmp_path / "objects" / "socket_options.bpf.o").touch()
    monkeypatch.setattr(socket_options, "_BTF", tmp_path)
    monkeypatch.setattr(socket_options.resources, "files", lambda _: tmp_path)
    monkeypatch.setattr(socket_options, "_library", refuse)
    assert missing() == "libbpf: libbpf.so.1 was not found; install it"
