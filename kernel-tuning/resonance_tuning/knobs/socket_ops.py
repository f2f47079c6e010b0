# SPDX-License-Identifier: MIT
"""Socket options of the new TCP connections of a cgroup, by a BPF program on it.

What is held is a link in this process: it goes when the process goes, however it goes.
Connections that have the option keep it until they close.

A value is the option and, where wanted, for which connections: ``bbr``, or
``bbr canary=0.1 min_rtt_seconds=0.002`` for a tenth of those whose handshake took at least 2 ms;
a profile may write the same as a table. An application, or a route, that chose for itself is left
alone.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Literal, cast

from resonance_tuning.errors import KnobUnavailableError, TargetVanishedError
from resonance_tuning.host import Host
from resonance_tuning.knob import Knob
from resonance_tuning.records import State, Target, TargetKind
from resonance_tuning.surfaces.congestion import not_loaded, parse_algorithm

if TYPE_CHECKING:
    from resonance_bpf.socket_options import SocketOption, SocketOptionLink

__all__ = ["CongestionControl", "NotsentLowat", "SocketOptionKnob", "parse_amount"]

_MAX_AMOUNT: Final = 0xFFFF_FFFE
"""Options of 32 bits; all ones means "no limit" to the kernel."""
_MAX_MIN_RTT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class _Held:
    value: str
    link: SocketOptionLink


class SocketOptionKnob(Knob):
    """A socket option given to the new connections of a cgroup.

    Attributes
    ----------
    option_key : str
        What the option is called in a profile's table.
    """

    scope: ClassVar[TargetKind] = "cgroup"
    rung: ClassVar[int] = 1
    evidence: ClassVar[Literal["runqueue", "srtt", "none"]] = "srtt"
    capabilities: ClassVar[frozenset[str]] = frozenset({"CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"})
    persistence: ClassVar[Literal["process", "boot"]] = "process"
    option_key: ClassVar[str]

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._held: dict[Target, _Held] = {}

    @abstractmethod
    def parse_option(self, value: object) -> str:
        """Return the option itself as text; raises ValueError."""

    @abstractmethod
    def option(self, text: str, canary_ratio: float, min_rtt_seconds: float) -> SocketOption:
        """Return the option to attach."""

    def directory(self, target: Target) -> Path:
        """Return the cgroup in the hierarchy of version 2.

        Raises
        ------
        TargetVanishedError
            No such hierarchy is mounted.
        """
        mount = self.host.unified
        if not mount:
            raise TargetVanishedError(str(target), "no cgroup v2 hierarchy is mounted")
        return mount.directory / target.name.lstrip("/")

    def unavailable(self, target: Target) -> str:
        """Return what is missing: cgroup v2, the cgroup in it, BTF, the object, libbpf."""
        if not self.host.unified:
            return "no cgroup v2 hierarchy is mounted"
        if not self.directory(target).is_dir():
            return f"there is no cgroup {target.name} in the v2 hierarchy"
        from resonance_bpf import socket_options

        return socket_options.missing()

    def parse(self, value: object) -> str:
        """Return text as above; a table has the same keys, and the option under its own name."""
        fields = _fields(value, self.option_key)
        unknown = fields.keys() - {self.option_key, "canary", "min_rtt_seconds"}
        if unknown:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        words = [self.parse_option(fields.get(self.option_key))]
        canary = _parse_float("canary", fields.get("canary", 1.0), 0.0, 1.0)
        if canary == 0.0:
            raise ValueError("canary must be above 0")
        min_rtt = fields.get("min_rtt_seconds", 0.0)
        min_rtt_seconds = _parse_float("min_rtt_seconds", min_rtt, 0.0, _MAX_MIN_RTT_SECONDS)
        if canary != 1.0:
            words.append(f"canary={canary:g}")
        if min_rtt_seconds:
            words.append(f"min_rtt_seconds={min_rtt_seconds:g}")
        return " ".join(words)

    def identity(self, target: Target) -> str:
        """Return device and inode of the cgroup's directory."""
        try:
            found = os.stat(self.directory(target))
        except FileNotFoundError as error:
            self._release(target)
            raise TargetVanishedError(str(target)) from error
        return f"{found.st_dev}:{found.st_ino}"

    def read(self, target: Target) -> State:
        """Return what this process holds, nothing where somebody took the program off."""
        self.identity(target)
        held = self._held.get(target)
        if held and not held.link.cgroup_id:
            self._release(target)
            held = None
        return State(held.value if held else "")

    def write(self, target: Target, value: str) -> None:
        """Attach the option, and take off the one that was held; take off only, where empty."""
        link = self._attach(target, value) if value else None
        self._release(target)
        if link:
            self._held[target] = _Held(value, link)

    def contradiction(self, target: Target, value: str) -> str:
        """Return that the kernel refused the option on every connection so far."""
        del value
        counts = self.counters(target)
        if counts.get("failed") and not counts["taken"]:
            reason = os.strerror(counts["last_error"])
            return f"the kernel refused it on {counts['failed']} connections: {reason}"
        return ""

    def commands(self, target: Target, prior: State) -> tuple[str, ...]:
        """Return a remark: there is nothing to put back but to end the process that holds it."""
        del target, prior
        return ("# nothing: it goes with the process that holds it",)

    def counters(self, target: Target) -> dict[str, int]:
        """Return what became of new connections since it was written; empty if it is not held.

        The keys are those of `resonance_bpf.socket_options.OptionCounts`: ``taken``,
        ``own_choice``, ``too_near``, ``outside_canary``, ``failed``, ``last_error``.
        """
        held = self._held.get(target)
        return held.link.counts().as_dict() if held else {}

    def _attach(self, target: Target, value: str) -> SocketOptionLink:
        from resonance_bpf import socket_options
        from resonance_bpf.errors import ProbeError

        fields = _fields(value, self.option_key)
        canary, min_rtt = fields.get("canary", 1.0), fields.get("min_rtt_seconds", 0.0)
        option = self.option(
            str(fields[self.option_key]),
            float(cast("float", canary)),
            float(cast("float", min_rtt)),
        )
        try:
            return socket_options.attach(option, self.directory(target))
        except FileNotFoundError as error:
            raise TargetVanishedError(str(target)) from error
        except ProbeError as error:
            raise KnobUnavailableError(self.name, str(error)) from error

    def _release(self, target: Target) -> None:
        held = self._held.pop(target, None)
        if held:
            held.link.close()


class CongestionControl(SocketOptionKnob):
    """TCP_CONGESTION."""

    name: ClassVar[str] = "congestion_control"
    summary: ClassVar[str] = (
        "Congestion control of the cgroup's new connections: BBR keeps queues short where a "
        "bottleneck buffers much, and speed where packets are lost by chance."
    )
    option_key: ClassVar[str] = "algorithm"

    def parse_option(self, value: object) -> str:
        """Return the algorithm's name."""
        return parse_algorithm(value)

    def canonical(self, target: Target, value: str) -> str:
        """Return the value itself; raises KnobUnavailableError where the kernel has it not."""
        del target
        reason = not_loaded(self.host, value.partition(" ")[0])
        if value and reason:
            raise KnobUnavailableError(self.name, reason)
        return value

    def option(self, text: str, canary_ratio: float, min_rtt_seconds: float) -> SocketOption:
        """Return the option to attach."""
        from resonance_bpf.socket_options import TCP_CONGESTION, SocketOption

        return SocketOption(
            TCP_CONGESTION,
            algorithm=text,
            canary_ratio=canary_ratio,
            min_rtt_seconds=min_rtt_seconds,
        )


class NotsentLowat(SocketOptionKnob):
    """TCP_NOTSENT_LOWAT."""

    name: ClassVar[str] = "notsent_lowat"
    summary: ClassVar[str] = (
        "Bytes a new connection of the cgroup may have written and not yet sent before it is no "
        "longer writable: what an application sends late is not old already."
    )
    evidence: ClassVar[Literal["runqueue", "srtt", "none"]] = "none"
    option_key: ClassVar[str] = "bytes"

    def parse_option(self, value: object) -> str:
        """Return the bytes."""
        return parse_amount(value, "bytes")

    def option(self, text: str, canary_ratio: float, min_rtt_seconds: float) -> SocketOption:
        """Return the option to attach."""
        from resonance_bpf.socket_options import TCP_NOTSENT_LOWAT, SocketOption

        return SocketOption(
            TCP_NOTSENT_LOWAT,
            value=int(text),
            canary_ratio=canary_ratio,
            min_rtt_seconds=min_rtt_seconds,
        )


def parse_amount(value: object, unit: str) -> str:
    """Return a whole number that fits an option of 32 bits, as text.

    Raises
    ------
    ValueError
        It is none, or out of range.
    """
    text = "" if isinstance(value, bool) else str(value)
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"expected a number of {unit}, not {value!r}")
    if not 1 <= int(text) <= _MAX_AMOUNT:
        raise ValueError(f"expected 1 to {_MAX_AMOUNT} {unit}, not {text}")
    return str(int(text))


def _fields(value: object, option_key: str) -> dict[str, object]:
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, object]", value))
    if not isinstance(value, str):
        return {option_key: value}
    option, *rest = value.split() or [""]
    fields: dict[str, object] = {option_key: option}
    for word in rest:
        key, equals, text = word.partition("=")
        if not equals or key in fields:
            raise ValueError(f"expected key=value once each, not {word!r}")
        fields[key] = text
    return fields


def _parse_float(name: str, value: object, low: float, high: float) -> float:
    try:
        number = float(cast("float | str", value))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: expected a number, not {value!r}") from error
    if isinstance(value, bool) or not low <= number <= high:
        raise ValueError(f"{name}: expected {low:g} to {high:g}, not {value!r}")
    return number
