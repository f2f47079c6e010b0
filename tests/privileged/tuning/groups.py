# SPDX-License-Identifier: MIT
"""Two cgroups of our own, a profile that turns them, and what they hold; asserts nothing."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from resonance_tuning.host import Host
from resonance_tuning.records import Setting, Target
from resonance_tuning.settings import Group, TuningSettings

PROFILE = """\
description = "What these tests turn."
[latency_critical]
cpu_weight = 1000
[batch]
cpu_idle = 1
task_idle = 1
[guard]
batch_full_pressure_seconds = 3.0
"""
HOG = "resonance-test-hog"
"""What a process is called that the profile takes for batch."""


class Groups:
    """``/resonance-test-PID-web`` and ``-hogs``, in the cpu and the v2 hierarchy.

    Parameters
    ----------
    directory : Path
        Where profile and journal are.
    """

    def __init__(self, directory: Path) -> None:
        host = Host()
        cpu, unified = host.controller("cpu"), host.unified
        assert cpu
        assert unified
        self.roots = {cpu.directory, unified.directory}
        self.cpu, self.unified = cpu.directory, unified.directory
        self.weight_file = "cpu.shares" if cpu.version == 1 else "cpu.weight"
        self.web = Target("cgroup", f"/resonance-test-{os.getpid()}-web")
        self.hogs = Target("cgroup", f"/resonance-test-{os.getpid()}-hogs")
        for group in (self.web, self.hogs):
            for root in self.roots:
                (root / group.name[1:]).mkdir()
        self.weight = Setting(
            "cpu_weight", self.web, "10240" if cpu.version == 1 else "1000", "latency_critical"
        )
        self.idle = Setting("cpu_idle", self.hogs, "1", "batch")
        self.profiles = directory / "profiles"
        self.profiles.mkdir()
        self.write_profile(PROFILE)
        self.journal = directory / "journal"
        self._processes: list[subprocess.Popen[bytes]] = []

    def write_profile(self, text: str) -> None:
        """Say what is turned."""
        (self.profiles / "testing.toml").write_text(text, encoding="utf-8")

    def settings(self, **keys: object) -> TuningSettings:
        """Return a configuration that names the two groups and the profile."""
        named = {
            "mode": "active",
            "profile": "testing",
            "profiles_directory": str(self.profiles),
            "journal_directory": str(self.journal),
            "latency_critical": Group(cgroups=(self.web.name,)),
            "batch": Group(cgroups=(self.hogs.name,), processes=(HOG,)),
        }
        return TuningSettings(**(named | keys))  # type: ignore[arg-type]

    def table(self, mode: str) -> dict[str, object]:
        """Return the same as the table of a configuration file."""
        return {
            "mode": mode,
            "profile": "testing",
            "profiles_directory": str(self.profiles),
            "journal_directory": str(self.journal),
            "latency_critical.cgroups": [self.web.name],
            "batch.cgroups": [self.hogs.name],
            "batch.processes": [HOG],
        }

    def directories(self, group: Target) -> tuple[Path, ...]:
        """Return a group's directories, to enter it by: probes and sockets ask different ones."""
        return tuple(root / group.name[1:] for root in self.roots)

    def file(self, group: Target, name: str) -> Path:
        """Return a file of a group in the cpu hierarchy."""
        return self.cpu / group.name[1:] / name

    def values(self) -> dict[str, bytes]:
        """Return, byte for byte, what the groups hold that could be turned."""
        names = (self.weight_file, "cpu.idle")
        files = [self.file(group, name) for group in (self.web, self.hogs) for name in names]
        return {str(path): path.read_bytes() for path in files}

    def start(self, *command: str, group: Target | None = None) -> subprocess.Popen[bytes]:
        """Start a process that ends with the test, in a group of both hierarchies if named."""
        process = subprocess.Popen(
            command or (HOG, "1000"), executable=command[0] if command else "/bin/sleep"
        )
        self._processes.append(process)
        for root in self.roots if group else ():
            (root / group.name[1:] / "cgroup.procs").write_text(str(process.pid))  # type: ignore[union-attr]
        return process

    def close(self) -> None:
        """End the processes, remove the groups."""
        for process in self._processes:
            process.kill()
            process.wait()
        for group in (self.web, self.hogs):
            for root in self.roots:
                with suppress(FileNotFoundError):
                    _remove(root / group.name[1:])


def _remove(directory: Path) -> None:
    """Remove a cgroup; one whose last process was killed a moment ago is still busy."""
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline:
        try:
            directory.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            time.sleep(0.02)
        else:
            return
    directory.rmdir()
