# SPDX-License-Identifier: MIT
"""The bytes of the journal: a directory of root's own, one writer, lines that prove themselves.

A line is ``crc32 of the rest, 8 hex digits | space | JSON of ASCII characters | newline``. What
the records mean is for `journal` to say.

The lock is on the directory: it needs no file, so it can be had on a full or read-only disk, and
the kernel drops it with its holder.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import stat
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

from resonance_tuning.errors import JournalError

__all__ = ["JournalFile", "decode", "encode"]

_HOME: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Not blocking: a pipe in the file's place must not hold up a rollback.
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_APPEND: Final = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_CREATE: Final = os.O_CREAT | os.O_EXCL
_HOME_MODE: Final = 0o700
_FILE_MODE: Final = 0o600
_BLOCK_BYTES: Final = 1 << 20
_ARCHIVED: Final = ".old"
_DRAFT: Final = ".new"
_HOW_TO_MAKE_HOME: Final = "run: systemd-tmpfiles --create, and start again"


def encode(record: Mapping[str, Any]) -> bytes:
    r"""Write a record as a line.

    Bytes that are no UTF-8 arrive as lone surrogates and leave as ``\udcXX``.
    """
    body = json.dumps(record, sort_keys=True, separators=(",", ":")).encode("ascii")
    return b"%08x %b\n" % (zlib.crc32(body), body)


def decode(line: bytes) -> dict[str, Any] | None:
    """Read a line without its newline; nothing if it is not as it was written."""
    checksum, _, body = line.partition(b" ")
    if checksum != b"%08x" % zlib.crc32(body):
        return None
    try:
        record: object = json.loads(body)
    except ValueError:
        return None
    return cast("dict[str, Any]", record) if isinstance(record, dict) else None


class JournalFile:
    """One append-only file of records.

    Parameters
    ----------
    directory : Path
        Of the running user alone; made when it is missing and we may write.
    name : str
        The file's. Others like it but of another boot are put aside when we may write.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        self.path = directory / name
        self.size_bytes = 0
        self._home = -1
        self._file = -1
        self._is_broken = False

    @property
    def is_open(self) -> bool:
        """Whether the directory is held."""
        return self._home >= 0

    def open(self, *, may_write: bool) -> None:
        """Take the directory for this process alone, and make the file ready to be appended to.

        Raises
        ------
        JournalError
            Another process holds it, it is not ours alone, or it cannot be made.
        """
        try:
            self._take_home(may_write)
            if may_write:
                self._put_others_aside()
                self._file = self._open_to_append()
                self._cut_torn_line()
        except OSError as error:
            self.close()
            raise self.error(error) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let others have it."""
        for descriptor in (self._file, self._home):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._home = -1
        self._is_broken = False

    def lost(self) -> str:
        """Return why nobody would find what is written to the open file, or nothing."""
        try:
            found = os.stat(self.path.name, dir_fd=self._home, follow_symlinks=False)
            is_there = os.path.samestat(found, os.fstat(self._file))
            is_there &= os.path.samestat(os.lstat(self.directory), os.fstat(self._home))
        except FileNotFoundError:
            return "was removed while in use"
        return "" if is_there else "was replaced while in use"

    def records(self) -> Iterator[tuple[int, dict[str, Any] | None]]:
        """Give number and record of each whole line; nothing for one that is damaged.

        What follows the last newline is a line that was being written, and never was there.
        """
        try:
            content = self._content()
        except OSError as error:
            raise self.error(error) from error
        for number, line in enumerate(content.split(b"\n")[:-1], 1):
            yield number, decode(line)

    def append(self, record: Mapping[str, Any]) -> None:
        """Write a record and wait until it is on disk; after an error it is not there.

        Raises
        ------
        JournalError
            The disk is full or read-only, or the file has been removed meanwhile.
        """
        if self._file < 0 or self._is_broken:
            raise JournalError(str(self.path), 0, "is not open for writing")
        if why := self.lost():
            raise JournalError(str(self.path), 0, why)
        line = encode(record)
        try:
            _write_all(self._file, line)
            os.fdatasync(self._file)
        except OSError as error:
            self._take_back()
            raise self.error(error) from error
        except BaseException:
            self._take_back()
            raise
        self.size_bytes += len(line)

    def replace(self, records: Iterable[Mapping[str, Any]]) -> bool:
        """Put a shorter file in this one's place, at once or not at all.

        Returns
        -------
        bool
            False if there was no room; then everything is as before.
        """
        draft = self.path.name + _DRAFT
        content = b"".join(map(encode, records))
        try:
            self._remove(draft)
            file = os.open(draft, _APPEND | _CREATE, _FILE_MODE, dir_fd=self._home)
        except OSError:
            return False
        try:
            _write_all(file, content)
            os.fsync(file)
            os.rename(draft, self.path.name, src_dir_fd=self._home, dst_dir_fd=self._home)
        except OSError:
            os.close(file)
            with suppress(OSError):
                self._remove(draft)
            return False
        os.close(self._file)
        self._file, self.size_bytes = file, len(content)
        with suppress(OSError):
            os.fsync(self._home)
        return True

    def error(self, error: OSError) -> JournalError:
        """Return the kernel's answer as ours."""
        hint = "; run as root" if isinstance(error, PermissionError) and os.geteuid() else ""
        return JournalError(str(self.path), 0, f"{error.strerror or error}{hint}")

    def _take_home(self, may_write: bool) -> None:
        if may_write:
            self._make_home()
        self._home = os.open(self.directory, _HOME)
        found = os.fstat(self._home)
        self._refuse_strangers(self.directory, found)
        try:
            fcntl.flock(self._home, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            reason = f"is held by pid {_holder(found) or 'unknown'}; stop that process first"
            raise JournalError(str(self.directory), 0, reason) from None

    def _make_home(self) -> None:
        try:
            self.directory.mkdir(mode=_HOME_MODE)
            _sync_directory(self.directory.parent)
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            # As the service sees /run: only what is there when it starts is writable to it.
            reason = f"is not there, and cannot be made ({error.strerror}); {_HOW_TO_MAKE_HOME}"
            raise JournalError(str(self.directory), 0, reason) from error

    def _refuse_strangers(self, path: Path, found: os.stat_result) -> None:
        """Trust nothing that another user could have written: root would write it on."""
        if found.st_uid != os.geteuid():
            reason = f"belongs to user {found.st_uid}; give it to root, or remove it"
        elif found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            reason = "can be written by others; only its owner may"
        elif not stat.S_ISDIR(found.st_mode) and not stat.S_ISREG(found.st_mode):
            reason = "is not a file"
        elif stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
            reason = "has another name elsewhere; remove it"
        else:
            return
        raise JournalError(str(path), 0, reason)

    def _put_others_aside(self) -> None:
        """Rename the newest journal of another boot, whose values went with it; drop the rest."""
        self._remove(self.path.name + _DRAFT)
        pattern = re.compile(rf"journal-.*\.wal({re.escape(_ARCHIVED)}|{re.escape(_DRAFT)})?")
        others = [
            name
            for name in os.listdir(self._home)
            if pattern.fullmatch(name) and name != self.path.name
        ]
        others.sort(key=self._modified_ns)
        for name in others[:-1]:
            self._remove(name)
        for name in others[-1:]:
            if name.endswith(".wal"):
                kept = name + _ARCHIVED
                os.rename(name, kept, src_dir_fd=self._home, dst_dir_fd=self._home)

    def _modified_ns(self, name: str) -> int:
        return os.stat(name, dir_fd=self._home, follow_symlinks=False).st_mtime_ns

    def _remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._home)

    def _open_to_append(self) -> int:
        try:
            file = os.open(self.path.name, _APPEND | _CREATE, _FILE_MODE, dir_fd=self._home)
            os.fsync(self._home)
        except FileExistsError:
            file = os.open(self.path.name, _APPEND, dir_fd=self._home)
        try:
            self._refuse_strangers(self.path, os.fstat(file))
        except JournalError:
            os.close(file)
            raise
        return file

    def _cut_torn_line(self) -> None:
        content = self._content()
        self.size_bytes = content.rfind(b"\n") + 1
        if len(content) > self.size_bytes:
            os.ftruncate(self._file, self.size_bytes)

    def _take_back(self) -> None:
        """Remove what was written of a line that is not wholly on disk."""
        try:
            os.ftruncate(self._file, self.size_bytes)
        except OSError:
            self._is_broken = True  # a line after half a line would be lost with it

    def _content(self) -> bytes:
        """Return the file; of one that we do not hold, what is there at this moment."""
        if self._file >= 0:
            return _read_all(self._file)
        try:
            file = os.open(self.path, _READ)
        except FileNotFoundError:
            return b""
        try:
            self._refuse_strangers(self.path, os.fstat(file))
            return _read_all(file)
        finally:
            os.close(file)


def _write_all(file: int, content: bytes) -> None:
    while content:
        content = content[os.write(file, content) :]


def _read_all(file: int) -> bytes:
    blocks: list[bytes] = []
    while block := os.pread(file, _BLOCK_BYTES, sum(map(len, blocks))):
        blocks.append(block)
    return b"".join(blocks)


def _sync_directory(path: Path) -> None:
    directory = os.open(path, _HOME & ~os.O_NOFOLLOW)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _holder(found: os.stat_result) -> int:
    """Return the process that holds a lock on this file (proc_locks(5)); 0 if it is not told."""
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    with suppress(OSError):
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            _, kind, *_, pid, place, _, _ = line.split()
            if kind == "FLOCK" and place == device:
                return max(int(pid), 0)
    return 0
