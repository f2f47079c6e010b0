# SPDX-License-Identifier: MIT
"""What did a client report? Turns messages into records, and refuses what cannot be.

A stream that sends no message of ours is ended; a source that makes no sense is refused by
itself, and the others of its stream live on. What only the mathematics can tell apart, as a
period that is a lie, is left to the controller.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from resonance_api.phase.v1 import phase_pb2
from resonance_core.control.records import Floats, Importance, Releases, Source
from resonance_core.errors import InvalidSampleError
from resonanced.phase.attendance import Attended

__all__ = ["MOST_BYTES", "attended", "releases"]

MOST_BYTES: Final = 64 * 1024
"""Of one report: 256 registrations, or four thousand releases."""
_MOST_NAME: Final = 128
"""Letters of a name; chosen: it stands in tables and sentences."""
_AHEAD_SECONDS: Final = 1.0
"""How far in the future something may be that has happened; chosen: clocks are one clock."""
_MOST_PERIOD_SECONDS: Final = 86_400.0
_MOST_WORK_SECONDS: Final = 86_400.0
"""Of one burst; chosen: beyond it, one source would outweigh all others."""
_IMPORTANCE: Final[dict[int, Importance]] = {
    phase_pb2.IMPORTANCE_UNSPECIFIED: "normal",
    phase_pb2.IMPORTANCE_LOW: "low",
    phase_pb2.IMPORTANCE_NORMAL: "normal",
    phase_pb2.IMPORTANCE_HIGH: "high",
    phase_pb2.IMPORTANCE_CRITICAL: "critical",
}


def attended(registration: phase_pb2.Registration, now_seconds: float) -> Attended:
    """Return the source that a client registers; its key is the client's.

    Raises
    ------
    InvalidSampleError
        Something in it cannot be.
    """
    return Attended(
        source=Source(
            key=registration.key,
            name=_name(registration.name),
            period_seconds=_number(
                "period_seconds", registration.period_seconds, _MOST_PERIOD_SECONDS
            ),
            origin_seconds=_origin(registration.origin_ns, now_seconds),
            phase_free=registration.phase_free,
            slack_seconds=_number(
                "slack_seconds", registration.slack_seconds, _MOST_PERIOD_SECONDS
            ),
            # An importance of a later version is one we know nothing of: hands off.
            importance=_IMPORTANCE.get(registration.importance, "critical"),
            offset_seconds=_offset(registration.offset_seconds, registration.period_seconds),
        ),
        client_key=registration.key,
        pid=registration.pid,
        cgroup_id=registration.cgroup_id,
        held_seconds=registration.offset_seconds,
    )


def releases(message: phase_pb2.Releases, period_seconds: float, now_seconds: float) -> Releases:
    """Return what a source did, under the client's key.

    Raises
    ------
    InvalidSampleError
        Something in it cannot be.
    """
    at_ns = message.at_ns
    at_seconds = np.fromiter(at_ns, np.float64, len(at_ns)) / 1e9
    if at_ns and max(at_ns) / 1e9 > now_seconds + _AHEAD_SECONDS:
        raise InvalidSampleError("at_ns", "is in the future")
    return Releases(
        key=message.key,
        at_seconds=at_seconds,
        work_seconds=_durations("work_seconds", message.work_seconds, at_seconds.size),
        completion_seconds=_durations(
            "completion_seconds", message.completion_seconds, at_seconds.size
        ),
        offset_seconds=_offset(message.offset_seconds, period_seconds),
    )


def _name(name: str) -> str:
    if not (name and len(name) <= _MOST_NAME and name.isprintable()):
        raise InvalidSampleError("name", f"must be 1 to {_MOST_NAME} printable letters")
    return name


def _number(name: str, value: float, most: float) -> float:
    """Return a number of seconds; how small it may be is the controller's to say."""
    if not (math.isfinite(value) and 0.0 <= value <= most):
        raise InvalidSampleError(name, f"{value:g} is not between 0 and {most:g} seconds")
    return value


def _origin(origin_ns: int, now_seconds: float) -> float:
    seconds = origin_ns / 1e9
    if seconds > now_seconds + _MOST_PERIOD_SECONDS:
        raise InvalidSampleError("origin_ns", "is more than a day in the future")
    return seconds


def _offset(seconds: float, period_seconds: float) -> float:
    if not 0.0 <= seconds < period_seconds:
        raise InvalidSampleError("offset_seconds", f"{seconds:g} is not from 0 to below the period")
    return seconds


def _durations(name: str, values: Sequence[float], count: int) -> Floats:
    """Return one duration per release; NaN for all of them where the client gave none."""
    if not values:
        return np.full(count, np.nan)
    if len(values) != count:
        raise InvalidSampleError(name, f"{len(values)} of them for {count} releases")
    seconds = np.fromiter(values, np.float64, count)
    # Both are False of a NaN, which is allowed; fmin and fmax pass it over.
    if np.fmin.reduce(seconds) < 0.0 or np.fmax.reduce(seconds) > _MOST_WORK_SECONDS:
        raise InvalidSampleError(name, "must be 0 or more seconds, and less than a day")
    return seconds
