# SPDX-License-Identifier: MIT
"""What can go wrong while the node is tuned.

::

    TuningError                 anything below; one clear line, with what to do next
      KnobUnavailableError      this kernel or target lacks it; expected on some hosts
      KnobRefusedError          the kernel refused a write: knob, target, value, errno
      KnobDriftedError          read back, it is not what was written: wanted, found
      TargetVanishedError       the target is gone, or another stands in its place
      TargetProtectedError      a target nobody may tune: root group, PID 1, sshd, ...
      RequirementError          a profile's assertion does not hold on this host
      ProfileError              a profile is wrong: path, key, reason
      JournalError              the journal cannot be written or is not ours: path, line
      ActuatorError             the actuator is gone, or does not answer
        ActuatorRefusedError    it would not, or could not; what became of the settings
"""

from __future__ import annotations

import os

from resonance_tuning.records import Receipt

__all__ = [
    "ActuatorError",
    "ActuatorRefusedError",
    "JournalError",
    "KnobDriftedError",
    "KnobRefusedError",
    "KnobUnavailableError",
    "ProfileError",
    "RequirementError",
    "TargetProtectedError",
    "TargetVanishedError",
    "TuningError",
]


class TuningError(Exception):
    """Base of every error of the tuning; ``str`` of it is what the operator reads.

    Attributes
    ----------
    receipts : tuple of Receipt
        Where a transaction failed: what became of its settings when they were taken back.
    """

    receipts: tuple[Receipt, ...] = ()


class KnobUnavailableError(TuningError):
    """The setting does not exist on this kernel, host or target."""

    def __init__(self, knob: str, reason: str) -> None:
        super().__init__(knob, reason)
        self.knob = knob
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.knob}: {self.reason}"


class KnobRefusedError(TuningError):
    """The kernel refused a write."""

    def __init__(self, knob: str, target: str, value: str, errno: int, hint: str = "") -> None:
        super().__init__(knob, target, value, errno, hint)
        self.knob = knob
        self.target = target
        self.value = value
        self.errno = errno
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.knob} of {self.target}: {os.strerror(self.errno)}, writing {self.value!r}"
        return f"{text}; {self.hint}" if self.hint else text


class KnobDriftedError(TuningError):
    """What is read back is not what was written."""

    def __init__(self, knob: str, target: str, wanted: str, found: str) -> None:
        super().__init__(knob, target, wanted, found)
        self.knob = knob
        self.target = target
        self.wanted = wanted
        self.found = found

    def __str__(self) -> str:
        return f"{self.knob} of {self.target}: wrote {self.wanted!r}, found {self.found!r}"


class TargetVanishedError(TuningError):
    """The target is gone, or another one stands where it was."""

    def __init__(self, target: str, reason: str = "it is gone") -> None:
        super().__init__(target, reason)
        self.target = target
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.target}: {self.reason}"


class TargetProtectedError(TuningError):
    """The target is one that is never tuned."""

    def __init__(self, target: str, reason: str) -> None:
        super().__init__(target, reason)
        self.target = target
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.target}: never tuned: {self.reason}"


class RequirementError(TuningError):
    """A profile asks for something this host does not have."""

    def __init__(self, profile: str, requirement: str, found: str) -> None:
        super().__init__(profile, requirement, found)
        self.profile = profile
        self.requirement = requirement
        self.found = found

    def __str__(self) -> str:
        return f"profile {self.profile}: requires {self.requirement}, found {self.found}"


class ProfileError(TuningError):
    """A profile cannot be read: unknown key, value out of range, missing include."""

    def __init__(self, path: str, key: str, reason: str) -> None:
        super().__init__(path, key, reason)
        self.path = path
        self.key = key
        self.reason = reason

    def __str__(self) -> str:
        where = f"{self.path}: {self.key}" if self.key else self.path
        return f"{where}: {self.reason}"


class JournalError(TuningError):
    """The journal cannot be written or trusted; then nothing is written to the kernel."""

    def __init__(self, path: str, line: int, reason: str) -> None:
        super().__init__(path, line, reason)
        self.path = path
        self.line = line
        self.reason = reason

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else self.path
        return f"{where}: {self.reason}"


class ActuatorError(TuningError):
    """The process that writes to the kernel is gone, or does not answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"actuator: {self.reason}"


class ActuatorRefusedError(ActuatorError):
    """The actuator would not do it, or the kernel would not; nothing of the request is left."""

    def __init__(self, reason: str, receipts: tuple[Receipt, ...] = ()) -> None:
        super().__init__(reason)
        self.receipts = receipts

    def __str__(self) -> str:
        return self.reason
