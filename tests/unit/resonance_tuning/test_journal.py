# SPDX-License-Identifier: MIT
"""The journal: what was written is read again, one process at a time; nothing else is trusted."""

from __future__ import annotations

import errno
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from resonance_tuning import journal as journal_module
from resonance_tuning import journal_file
from resonance_tuning.errors import JournalError
from resonance_tuning.journal import Journal, read
from resonance_tuning.journal_file import decode, encode
from resonance_tuning.records import Change, Setting, State, Target

BOOT = "11111111-2222"
TARGET = Target("cgroup", "/web")
HOLD = (
    "import pathlib, sys, resonance_tuning.journal as j;"
    "held = j.Journal(pathlib.Path(sys.argv[1]), sys.argv[2]).__enter__();"
    "print('held', flush=True); sys.stdin.read()"
)


def change(value: str = "7", target: Target = TARGET, **coupled: str) -> Change:
    setting = Setting("cpu_weight", target, value, "batch")
    return Change(setting, "1:2", State("5", coupled), value, "why not", ("echo 5 > there",))


def apply_one(journal: Journal, value: str = "7") -> int:
    transaction = journal.begin("balanced", "asked for")
    step = journal.intent(change(value), "boot")
    journal.done(step, value)
    journal.commit(transaction)
    return step


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def wal(directory: Path, boot: str = BOOT) -> Path:
    return directory / f"journal-{boot}.wal"


def test_what_was_written_is_read_by_the_next_process(directory: Path) -> None:
    with Journal(directory, BOOT) as journal:
        transaction = journal.begin("balanced", "asked for")
        step = journal.intent(change("9", weight="700"), "boot")
        intended = journal.entries()
        journal.done(step, "8")
        journal.commit(transaction)
        done = journal.entries()
    again = read(directory, BOOT)
    assert again.entries() == done
    assert again.live() == done
    (entry,) = done
    assert (entry.got, entry.outcome, entry.is_live) == ("8", "applied", True)
    assert (entry.profile, entry.reason, entry.undo) == ("balanced", "why not", ("echo 5 > there",))
    assert entry.prior == State("5", {"weight": "700"})
    assert entry.ours == {"9", "8"}
    assert intended[0].outcome is None
    assert intended[0].is_live


def test_numbers_go_on_where_they_were(directory: Path) -> None:
    with Journal(directory, BOOT) as journal:
        first = apply_one(journal)
    with Journal(directory, BOOT) as journal:
        second = apply_one(journal)
    assert (first, second) == (1, 2)
    assert [entry.transaction for entry in read(directory, BOOT).entries()] == [1, 2]


@pytest.mark.parametrize("outcome", ["restored", "already", "vanished", "conflict-left"])
def test_a_step_that_is_over_is_not_live(directory: Path, outcome: str) -> None:
    with Journal(directory, BOOT) as journal:
        step = apply_one(journal)
        journal.undone(step, outcome, "5", "no gain")  # type: ignore[arg-type]
    again = read(directory, BOOT)
    assert again.live() == []
    (entry,) = again.entries()
    assert (entry.outcome, entry.found, entry.end_reason) == (outcome, "5", "no gain")
    assert entry.ended_boottime_seconds >= entry.at_boottime_seconds > 0
    assert again.releases("cpu_weight", TARGET) == []


def test_a_release_is_found_by_knob_and_target(directory: Path) -> None:
    with Journal(directory, BOOT) as journal:
        journal.released(apply_one(journal), "tuned, pid 7", "99")
    again = read(directory, BOOT)
    assert again.live() == []
    (entry,) = again.releases("cpu_weight", TARGET)
    assert (entry.found, entry.released_by) == ("99", "tuned, pid 7")
    assert again.releases("cpu_idle", TARGET) == []
    assert again.releases("cpu_weight", Target("cgroup", "/other")) == []


def test_notes_are_kept_by_kind(directory: Path) -> None:
    with Journal(directory, BOOT) as journal:
        journal.note("verdict", {"gain": 0.4, "knob": "cpu_weight", "is_kept": True})
        journal.note("rival", {"name": "tuned"})
    notes = read(directory, BOOT).notes("verdict")
    assert [data for _, data in notes] == [{"gain": 0.4, "knob": "cpu_weight", "is_kept": True}]
    assert len(read(directory, BOOT).notes()) == 2


def test_a_step_that_is_none_is_not_written(directory: Path) -> None:
    with Journal(directory, BOOT) as journal:
        with pytest.raises(ValueError, match="no step 5"):
            journal.done(5, "1")
        assert wal(directory).read_bytes() == b""


def test_names_that_are_no_utf8_come_back_byte_for_byte(directory: Path) -> None:
    target = Target("cgroup", os.fsdecode(b"/caf\xe9\xff\n \xc3\xa9"))
    with Journal(directory, BOOT) as journal:
        journal.begin("balanced", "asked\nfor")
        journal.intent(change(target=target), "boot")
    assert wal(directory).read_bytes().isascii()
    (entry,) = read(directory, BOOT).entries()
    assert os.fsencode(entry.setting.target.name) == b"/caf\xe9\xff\n \xc3\xa9"


def test_reading_where_nothing_is_finds_nothing_and_makes_nothing(directory: Path) -> None:
    assert read(directory, BOOT).entries() == []
    assert not directory.exists()


def test_directory_and_file_are_its_owners_alone(directory: Path) -> None:
    old = os.umask(0)
    try:
        with Journal(directory, BOOT):
            pass
    finally:
        os.umask(old)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(wal(directory).stat().st_mode) == 0o600


# ---- one writer ------------------------------------------------------------------------------


def test_a_second_process_is_refused_and_told_who_holds_it(directory: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(directory), BOOT]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(JournalError, match=f"held by pid {holder.pid}; stop that process"):
            Journal(directory, BOOT).__enter__()
        assert read(directory, BOOT).entries() == []
        holder.kill()
    with Journal(directory, BOOT) as journal:
        apply_one(journal)


def test_two_in_one_process_are_two_all_the_same(directory: Path) -> None:
    with Journal(directory, BOOT), pytest.raises(JournalError, match=f"pid {os.getpid()}"):
        Journal(directory, BOOT).__enter__()


def test_what_another_appended_meanwhile_is_read_as_the_lock_is_taken(directory: Path) -> None:
    first, second = Journal(directory, BOOT), Journal(directory, BOOT)
    with first:
        apply_one(first)
    with second:
        apply_one(second)
    with first:
        assert [entry.step for entry in first.entries()] == [1, 2]
        assert apply_one(first) == 3


def test_nothing_is_written_before_it_is_entered_or_after(directory: Path) -> None:
    journal = Journal(directory, BOOT)
    with pytest.raises(JournalError, match="not open"):
        journal.begin("balanced", "")
    with journal:
        pass
    with pytest.raises(JournalError, match="not open"):
        journal.begin("balanced", "")


def test_held_without_writing_it_refuses_records_but_keeps_others_out(directory: Path) -> None:
    with Journal(directory, BOOT) as journal:
        apply_one(journal)
    content = wal(directory).read_bytes()
    with Journal(directory, BOOT, may_write=False) as journal:
        assert len(journal.live()) == 1
        with pytest.raises(JournalError, match="not open for writing"):
            journal.undone(1, "restored", "5")
        with pytest.raises(JournalError, match="held by"):
            Journal(directory, BOOT).__enter__()
    assert wal(directory).read_bytes() == content


# ---- torn and damaged ------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 5, 9, 40])
def test_a_torn_last_line_never_was(directory: Path, cut: int) -> None:
    with Journal(directory, BOOT) as journal:
        apply_one(journal, "7")
        apply_one(journal, "8")
    whole = wal(directory).read_bytes()
    wal(directory).write_bytes(whole[:-cut])
    assert read(directory, BOOT).damage is None
    with Journal(directory, BOOT) as journal:
        assert journal.damage is None
        journal.note("after", {})
    lines = wal(directory).read_bytes().splitlines()
    assert len(lines) == len(whole.splitlines())
    assert all(decode(line) for line in lines)


def flip(path: Path, line: int) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line] = lines[line][:30] + bytes([lines[line][30] ^ 1]) + lines[line][31:]
    path.write_bytes(b"".join(lines))


def test_a_flipped_bit_is_found_and_nothing_new_is_begun(directory: Path) -> None:
    with Journal(directory, BOOT) as journal:
        apply_one(journal, "7")
        apply_one(journal, "8")
        apply_one(journal, "9")
    flip(wal(directory), 5)  # the intent of the second
    with Journal(directory, BOOT) as journal:
        assert [entry.setting.value for entry in journal.live()] == ["7", "9"]
        with pytest.raises(JournalError, match=r"\.wal:6: this line is damaged.*roll back"):
            journal.begin("balanced", "again")
        journal.undone(1, "restored", "5")
    with Journal(directory, BOOT) as journal:
        assert [entry.setting.value for entry in journal.live()] == ["9"]
        assert journal.damage


def test_a_damaged_whole_last_line_may_have_been_a_change(directory: Path) -> None:
    with Journal(directory, BOOT) as journal:
        apply_one(journal)
    flip(wal(directory), -1)
    assert read(directory, BOOT).damage


@pytest.mark.parametrize(
    "record",
    [{"type": "begin"}, {"type": "moonshot", "step": 1}, {"type": "done", "step": 77}, {"a": 1}],
)
def test_a_sound_line_that_says_nothing_we_know_is_damage(
    directory: Path, record: dict[str, object]
) -> None:
    with Journal(directory, BOOT) as journal:
        apply_one(journal)
    with wal(directory).open("ab") as file:
        file.write(encode(record))
    assert read(directory, BOOT).damage
    assert len(read(directory, BOOT).live()) == 1


@pytest.mark.parametrize("line", [b"", b" ", b"00000000 ", b"zz {}", b"\xff\xfe", b"{}"])
def test_what_is_no_record_decodes_to_nothing(line: bytes) -> None:
    assert decode(line) is None


# ---- the disk says no ------------------------------------------------------------------------


def failing(number: int) -> Callable[..., int]:
    def fail(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("call", ["write", "fdatasync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_record_that_cannot_be_written_is_not_there(
    directory: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    with Journal(directory, BOOT) as journal:
        apply_one(journal)
        before = wal(directory).read_bytes()
        with monkeypatch.context() as patched:
            patched.setattr(journal_file.os, call, failing(number))
            with pytest.raises(JournalError, match=re.escape(os.strerror(number))):
                journal.begin("balanced", "again")
        assert wal(directory).read_bytes() == before
        assert apply_one(journal) == 2
    assert read(directory, BOOT).damage is None


def test_half_a_record_is_taken_back(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = os.write, [0]

    def half(descriptor: int, data: bytes) -> int:
        calls[0] += 1
        if calls[0] > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data[: len(data) // 2])

    with Journal(directory, BOOT) as journal:
        apply_one(journal)
        before = wal(directory).read_bytes()
        with monkeypatch.context() as patched:
            patched.setattr(journal_file.os, "write", half)
            with pytest.raises(JournalError, match="No space left"):
                journal.begin("balanced", "again")
        assert wal(directory).read_bytes() == before


def test_short_writes_make_whole_lines(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    with Journal(directory, BOOT) as journal:
        monkeypatch.setattr(journal_file.os, "write", lambda file, data: real(file, data[:7]))
        apply_one(journal)
    assert len(read(directory, BOOT).live()) == 1


def test_half_a_record_that_cannot_be_taken_back_ends_the_writing(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal(directory, BOOT) as journal:
        with monkeypatch.context() as patched:
            for call in ("fdatasync", "ftruncate"):
                patched.setattr(journal_file.os, call, failing(errno.EIO))
            with pytest.raises(JournalError):
                journal.begin("balanced", "")
        with pytest.raises(JournalError, match="not open for writing"):
            journal.begin("balanced", "")


def test_an_interruption_takes_the_record_back(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with Journal(directory, BOOT) as journal:
        with monkeypatch.context() as patched:
            patched.setattr(journal_file.os, "fdatasync", interrupt)
            with pytest.raises(KeyboardInterrupt):
                journal.begin("balanced", "")
        assert wal(directory).read_bytes() == b""


def test_a_journal_that_was_removed_under_us_takes_nothing_more(directory: Path) -> None:
    with Journal(directory, BOOT) as journal:
        apply_one(journal)
        wal(directory).unlink()
        with pytest.raises(JournalError, match="removed while in use"):
            journal.begin("balanced", "")


@pytest.mark.parametrize("has_successor", [False, True])
def test_a_journal_whose_directory_was_moved_away_takes_nothing_more(
    directory: Path, tmp_path: Path, has_successor: bool
) -> None:
    with Journal(directory, BOOT) as journal:
        directory.rename(tmp_path / "elsewhere")
        if has_successor:
            directory.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(JournalError, match="while in use"):
            journal.begin("p", "r")


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="No such file or directory"):
        Journal(tmp_path / "missing" / "journal", BOOT).__enter__()
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match="Not a directory"):
        Journal(tmp_path / "file", BOOT).__enter__()


# ---- nothing that others could have written --------------------------------------------------


def test_a_link_in_the_directorys_place_is_not_followed(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    directory.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(JournalError, match="Not a directory"):
        Journal(directory, BOOT).__enter__()
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_directory_others_may_write_to_is_refused(directory: Path, mode: int) -> None:
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(JournalError, match="can be written by others"):
        Journal(directory, BOOT).__enter__()


def test_a_file_others_may_write_to_is_refused_by_readers_too(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    wal(directory).touch()
    wal(directory).chmod(0o666)
    with pytest.raises(JournalError, match="can be written by others"):
        Journal(directory, BOOT).__enter__()
    with pytest.raises(JournalError, match="can be written by others"):
        read(directory, BOOT)


def test_a_file_of_another_user_is_refused(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal(directory, BOOT):
        pass
    owner = os.geteuid()
    monkeypatch.setattr(journal_file.os, "geteuid", lambda: owner + 1)
    with pytest.raises(JournalError, match=f"belongs to user {owner}"):
        read(directory, BOOT)


def test_a_link_in_the_files_place_is_not_followed(directory: Path, tmp_path: Path) -> None:
    directory.mkdir(mode=0o700)
    (tmp_path / "precious").write_text("text")
    wal(directory).symlink_to(tmp_path / "precious")
    with pytest.raises(JournalError):
        Journal(directory, BOOT).__enter__()
    assert (tmp_path / "precious").read_text() == "text"


def test_a_file_with_a_second_name_is_refused(directory: Path, tmp_path: Path) -> None:
    with Journal(directory, BOOT):
        pass
    os.link(wal(directory), tmp_path / "second")
    with pytest.raises(JournalError, match="another name"):
        Journal(directory, BOOT).__enter__()


def test_a_pipe_in_the_files_place_holds_nobody_up(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    os.mkfifo(wal(directory), 0o600)
    with pytest.raises(JournalError, match="is not a file"):
        Journal(directory, BOOT).__enter__()
    with pytest.raises(JournalError, match="is not a file"):
        read(directory, BOOT)


# ---- other boots, long journals --------------------------------------------------------------


def test_journals_of_other_boots_are_put_aside_and_one_is_kept(directory: Path) -> None:
    for age, boot in enumerate(("a", "b", "c")):
        with Journal(directory, boot) as journal:
            apply_one(journal)
        file = wal(directory, boot)
        for path in (file, file.with_name(f"{file.name}.old")):
            if path.exists():
                os.utime(path, (age, age))
    with Journal(directory, BOOT) as journal:
        assert journal.entries() == []
    assert {path.name for path in directory.iterdir()} == {
        f"journal-{BOOT}.wal",
        "journal-c.wal.old",
    }
    assert read(directory, "c").entries() == []


def fill(journal: Journal, notes: int) -> None:
    for number in range(notes):
        journal.note("verdict", {"number": number, "padding": "x" * 1000})


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compact after 64 kB, and keep 20 records; writing to disk a thousand times takes long."""
    monkeypatch.setattr(journal_module, "_COMPACT_BYTES", 1 << 16)
    monkeypatch.setattr(journal_module, "_KEPT_RECORDS", 20)


def test_a_long_journal_is_compacted_and_keeps_what_is_needed(directory: Path, small: None) -> None:
    with Journal(directory, BOOT) as journal:
        journal.note("owner", {"pid": os.getpid()})
        live = apply_one(journal, "41")
        journal.undone(apply_one(journal, "42"), "restored", "5")
        fill(journal, 100)
        journal.released(apply_one(journal, "43"), "", "44")
        before = (journal.live(), journal.releases("cpu_weight", TARGET))
        journal.end(3)
        assert wal(directory).stat().st_size < 1 << 16
        assert (journal.live(), journal.releases("cpu_weight", TARGET)) == before
        assert [entry.step for entry in journal.live()] == [live]
        assert apply_one(journal) == 4
    again = read(directory, BOOT)
    assert again.damage is None
    assert len(again.notes("owner")) == 1
    assert again.notes("verdict")[-1][1]["number"] == 99
    assert [entry.profile for entry in again.live()] == ["balanced", "balanced"]
    assert stat.S_IMODE(wal(directory).stat().st_mode) == 0o600
    assert [path.name for path in directory.iterdir()] == [wal(directory).name]


def test_who_waited_for_a_compacted_journal_gets_the_new_file(directory: Path, small: None) -> None:
    with Journal(directory, BOOT) as journal:
        fill(journal, 100)
        with pytest.raises(JournalError, match="held by"):
            Journal(directory, BOOT).__enter__()
        apply_one(journal)
    with Journal(directory, BOOT) as journal:
        assert len(journal.live()) == 1


@pytest.mark.parametrize("call", ["rename", "fsync"])
def test_a_compaction_without_room_leaves_everything_as_it_was(
    directory: Path, small: None, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    with Journal(directory, BOOT) as journal:
        with monkeypatch.context() as patched:
            patched.setattr(journal_file.os, call, failing(errno.ENOSPC))
            fill(journal, 100)
            assert len(journal.notes()) == 100
        assert apply_one(journal) == 1
    assert [path.name for path in directory.iterdir()] == [wal(directory).name]
    assert len(read(directory, BOOT).live()) == 1


def test_a_draft_that_a_killed_compaction_left_is_removed(directory: Path) -> None:
    with Journal(directory, BOOT) as journal:
        apply_one(journal)
    draft = wal(directory).with_name(f"{wal(directory).name}.new")
    draft.write_bytes(b"half")
    with Journal(directory, BOOT) as journal:
        assert len(journal.live()) == 1
    assert not draft.exists()


def test_a_damaged_journal_is_never_compacted(directory: Path, small: None) -> None:
    with Journal(directory, BOOT) as journal:
        apply_one(journal)
    flip(wal(directory), 1)
    with Journal(directory, BOOT) as journal:
        fill(journal, 100)
        assert wal(directory).stat().st_size > 1 << 16


def test_a_clock_that_jumps_back_does_not_change_the_order(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal(directory, BOOT) as journal:
        apply_one(journal, "7")
        monkeypatch.setattr(journal_module.time, "time", lambda: -5.0)
        apply_one(journal, "8")
    assert [entry.setting.value for entry in read(directory, BOOT).live()] == ["7", "8"]


def test_what_another_version_wrote_is_told_left_alone_and_nothing_is_begun(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal(directory, BOOT) as journal:
        apply_one(journal)
    with Journal(directory, BOOT) as journal, monkeypatch.context() as other:
        other.setattr(journal_module, "FORMAT", "99")
        journal.begin("balanced", "asked for", version="99")
        journal.done(journal.intent(change("8"), "boot"), "8")
    with Journal(directory, BOOT) as journal:
        assert [entry.step for entry in journal.live()] == [1]
        assert journal.damage
        said = "another version of Resonance wrote this: format 99, and this one knows 1"
        assert said in str(journal.damage)
        with pytest.raises(JournalError, match="format 99"):
            journal.begin("balanced", "asked for")


def test_a_directory_that_cannot_be_made_is_told_with_what_to_do(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refuse)
    said = r"is not there, and cannot be made \(Read-only file system\); run: systemd-tmpfiles"
    with pytest.raises(JournalError, match=said), Journal(directory, BOOT):
        pass
