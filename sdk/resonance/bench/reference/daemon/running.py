# SPDX-License-Identifier: MIT
"""The service for a while: started as an operator does, ended as systemd would."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from resonance.bench.errors import ExperimentError

__all__ = ["Daemon", "command", "place", "service"]

_PLACE: Final = "/run"
"""Lost at reboot: a journal must be, as what it speaks of is."""
_START_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.02
_CPUCLOCK_SCHED: Final = 2


@dataclass(frozen=True, slots=True)
class Daemon:
    """A service that runs.

    Attributes
    ----------
    directory : Path
        Its runtime directory.
    port : int
        Of its metrics, on 127.0.0.1.
    pids : tuple of int
        The keeper, and the processes it started.
    """

    directory: Path
    port: int
    pids: tuple[int, ...]

    @property
    def socket(self) -> Path:
        """Where hints are asked for."""
        return self.directory / "hints.sock"

    @property
    def page(self) -> Path:
        """The shared page with the hints."""
        return self.directory / "hints.page"

    @property
    def admin_socket(self) -> Path:
        """Where an operator's commands go."""
        return self.directory / "admin.sock"

    def cpu_seconds(self) -> float:
        """Return user and system time of all its processes so far, ended threads included.

        Returns
        -------
        float
        """
        # MAKE_PROCESS_CPUCLOCK, include/linux/posix-timers_types.h; /proc rounds to 10 ms.
        return sum(time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED) for pid in self.pids)


def command() -> str:
    """Return the path of ``resonanced``: the one beside this Python, or else on PATH.

    Returns
    -------
    str

    Raises
    ------
    ExperimentError
        It is not installed.
    """
    beside = shutil.which("resonanced", path=os.path.dirname(sys.executable))
    found = beside or shutil.which("resonanced")
    if found is None:
        raise ExperimentError(
            "running resonanced",
            "it is not installed here: pip install 'resonance-runtime[daemon]'",
        )
    return found


@contextmanager
def service(*arguments: str, port: int = 0) -> Generator[Daemon]:
    """Run the service for a while, in a directory of its own; end it as systemd would.

    Parameters
    ----------
    *arguments : str
        Of ``resonanced run``. Without ``--config`` it runs with the defaults, whatever the
        configuration of this host is.
    port : int
        Of its metrics; 0 takes a free one.

    Yields
    ------
    Daemon

    Raises
    ------
    ExperimentError
        It did not start, or did not end well.
    """
    run = [*_bound_to_us(), command(), "run", "--no-view"]
    with place() as parent:
        directory, port = parent / "resonance", port or _free_port()
        run += ["--port", str(port), "--runtime-directory", str(directory)]
        if "--config" not in arguments:
            (parent / "resonanced.toml").touch()
            run += ["--config", str(parent / "resonanced.toml")]
        said, errors = parent / "said", parent / "errors"
        with said.open("w") as stdout, errors.open("w") as stderr:
            keeper = subprocess.Popen(
                [*run, *arguments], stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
            )
        try:
            _wait_until_it_serves(keeper, said, errors)
            yield Daemon(directory, port, (keeper.pid, *_children(keeper.pid)))
        finally:
            _end(keeper, errors)


@contextmanager
def place() -> Generator[Path]:
    """Make a directory of our own that is gone at the end, and at a reboot in any case.

    Yields
    ------
    Path
    """
    prefix = f"resonance-bench-{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, dir=_PLACE) as name:
        os.chmod(name, 0o755)  # noqa: S103 - the service's own user and its clients pass through
        yield Path(name)


def _bound_to_us() -> list[str]:
    """Return what ends a command when this process is killed, where there is such a thing."""
    found = shutil.which("setpriv")
    return [found, "--pdeathsig", "TERM", "--"] if found else []


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _wait_until_it_serves(keeper: subprocess.Popen[bytes], said: Path, errors: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while keeper.poll() is None and time.monotonic() < deadline:
        if any(line.split()[:1] == ["user"] for line in said.read_text().splitlines()):
            return  # the last line of those that say where it serves
        time.sleep(_POLL_SECONDS)
    how = "said nothing" if keeper.returncode is None else f"ended with {keeper.returncode}"
    raise ExperimentError("starting resonanced", _last_line(errors) or how)


def _end(keeper: subprocess.Popen[bytes], errors: Path) -> None:
    keeper.send_signal(signal.SIGTERM)
    try:
        status = keeper.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        keeper.kill()
        keeper.wait()
        raise ExperimentError(
            "ending resonanced", f"it did not within {_STOP_SECONDS:.0f} s and was killed"
        ) from None
    if status:
        raise ExperimentError("ending resonanced", _last_line(errors) or f"status {status}")


def _last_line(file: Path) -> str:
    lines = file.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def _children(pid: int) -> tuple[int, ...]:
    return tuple(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
