# SPDX-License-Identifier: MIT
"""What does systemd give a unit? ``CPUWeight`` and ``AllowedCPUs``, asked for over D-Bus.

The cgroup of a unit is systemd's: who writes its files is overwritten at the next reload. So
the unit is told, until the next boot, and the file shows whether it happened. An undo leaves
an empty assignment in ``/run/systemd/system.control``, which a reboot forgets.
"""

from __future__ import annotations

import shlex
import time
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar, Final

from resonance_tuning.errors import KnobUnavailableError, TargetVanishedError
from resonance_tuning.host import Host, format_cpus, parse_cpus
from resonance_tuning.knob import Knob
from resonance_tuning.records import State, Target, TargetKind
from resonance_tuning.surfaces import cpu_lists
from resonance_tuning.surfaces.cpumask import wanted_cpus
from resonance_tuning.surfaces.dbus import SYSTEM_BUS, Systemd

__all__ = ["UnitAllowedCpus", "UnitCpuWeight"]

_UNSET: Final = "unset"
_NO_WEIGHT: Final = 2**64 - 1
_WEIGHTS: Final = range(1, 10_001)
_IDLE_SINCE: Final = 252
"""The systemd that takes ``CPUWeight=idle`` (systemd.resource-control(5))."""
_INTERFACES: Final = frozenset({"Service", "Slice", "Scope", "Socket", "Mount", "Swap"})
"""The kinds of units that have a cgroup."""
_NO_LIBRARY: Final = "the package jeepney is not installed"
_SETTLE_SECONDS: Final = 1.0
"""systemd answers first and writes the cgroup right after."""
_INTERVAL_SECONDS: Final = 0.01


class UnitKnob(Knob):
    """One property of a unit.

    Parameters
    ----------
    host : Host
    systemd : Systemd, optional
        The service manager; else the host's own, on its system bus.

    Attributes
    ----------
    controller : str
        What writes the files below.
    property : str
        Its name on the bus.
    signature : str
        Its type there.
    files : tuple of str
        The files of the unit's cgroup that follow it.
    """

    scope: ClassVar[TargetKind] = "unit"
    controller: ClassVar[str]
    property: ClassVar[str]
    signature: ClassVar[str]
    files: ClassVar[tuple[str, ...]]

    def __init__(self, host: Host, systemd: Systemd | None = None) -> None:
        super().__init__(host)
        self.systemd = systemd or Systemd(f"unix:path={host.path(SYSTEM_BUS)}")

    @abstractmethod
    def text_of(self, value: object) -> str:
        """Return a property's value as text."""

    @abstractmethod
    def value_of(self, text: str) -> object:
        """Return the property's value of a text."""

    @abstractmethod
    def expected(self, value: str) -> dict[str, str]:
        """Return what the cgroup's files hold then, as far as that is known."""

    def unavailable(self, target: Target) -> str:
        """Return why this unit cannot be told."""
        if not self.host.path("/run/systemd/system").is_dir():
            return "systemd is not the service manager of this host"
        if self._interface(target) not in _INTERFACES:
            return "units of this kind have no cgroup"
        try:
            self.identity(target)
        except (KnobUnavailableError, TargetVanishedError) as error:
            return error.reason
        except OSError as error:
            return f"the service manager cannot be asked: {error.strerror or error}"
        return ""

    def identity(self, target: Target) -> str:
        """Return where the unit comes from; it survives a restart, as the setting does.

        A transient unit ends with its run, and its properties with it.
        """
        path = self._load(target)
        source = str(self.systemd.property(path, "Unit", "FragmentPath"))
        if self.systemd.property(path, "Unit", "Transient"):
            source += f" {_bytes(self.systemd.property(path, 'Unit', 'InvocationID')).hex()}"
        return f"{target.name} {source}"

    def read(self, target: Target) -> State:
        """Return the property, coupled with the files that follow it."""
        path = self._load(target)
        value = self.systemd.property(path, self._interface(target), self.property)
        return State(self.text_of(value), self._files(target, path))

    def write(self, target: Target, value: str) -> None:
        """Tell the manager, and wait until the cgroup shows it."""
        path = self._load(target)
        self._set(target, value)
        self._settle(target, path, self.expected(value))

    def restore(self, target: Target, prior: State) -> None:
        """Tell the manager what was there, and see that the cgroup followed."""
        path = self._load(target)
        self._set(target, prior.value)
        self._settle(target, path, prior.coupled)

    def unsettled(self, target: Target, prior: State, found: State) -> str:
        """Return which file of the cgroup did not follow; a unit that has ended has none."""
        there = {key: text for key, text in prior.coupled.items() if key in found.coupled}
        return super().unsettled(target, State(prior.value, there), found)

    def contradiction(self, target: Target, value: str) -> str:
        """Return which file of the cgroup holds something else."""
        found, expected = self._files(target, self._load(target)), self.expected(value)
        return ", ".join(
            f"{name} is {text!r}, not {expected[name]!r}"
            for name, text in found.items()
            if expected.get(name, text) != text
        )

    def commands(self, target: Target, prior: State) -> tuple[str, ...]:
        """Return the call of systemctl; an empty assignment unsets."""
        value = "" if prior.value == _UNSET else prior.value
        unit = shlex.quote(target.name)
        return (f"systemctl set-property --runtime {unit} {self.property}={value}",)

    def _set(self, target: Target, value: str) -> None:
        self.systemd.set_property(target.name, self.property, self.signature, self.value_of(value))

    def _load(self, target: Target) -> str:
        try:
            path = self.systemd.load(target.name)
            state = self.systemd.property(path, "Unit", "LoadState")
        except ImportError as error:
            raise KnobUnavailableError(self.name, _NO_LIBRARY) from error
        except FileNotFoundError as error:
            raise TargetVanishedError(str(target), "systemd has no such unit") from error
        if state != "loaded":
            raise TargetVanishedError(str(target), f"systemd says that the unit is {state}")
        return path

    def _interface(self, target: Target) -> str:
        return target.name.rpartition(".")[2].capitalize()

    def _files(self, target: Target, path: str) -> dict[str, str]:
        """Return the cgroup's files; none where the unit does not run."""
        directory = self._directory(target, path)
        paths = [directory / name for name in self.files] if directory else []
        return {path.name: self.host.read(path) for path in paths if path.exists()}

    def _directory(self, target: Target, path: str) -> Path | None:
        group = str(self.systemd.property(path, self._interface(target), "ControlGroup"))
        mount = self.host.controller(self.controller)
        return mount.directory / group.lstrip("/") if mount and group else None

    def _settle(self, target: Target, path: str, expected: dict[str, str]) -> bool:
        """Wait until the files hold this; return whether they do."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while True:
            found = self._files(target, path)
            if all(expected.get(name, text) == text for name, text in found.items()):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(_INTERVAL_SECONDS)


class UnitCpuWeight(UnitKnob):
    """A unit's weight against its siblings, or the idle class of the whole unit."""

    name: ClassVar[str] = "unit_cpu_weight"
    summary: ClassVar[str] = (
        'The unit\'s share of a contended CPU against its siblings, 1..10000 or "idle": asked of '
        "systemd, which owns the unit's group."
    )
    rung: ClassVar[int] = 2
    controller: ClassVar[str] = "cpu"
    property: ClassVar[str] = "CPUWeight"
    signature: ClassVar[str] = "t"
    files: ClassVar[tuple[str, ...]] = ("cpu.weight", "cpu.shares", "cpu.idle")

    def parse(self, value: object) -> str:
        """Return a weight, or idle."""
        if value == "idle" or (type(value) is int and value in _WEIGHTS):
            return str(value)
        raise ValueError(f'a unit\'s weight is 1..10000 or "idle", not {value!r}')

    def canonical(self, target: Target, value: str) -> str:
        """Return the lowest weight for idle, where systemd does not know that class yet."""
        del target
        is_known = value != "idle" or self.systemd.version() >= _IDLE_SINCE
        return value if is_known else str(_WEIGHTS[0])

    def write(self, target: Target, value: str) -> None:
        """Tell the manager what it knows."""
        super().write(target, self.canonical(target, value))

    def contradiction(self, target: Target, value: str) -> str:
        """Return which file of the cgroup holds something else."""
        return super().contradiction(target, self.canonical(target, value))

    def text_of(self, value: object) -> str:
        """Return 0, which means idle, and the largest number, which means none, as words."""
        return {0: "idle", _NO_WEIGHT: _UNSET}.get(int(str(value)), str(value))

    def value_of(self, text: str) -> object:
        """Return the number for the bus."""
        return {"idle": 0, _UNSET: _NO_WEIGHT}[text] if text.isalpha() else int(text)

    def expected(self, value: str) -> dict[str, str]:
        """Return the weight of v2; of an idle group the kernel shows none."""
        return {"cpu.idle": "1"} if value == "idle" else {"cpu.weight": value, "cpu.idle": "0"}


class UnitAllowedCpus(UnitKnob):
    """The CPUs a unit may run on; needs the cpuset controller of cgroup v2."""

    name: ClassVar[str] = "unit_allowed_cpus"
    summary: ClassVar[str] = (
        "The CPUs the unit may run on: asked of systemd, which owns the unit's group."
    )
    rung: ClassVar[int] = 3
    controller: ClassVar[str] = "cpuset"
    property: ClassVar[str] = "AllowedCPUs"
    signature: ClassVar[str] = "ay"
    files: ClassVar[tuple[str, ...]] = ("cpuset.cpus",)

    def unavailable(self, target: Target) -> str:
        """Return why this unit cannot be told, or systemd not do it."""
        mount = self.host.controller("cpuset")
        if not mount or mount.version == 1:
            return "systemd sets CPUs of units in cgroup v2 only"
        if len(self.host.online_cpus()) < 2:
            return "there is only one CPU online"
        return super().unavailable(target)

    def parse(self, value: object) -> str:
        """Return the CPUs as the kernel lists them."""
        return format_cpus(wanted_cpus(self.host, value))

    def canonical(self, target: Target, value: str) -> str:
        """Return the list as the kernel writes it."""
        del target
        return value if value == _UNSET else format_cpus(parse_cpus(value))

    def text_of(self, value: object) -> str:
        """Return the bit mask, first byte CPUs 0 to 7, as a list."""
        bits = int.from_bytes(_bytes(value), "little")
        cpus = frozenset(cpu for cpu in range(bits.bit_length()) if bits >> cpu & 1)
        return format_cpus(cpus) or _UNSET

    def value_of(self, text: str) -> object:
        """Return the bit mask; an empty one unsets."""
        bits = sum(1 << cpu for cpu in parse_cpus("" if text == _UNSET else text))
        return bits.to_bytes((bits.bit_length() + 7) // 8, "little")

    def expected(self, value: str) -> dict[str, str]:
        """Return the CPUs."""
        return {"cpuset.cpus": value}

    def restore(self, target: Target, prior: State) -> None:
        """Tell the manager what was there; where it forgets the cgroup, let it look again.

        Of an unset list systemd leaves the old one in the cgroup while the unit runs; what nobody
        has set any more is undone in the file.
        """
        super().restore(target, prior)
        path = self._load(target)
        is_unset = prior.value == _UNSET == self.read(target).value
        if is_unset and self._files(target, path) != prior.coupled:
            self.systemd.reload()
            wanted = dict.fromkeys(self.files, "") | prior.coupled
            directory = self._directory(target, path)
            if not self._settle(target, path, wanted) and directory:
                self._put_list(directory, wanted[cpu_lists.CPUS])

    def unsettled(self, target: Target, prior: State, found: State) -> str:
        """Return which file did not follow; a list of all CPUs is as good as an empty one."""
        directory = self._directory(target, self._load(target))
        if directory and cpu_lists.CPUS in found.coupled and not prior.coupled.get(cpu_lists.CPUS):
            cleared = {cpu_lists.CPUS: cpu_lists.cleared(self.host, directory)}
            prior = State(prior.value, prior.coupled | cleared)
        return super().unsettled(target, prior, found)

    def _put_list(self, directory: Path, text: str) -> None:
        if text:
            self.host.write(directory / cpu_lists.CPUS, text)
        else:
            cpu_lists.clear(self.host, directory)


def _bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value
