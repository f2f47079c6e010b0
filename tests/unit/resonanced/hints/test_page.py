# SPDX-License-Identifier: MIT
from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fakes.snapshots import OTHER, WEB, snapshot
from resonanced.errors import StartError
from resonanced.hints.page import HEADER, MAGIC, RECORD, PageWriter
from resonanced.hints.settings import HintsSettings
from resonanced.model import PolicyMode

SETTINGS = HintsSettings()
SIZE = 128 + 64 * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hints.page"


@pytest.fixture
def writer(path: Path) -> Iterator[PageWriter]:
    writer = PageWriter(path, SETTINGS, "v2")
    yield writer
    writer.close()


def header(path: Path) -> np.void:
    return np.frombuffer(path.read_bytes(), HEADER, 1)[0]


def records(path: Path) -> np.ndarray:
    return np.frombuffer(path.read_bytes(), RECORD, 64, HEADER.itemsize)


def test_offsets_are_those_of_the_document() -> None:
    offsets = {name: HEADER.fields[name][1] for name in HEADER.names}
    assert offsets == {
        "magic": 0,
        "layout_version": 8,
        "header_bytes": 12,
        "record_bytes": 16,
        "slot_count": 20,
        "instance": 24,
        "valid_for_ns": 32,
        "hierarchy": 40,
        "pad0": 44,
        "sequence": 64,
        "monotonic_ns": 72,
        "slots_generation": 80,
        "policy_ceiling": 88,
        "pad1": 92,
    }
    assert {name: RECORD.fields[name][1] for name in RECORD.names} == {
        "cgroup_id": 0,
        "generation": 8,
        "flags": 12,
        "pressure": 16,
        "pad": 24,
    }
    assert (HEADER.itemsize, RECORD.itemsize) == (128, 32)


def test_a_new_page_is_whole_and_says_what_it_is(writer: PageWriter, path: Path) -> None:
    assert path.stat().st_size == SIZE
    head = header(path)
    assert (head["magic"], head["layout_version"], head["slot_count"]) == (MAGIC, 1, 64)
    assert (head["valid_for_ns"], head["hierarchy"]) == (500_000_000, 1)
    assert head["monotonic_ns"] == 0
    assert np.isnan(records(path)["pressure"]).all()


def test_only_owner_and_group_may_read_and_only_the_owner_write(
    writer: PageWriter, path: Path
) -> None:
    assert path.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in path.parent.iterdir()] == ["hints.page"]


def test_a_write_says_who_waits_how_much(writer: PageWriter, path: Path) -> None:
    fresh = snapshot()
    writer.write(12_345, fresh.slots, fresh.pressure)
    head, web = header(path), records(path)[WEB.index]
    assert (head["sequence"], head["monotonic_ns"], head["slots_generation"]) == (2, 12_345, 1)
    assert web["cgroup_id"] == WEB.cgroup_id
    assert (web["generation"], web["flags"], web["pressure"]) == (WEB.generation, 1, 0.25)
    assert records(path)[OTHER.index]["flags"] == 1
    assert records(path)["flags"].sum() == 2


def test_a_slot_that_lost_its_owner_is_empty(writer: PageWriter, path: Path) -> None:
    fresh = snapshot()
    writer.write(1, fresh.slots, fresh.pressure)
    writer.write(2, (OTHER,), fresh.pressure)
    web = records(path)[WEB.index]
    assert (web["cgroup_id"], web["flags"]) == (0, 0)
    assert header(path)["slots_generation"] == 2


def test_equal_slots_in_another_tuple_are_no_change(writer: PageWriter, path: Path) -> None:
    fresh = snapshot()
    for _ in range(3):
        writer.write(1, (*fresh.slots,), fresh.pressure)
    assert header(path)["slots_generation"] == 1


def test_closing_removes_the_page_and_expires_what_is_mapped(path: Path) -> None:
    writer = PageWriter(path, SETTINGS, "v2")
    writer.write(time.monotonic_ns(), snapshot().slots, snapshot().pressure)
    with path.open("rb") as file:
        memory = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    writer.close()
    assert not path.exists()
    sequence, monotonic_ns = struct.unpack_from("<QQ", memory, 64)
    assert (sequence % 2, monotonic_ns) == (0, 0)


def test_closing_leaves_the_page_of_a_successor(path: Path) -> None:
    old = PageWriter(path, SETTINGS, "v2")
    new = PageWriter(path, SETTINGS, "v2")
    old.close()
    assert path.exists()
    new.close()
    assert not path.exists()


def test_each_page_is_another_instance(path: Path) -> None:
    instances = set()
    for _ in range(3):
        writer = PageWriter(path, SETTINGS, "v1-cpu")
        instances.add(int(header(path)["instance"]))
        writer.close()
    assert len(instances) == 3


def test_a_directory_that_is_not_there_is_an_error_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="cannot be made: No such file"):
        PageWriter(tmp_path / "missing" / "hints.page", SETTINGS, "v2")


def test_readers_are_seen_by_their_lock(writer: PageWriter, path: Path) -> None:
    assert not writer.has_readers()
    lock = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
    with path.open("rb") as one, path.open("rb") as two:
        fcntl.fcntl(one, fcntl.F_OFD_SETLK, lock)
        fcntl.fcntl(two, fcntl.F_OFD_SETLK, lock)
        assert writer.has_readers()
    assert not writer.has_readers()


def test_a_reader_cannot_write(writer: PageWriter, path: Path) -> None:
    with path.open("rb") as file:
        with pytest.raises(PermissionError):
            mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        memory = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    with pytest.raises(TypeError):
        memory[64] = 1


def test_a_write_that_failed_does_not_spoil_the_next(writer: PageWriter, path: Path) -> None:
    fresh = snapshot()
    with pytest.raises(ValueError, match="broadcast"):
        writer.write(1, fresh.slots, np.zeros(3))
    writer.write(2, fresh.slots, fresh.pressure)
    assert header(path)["sequence"] % 2 == 0
    assert records(path)[WEB.index]["pressure"] == 0.25


@pytest.mark.parametrize(("mode", "number"), [("observe", 1), ("advise", 2), ("active", 3)])
def test_a_new_page_says_what_is_configured(tmp_path: Path, mode: PolicyMode, number: int) -> None:
    path = tmp_path / "configured.page"
    writer = PageWriter(path, SETTINGS, "v2", mode)
    assert header(path)["policy_ceiling"] == number
    writer.close()


def test_the_policy_ceiling_is_there_at_once_and_touches_nothing_else(
    writer: PageWriter, path: Path
) -> None:
    before = path.read_bytes()
    writer.say_policy_ceiling("observe")
    after = path.read_bytes()
    assert after == before[:88] + b"\x01\0\0\0" + before[92:]
    fresh = snapshot()
    writer.write(fresh.monotonic_ns, fresh.slots, fresh.pressure)
    assert header(path)["policy_ceiling"] == 1


def test_without_room_for_it_there_is_an_error_and_no_death_by_sigbus_later(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_file: int, _offset: int, size: int) -> None:
        assert size == SIZE
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", fail)
    with pytest.raises(StartError, match="No space left on device"):
        PageWriter(path, SETTINGS, "v2")
    assert list(path.parent.iterdir()) == []
