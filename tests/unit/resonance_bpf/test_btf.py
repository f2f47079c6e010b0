# SPDX-License-Identifier: MIT
from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from fakes.btf import BtfBuilder, scheduler_types
from resonance_bpf.btf import KERNEL_BTF, Btf, Integer, Member
from resonance_bpf.errors import ProbeUnsupportedError

OUR_MEMBERS = (
    ("task_struct", "pid"),
    ("task_struct", "sched_info"),
    ("task_struct", "cgroups"),
    ("sched_info", "last_queued"),
    ("cfs_rq", "rq"),
    ("rq", "clock"),
    ("kernfs_node", "id"),
    ("sock", "sk_protocol"),
    ("tcp_sock", "srtt_us"),
)


@pytest.fixture
def small() -> Btf:
    return Btf(scheduler_types().data(), "small")


def _typedef_of_itself() -> bytes:
    kernel = BtfBuilder()
    kernel.typedef("loop", 1)
    kernel.structure("holder", 8, [("member", 1, 0)])
    return kernel.data()


def test_a_structure_has_its_size(small: Btf) -> None:
    assert (small.size_of("task_struct"), small.size_of("rq")) == (128, 64)


@pytest.mark.parametrize(
    ("path", "offset_bytes", "size_bytes"),
    [
        ("task_struct.pid", 4, 4),
        ("task_struct.sched_info", 32, 16),
        ("task_struct.sched_info.last_queued", 40, 8),
        ("task_struct.half", 56, 4),
        ("task_struct.rq", 64, 8),
        ("task_struct.comm", 72, 16),
    ],
)
def test_a_member_is_found_where_c_finds_it(
    small: Btf, path: str, offset_bytes: int, size_bytes: int
) -> None:
    member = small.member(path)
    assert (member.offset_bytes, member.size_bytes) == (offset_bytes, size_bytes)
    assert member.bitfield_bits == 0


def test_a_bit_field_has_its_first_bit_and_width(small: Btf) -> None:
    high = small.member("flags.high")
    assert high == Member(type_id=high.type_id, offset_bits=3, size_bytes=4, bitfield_bits=5)


def test_a_member_behind_a_pointer_is_not_part_of_the_structure(small: Btf) -> None:
    assert not small.has_member("task_struct.rq.clock")


def test_what_is_missing_is_named(small: Btf) -> None:
    with pytest.raises(ProbeUnsupportedError, match=r"sched_info\.gone: .*\(gone\)"):
        small.member("task_struct.sched_info.gone")
    with pytest.raises(ProbeUnsupportedError, match="cfs_rq: this kernel has no such structure"):
        small.size_of("cfs_rq")


def test_a_name_is_not_found_inside_a_longer_one(small: Btf) -> None:
    with pytest.raises(ProbeUnsupportedError):
        small.size_of("struct")


def test_enumerators_keep_their_sign_and_width(small: Btf) -> None:
    assert small.enum_value("state", "SLEEPING") == -1
    assert small.enum_value("wide", "HUGE") == 1 << 40
    with pytest.raises(ProbeUnsupportedError, match=r"state\.GONE"):
        small.enum_value("state", "GONE")
    with pytest.raises(ProbeUnsupportedError, match="no such enumeration"):
        small.enum_value("gone", "GONE")


def test_a_tracepoint_has_its_arguments_without_the_cookie(small: Btf) -> None:
    assert small.tracepoint("sched_switch") == ("_Bool", "struct task_struct *")
    assert small.tracepoint("sched_wakeup") is None


def test_types_are_spelt_as_in_c(small: Btf) -> None:
    spellings = [
        small.spelling(small.member(f"task_struct.{name}").type_id)
        for name in ("pid", "sched_info", "rq", "comm", "whole")
    ]
    assert spellings == ["pid_t", "struct sched_info", "struct rq *", "char[16]", "u64"]


def test_integers_are_told_from_other_types(small: Btf) -> None:
    assert small.integer(small.member("task_struct.pid").type_id) == Integer(4, is_signed=True)
    assert small.integer(small.member("task_struct.rq").type_id) is None


def test_an_absent_file_says_what_the_kernel_lacks(tmp_path: Path) -> None:
    with pytest.raises(ProbeUnsupportedError, match="CONFIG_DEBUG_INFO_BTF"):
        Btf.from_file(tmp_path / "vmlinux")


@pytest.mark.parametrize("data", [b"", b"\x7fELF" + bytes(60), b"\xeb\x9f" + bytes(60)])
def test_what_is_not_btf_is_refused(data: bytes) -> None:
    with pytest.raises(ProbeUnsupportedError, match="cannot be read as BTF"):
        Btf(data)


def test_every_truncation_is_refused() -> None:
    whole = scheduler_types().data()
    for length in range(len(whole)):
        with pytest.raises(ProbeUnsupportedError):
            Btf(whole[:length])


def test_an_endless_type_is_refused() -> None:
    with pytest.raises(ProbeUnsupportedError, match="endless"):
        Btf(_typedef_of_itself()).member("holder.member.more")


def test_the_digest_tells_two_kernels_apart(small: Btf) -> None:
    assert small.digest == Btf(scheduler_types().data()).digest
    assert small.digest != Btf(_typedef_of_itself()).digest


@pytest.mark.skipif(
    not (KERNEL_BTF.exists() and shutil.which("bpftool")), reason="needs BTF and bpftool"
)
def test_the_running_kernel_is_read_as_bpftool_reads_it() -> None:
    command = ["bpftool", "--json", "btf", "dump", "file", str(KERNEL_BTF)]
    dumped = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["types"]
    structures = {}
    for record in dumped:
        if record["kind"] == "STRUCT":
            structures.setdefault(record["name"], record)
    kernel = Btf.from_file()
    for structure, name in OUR_MEMBERS:
        members = {member["name"]: member for member in structures[structure]["members"]}
        assert kernel.size_of(structure) == structures[structure]["size"]
        assert kernel.member(f"{structure}.{name}").offset_bits == members[name]["bits_offset"]
