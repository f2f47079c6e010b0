# SPDX-License-Identifier: MIT
"""How long may a CPU take to wake from idle? A request held at ``/dev/cpu_dma_latency``."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import ClassVar, Final, Literal

from resonance_tuning.errors import TargetVanishedError
from resonance_tuning.host import Host
from resonance_tuning.knob import Knob
from resonance_tuning.records import State, Target, TargetKind

__all__ = ["CpuDmaLatency"]

_MICROSECONDS: Final = struct.Struct("=i")
_VALUES: Final = range(2_000_000_000)
"""The kernel's default, PM_QOS_CPU_LATENCY_DEFAULT_VALUE, means no request."""


class CpuDmaLatency(Knob):
    """A bound on the wakeup latency of idle CPUs, for as long as this process holds the file.

    The kernel forgets it when the file is closed, however the process ends: there is nothing
    to put back.
    """

    name: ClassVar[str] = "cpu_dma_latency"
    summary: ClassVar[str] = (
        "The longest an idle CPU may take to wake, in microseconds: shallow idle states wake "
        "sooner and cost power. Forgotten by the kernel when the service ends."
    )
    scope: ClassVar[TargetKind] = "host"
    rung: ClassVar[int] = 3
    persistence: ClassVar[Literal["process", "boot"]] = "process"

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._held: tuple[int, str] | None = None

    def unavailable(self, target: Target) -> str:
        """Return why there is no idle state to keep CPUs out of."""
        del target
        if not self._path.exists():
            return f"there is no {self._path}"
        driver = self.host.path("/sys/devices/system/cpu/cpuidle/current_driver")
        if not driver.exists() or self.host.read(driver) == "none":
            return "no idle states are managed here (no cpuidle driver), so it has no effect"
        return ""

    def parse(self, value: object) -> str:
        """Return microseconds."""
        if type(value) is not int or value not in _VALUES:
            raise ValueError(f"a latency is a whole number of microseconds, not {value!r}")
        return str(value)

    def identity(self, target: Target) -> str:
        """Return the device's number."""
        try:
            return str(os.stat(self._path).st_rdev)
        except FileNotFoundError as error:
            raise TargetVanishedError(str(target), f"there is no {self._path}") from error

    def read(self, target: Target) -> State:
        """Return what this process holds, if anything."""
        del target
        return State(self._held[1] if self._held else "")

    def write(self, target: Target, value: str) -> None:
        """Hold a request, in place of the one that is held."""
        del target
        descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.write(descriptor, _MICROSECONDS.pack(int(value)))
        except OSError:
            os.close(descriptor)
            raise
        self._let_go()
        self._held = descriptor, value

    def restore(self, target: Target, prior: State) -> None:
        """Let go, or hold what was held before."""
        if prior.value:
            self.write(target, prior.value)
        else:
            self._let_go()

    def contradiction(self, target: Target, value: str) -> str:
        """Return the bound that is in force, where it is not as tight as ours."""
        del target
        if not self._held:
            return ""
        (found,) = _MICROSECONDS.unpack(os.pread(self._held[0], _MICROSECONDS.size, 0))
        return f"{found} µs are in force" if found > int(value) else ""

    def commands(self, target: Target, prior: State) -> tuple[str, ...]:
        """Return what a shell takes for a remark: only the holder can let go of it."""
        del target, prior
        return ("# nothing to do: forgotten when the process that holds it ends",)

    @property
    def _path(self) -> Path:
        return self.host.path("/dev/cpu_dma_latency")

    def _let_go(self) -> None:
        if self._held:
            os.close(self._held[0])
            self._held = None
