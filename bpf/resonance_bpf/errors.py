# SPDX-License-Identifier: MIT
"""What can go wrong between us and the kernel.

::

    ProbeError                  anything below; carries a hint: what to do next
      ToolchainError            clang, libbpf or BCC is absent, or is not what it says
      ProbeUnsupportedError     the kernel lacks what a program needs
      ProbeRejectedError        the kernel refused a program; carries the verifier's words
      CanaryError               a program loaded and read something untrue
      PinError                  the BPF file system is missing, foreign or in use
"""

from __future__ import annotations

__all__ = [
    "CanaryError",
    "PinError",
    "ProbeError",
    "ProbeRejectedError",
    "ProbeUnsupportedError",
    "ToolchainError",
]


class ProbeError(Exception):
    """Base of every error of this room.

    Parameters
    ----------
    subject : str
        The program, library or path it is about.
    reason : str
        What happened, with the kernel's or compiler's own words.
    hint : str
        What the operator can do next; may be empty.
    """

    def __init__(self, subject: str, reason: str, hint: str = "") -> None:
        super().__init__(subject, reason, hint)
        self.subject = subject
        self.reason = reason
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.subject}: {self.reason}"
        return f"{text}; {self.hint}" if self.hint else text


class ToolchainError(ProbeError):
    """A library or compiler is absent, or is another thing of the same name."""


class ProbeUnsupportedError(ProbeError):
    """The running kernel lacks something a program needs."""


class ProbeRejectedError(ProbeError):
    """The kernel refused to load or attach a program."""


class CanaryError(ProbeError):
    """A program was loaded, ran, and read values that are not true."""


class PinError(ProbeError):
    """Pins cannot be made, found or removed."""
