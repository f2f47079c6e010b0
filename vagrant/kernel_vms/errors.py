# SPDX-License-Identifier: MIT
"""What can go wrong with a machine, and with which exit status does it end?

VmError               3: nothing was learnt about our code
  NoSuchMachineError  2: the matrix has no such kernel
  BuildError          a step of a box's build
  BootError           a machine that does not come up, with the end of its console
  MachineError        a machine that came up and was lost, or could not be given its tests
"""

from __future__ import annotations

from collections.abc import Iterable


class VmError(Exception):
    """Tell an operator, in a line, what to do."""

    status = 3


class NoSuchMachineError(VmError):
    """The matrix does not have the machine that was named."""

    status = 2

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(name, tuple(known))
        self.name, self.known = name, tuple(known)

    def __str__(self) -> str:
        return f"no kernel {self.name!r} in kernels.toml; there are {', '.join(self.known)}"


class BuildError(VmError):
    """A step of a build failed; ``tail`` is the end of what it said."""

    def __init__(self, step: str, reason: str, tail: str = "") -> None:
        super().__init__(step, reason, tail)
        self.step, self.reason, self.tail = step, reason, tail

    def __str__(self) -> str:
        return f"{self.step}: {self.reason}" + (f"\n{self.tail}" if self.tail else "")


class BootError(VmError):
    """The machine did not come up; ``console`` is the end of its console."""

    def __init__(self, machine: str, reason: str, console: str) -> None:
        super().__init__(machine, reason, console)
        self.machine, self.reason, self.console = machine, reason, console

    def __str__(self) -> str:
        said = f"the console ends:\n{self.console}" if self.console else "its console is empty"
        return f"{self.machine} did not boot: {self.reason}; {said}"


class MachineError(VmError):
    """The machine was up, and what we did in it did not get through."""

    def __init__(self, doing: str, reason: str) -> None:
        super().__init__(doing, reason)
        self.doing, self.reason = doing, reason

    def __str__(self) -> str:
        return f"{self.doing}: {self.reason}"
