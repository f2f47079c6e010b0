# SPDX-License-Identifier: MIT
"""The installed service, as an operator steers it and a test looks at it; asserts nothing."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nspawn import boot
from nspawn.container import Container, wait_until

__all__ = ["CONFIG", "DROP_INS", "JOURNAL", "PYTHON", "RUNTIME", "Service"]

UNIT: Final = "resonanced.service"
CONFIG: Final = "/etc/resonance/resonanced.toml"
DROP_INS: Final = f"/etc/systemd/system/{UNIT}.d"
RUNTIME: Final = "/run/resonance"
JOURNAL: Final = "/run/resonance-tuning"
PYTHON: Final = f"{boot.HOME}/bin/python"
"""The service's own, with its packages."""
_CGROUP: Final = f"/sys/fs/cgroup/system.slice/{UNIT}"
_CLEAR: Final = f"""\
systemctl --quiet unmask {UNIT}
systemctl stop {UNIT}
systemctl reset-failed {UNIT}
rm -rf {CONFIG} {JOURNAL}/*
test ! -e {DROP_INS} || {{ rm -r {DROP_INS} && systemctl daemon-reload; }}
"""


@dataclass
class Service:
    """The unit of one container, given back as a test found it."""

    container: Container
    _cursor: str = field(default="", init=False)

    def install(self) -> None:
        """Begin a test: what is logged from now on is its own."""
        shown = self.container.succeed("journalctl", "--lines=0", "--show-cursor")
        self._cursor = shown.rpartition("-- cursor: ")[2].strip()

    def clear(self) -> None:
        """End a test."""
        self.container.succeed("sh", "-c", _CLEAR)

    def systemctl(
        self, verb: str, *flags: str, unit: str = UNIT
    ) -> subprocess.CompletedProcess[str]:
        """Run systemctl about the unit."""
        return self.container.run("systemctl", "--no-pager", verb, *flags, *filter(None, [unit]))

    def start(self) -> None:
        """Start it; it is ready when this returns."""
        done = self.systemctl("start")
        assert done.returncode == 0, f"{done.stderr}\n{self.log()}"

    def stop(self) -> None:
        """Stop it."""
        done = self.systemctl("stop")
        assert done.returncode == 0, f"{done.stderr}\n{self.log()}"

    def fails_to_start(self) -> str:
        """Try to start it; return what is logged once it will not be tried again."""
        self.drop_in("once", "[Service]\nRestart=no\n")
        assert self.systemctl("start").returncode != 0, self.log()
        assert self.state == "failed"
        return self.log()

    def drop_in(self, name: str, text: str) -> None:
        """Write a drop-in as `systemctl edit` does, and have it read."""
        path = self.container.path(DROP_INS) / f"{name}.conf"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        self.systemctl("daemon-reload", unit="")

    def configure(self, text: str) -> None:
        """Write the configuration."""
        path = self.container.path(CONFIG)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def show(self, name: str) -> str:
        """Return one property of the unit."""
        return self.systemctl("show", f"--property={name}", "--value").stdout.strip()

    @property
    def state(self) -> str:
        """Whether it is active, failed or something else."""
        return self.show("ActiveState")

    @property
    def main_pid(self) -> int:
        """Of the keeper, as it is in the container."""
        return int(self.show("MainPID"))

    def processes(self) -> dict[str, int]:
        """Return what runs, as we see it: role to pid."""
        found: dict[str, int] = {}
        with suppress(FileNotFoundError):
            for pid in self.container.path(f"{_CGROUP}/cgroup.procs").read_text().split():
                with suppress(FileNotFoundError, ProcessLookupError):
                    found[_role(Path("/proc", pid))] = int(pid)
        return found

    def log(self) -> str:
        """Return what was logged of the unit since the test began, by it and by systemd."""
        since = f"--after-cursor={self._cursor}"
        return self.container.run("journalctl", "--output=cat", f"--unit={UNIT}", since).stdout

    def await_log(self, text: str, seconds: float = 15.0) -> None:
        """Wait until something is logged."""
        try:
            wait_until(lambda: text in self.log(), f"{text!r} is logged", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; what is:\n{self.log()}") from None

    def await_restart(self, restarts: int = 1) -> None:
        """Wait until it was started again by itself so often, and serves."""
        try:
            wait_until(
                lambda: int(self.show("NRestarts")) >= restarts and self.state == "active",
                f"{UNIT} runs again",
            )
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()}") from None

    def metric(self, name: str, port: int = 9756) -> str:
        """Scrape; return the lines of one metric."""
        text = self.python(
            "import sys, urllib.request as r;"
            f"sys.stdout.write(r.urlopen('http://127.0.0.1:{port}/metrics').read().decode())"
        )
        return "\n".join(line for line in text.splitlines() if line.startswith(name))

    def python(self, code: str, *as_user: str) -> str:
        """Run some lines with the service's interpreter and packages; they must succeed."""
        return self.container.succeed(*as_user, PYTHON, "-c", code)


def _role(process: Path) -> str:
    command = (process / "cmdline").read_bytes().split(b"\0")
    if b"resonance_tuning.actuator" in command:
        return "actuator"
    if b"rollback" in command:
        return "rollback"
    return "daemon" if os.stat(process).st_uid else "keeper"
