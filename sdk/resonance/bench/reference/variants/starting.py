# SPDX-License-Identifier: MIT
"""How is a server started that has its place before it begins, and when does it listen?"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Final

from resonance.bench.errors import ExperimentError

__all__ = ["Started", "reserved_port", "started"]

_PLACING: Final = str(Path(__file__).with_name("placing.py"))
_PATIENCE_SECONDS: Final = 30.0
"""*Chosen*: an interpreter on a CPU that others saturate takes seconds to import its libraries."""
_LOOK_SECONDS: Final = 0.01
_COMPLAINT_CHARACTERS: Final = 500


class Started:
    """A process that was started.

    Parameters
    ----------
    name : str
        What it is called in errors.
    process : subprocess.Popen
    complaints : file
        What it wrote.
    """

    def __init__(self, name: str, process: subprocess.Popen[bytes], complaints: IO[bytes]) -> None:
        self.pid = process.pid
        self._name = name
        self._process = process
        self._complaints = complaints

    def await_listening(self, port: int) -> None:
        """Wait until it takes connections.

        Parameters
        ----------
        port : int

        Raises
        ------
        ExperimentError
            It ended, or does not in half a minute; with what it wrote.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            with suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port)).close()
                return
            time.sleep(_LOOK_SECONDS)
        status = self._process.poll()
        what = "does not listen" if status is None else f"ended with status {status}"
        self._complaints.seek(0)
        wrote = self._complaints.read().decode(errors="replace").strip()
        raise ExperimentError(f"starting {self._name}", f"it {what}: {_last(wrote)}")


def _last(wrote: str) -> str:
    return wrote[-_COMPLAINT_CHARACTERS:] or "it wrote nothing"


@contextmanager
def started(
    name: str, command: Sequence[str], cpu: int, directories: Sequence[str]
) -> Generator[Started]:
    """Run a command in its place until the block is left.

    Parameters
    ----------
    name : str
        What it is called in errors.
    command : sequence of str
        The program by its whole path, and its arguments.
    cpu : int
        It is pinned to; -1 for any.
    directories : sequence of str
        Of the cgroups it enters, one after the other.

    Yields
    ------
    Started
    """
    place = [sys.executable, "-IS", _PLACING, str(os.getpid()), str(cpu), *directories]
    with TemporaryFile() as complaints:
        process = subprocess.Popen(
            [*place, "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=complaints,
            stderr=subprocess.STDOUT,
            process_group=0,  # Ctrl-C is for who started it
        )
        try:
            yield Started(name, process, complaints)
        finally:
            process.kill()
            process.wait()


@contextmanager
def reserved_port() -> Generator[int]:
    """Hold a free port that a server may bind with SO_REUSEPORT, until the block is left.

    It is bound and does not listen, so it gets no connections; nobody else is given it meanwhile.

    Yields
    ------
    int
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])
