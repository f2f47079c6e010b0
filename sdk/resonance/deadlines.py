# SPDX-License-Identifier: MIT
"""Until when is this work worth anything, and how often was it tried above us?

Both go with the work: down the stack, into tasks, through threads with `bind`, and to other
hosts in headers. A deadline is set once, where the work comes in; everything below only ever
makes it nearer.

>>> with deadline(0.5):
...     with deadline(10.0):
...         assert remaining() <= 0.5

A deadline ends nothing by itself. Clients send no attempt that could not answer before it, and
servers refuse what is past it.
"""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar, Token, copy_context
from functools import wraps
from math import isfinite
from typing import Any, Final, ParamSpec, TypeVar

from resonance.errors import PolicyError

__all__ = [
    "ATTEMPT_HEADER",
    "DEADLINE_HEADER",
    "ENVOY_TIMEOUT_HEADER",
    "GRPC_ATTEMPT_HEADER",
    "GRPC_TIMEOUT_HEADER",
    "absolute",
    "attempt_value",
    "bind",
    "deadline",
    "header_value",
    "inbound",
    "inbound_attempts",
    "parse_attempts",
    "parse_timeout",
    "remaining",
]

P = ParamSpec("P")
T = TypeVar("T")

DEADLINE_HEADER: Final = "resonance-timeout"
"""Seconds that are left, in decimals. A time left survives clocks that differ; a time of day
does not."""
ENVOY_TIMEOUT_HEADER: Final = "x-envoy-expected-rq-timeout-ms"
"""Whole milliseconds that the Envoy proxy before us will wait."""
GRPC_TIMEOUT_HEADER: Final = "grpc-timeout"
"""Up to eight digits and a unit."""
ATTEMPT_HEADER: Final = "resonance-attempt"
"""How many attempts were made before this one; absent for none."""
GRPC_ATTEMPT_HEADER: Final = "grpc-previous-rpc-attempts"
"""The same, as gRPC's own retries tell it."""

_SECONDS: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_MILLISECONDS: Final = re.compile(r"[0-9]{1,12}")
_GRPC_TIMEOUT: Final = re.compile(r"([0-9]{1,8})([HMSmun])")
_GRPC_UNITS: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_ATTEMPTS: Final = re.compile(r"[0-9]{1,4}")

_deadline: ContextVar[float | None] = ContextVar("resonance_deadline", default=None)
_attempts: ContextVar[int] = ContextVar("resonance_inbound_attempts", default=0)


class deadline:  # noqa: N801 -- read as a verb in a `with`, as `contextlib.suppress` is
    """Give the work inside so many seconds, or fewer where there is a deadline already.

    Parameters
    ----------
    seconds : float
        From now, which is when the block is entered; 0 or more.

    Raises
    ------
    PolicyError
        It is no number, not finite or below 0.

    Examples
    --------
    >>> with deadline(0.250):
    ...     assert 0.0 < remaining() <= 0.250
    >>> remaining() is None
    True
    """

    __slots__ = ("_seconds", "_token")

    def __init__(self, seconds: float) -> None:
        if not _is_duration(seconds):
            raise PolicyError("deadline", f"must be seconds, 0 or more, not {seconds!r}")
        self._seconds = seconds
        self._token: Token[float | None] | None = None

    def __enter__(self) -> None:
        at = time.monotonic() + self._seconds
        earlier = _deadline.get()
        self._token = _deadline.set(at if earlier is None else min(at, earlier))

    def __exit__(self, *_: object) -> None:
        assert self._token is not None
        with suppress(ValueError):  # a coroutine thrown away with its loop, in another context
            _deadline.reset(self._token)


def _is_duration(seconds: Any) -> bool:
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    return is_number and isfinite(seconds) and seconds >= 0.0


absolute: Final[Callable[[], float | None]] = _deadline.get
"""Return when the work must be done, on the clock of `time.monotonic`; ``None``: whenever."""


def remaining() -> float | None:
    """Return the seconds that are left, 0 when it is too late; ``None`` without a deadline."""
    at = _deadline.get()
    return None if at is None else max(0.0, at - time.monotonic())


def header_value(now: float | None = None) -> str | None:
    """Return what to send as `DEADLINE_HEADER`.

    Parameters
    ----------
    now : float, optional
        The time on the clock of `time.monotonic`, where the caller has just read it.

    Returns
    -------
    str or None
        Seconds with six decimals; ``None`` without a deadline.

    Examples
    --------
    >>> with deadline(0.25):
    ...     header_value(now=absolute() - 0.125)
    '0.125000'
    """
    at = _deadline.get()
    if at is None:
        return None
    return f"{max(0.0, at - (time.monotonic() if now is None else now)):.6f}"


def parse_timeout(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds the caller will wait.

    A header that cannot be read counts as absent: a request must not fail for it.

    Parameters
    ----------
    headers : mapping of str
        Names in lower case, or without regard to case.

    Returns
    -------
    float or None
        The fewest that any of the headers tells, 0 or more; ``None`` where none does.

    Examples
    --------
    >>> parse_timeout({"resonance-timeout": "0.25", "grpc-timeout": "100m"})
    0.1
    >>> parse_timeout({"resonance-timeout": "soon"}) is None
    True
    """
    told: list[float] = []
    if match := _SECONDS.fullmatch(headers.get(DEADLINE_HEADER, "")):
        told.append(float(match[0]))
    # Envoy sends none rather than 0, and reads 0 as no timeout.
    if match := _MILLISECONDS.fullmatch(headers.get(ENVOY_TIMEOUT_HEADER, "")):
        told.extend([int(match[0]) / 1e3] if int(match[0]) else [])
    if match := _GRPC_TIMEOUT.fullmatch(headers.get(GRPC_TIMEOUT_HEADER, "")):
        told.append(int(match[1]) * _GRPC_UNITS[match[2]])
    return min(told, default=None)


def parse_attempts(headers: Mapping[str, str]) -> int:
    """Return how many attempts the caller made before this one.

    Parameters
    ----------
    headers : mapping of str
        Names in lower case, or without regard to case.

    Returns
    -------
    int
        0 where it does not tell.

    Examples
    --------
    >>> parse_attempts({"resonance-attempt": "1"})
    1
    """
    told = (headers.get(name, "") for name in (ATTEMPT_HEADER, GRPC_ATTEMPT_HEADER))
    return max(int(text) if _ATTEMPTS.fullmatch(text) else 0 for text in told)


def inbound_attempts() -> int:
    """Return how many attempts were made above us before the one that we work for."""
    return _attempts.get()


def attempt_value(before: int) -> str | None:
    """Return what to send as `ATTEMPT_HEADER`.

    What was tried above counts too, so that a third host still knows that this is a repetition.

    Parameters
    ----------
    before : int
        Attempts of the call that we made before this one, 0 or more.

    Returns
    -------
    str or None
        A number of attempts; ``None`` where there were none.

    Examples
    --------
    >>> with inbound(attempts=1):
    ...     attempt_value(2)
    '3'
    """
    total = before + _attempts.get()
    return str(total) if total else None


@contextmanager
def inbound(timeout: float | None = None, attempts: int = 0) -> Generator[None]:
    """Handle a request inside, under what its caller told; for servers.

    Parameters
    ----------
    timeout : float, optional
        Seconds, as `parse_timeout` returns them.
    attempts : int
        As `parse_attempts` returns them.

    Yields
    ------
    None

    Examples
    --------
    >>> with inbound(timeout=0.5, attempts=1):
    ...     inbound_attempts()
    1
    """
    token = _attempts.set(attempts)
    try:
        if timeout is None:
            yield
        else:
            with deadline(timeout):
                yield
    finally:
        _attempts.reset(token)


def bind(fn: Callable[P, T]) -> Callable[P, T]:
    """Return the function as it runs here: under this deadline, wherever it is called.

    Threads and executors begin without the caller's context; tasks and `asyncio.to_thread` have
    it by themselves.

    Parameters
    ----------
    fn : callable
        May be called often, and at the same time.

    Returns
    -------
    callable
        With the same parameters and result.

    Raises
    ------
    TypeError
        It is a coroutine function: what it returns runs in the context of whoever awaits it.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> with ThreadPoolExecutor(1) as pool, deadline(1.0):
    ...     pool.submit(bind(remaining)).result() is None
    False
    """
    if inspect.iscoroutinefunction(fn):
        raise TypeError("bind takes what runs in a thread: make a task of a coroutine, here")
    context = copy_context()

    @wraps(fn)
    def bound(*args: P.args, **kwargs: P.kwargs) -> T:
        # A context holds one call at a time; a copy of it costs no more than a reference.
        return context.copy().run(fn, *args, **kwargs)

    return bound
