# SPDX-License-Identifier: MIT
"""How is a command run so that nothing of it is left, whatever ends us?

Each command dies with us, even when we are killed: ``setpriv`` has the kernel see to that. What
a command must mount it mounts in a namespace of its own, which goes with it.
"""

from __future__ import annotations

import fcntl
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from kernel_vms.errors import BuildError, VmError

DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")
# The processes of a command are the children of a first one that dies with ``unshare``.
IN_ITS_OWN_MOUNTS = (
    "unshare",
    "--mount",
    "--propagation",
    "private",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
)
LOCK_SECONDS = 3600
TAIL_LINES = 15


def tail(path: Path, lines: int = TAIL_LINES) -> str:
    """Give the last lines of a file that programs write to, or nothing if there is none."""
    if not path.exists():
        return ""
    text = path.read_bytes()[-65536:].decode(errors="replace").replace("\r", "")
    return "\n".join(text.rstrip().splitlines()[-lines:])


def missing_tools(packages: dict[str, str]) -> str:
    """Say how to get the tools that are not here, by the names of Debian's packages."""
    missing = {tool: package for tool, package in packages.items() if not shutil.which(tool)}
    if not missing:
        return ""
    wanted = " ".join(sorted(set(missing.values())))
    return f"no {', '.join(missing)}: apt-get install {wanted}"


def run_step(step: str, command: Sequence[str], log: Path, seconds: float) -> None:
    """Run one command of a build to its end, or end it.

    Raises
    ------
    BuildError
        When it fails, or is not done in time; with the end of its log.
    """
    with log.open("ab") as said:
        process = subprocess.Popen(
            [*DIES_WITH_US, *command],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise BuildError(step, f"not done in {seconds:.0f} s", tail(log)) from None
        finally:
            process.kill()
            process.wait()
    if status:
        raise BuildError(step, f"{command[0]} ended with {status}", tail(log))


@contextmanager
def sole(lock: Path) -> Generator[None]:
    """Wait until no other build or machine of this checkout goes on, and keep others out."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        until = time.monotonic() + LOCK_SECONDS
        told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    reason = f"another one has held {lock} for {LOCK_SECONDS / 60:.0f} min"
                    raise VmError(reason) from None
            if not told:
                print(f"waiting for another build or machine here ({lock})", flush=True)
                told = True
            time.sleep(1)
        yield


def _interrupted(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def interruptible() -> Generator[None]:
    """Let SIGTERM and SIGHUP end us as Ctrl-C does: by way of every ``finally``."""
    previous = {
        number: signal.signal(number, _interrupted) for number in (signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def say(line: str) -> None:
    """Tell what goes on, at once, on a line of its own."""
    print(line, flush=True)


def complain(program: str, error: VmError) -> int:
    """Print an error as a program says it, and give its exit status."""
    print(f"{program}: {error}", file=sys.stderr)
    return error.status


def digest_inputs(files: Iterable[Path]) -> bytes:
    """Give the bytes of files, one after the other, for a key of what is made from them."""
    return b"\0".join(path.read_bytes() for path in files)
