# SPDX-License-Identifier: MIT
"""What a call can end with, besides what the called function raised itself.

::

    ResonanceError              all of them, but for the next
      PolicyError               a policy, a hint or a profile that cannot be; also a ValueError
      DeadlineExceededError     the time of the call is over; also a TimeoutError
      NoReplicaError            there is nobody to send the call to
      OverloadedError           refused here, before it was sent: too much is under way
      ClientClosedError         the client, or the loop it lives in, has ended
    MissingExtraError           the base installation does not bring it; an ImportError

A call whose attempts all failed ends with what the last of them raised, so that handlers
written for it go on working; a note on it tells how often it was tried, and why not again.
"""

from __future__ import annotations

__all__ = [
    "ClientClosedError",
    "DeadlineExceededError",
    "MissingExtraError",
    "NoReplicaError",
    "OverloadedError",
    "PolicyError",
    "ResonanceError",
]


class ResonanceError(Exception):
    """What the SDK itself has to say about a call."""


class PolicyError(ResonanceError, ValueError):
    """A policy, a hint or a profile that cannot be.

    Parameters
    ----------
    key : str
        Which field, with its record or its path in the file.
    reason : str
        What is wrong with it, and what is right.
    """

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(key, reason)
        self.key = key
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.key}: {self.reason}"


class DeadlineExceededError(ResonanceError, TimeoutError):
    """The time of a call is over.

    Parameters
    ----------
    timeout_seconds : float
        How long it was given.
    attempts : int
        How many attempts were made in it.
    """

    def __init__(self, timeout_seconds: float, attempts: int) -> None:
        super().__init__(timeout_seconds, attempts)
        self.timeout_seconds = timeout_seconds
        self.attempts = attempts

    def __str__(self) -> str:
        times = "1 attempt" if self.attempts == 1 else f"{self.attempts} attempts"
        return f"not done in {self.timeout_seconds:.3f} s, with {times}"


class NoReplicaError(ResonanceError):
    """There is nobody to send a call to.

    Parameters
    ----------
    service : str
        Whose replicas were asked for.
    """

    def __init__(self, service: str) -> None:
        super().__init__(service)
        self.service = service

    def __str__(self) -> str:
        return f"{self.service} has no replicas: pass at least one target"


class OverloadedError(ResonanceError):
    """Refused before it was sent: too much is under way, or too much was refused before.

    Parameters
    ----------
    service : str
        Which one.
    reason : str
        By which rule.
    retry_after_seconds : float or None
        When it is worth another try, where that is known.
    """

    def __init__(self, service: str, reason: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(service, reason, retry_after_seconds)
        self.service = service
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        return f"{self.service} is overloaded ({self.reason}): send less, or later"


class ClientClosedError(ResonanceError):
    """The client, or the loop it lives in, has ended.

    Parameters
    ----------
    reason : str
        Which of them.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.reason}: make a new client"


class MissingExtraError(ImportError):
    """Something was asked for that the base installation does not bring.

    Parameters
    ----------
    what : str
        What was asked for.
    package : str
        What is not installed.
    extra : str
        Which extra brings it.
    """

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(what, package, extra)
        self.what = what
        self.package = package
        self.extra = extra

    def __str__(self) -> str:
        return (
            f"{self.what} needs {self.package}, which is not installed: "
            f"pip install 'resonance-runtime[{self.extra}]'"
        )
