# SPDX-License-Identifier: MIT
"""Laws of the journal: any prefix is a past, any flipped bit is found, any crash is made good."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.knobs import BOOT_ID, FakeHost, setting
from resonance_tuning import journal as journal_module
from resonance_tuning import journal_file
from resonance_tuning.errors import TuningError
from resonance_tuning.journal import Entry, Journal, read
from resonance_tuning.journal_file import decode, encode
from resonance_tuning.records import Change, Setting, State, Target
from resonance_tuning.tuner import Tuner

TEXT = st.text(alphabet=st.characters(exclude_categories=()), max_size=12)
RAW = st.binary(max_size=12).map(os.fsdecode)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | TEXT | RAW,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
STEPS = st.lists(
    st.sampled_from(["apply", "intend", "undo", "release", "note", "reopen"]), max_size=12
)


@contextmanager
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name) / "journal"


@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_a_record_comes_back_as_it_was(record: dict[str, Any]) -> None:
    line = encode(record)
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert decode(line[:-1]) == record


@given(st.dictionaries(TEXT, VALUES, max_size=4), st.data())
def test_a_flipped_bit_is_always_found(record: dict[str, Any], data: st.DataObject) -> None:
    line = bytearray(encode(record)[:-1])
    bit = data.draw(st.integers(0, len(line) * 8 - 1))
    line[bit // 8] ^= 1 << bit % 8
    assert decode(bytes(line)) is None


def _write_story(place: Path, steps: list[str], prior: str) -> list[list[Entry]]:
    """Write a story into a journal; return what it said after each record."""
    past: list[list[Entry]] = [[]]
    journal = Journal(place, BOOT_ID)
    journal.__enter__()
    for number, step in enumerate(steps):
        if step == "reopen":
            journal.__exit__()
            journal.__enter__()
        past += [journal.entries() for _ in _tell(journal, step, number, prior)]
    journal.__exit__()
    return past


def _tell(journal: Journal, step: str, number: int, prior: str) -> Iterator[None]:
    if step in {"apply", "intend"}:
        yield journal.begin("p", "r") and None
        wanted = Setting("k", Target("cgroup", prior), str(number))
        intent = journal.intent(Change(wanted, "1:2", State(prior), str(number), ""), "boot")
        yield
        if step == "apply":
            yield journal.done(intent, str(number))
    elif step == "note":
        yield journal.note("n", {"prior": prior})
    elif step != "reopen" and journal.live():
        newest = journal.live()[-1].step
        if step == "undo":
            yield journal.undone(newest, "restored", prior)
        else:
            yield journal.released(newest, "", prior)


@given(STEPS, RAW, st.floats(0, 1))
def test_whatever_is_cut_off_the_rest_is_a_past(steps: list[str], prior: str, cut: float) -> None:
    with directory() as place:
        past = _write_story(place, steps, prior)
        (path,) = place.iterdir()
        content = path.read_bytes()
        assert read(place, BOOT_ID).entries() == past[-1]
        left = content[: round(cut * len(content))]  # how long it is depends on the time of day
        path.write_bytes(left)
        lines = left.count(b"\n")
        again = read(place, BOOT_ID)
        assert again.damage is None
        assert again.entries() == past[lines]
        with Journal(place, BOOT_ID) as journal:
            journal.note("after", {})
            assert journal.entries() == past[lines]
        assert read(place, BOOT_ID).damage is None


@given(STEPS, RAW, st.floats(0, 1))
def test_damage_anywhere_hides_no_other_line(steps: list[str], prior: str, where: float) -> None:
    with directory() as place:
        past = _write_story(place, ["apply", *steps], prior)
        (path,) = place.iterdir()
        content = bytearray(path.read_bytes())
        at = round(where * (len(content) - 2))
        at -= content[at] == ord("\n")
        content[at] ^= 0x80
        path.write_bytes(bytes(content))
        again = read(place, BOOT_ID)
        assert again.damage
        assert again.damage.line == bytes(content[:at]).count(b"\n") + 1
        known = {entry.step for entry in again.entries()}
        assert len({entry.step for entry in past[-1]} - known) <= 1


@given(STEPS, st.integers(1, 6))
def test_compaction_forgets_nothing_that_is_live_or_released_of_late(
    steps: list[str], kept: int
) -> None:
    with directory() as place:
        _write_story(place, ["apply", "release", "apply", *steps, "note"], "5")
        before = read(place, BOOT_ID)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(journal_module, "_COMPACT_BYTES", 0)
            patched.setattr(journal_module, "_KEPT_RECORDS", kept)
            with Journal(place, BOOT_ID) as journal:
                assert journal.live() == before.live()
                assert journal.begin("p", "") > max(e.transaction for e in before.entries())
        assert read(place, BOOT_ID).live() == before.live()
        assert read(place, BOOT_ID).damage is None


# ---- the tuner upon it -----------------------------------------------------------------------

GROUPS = ("/a", "/b")
SETTINGS = st.tuples(
    st.sampled_from(["fake_weight", "fake_idle"]),
    st.sampled_from(GROUPS),
    st.sampled_from(["0", "1", "9", "700"]),
)
ACTS = st.lists(
    st.tuples(st.just("apply"), st.lists(SETTINGS, min_size=1, max_size=3))
    | st.tuples(st.just("undo"), st.sets(st.integers(1, 8), max_size=2))
    | st.tuples(st.just("verify"), st.none())
    | st.tuples(st.just("crash"), st.integers(0, 12)),
    max_size=8,
)


class CrashError(BaseException):
    """Nothing catches it; the process is gone as far as the journal can tell."""


@contextmanager
def crash_after(calls: int | None, fake: FakeHost) -> Iterator[None]:
    """End the process, as it were, before so many more records or writes of the kernel."""
    left, sync = [calls], os.fdatasync

    def count(_: object) -> None:
        if left[0] is not None:
            left[0] -= 1
            if left[0] < 0:
                raise CrashError

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(journal_file.os, "fdatasync", lambda file: (count(file), sync(file)))
        patched.setattr(fake.weight, "before_write", count)
        patched.setattr(fake.idle, "before_write", count)
        yield


def _act(fake: FakeHost, tuner: Tuner, what: str, argument: Any) -> None:
    try:
        if what == "apply":
            wanted = [setting(knob, Target("cgroup", at), value) for knob, at, value in argument]
            wanted = [each for each in wanted if each.knob != "fake_idle" or each.value in "01"]
            tuner.apply("p", [tuner.preview(each, "") for each in wanted], "")
        elif what == "undo":
            tuner.undo(argument)
        else:
            tuner.release_drifted()
    except (TuningError, CrashError):
        pass


@settings(max_examples=200)
@given(ACTS)
def test_after_anything_and_a_crash_every_value_comes_back(acts: list[tuple[str, Any]]) -> None:
    root = Path(tempfile.mkdtemp())
    try:
        fake = FakeHost(root)
        for name, weight in zip(GROUPS, ("700", "1024"), strict=True):
            fake.make_group(name, weight)
        before, crash = fake.snapshot(), None
        for what, argument in acts:
            if what == "crash":
                crash = argument
                continue
            with Journal(fake.journals, BOOT_ID) as journal, crash_after(crash, fake):
                _act(fake, Tuner(fake.host, journal, fake.knobs), what, argument)
            crash = None
        with Journal(fake.journals, BOOT_ID) as journal:
            receipts = Tuner(fake.host, journal, fake.knobs).recover()
            assert journal.live() == []
        assert {receipt.outcome for receipt in receipts} <= {"restored", "already"}
        assert fake.snapshot() == before
    finally:
        shutil.rmtree(root)
