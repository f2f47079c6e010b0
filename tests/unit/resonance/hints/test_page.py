# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from fakes.snapshots import OTHER, WEB
from resonance.hints import _page
from resonance.hints._page import PageReader
from resonanced.hints.page import PageWriter
from resonanced.hints.settings import HintsSettings
from resonanced.model import Slot

SETTINGS = HintsSettings(valid_for_seconds=60.0)
OWN, NEIGHBOUR = 4711, 4712
NUMBERS = {None: OWN, "/web": OWN, "/neighbour": NEIGHBOUR}


def slots(*, web: int = 3) -> tuple[Slot, ...]:
    return (OTHER, Slot(web, 1, WEB.cgroup, OWN))


def pressures(**slot_pressures: float) -> np.ndarray:
    pressure = np.full(64, np.nan)
    for slot, value in slot_pressures.items():
        pressure[int(slot.removeprefix("slot"))] = value
    return pressure


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hints.page"


@pytest.fixture
def numbers(monkeypatch: pytest.MonkeyPatch) -> dict[str | None, int]:
    """Numbers of cgroups as the kernel would tell them; the test may change them."""
    numbers = dict(NUMBERS)
    monkeypatch.setattr(_page, "cgroup_id", lambda _, cgroup: numbers.get(cgroup))
    monkeypatch.setattr(_page, "_LOOK_AGAIN_NS", 0)
    return numbers


@pytest.fixture
def writer(path: Path, numbers: object) -> Iterator[PageWriter]:
    writer = PageWriter(path, SETTINGS, "v2")
    writer.write(time.monotonic_ns(), slots(), pressures(slot0=0.5, slot3=0.25))
    yield writer
    writer.close()


@pytest.fixture
def reader(path: Path, numbers: object) -> Iterator[PageReader]:
    reader = PageReader(path)
    yield reader
    reader.close()


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_pressure_of_this_process_of_a_path_and_of_all_others(
    writer: PageWriter, reader: PageReader
) -> None:
    for _ in range(3):
        assert (reader.pressure(), reader.pressure("/web")) == (0.25, 0.25)
        assert reader.pressure("other") == 0.5
    assert reader.reason == ""


def test_each_write_is_seen(writer: PageWriter, reader: PageReader) -> None:
    for value in (0.1, 0.2, 0.3):
        writer.write(time.monotonic_ns(), slots(), pressures(slot3=value))
        assert reader.pressure() == value


def test_pressure_that_is_not_known_is_none(writer: PageWriter, reader: PageReader) -> None:
    assert reader.pressure() == 0.25
    writer.write(time.monotonic_ns(), slots(), pressures())
    assert reader.pressure() is None
    assert reader.pressure("/web") is None
    assert reader.reason == "not measured yet"


def test_a_stale_value_is_none_and_not_bad(writer: PageWriter, reader: PageReader) -> None:
    assert reader.pressure() == 0.25
    writer.write(time.monotonic_ns() - 61 * 10**9, slots(), pressures(slot3=1.0))
    assert reader.pressure() is None
    assert "stopped writing" in reader.reason
    writer.write(time.monotonic_ns(), slots(), pressures(slot3=0.5))
    assert reader.pressure() == 0.5


def test_a_reading_from_the_future_is_none(writer: PageWriter, reader: PageReader) -> None:
    writer.write(time.monotonic_ns() + 10**12, slots(), pressures(slot3=1.0))
    assert reader.pressure() is None


def test_a_cgroup_without_a_slot_is_none(writer: PageWriter, reader: PageReader) -> None:
    assert reader.pressure("/neighbour") is None
    assert reader.reason == "/neighbour: has no slot"
    assert reader.pressure("/gone") is None
    assert reader.reason == "/gone: not seen here"
    assert not writer.has_readers()


def test_asking_for_ever_new_cgroups_does_not_fill_the_memory(
    writer: PageWriter, reader: PageReader
) -> None:
    for number in range(3_000):
        assert reader.pressure(f"/gone/{number}") is None
    assert len(reader._absent) <= 1_024


def test_a_cgroup_is_found_once_it_gets_a_slot(writer: PageWriter, reader: PageReader) -> None:
    assert reader.pressure("/neighbour") is None
    both = (*slots(), Slot(9, 1, "/neighbour", NEIGHBOUR))
    writer.write(time.monotonic_ns(), both, pressures(slot9=0.75))
    assert reader.pressure("/neighbour") == 0.75


def test_a_slot_given_to_another_never_speaks_for_its_last_owner(
    writer: PageWriter, reader: PageReader
) -> None:
    assert reader.pressure() == 0.25
    taken = (OTHER, Slot(3, 2, "/neighbour", NEIGHBOUR))
    writer.write(time.monotonic_ns(), taken, pressures(slot3=1.0))
    assert reader.pressure() is None
    writer.write(time.monotonic_ns(), slots(web=5), pressures(slot3=1.0, slot5=0.125))
    assert reader.pressure() == 0.125


def test_a_process_that_moves_is_followed(
    writer: PageWriter, reader: PageReader, numbers: dict[str | None, int]
) -> None:
    both = (*slots(), Slot(9, 1, "/neighbour", NEIGHBOUR))
    writer.write(time.monotonic_ns(), both, pressures(slot3=0.25, slot9=0.75))
    assert reader.pressure() == 0.25
    numbers[None] = NEIGHBOUR
    eventually(lambda: reader.pressure() == 0.75)


def test_no_page_is_none_until_there_is_one(reader: PageReader, path: Path) -> None:
    assert reader.pressure() is None
    assert reader.reason == f"{path}: no daemon here; start `resonanced run`"
    writer = PageWriter(path, SETTINGS, "v2")
    writer.write(time.monotonic_ns(), slots(), pressures(slot3=0.25))
    assert reader.pressure() == 0.25
    writer.close()


def test_a_restarted_daemon_is_found(reader: PageReader, path: Path) -> None:
    writer = PageWriter(path, SETTINGS, "v2")
    writer.write(time.monotonic_ns(), slots(), pressures(slot3=0.25))
    assert reader.pressure() == 0.25
    writer.close()
    assert reader.pressure() is None
    again = PageWriter(path, SETTINGS, "v2")
    again.write(time.monotonic_ns(), slots(), pressures(slot3=0.75))
    assert reader.pressure() == 0.75
    assert again.has_readers()
    again.close()


def test_a_killed_daemons_successor_is_found(
    writer: PageWriter, reader: PageReader, path: Path
) -> None:
    assert reader.pressure() == 0.25
    successor = PageWriter(path, SETTINGS, "v2")
    successor.write(time.monotonic_ns(), slots(), pressures(slot3=0.75))
    writer.write(1, slots(), pressures(slot3=0.25))  # what is left of the dead one grows old
    assert reader.pressure() == 0.75
    successor.close()


def rewrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


@pytest.mark.parametrize(
    ("offset", "data", "reason"),
    [
        (0, b"SOMEFILE", "not a page of resonanced"),
        (8, struct.pack("<I", 2), "layout version 2, this SDK reads 1; update the older"),
        (12, struct.pack("<I", 8), "not a whole page"),
        (16, struct.pack("<I", 1), "not a whole page"),
        (12, struct.pack("<III", 256, 16, 8), "not a whole page"),
        (20, struct.pack("<I", 1_000_000), "not a whole page"),
        (40, struct.pack("<I", 77), "update the older"),
    ],
)
def test_what_is_no_page_of_ours_is_none(
    writer: PageWriter, reader: PageReader, path: Path, offset: int, data: bytes, reason: str
) -> None:
    rewrite(path, offset, data)
    assert reader.pressure() is None
    assert reason in reader.reason


@pytest.mark.parametrize("content", [b"", b"RESNPAGE", b"\0" * 4096])
def test_a_broken_file_is_none(reader: PageReader, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert reader.pressure() is None
    assert "not a page" in reader.reason


def test_what_is_no_file_is_none(reader: PageReader, path: Path) -> None:
    path.mkdir()
    assert reader.pressure() is None
    assert reader.reason
    path.rmdir()
    path.symlink_to("/etc/passwd")
    assert reader.pressure() is None


def test_longer_headers_and_records_of_a_later_daemon_are_read(
    reader: PageReader, path: Path
) -> None:
    head = struct.pack("<8sIIIIQQI", b"RESNPAGE", 1, 192, 64, 2, 1, 60 * 10**9, 1)
    moment = struct.pack("<QQQ", 2, time.monotonic_ns(), 1)
    other, web = (struct.pack("<QIId", number, 1, 1, 0.25) for number in (0, OWN))
    path.write_bytes(
        head.ljust(64, b"\0")
        + moment.ljust(128, b"\0")
        + other.ljust(64, b"\0")
        + web.ljust(64, b"\0")
    )
    assert reader.pressure() == 0.25


def test_a_write_that_never_ends_is_none(
    writer: PageWriter, reader: PageReader, path: Path
) -> None:
    assert reader.pressure() == 0.25
    rewrite(path, 64, struct.pack("<Q", 7))
    assert reader.pressure() is None


def test_readers_are_seen_while_they_read_and_not_for_long_after(
    writer: PageWriter, reader: PageReader
) -> None:
    assert not writer.has_readers()
    assert reader.pressure() == 0.25
    assert writer.has_readers()
    eventually(lambda: not writer.has_readers())
    assert reader.pressure() == 0.25
    assert writer.has_readers()


def test_the_lock_is_kept_while_reads_come(writer: PageWriter, reader: PageReader) -> None:
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        assert reader.pressure() == 0.25
        assert writer.has_readers()
        time.sleep(0.05)


def test_a_closed_reader_knows_nothing_and_holds_nothing(
    writer: PageWriter, reader: PageReader
) -> None:
    assert reader.pressure() == 0.25
    reader.close()
    assert reader.pressure() is None
    assert reader.reason == "closed"
    assert not writer.has_readers()
    reader.close()


def test_many_threads_read_one_page(writer: PageWriter, reader: PageReader) -> None:
    seen: set[float | None] = set()

    def read() -> None:
        seen.update(reader.pressure(cgroup) for cgroup in (None, "/web") for _ in range(2_000))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {0.25}


def in_child(function: Callable[[], bool]) -> bool:
    child = os.fork()
    if child == 0:
        os._exit(0 if function() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_forked_child_reads_on(writer: PageWriter, reader: PageReader) -> None:
    assert reader.pressure() == 0.25
    assert in_child(lambda: reader.pressure() == 0.25)
    assert reader.pressure() == 0.25


def test_a_forked_child_neither_takes_nor_keeps_its_parents_lock(
    writer: PageWriter, reader: PageReader
) -> None:
    assert reader.pressure() == 0.25
    leave, stay = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(stay)
        os.read(leave, 1)
        os._exit(0)
    assert writer.has_readers()
    reader.close()
    assert not writer.has_readers()
    os.close(stay)
    os.close(leave)
    os.waitpid(child, 0)


def test_a_forked_child_of_a_closed_reader_stays_closed(
    writer: PageWriter, reader: PageReader
) -> None:
    reader.close()
    assert in_child(lambda: reader.pressure() is None)


def test_nothing_is_left_open(writer: PageWriter, path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        reader = PageReader(path)
        assert reader.pressure() == 0.25
        reader.close()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("wrong", [True, b"/web", 1.5])
def test_a_cgroup_that_is_neither_path_nor_number_is_a_mistake_of_the_program(
    writer: PageWriter, reader: PageReader, wrong: object
) -> None:
    with pytest.raises(TypeError, match="cgroup"):
        reader.pressure(wrong)  # type: ignore[arg-type]


def test_a_cgroup_is_found_by_its_number(writer: PageWriter, reader: PageReader) -> None:
    assert reader.pressure(OWN) == 0.25
    assert reader.pressure(NEIGHBOUR) is None
    assert reader.reason == f"{NEIGHBOUR}: has no slot"


def test_a_reading_comes_with_its_time(writer: PageWriter, reader: PageReader) -> None:
    at_ns = time.monotonic_ns() - 10**9
    writer.write(at_ns, slots(), pressures(slot3=0.75))
    assert reader.reading(OWN) == (0.75, at_ns)
    assert reader.reading("/neighbour") is None


def test_what_policies_may_do_is_what_was_said_last(writer: PageWriter, reader: PageReader) -> None:
    for mode in ("observe", "advise", "active"):
        writer.say_policy_ceiling(mode)
        assert reader.policy_ceiling() == mode


def test_asking_what_policies_may_do_does_not_make_the_daemon_write_more_often(
    writer: PageWriter, reader: PageReader
) -> None:
    assert reader.policy_ceiling() == "active"
    assert not writer.has_readers()
    assert reader._thread is None


def test_without_a_page_nobody_has_said_what_policies_may_do(
    reader: PageReader, path: Path
) -> None:
    assert reader.policy_ceiling() is None
    writer = PageWriter(path, SETTINGS, "v2", "advise")
    assert reader.policy_ceiling() == "advise"
    writer.close()


@pytest.mark.parametrize("number", [0, 4, 2**32 - 1])
def test_an_older_daemon_and_a_newer_word_say_nothing(
    writer: PageWriter, reader: PageReader, path: Path, number: int
) -> None:
    rewrite(path, 88, struct.pack("<I", number))
    assert reader.policy_ceiling() is None


def test_what_an_operator_switched_off_stays_off_when_the_daemon_goes(
    writer: PageWriter, reader: PageReader, path: Path
) -> None:
    writer.write(time.monotonic_ns(), slots(), pressures())
    writer.say_policy_ceiling("observe")
    assert reader.policy_ceiling() == "observe"
    writer.write(1, slots(), pressures())  # the daemon was killed, and its page grows old
    assert reader.policy_ceiling() == "observe"
    path.unlink()
    assert reader.policy_ceiling() == "observe"
    path.write_bytes(b"broken")
    assert reader.policy_ceiling() == "observe"


def test_a_new_daemon_says_otherwise(writer: PageWriter, reader: PageReader, path: Path) -> None:
    writer.say_policy_ceiling("observe")
    assert reader.policy_ceiling() == "observe"
    successor = PageWriter(path, SETTINGS, "v2", "advise")
    successor.write(time.monotonic_ns(), slots(), pressures())
    writer.write(1, slots(), pressures())
    assert reader.policy_ceiling() == "advise"
    successor.close()


def test_a_stale_page_of_a_killed_daemon_still_has_its_word(
    writer: PageWriter, reader: PageReader
) -> None:
    writer.say_policy_ceiling("observe")
    writer.write(1, slots(), pressures())
    assert reader.policy_ceiling() == "observe"
    assert reader.pressure() is None


def test_a_forked_child_knows_what_policies_may_do(
    writer: PageWriter, reader: PageReader, path: Path
) -> None:
    writer.say_policy_ceiling("observe")
    assert reader.policy_ceiling() == "observe"
    path.unlink()
    assert in_child(lambda: reader.policy_ceiling() == "observe")


def test_a_closed_reader_does_not_know_what_policies_may_do(
    writer: PageWriter, reader: PageReader
) -> None:
    assert reader.policy_ceiling() == "active"
    reader.close()
    assert reader.policy_ceiling() is None
