# SPDX-License-Identifier: MIT
"""A booted container, and the service in it, as a test asks for them; asserts nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from nspawn import boot

__all__ = ["Container", "wait_until"]

_LOOK_SECONDS: Final = 0.05
_COMMAND_SECONDS: Final = 30.0
_BOOT_SECONDS: Final = 40.0
_NAMESPACES: Final = ("-m", "-p", "-u", "-i", "-n", "-C", "-r", "-w")
_IS_UP: Final = {"running", "degraded"}


def wait_until(is_so: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
    """Wait until something is so.

    Raises
    ------
    AssertionError
        It was not in time.
    """
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(_LOOK_SECONDS)


@dataclass
class Container:
    """A running systemd.

    Attributes
    ----------
    pid : int
        Its first process, as we see it.
    root : Path
        Its files, as we see them.
    """

    owner: subprocess.Popen[str]
    pid: int
    root: Path

    @classmethod
    def boot(cls, console: Path) -> Self:
        """Boot one; it ends with this process at the latest.

        Raises
        ------
        AssertionError
            It did not come up; the end of its console is told.
        """
        checkout = Path(__file__).parents[2]
        command = [sys.executable, str(Path(boot.__file__)), str(checkout), str(console)]
        owner = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, close_fds=True
        )
        assert owner.stdout
        said = owner.stdout.readline().strip()
        if not said:
            owner.wait(_BOOT_SECONDS)
            raise AssertionError(f"no container was started:\n{_tail(console)}")
        made = cls(owner, int(said), Path("/proc", said, "root"))
        try:
            wait_until(made._is_up, "systemd has booted", _BOOT_SECONDS)
        except BaseException as error:
            made.stop()
            raise AssertionError(f"it did not boot:\n{_tail(console)}") from error
        return made

    def _is_up(self) -> bool:
        return self.run("systemctl", "is-system-running").stdout.strip() in _IS_UP

    def run(
        self, *command: str, seconds: float = _COMMAND_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in there, as root."""
        return subprocess.run(
            self.command(*command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )

    def command(self, *command: str) -> list[str]:
        """Return the command line that runs a command in there."""
        return ["nsenter", "-t", str(self.pid), *_NAMESPACES, "--", *command]

    def succeed(self, *command: str) -> str:
        """Run a command that must succeed; return what it printed."""
        done = self.run(*command)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

    def path(self, path: str) -> Path:
        """Return where a file of the container is for us."""
        return self.root / path.lstrip("/")

    def stop(self) -> None:
        """Halt it, and wait until nothing of it is left."""
        assert self.owner.stdin
        assert self.owner.stdout
        self.owner.stdin.close()
        try:
            self.owner.wait(_BOOT_SECONDS)
        except subprocess.TimeoutExpired:
            self.owner.kill()
            self.owner.wait()
        self.owner.stdout.close()


def _tail(console: Path) -> str:
    return "\n".join(console.read_text(errors="replace").splitlines()[-20:])
