# SPDX-License-Identifier: MIT
"""What is to be sent, where, how often and for how long? Checked when it is made.

A load is open loop: each call is due at a moment that was drawn before the first one was sent,
and is sent then, whatever became of those before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import Final, Literal

from resonance.bench.errors import PlanError

__all__ = [
    "MOST_CALLS",
    "Arrival",
    "Load",
    "Request",
    "Scheme",
    "Stage",
    "Target",
]

Arrival = Literal["poisson", "constant"]
Scheme = Literal["http", "https", "h2", "h2c", "grpc", "grpcs", "frames"]
"""``h2`` is HTTP/2 with TLS, ``h2c`` without, by prior knowledge; ``frames`` is raw TCP."""

MOST_CALLS: Final = 30_000_000
"""*Chosen*: each takes 33 bytes of shared memory, a gigabyte in all."""
_MOST_PROCESSES: Final = 64
_MOST_CONNECTIONS: Final = 4_096
"""*Chosen*: of one process; beyond that the loop's own work would be what is measured."""


_MOST_TIMEOUT_SECONDS: Final = 100.0
"""Beyond, a histogram would count it as less than it took."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where calls go.

    Parameters
    ----------
    scheme : {"http", "https", "h2", "h2c", "grpc", "grpcs", "frames"}
    host : str
        Name or address; of a Unix socket what the server is told (``Host``), often localhost.
    port : int
        0 of a Unix socket.
    path : str
        Of HTTP, with its query; of gRPC ``/package.Service/Method``; empty of frames.
    unix_socket : str
        The path of a Unix socket; empty otherwise. A leading ``@`` is an abstract name.
    verify : bool
        Whether TLS looks at the server's certificate.
    certificate_authorities : str
        A PEM file that is trusted instead of the system's; empty for those.
    """

    scheme: Scheme
    host: str
    port: int
    path: str = "/"
    unix_socket: str = ""
    verify: bool = True
    certificate_authorities: str = ""

    @property
    def is_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.scheme in {"https", "h2", "grpcs"}

    def __str__(self) -> str:
        if self.unix_socket:
            return f"{self.scheme}+unix:{self.unix_socket}{':' + self.path if self.path else ''}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a load.

    Parameters
    ----------
    seconds : float
        Above 0.
    rate_per_second : float
        At its beginning, above 0; or 0 where it rises or falls.
    to_rate_per_second : float or None
        At its end; the rate changes linearly. ``None`` keeps it.
    """

    seconds: float
    rate_per_second: float
    to_rate_per_second: float | None = None

    def __post_init__(self) -> None:
        if not (isfinite(self.seconds) and self.seconds > 0.0):
            raise PlanError("seconds", f"must be above 0, not {self.seconds}")
        rates = (self.rate_per_second, self.end_rate_per_second)
        if not all(isfinite(rate) and rate >= 0.0 for rate in rates):
            raise PlanError("rate", f"must be 0 or more calls per second, not {rates}")
        if not any(rates):
            raise PlanError("rate", "is zero: nothing would be sent; say how many calls per second")

    @property
    def end_rate_per_second(self) -> float:
        """The rate at the end."""
        ends = self.to_rate_per_second
        return self.rate_per_second if ends is None else ends

    @property
    def calls(self) -> float:
        """Calls that are due on average."""
        return self.seconds * (self.rate_per_second + self.end_rate_per_second) / 2.0


@dataclass(frozen=True, slots=True)
class Request:
    """One kind of call.

    Parameters
    ----------
    name : str
        What it is reported as.
    weight : float
        Its share, by those of all; above 0.
    method : str
        Of HTTP.
    path : str
        Empty for that of the target.
    headers : tuple of (str, str)
        Of HTTP; of gRPC its metadata.
    body : bytes
        Of HTTP; of gRPC the message, of frames the frame itself.
    """

    name: str = "all"
    weight: float = 1.0
    method: str = "GET"
    path: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def __post_init__(self) -> None:
        if not (isfinite(self.weight) and self.weight > 0.0):
            raise PlanError(f"request {self.name}", f"weight must be above 0, not {self.weight}")


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent in one slot.

    Parameters
    ----------
    target : Target
    stages : tuple of Stage
        One after the other; at least one.
    arrival : {"poisson", "constant"}
    requests : tuple of Request
        Drawn by their weights; at least one.
    warm_up_seconds : float
        From the beginning, sent but not reported; less than all stages.
    connections : int
        At most so many, of each process; 1 to 4,096.
    processes : int
        That share the calls, 1 to 64.
    timeout_seconds : float
        From when a call was due; above 0, at most 100.
    seed : int
        Of the moments and of the draw among requests.
    frame_bytes : int
        Of frames: how long an answer is.
    """

    target: Target
    stages: tuple[Stage, ...]
    arrival: Arrival = "poisson"
    requests: tuple[Request, ...] = field(default=(Request(),))
    warm_up_seconds: float = 0.0
    connections: int = 256
    processes: int = 1
    timeout_seconds: float = 10.0
    seed: int = 0
    frame_bytes: int = 16

    def __post_init__(self) -> None:
        if not self.stages:
            raise PlanError("stages", "there is none: say a rate and a duration")
        if not self.requests:
            raise PlanError("requests", "there is none")
        if self.calls > MOST_CALLS:
            raise PlanError(
                "rate", f"{self.calls:.0f} calls in one run; at most {MOST_CALLS}: a shorter one"
            )
        if not 0.0 <= self.warm_up_seconds < self.seconds:
            raise PlanError(
                "warm_up", f"must be 0 or more and below {self.seconds} s of the whole run"
            )
        if not 0.0 < self.timeout_seconds <= _MOST_TIMEOUT_SECONDS:
            raise PlanError(
                "timeout",
                f"must be above 0 and at most {_MOST_TIMEOUT_SECONDS:.0f} s, "
                f"not {self.timeout_seconds}",
            )
        names = [request.name for request in self.requests]
        if len(set(names)) < len(names):
            raise PlanError("requests", f"two have the same name: {', '.join(sorted(names))}")
        for key, value, most in (
            ("connections", self.connections, _MOST_CONNECTIONS),
            ("processes", self.processes, _MOST_PROCESSES),
            ("frame_bytes", self.frame_bytes, 2**20),
        ):
            if not 1 <= value <= most:
                raise PlanError(key, f"must be 1 to {most}, not {value}")

    @property
    def seconds(self) -> float:
        """How long calls are due, warm-up included."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def calls(self) -> float:
        """Calls that are due on average."""
        return sum(stage.calls for stage in self.stages)

    @property
    def rate_per_second(self) -> float:
        """The mean rate."""
        return self.calls / self.seconds
