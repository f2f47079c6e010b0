# SPDX-License-Identifier: MIT
"""How long is "1m30s"?"""

from __future__ import annotations

import re
from math import isfinite
from typing import Final

from resonance.bench.errors import PlanError

__all__ = ["parse_duration"]

_UNITS_SECONDS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|us|s)")
_WHOLE: Final = re.compile(rf"(?:{_PART.pattern})+")


def parse_duration(value: object, key: str = "duration") -> float:
    """Return a duration in seconds.

    Parameters
    ----------
    value : str, int or float
        With units, or a plain number of seconds.
    key : str
        What is wrong where it is none.

    Returns
    -------
    float
        Seconds, 0 or more.

    Raises
    ------
    PlanError
        It is no duration.

    Examples
    --------
    >>> [parse_duration(each) for each in ("30s", "1m30s", "200ms", "2.5", 7)]
    [30.0, 90.0, 0.2, 2.5, 7.0]
    """
    seconds = _seconds(value)
    if seconds is None or not (isfinite(seconds) and seconds >= 0.0):
        raise PlanError(key, f'{value!r} is no duration: "30s", "1m30s", "200ms", or seconds')
    return seconds


def _seconds(value: object) -> float | None:
    if isinstance(value, str):
        text = value.strip()
        if _WHOLE.fullmatch(text):
            parts = _PART.findall(text)
            return sum(float(number) * _UNITS_SECONDS[unit] for number, unit in parts)
        try:
            return float(text)
        except ValueError:
            return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return None
    return None
