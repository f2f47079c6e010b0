# SPDX-License-Identifier: MIT
"""What a measurement can fail with; each is one line that says what to do next.

::

    BenchError              all of them
      PlanError             what was asked for cannot be measured; also a ValueError
      TargetError           the target cannot be reached, or is not what it was said to be
      IncomparableError     two measurements that may not be set beside each other
      ResultFormatError     a file that is no result, or of another version
      ExperimentError       the machine lacks something the reference experiment needs
"""

from __future__ import annotations

__all__ = [
    "BenchError",
    "ExperimentError",
    "IncomparableError",
    "PlanError",
    "ResultFormatError",
    "TargetError",
]


class BenchError(Exception):
    """What a measurement has to say for itself."""


class PlanError(BenchError, ValueError):
    """What was asked for cannot be measured.

    Parameters
    ----------
    key : str
        Which part of it: an argument, or a path in the scenario file.
    reason : str
        What is wrong with it, and what is right.
    """

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(key, reason)
        self.key = key
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.key}: {self.reason}"


class TargetError(BenchError):
    """The target cannot be reached, or is not what it was said to be.

    Parameters
    ----------
    target : str
        As it was asked for.
    reason : str
        What happened, and what to do next.
    """

    def __init__(self, target: str, reason: str) -> None:
        super().__init__(target, reason)
        self.target = target
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.target}: {self.reason}"


class IncomparableError(BenchError):
    """Two measurements that may not be set beside each other.

    Parameters
    ----------
    what : str
        In what they differ.
    reason : str
        Both values, and what to do next.
    """

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)
        self.what = what
        self.reason = reason

    def __str__(self) -> str:
        return f"not comparable: {self.what}: {self.reason}"


class ResultFormatError(BenchError, ValueError):
    """A file that is no result, or one of another version.

    Parameters
    ----------
    where : str
        The file.
    reason : str
        What is wrong with it.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, reason)
        self.where = where
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


class ExperimentError(BenchError):
    """The machine lacks something that the reference experiment needs.

    Parameters
    ----------
    what : str
        What was to be done.
    reason : str
        What is missing, and what to do next.
    """

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)
        self.what = what
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}"
