# SPDX-License-Identifier: MIT
"""When does the server want to be asked again? It says so in an HTTP header or gRPC metadata."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["grpc_pushback", "retry_after"]

_MONTHS: Final = (
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
)
_CLOCK: Final = r"(?P<hour>\d{2}):(?P<minute>\d{2}):(?P<second>\d{2})"
_MONTH: Final = rf"(?P<month>{'|'.join(_MONTHS)})"
_DATES: Final = tuple(
    re.compile(pattern, re.ASCII)
    for pattern in (
        rf"[A-Z][a-z]{{2}}, (?P<day>\d{{2}}) {_MONTH} (?P<year>\d{{4}}) {_CLOCK} GMT",
        rf"[A-Z][a-z]{{5,8}}, (?P<day>\d{{2}})-{_MONTH}-(?P<year>\d{{2}}) {_CLOCK} GMT",
        rf"[A-Z][a-z]{{2}} {_MONTH} (?P<day>[ \d]\d) {_CLOCK} (?P<year>\d{{4}})",
    )
)
"""RFC 9110, section 5.6.7: the format of today, and the two older ones that still must be read."""
_DELTA: Final = re.compile(r"\d+", re.ASCII)
_LONGEST_SECONDS: Final = 2**31
"""RFC 9111, section 1.2.2: what does not fit counts as this many seconds."""
_INT32: Final = re.compile(r"-?\d{1,10}", re.ASCII)
_LARGEST_INT32: Final = 2**31 - 1


def retry_after(text: str, unix_seconds: float) -> float | None:
    """Read a ``Retry-After`` header.

    Parameters
    ----------
    text : str
        Its value: whole seconds, or a date.
    unix_seconds : float
        The time of day now, as `time.time` tells it; for dates.

    Returns
    -------
    float or None
        Seconds to wait, 0 or more: a date that has passed says that the wait is over. ``None``
        where the value is neither a number of seconds nor a date.

    References
    ----------
    RFC 9110, "HTTP Semantics", sections 5.6.7 and 10.2.3.
    """
    value = text.strip(" \t")
    if _DELTA.fullmatch(value):
        digits = value.lstrip("0") or "0"
        return float(min(int(digits[:11]), _LONGEST_SECONDS))
    at = _date(value, unix_seconds)
    return None if at is None else max(0.0, at - unix_seconds)


def grpc_pushback(text: str) -> tuple[float | None, bool]:
    """Read the trailing metadata ``grpc-retry-pushback-ms``.

    Parameters
    ----------
    text : str
        Its value.

    Returns
    -------
    seconds : float or None
        To wait, exactly; ``None`` where there is to be no other attempt.
    stop : bool
        There is to be no other attempt: it is negative, or cannot be read.

    References
    ----------
    gRFC A6, "gRPC Retry Design", "Pushback": a 32-bit signed integer in ASCII.
    """
    if _INT32.fullmatch(text) and 0 <= int(text) <= _LARGEST_INT32:
        return int(text) / 1e3, False
    return None, True


def _date(value: str, unix_seconds: float) -> float | None:
    for pattern in _DATES:
        if match := pattern.fullmatch(value):
            break
    else:
        return None
    year = int(match["year"])
    if len(match["year"]) == 2:
        year = _whole_year(year, unix_seconds)
    day, hour, minute, second = (int(match[name]) for name in ("day", "hour", "minute", "second"))
    month = _MONTHS.index(match["month"]) + 1
    if second > 60:
        return None
    try:
        at = datetime(year, month, day, hour, minute, tzinfo=UTC) + timedelta(seconds=second)
    except (ValueError, OverflowError):
        return None
    return at.timestamp()


def _whole_year(year: int, unix_seconds: float) -> int:
    """Complete two digits: what seems more than 50 years ahead is in the past."""
    this_year = datetime.fromtimestamp(unix_seconds, UTC).year
    whole = this_year - this_year % 100 + year
    return whole - 100 if whole > this_year + 50 else whole
