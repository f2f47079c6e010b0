# SPDX-License-Identifier: MIT
from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterator

import pytest

from fakes.programs import host_library
from resonance_bpf.catalogue import (
    OTHER_SLOT,
    SLOT_PROBES,
    SLOT_TABLE,
    SLOTS,
    map_bytes,
    slot_table_position,
)
from resonance_bpf.slot_table import SlotTable


@pytest.fixture
def descriptor() -> Iterator[int]:
    """Memory of the size of the map."""
    memory = os.memfd_create("cgroup_slots")
    os.ftruncate(memory, map_bytes("cgroup_slots", 1))
    yield memory
    os.close(memory)


class Programs:
    """What the programs find in the same memory."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, 0)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))

    def slot_of(self, cgroup_id: int) -> int:
        slot: int = host_library().host_slot_of(self._address, cgroup_id)
        return slot


@pytest.fixture
def table(descriptor: int) -> SlotTable:
    return SlotTable(descriptor)


@pytest.fixture
def programs(descriptor: int) -> Programs:
    return Programs(descriptor)


def test_the_programs_find_each_cgroup_in_the_slot_it_was_given(
    table: SlotTable, programs: Programs
) -> None:
    ids = {slot: 1_000_003 * slot + (slot << 33) for slot in range(1, SLOTS)}
    for slot, cgroup_id in ids.items():
        assert table.assign(slot, cgroup_id)
    assert {slot: programs.slot_of(cgroup_id) for slot, cgroup_id in ids.items()} == {
        slot: slot for slot in ids
    }


def test_an_unassigned_cgroup_is_counted_as_other(table: SlotTable, programs: Programs) -> None:
    assert table.assign(5, 4_711)
    assert programs.slot_of(4_712) == OTHER_SLOT


def test_a_released_cgroup_is_counted_as_other_and_the_rest_stay(
    table: SlotTable, programs: Programs
) -> None:
    first, second = _neighbours(2)
    assert table.assign(1, first)
    assert table.assign(2, second)
    table.release(first)
    assert (programs.slot_of(first), programs.slot_of(second)) == (OTHER_SLOT, 2)


def test_a_cgroup_that_is_assigned_anew_is_in_its_new_slot_only(
    table: SlotTable, programs: Programs
) -> None:
    first, second = _neighbours(2)
    assert table.assign(1, first)
    assert table.assign(2, second)
    table.release(first)
    assert table.assign(3, second)
    assert programs.slot_of(second) == 3
    table.release(second)
    assert programs.slot_of(second) == OTHER_SLOT


def test_where_all_cells_of_a_hash_are_taken_it_says_no_and_changes_nothing(
    table: SlotTable, programs: Programs
) -> None:
    ids = _neighbours(SLOT_PROBES + 1)
    for slot, cgroup_id in enumerate(ids[:-1], 1):
        assert table.assign(slot, cgroup_id)
    assert not table.assign(9, ids[-1])
    assert [programs.slot_of(cgroup_id) for cgroup_id in ids] == [1, 2, 3, 4, OTHER_SLOT]


def test_a_hash_at_the_end_of_the_table_goes_on_at_its_start(
    table: SlotTable, programs: Programs
) -> None:
    last = [
        cgroup_id
        for cgroup_id in range(1, 100_000)
        if slot_table_position(cgroup_id) == SLOT_TABLE - 1
    ][:SLOT_PROBES]
    for slot, cgroup_id in enumerate(last, 1):
        assert table.assign(slot, cgroup_id)
    assert [programs.slot_of(cgroup_id) for cgroup_id in last] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("slot", "cgroup_id"), [(OTHER_SLOT, 1), (SLOTS, 1), (-1, 1), (1, 0), (1, -7)]
)
def test_what_is_no_slot_or_no_cgroup_is_refused(
    slot: int, cgroup_id: int, table: SlotTable
) -> None:
    with pytest.raises(ValueError, match="out of range"):
        table.assign(slot, cgroup_id)


def _neighbours(count: int) -> list[int]:
    """Return cgroup ids that hash to one cell."""
    position = slot_table_position(1)
    same = (number for number in range(1, 100_000) if slot_table_position(number) == position)
    return [next(same) for _ in range(count)]
