# SPDX-License-Identifier: MIT
"""Groups of our own in the kernel's cgroup trees, and what their files hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from resonance_tuning.host import Host
from resonance_tuning.records import Target

WATCHED = ("cpu.*", "cpuset.*", "cgroup.procs", "tasks")
"""Files of a group that a knob could change; what counts time is left out below."""
_COUNTERS = ("stat", "stat.local", "pressure", "memory_pressure")


class Groups:
    """Groups below one of this test's own, in the hierarchy of one controller."""

    def __init__(self, host: Host, controller: str, name: str) -> None:
        mount = host.controller(controller)
        assert mount, f"no {controller} controller is mounted here"
        self.version = mount.version
        self.mount = mount.directory
        self.parent = mount.directory / name
        self.parent.mkdir()

    def make(self, name: str, **values: str) -> Target:
        """Make a group; values are by the end of a file's name, as ``shares``."""
        directory = self.parent / name
        directory.mkdir()
        for key, value in values.items():
            (directory / f"cpu.{key}").write_text(f"{value}\n")
        return Target("cgroup", f"/{directory.relative_to(self.mount)}")

    def directory(self, target: Target) -> Path:
        return self.mount / target.name[1:]

    def remove(self, target: Target) -> None:
        self.directory(target).rmdir()

    def snapshot(self) -> dict[str, bytes]:
        """Return every file of every group that a knob could change."""
        return {
            str(path.relative_to(self.mount)): path.read_bytes()
            for directory in (self.parent, *sorted(self.parent.glob("**/*/")))
            for pattern in WATCHED
            for path in sorted(directory.glob(pattern))
            if not path.name.partition(".")[2].endswith(_COUNTERS)
        }

    def close(self) -> None:
        for directory in sorted(self.parent.glob("**/*/"), reverse=True):
            directory.rmdir()
        self.parent.rmdir()


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def groups(host: Host) -> Iterator[Groups]:
    """Groups in the cpu controller's hierarchy."""
    made = Groups(host, "cpu", f"resonance-test-{os.getpid()}")
    yield made
    made.close()
