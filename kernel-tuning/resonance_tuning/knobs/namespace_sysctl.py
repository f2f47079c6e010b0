# SPDX-License-Identifier: MIT
"""The short list of TCP sysctls, each of one network namespace.

What is global to the host is not here: not ``tcp_mem``, not ``default_qdisc``. A namespace other
than our own is reached from a thread that enters it.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final, Literal, TypeVar, cast

from resonance_tuning.errors import KnobUnavailableError, TargetVanishedError
from resonance_tuning.knob import Knob
from resonance_tuning.records import State, Target, TargetKind
from resonance_tuning.surfaces.congestion import not_loaded, parse_algorithm
from resonance_tuning.surfaces.namespaces import identity_of, run_in

__all__ = ["SYSCTL_KNOBS", "NamespaceSysctl", "TcpCongestionControl"]

T = TypeVar("T")

_MEMORY_PARTS: Final = 16
"""A socket's buffer may take a sixteenth of the memory; more starves the others' sockets."""
_OWN_WRITE: Final = 0o200


class NamespaceSysctl(Knob):
    """One sysctl of a network namespace.

    Of our own, uid 0 may write it without any capability; to enter another one takes
    CAP_SYS_ADMIN, which is not asked for by a knob that may never need it.

    Attributes
    ----------
    file : str
        Below ``/proc/sys/net``.
    """

    scope: ClassVar[TargetKind] = "namespace"
    rung: ClassVar[int] = 3
    evidence: ClassVar[Literal["runqueue", "srtt", "none"]] = "srtt"
    file: ClassVar[str]

    @property
    def path(self) -> Path:
        """The file; which namespace's depends on the task that opens it."""
        return self.host.path(f"/proc/sys/net/{self.file}")

    def unavailable(self, target: Target) -> str:
        """Return that the namespace or the sysctl is not there, or is the host's."""
        try:
            return self._inside(target, self._why_not)
        except TargetVanishedError:
            return f"there is no namespace {target.name}"
        except OSError as error:
            return f"namespace {target.name} cannot be entered: {error.strerror}"

    def identity(self, target: Target) -> str:
        """Return device and inode of the namespace."""
        return identity_of(self.host, target.name)

    def read(self, target: Target) -> State:
        """Return the value, its words one space apart."""
        text = self._inside(target, lambda: self.host.read(self.path))
        return State(" ".join(text.split()))

    def write(self, target: Target, value: str) -> None:
        """Write it."""
        self._inside(target, lambda: self.host.write(self.path, value))

    def commands(self, target: Target, prior: State) -> tuple[str, ...]:
        """Return the sysctl that puts the value back."""
        inside = ["ip", "netns", "exec", target.name] if target.name else []
        setting = f"net.{self.file.replace('/', '.')}={prior.value}"
        return (shlex.join([*inside, "sysctl", "-w", setting]),)

    def _why_not(self) -> str:
        name = f"net.{self.file.replace('/', '.')}"
        if not self.path.exists():
            return f"there is no {name} here"
        if not os.access(self.path, os.W_OK):
            return f"{name} can be written in the host's namespace only"
        return ""

    def _inside(self, target: Target, function: Callable[[], T]) -> T:
        return run_in(self.host, target.name, function) if target.name else function()


class _Number(NamespaceSysctl):
    """A sysctl that is one whole number.

    Attributes
    ----------
    low, high : int
        What we would write; the kernel may take more.
    """

    low: ClassVar[int] = 0
    high: ClassVar[int]

    def parse(self, value: object) -> str:
        """Return the number."""
        return str(_whole(value, self.low, self.high))


class _Bytes(NamespaceSysctl):
    """A sysctl that bounds a socket's memory."""

    def parse(self, value: object) -> str:
        """Return the number of bytes."""
        return str(_whole(value, 4096, self.limit_bytes))

    @property
    def limit_bytes(self) -> int:
        """What we would write at most."""
        lines = self.host.read(self.host.path("/proc/meminfo")).splitlines()
        total = next(line.split()[1] for line in lines if line.startswith("MemTotal:"))
        return int(total) * 1024 // _MEMORY_PARTS


class _Buffer(_Bytes):
    """A sysctl that is least, first and greatest size of a buffer."""

    def parse(self, value: object) -> str:
        """Return three numbers of bytes, none less than the one before."""
        words = value.split() if isinstance(value, str) else value
        if not isinstance(words, list) or len(cast("list[object]", words)) != 3:
            raise ValueError(f"expected three numbers of bytes, not {value!r}")
        sizes = [_whole(word, 4096, self.limit_bytes) for word in cast("list[object]", words)]
        if sizes != sorted(sizes):
            raise ValueError(f"expected least, first and greatest in this order, not {value!r}")
        return " ".join(map(str, sizes))


class TcpCongestionControl(NamespaceSysctl):
    """The default congestion control; a namespace that is not the host's takes allowed ones only.

    In the host's own namespace the kernel adds a new default to the allowed list, where it stays:
    that list is coupled.
    """

    name: ClassVar[str] = "tcp_congestion_control"
    summary: ClassVar[str] = "Default congestion control of every new connection of a namespace."
    file: ClassVar[str] = "ipv4/tcp_congestion_control"
    allowed_file: ClassVar[str] = "tcp_allowed_congestion_control"

    def parse(self, value: object) -> str:
        """Return the algorithm's name."""
        return parse_algorithm(value)

    def canonical(self, target: Target, value: str) -> str:
        """Return the value itself; raises KnobUnavailableError where it cannot be the default."""
        reason = not_loaded(self.host, value)
        if not reason and not self._is_permitted(target, value):
            reason = self._restricted(value)
        if reason:
            raise KnobUnavailableError(self.name, reason)
        return value

    def read(self, target: Target) -> State:
        """Return the default, and the allowed ones where they change with it."""
        state = super().read(target)
        if not self._may_write_allowed(target):
            return state
        return State(state.value, {self.allowed_file: self._allowed(target)})

    def write(self, target: Target, value: str) -> None:
        """Write it; raises KnobUnavailableError where the kernel calls it restricted."""
        try:
            super().write(target, value)
        except PermissionError as error:
            if self._is_permitted(target, value):
                raise
            raise KnobUnavailableError(self.name, self._restricted(value)) from error

    def restore(self, target: Target, prior: State) -> None:
        """Write the prior default, then the allowed list if ours is all that was added to it."""
        ours = super().read(target).value
        self.write(target, prior.value)
        allowed = prior.coupled.get(self.allowed_file)
        if allowed is not None and self._has_only_ours(target, prior, ours):
            self._inside(target, lambda: self.host.write(self._allowed_path, allowed))

    def _has_only_ours(self, target: Target, prior: State, ours: str) -> bool:
        """Tell whether the allowed list has grown by the kernel's own hand, and by nobody's else.

        A recovery that was cut short had put the default back already; then it is the one more.
        """
        before = set(prior.coupled[self.allowed_file].split())
        now = set(self._allowed(target).split())
        added = now - before
        is_known = added == {ours} or (ours == prior.value and len(added) == 1)
        return is_known and before <= now

    def commands(self, target: Target, prior: State) -> tuple[str, ...]:
        """Return the sysctls that put the default and the allowed list back."""
        commands = super().commands(target, prior)
        allowed = prior.coupled.get(self.allowed_file)
        if allowed is None:
            return commands
        setting = f"net.ipv4.{self.allowed_file}={allowed}"
        return (*commands, shlex.join(["sysctl", "-w", setting]))

    @property
    def _allowed_path(self) -> Path:
        return self.path.with_name(self.allowed_file)

    def _allowed(self, target: Target) -> str:
        return self._inside(target, lambda: self.host.read(self._allowed_path))

    def _may_write_allowed(self, target: Target) -> bool:
        """Return whether it is the host's namespace: in others the list has mode 0444."""
        mode = self._inside(target, lambda: os.stat(self._allowed_path).st_mode)
        return bool(mode & _OWN_WRITE)

    def _is_permitted(self, target: Target, value: str) -> bool:
        return self._may_write_allowed(target) or value in self._allowed(target).split()

    def _restricted(self, value: str) -> str:
        return (
            f"restricted: {value} is not in net.ipv4.{self.allowed_file}, and only the host's own "
            "namespace may have another default"
        )


def _number(file_name: str, bounds: tuple[int, int], told: str) -> type[NamespaceSysctl]:
    class Number(_Number):
        name: ClassVar[str] = file_name.partition("/")[2]
        summary: ClassVar[str] = told
        file: ClassVar[str] = file_name
        low: ClassVar[int]
        high: ClassVar[int]
        low, high = bounds

    return Number


def _memory(kind: type[_Bytes], file_name: str, told: str) -> type[NamespaceSysctl]:
    class Memory(kind):  # type: ignore[misc,valid-type]  # a base given by name
        name: ClassVar[str] = file_name.partition("/")[2]
        summary: ClassVar[str] = told
        file: ClassVar[str] = file_name

    return Memory


SYSCTL_KNOBS: Final[tuple[type[NamespaceSysctl], ...]] = (
    TcpCongestionControl,
    _number(
        "core/somaxconn",
        (128, 65535),
        "Connections that may wait to be accepted: a burst of them is not refused.",
    ),
    _number("ipv4/tcp_autocorking", (0, 1), "0 sends each small write at once."),
    _number("ipv4/tcp_ecn", (0, 2), "1 asks peers for marks instead of losses; 2 only answers."),
    _number(
        "ipv4/tcp_mtu_probing",
        (0, 2),
        "1 finds the MTU where routers swallow the messages about it.",
    ),
    _number(
        "ipv4/tcp_notsent_lowat",
        (4096, 0xFFFF_FFFF),
        "Bytes written and not yet sent before a socket is no longer writable.",
    ),
    _number(
        "ipv4/tcp_pacing_ca_ratio",
        (100, 1000),
        "Percent of its rate at which a connection past slow start is paced.",
    ),
    _number(
        "ipv4/tcp_pacing_ss_ratio",
        (100, 1000),
        "Percent of its rate at which a connection in slow start is paced.",
    ),
    _number(
        "ipv4/tcp_slow_start_after_idle",
        (0, 1),
        "0 lets a connection that was idle go on at the speed it had.",
    ),
    _memory(_Bytes, "core/rmem_max", "Bytes an application may ask for with SO_RCVBUF."),
    _memory(_Bytes, "core/wmem_max", "Bytes an application may ask for with SO_SNDBUF."),
    _memory(
        _Buffer,
        "ipv4/tcp_rmem",
        "Least, first and greatest size of a receive buffer in bytes: distant peers need more.",
    ),
    _memory(
        _Buffer,
        "ipv4/tcp_wmem",
        "Least, first and greatest size of a send buffer in bytes: distant peers need more.",
    ),
)


def _whole(value: object, low: int, high: int) -> int:
    text = "" if isinstance(value, bool) else str(value)
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"expected a whole number, not {value!r}")
    if not low <= int(text) <= high:
        raise ValueError(f"expected {low} to {high}, not {text}")
    return int(text)
