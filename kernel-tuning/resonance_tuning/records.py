# SPDX-License-Identifier: MIT
"""The records of the tuning: what is wanted, what was there, what came of it.

Plain dataclasses of the standard library, so that a rollback needs nothing else. Values are
the kernel's text, never numbers: "-1", "max" and cpulists are put back as they were read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

__all__ = [
    "HOST",
    "Change",
    "Excluded",
    "Outcome",
    "Receipt",
    "Role",
    "Setting",
    "State",
    "Target",
    "TargetKind",
]

TargetKind = Literal[
    "process", "cgroup", "unit", "route", "namespace", "device", "interrupt", "host"
]
Role = Literal["latency_critical", "batch", "network", "host"]
Outcome = Literal[
    "applied",
    "already",
    "restored",
    "vanished",
    "conflict-left",
    "released",
    "refused",
    "drifted",
    "ok",
]
"""What became of one setting.

``applied`` written and read back; ``already`` there was nothing to do; ``restored`` put back;
``vanished`` the target is gone or another; ``conflict-left`` somebody else changed it, theirs
stays; ``released`` the same, seen while the service ran; ``refused`` the kernel would not;
``drifted`` and ``ok`` are verify's words.
"""


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """What a knob turns.

    Attributes
    ----------
    kind : TargetKind
    name : str
        By kind: a pid; a cgroup's path below its hierarchy's root, as ``/web``; a unit's name;
        a route's destination; a network namespace's name below ``/run/netns``, empty for our
        own; a device; an interrupt's number; empty for the host.
    """

    kind: TargetKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" if self.name else self.kind


HOST: Final = Target("host", "")


@dataclass(frozen=True, slots=True, order=True)
class Setting:
    """One knob of one target at one value: a line of a plan."""

    knob: str
    target: Target
    value: str
    role: Role = "host"


@dataclass(frozen=True, slots=True)
class State:
    """What a knob's surface holds, as read.

    Attributes
    ----------
    value : str
        The knob's own text.
    coupled : dict of str to str
        What a write of the knob changes besides, by surface: ``cpu.shares`` of ``cpu.idle``.
    """

    value: str
    coupled: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Change:
    """A setting beside what is there now.

    Attributes
    ----------
    identity : str
        Of the target, as `Knob.identity` gives it.
    prior : State
    canonical : str
        What will be read back once the value is written: the kernel clamps and rewrites.
    reason : str
        Why, in a sentence.
    undo : tuple of str
        Commands an operator can paste to put the prior state back.
    """

    setting: Setting
    identity: str
    prior: State
    canonical: str
    reason: str
    undo: tuple[str, ...] = ()

    @property
    def is_needed(self) -> bool:
        """False when the value is there already."""
        return self.prior.value != self.canonical


@dataclass(frozen=True, slots=True)
class Excluded:
    """A setting a profile asks for that will not be made, and why."""

    setting: Setting
    reason: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one setting.

    Attributes
    ----------
    step : int
        Its number in the journal; 0 where nothing was journalled.
    found : str
        The value that is there now; empty where it could not be read.
    reason : str
        For people; empty where the outcome says it all.
    commands : tuple of str
        What an operator can paste where we could not put it back.
    """

    step: int
    setting: Setting
    outcome: Outcome
    found: str = ""
    reason: str = ""
    commands: tuple[str, ...] = ()
