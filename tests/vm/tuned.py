# SPDX-License-Identifier: MIT
"""Two groups with work in them, a profile that turns them, and a configuration to give it to.

The guard of the profile is as impatient as it may be: an objective that any machine misses and
short windows, so that the service begins a trial a few seconds after its start. What it finds is
of no interest here; that a knob is turned, and given back, is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from vm import machine

SLEEPER = """\
import threading, time
def wake():
    while True:
        time.sleep(0.004)
for _ in range(3):
    threading.Thread(target=wake, daemon=True).start()
wake()
"""
"""Wakes up about a thousand times a second: a window without 500 waits says nothing."""
PREFIX = "resonance-test-"
FILES = ("cpu.weight", "cpu.idle", "cpuset.cpus", "cpuset.cpus.partition")
GUARD = """\
[guard]
slo_runqueue_p99_seconds = 0.000001
window_seconds = 10.0
enter_windows = 1
min_change_interval_seconds = 1.0
cool_down_seconds = 1.0
max_changes_per_hour = 1000
max_utilisation_ratio = 1.0
batch_full_pressure_seconds = 3600.0
"""


@dataclass(frozen=True)
class Groups:
    """The two groups, and where profile and journal are."""

    web: Path
    hogs: Path
    profiles: Path
    journal: Path

    def write_profile(self, text: str) -> None:
        """Say what is turned."""
        head = 'description = "What these tests turn."\n'
        (self.profiles / "testing.toml").write_text(head + text + GUARD, encoding="utf-8")

    def configuration(self, mode: str, *more: str) -> str:
        """Return a configuration that names the two groups and the profile."""
        lines = [
            "[tuning]",
            f'mode = "{mode}"',
            'profile = "testing"',
            f"profiles_directory = {json.dumps(str(self.profiles))}",
            *more,
            "[tuning.latency_critical]",
            f'cgroups = ["/{self.web.name}"]',
            "[tuning.batch]",
            f'cgroups = ["/{self.hogs.name}"]',
        ]
        return "\n".join(lines) + "\n"

    def values(self) -> dict[str, dict[str, str]]:
        """Return what the groups hold that could be turned."""
        return {group.name: machine.values(group, FILES) for group in (self.web, self.hogs)}


@contextmanager
def two_groups() -> Generator[Groups]:
    """Make the groups, with a sleeper in the one and a hog in the other."""
    with ExitStack() as stack:
        # Not below /tmp, of which the service has one of its own.
        directory = Path(stack.enter_context(TemporaryDirectory(dir="/run", prefix=PREFIX)))
        web = stack.enter_context(machine.cgroup("resonance-test-web"))
        hogs = stack.enter_context(machine.cgroup("resonance-test-hogs"))
        profiles = directory / "profiles"
        profiles.mkdir()
        # Not root's: the groups' work is anybody's.
        for group, program in ((web, SLEEPER), (hogs, "while True: pass")):
            process = machine.start_in(group, sys.executable, "-I", "-c", program)
            stack.callback(process.communicate)
            stack.callback(process.kill)
        groups = Groups(web, hogs, profiles, Path("/run/resonance-tuning"))
        groups.write_profile("[batch]\ncpu_idle = 1\n")
        assert set(FILES) <= {path.name for path in web.iterdir()}, "a controller is missing"
        yield groups
