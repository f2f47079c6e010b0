# SPDX-License-Identifier: MIT
from __future__ import annotations

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from fakes.btf import BtfBuilder, scheduler_types
from resonance_bpf.btf import Btf
from resonance_bpf.errors import ProbeUnsupportedError

WHOLE = scheduler_types().data()
NAMES = st.text("abcdefgh_", min_size=1, max_size=8)


@given(
    st.lists(st.tuples(NAMES, st.sampled_from([1, 2, 4, 8])), min_size=1, unique_by=lambda m: m[0])
)
def test_every_member_is_found_where_it_was_put(members: list[tuple[str, int]]) -> None:
    kernel, offset, placed = BtfBuilder(), 0, []
    for name, size in members:
        placed.append((name, kernel.integer(f"u{size}", size), offset * 8))
        offset += size
    kernel.structure("packed", offset, placed)
    btf = Btf(kernel.data())
    for (name, size), (_, _, bits) in zip(members, placed, strict=True):
        found = btf.member(f"packed.{name}")
        assert (found.offset_bits, found.size_bytes) == (bits, size)


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=1))))
def test_a_damaged_file_is_read_or_refused_but_never_breaks_us(
    damages: list[tuple[int, bytes]],
) -> None:
    data = bytearray(WHOLE)
    for position, byte in damages:
        data[position : position + 1] = byte
    with suppress(ProbeUnsupportedError):
        btf = Btf(bytes(data))
        for path in ("task_struct.sched_info.last_queued", "task_struct.comm", "flags.high"):
            btf.has_member(path)
        btf.tracepoint("sched_switch")
        btf.enum_value("wide", "HUGE")
