# SPDX-License-Identifier: MIT
"""What every knob can do: tell whether it is here, read, write, verify, put back.

A knob is one kernel setting. It never decides; `tuner` journals before it calls `write`,
reads back after it, and puts back only what is still ours.
"""

from __future__ import annotations

import errno
import os
import shlex
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import ClassVar, Final, Literal

from resonance_tuning.errors import TargetVanishedError
from resonance_tuning.host import Host
from resonance_tuning.records import HOST, State, Target, TargetKind

__all__ = ["CgroupFileKnob", "FileKnob", "Knob"]

# A path without its cgroup or process, and a file whose cgroup goes while it is open.
_GONE: Final = frozenset({errno.ENOENT, errno.ENODEV, errno.ESRCH})


class Knob(ABC):
    """One kernel setting.

    Attributes
    ----------
    name : str
        As in profiles, the journal and metrics.
    summary : str
        One sentence for `resonanced explain`: which setting, and why one would turn it.
    scope : TargetKind
        What it is turned on.
    rung : int
        Place on the ladder from least to most invasive: 1 idle class, 2 weight, 3 cpuset,
        4 partition, 5 real-time. Those of the network and the host have the rung their reach
        deserves.
    evidence : {"runqueue", "srtt", "none"}
        The signal that must improve for a change to stay.
    capabilities : frozenset of str
        What a write or an undo needs beyond uid 0, as ``CAP_SYS_NICE``.
    persistence : {"process", "boot"}
        Who forgets it: the process that holds it, or the kernel at reboot.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    scope: ClassVar[TargetKind]
    rung: ClassVar[int]
    evidence: ClassVar[Literal["runqueue", "srtt", "none"]] = "runqueue"
    capabilities: ClassVar[frozenset[str]] = frozenset()
    persistence: ClassVar[Literal["process", "boot"]] = "boot"

    def __init__(self, host: Host) -> None:
        self.host = host

    def targets(self, matched: Iterable[Target]) -> list[Target]:
        """Return what it would be turned on, out of what a profile matched."""
        if self.scope == "host":
            return [HOST]
        return [target for target in matched if target.kind == self.scope]

    @abstractmethod
    def unavailable(self, target: Target) -> str:
        """Return why it cannot be turned on this target, or nothing; changes nothing."""

    @abstractmethod
    def parse(self, value: object) -> str:
        """Return a profile's value as the text to write.

        Raises
        ------
        ValueError
            It is out of range or of the wrong type; the message says what would be right.
        """

    @abstractmethod
    def identity(self, target: Target) -> str:
        """Return what tells this target from one re-created under its name.

        Raises
        ------
        TargetVanishedError
            It is gone.
        """

    @abstractmethod
    def read(self, target: Target) -> State:
        """Return what is there now.

        Raises
        ------
        TargetVanishedError
            It is gone.
        OSError
            The kernel's answer.
        """

    def look(self, target: Target) -> str:
        """Return the value as `read` does, without what is coupled to it: it is asked often."""
        return self.read(target).value

    @abstractmethod
    def write(self, target: Target, value: str) -> None:
        """Write; the caller has journalled it.

        Raises
        ------
        TargetVanishedError
            It is gone.
        OSError
            The kernel's answer.
        """

    def canonical(self, target: Target, value: str) -> str:
        """Return what `read` will say once this value is written."""
        del target
        return value

    def is_ours(self, target: Target, found: str, written: Collection[str]) -> bool:
        """Tell whether what is found was written by us, as the kernel may have changed it since.

        Most values stay as they are; a partition becomes invalid, and v1 drops the CPUs of a
        cpuset that go offline. Neither is somebody else's decision.
        """
        del target
        return found in written

    def restore(self, target: Target, prior: State) -> None:
        """Put the prior state back, what is coupled to it too; raises as `write`."""
        self.write(target, prior.value)

    def contradiction(self, target: Target, value: str) -> str:
        """Return how the effect contradicts a value that reads back right, or nothing."""
        del target, value
        return ""

    def unsettled(self, target: Target, prior: State, found: State) -> str:
        """Return what of the coupled state is not back once the value is, or nothing."""
        del target
        return ", ".join(
            f"{surface} is {found.coupled.get(surface, '')!r}, was {text!r}"
            for surface, text in prior.coupled.items()
            if found.coupled.get(surface, "") != text
        )

    @abstractmethod
    def commands(self, target: Target, prior: State) -> tuple[str, ...]:
        """Return shell commands that put the prior state back."""


class FileKnob(Knob):
    """A knob that is one text file."""

    @abstractmethod
    def path(self, target: Target) -> Path:
        """Return its file; raises `TargetVanishedError`."""

    def identity(self, target: Target) -> str:
        """Return device and inode of the file's directory: a re-created one differs."""
        try:
            found = os.stat(self.path(target).parent)
        except FileNotFoundError as error:
            raise TargetVanishedError(str(target)) from error
        return f"{found.st_dev}:{found.st_ino}"

    def read(self, target: Target) -> State:
        """Return the file's text."""
        try:
            return State(self.host.read(self.path(target)))
        except OSError as error:
            if error.errno in _GONE:
                raise TargetVanishedError(str(target)) from error
            raise

    def write(self, target: Target, value: str) -> None:
        """Write the file."""
        try:
            self.host.write(self.path(target), value)
        except OSError as error:
            if error.errno in _GONE:
                raise TargetVanishedError(str(target)) from error
            raise

    def commands(self, target: Target, prior: State) -> tuple[str, ...]:
        """Return the echo that puts the value back."""
        return (f"echo {shlex.quote(prior.value)} > {shlex.quote(str(self.path(target)))}",)


class CgroupFileKnob(FileKnob):
    """A knob that is one file of a cgroup, named differently in v1 and v2.

    Attributes
    ----------
    controller : str
    v1_file, v2_file : str
    """

    scope: ClassVar[TargetKind] = "cgroup"
    controller: ClassVar[str]
    v1_file: ClassVar[str]
    v2_file: ClassVar[str]

    def version(self) -> int:
        """Return which version of the controller is mounted; 0 for none."""
        mount = self.host.controller(self.controller)
        return mount.version if mount else 0

    def directory(self, target: Target) -> Path:
        """Return the cgroup's directory in the controller's hierarchy."""
        mount = self.host.controller(self.controller)
        if not mount:
            raise TargetVanishedError(str(target), f"no {self.controller} controller is mounted")
        return mount.directory / target.name.lstrip("/")

    def path(self, target: Target) -> Path:
        """Return the file."""
        return self.directory(target) / (self.v1_file if self.version() == 1 else self.v2_file)

    def read_file(self, target: Target, name: str) -> str:
        """Return the text of a file of the cgroup; raises as `read`."""
        try:
            return self.host.read(self.directory(target) / name)
        except OSError as error:
            if error.errno in _GONE:
                raise TargetVanishedError(str(target)) from error
            raise

    def write_file(self, target: Target, name: str, text: str) -> None:
        """Write a file of the cgroup; raises as `write`."""
        try:
            self.host.write(self.directory(target) / name, text)
        except OSError as error:
            if error.errno in _GONE:
                raise TargetVanishedError(str(target)) from error
            raise

    def unavailable(self, target: Target) -> str:
        """Return why this cgroup has no such file."""
        if not self.version():
            return f"no {self.controller} controller is mounted"
        directory = self.directory(target)
        if not directory.is_dir():
            return f"there is no cgroup {target.name} in the {self.controller} hierarchy"
        path = self.path(target)
        return "" if path.exists() else f"{target.name} has no {path.name}"
