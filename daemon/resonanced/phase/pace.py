# SPDX-License-Identifier: MIT
"""How often is each stream to report, and how often is it told something?

A report costs what gRPC does for it, whatever is in it. So there are few where nothing is about
to be decided, and all streams together send no more than a share of a core pays for.
"""

from __future__ import annotations

from typing import Final

__all__ = ["heartbeat_seconds", "report_interval_seconds", "valid_seconds"]

_MESSAGES_PER_SECOND: Final = 8.0
"""Reports of all streams together, and orders likewise; chosen: one costs 0.3 ms with all that
gRPC does for it in its own threads, measured on a busy two-core machine."""
_SOURCES_PER_SECOND: Final = 100.0
"""Reported on by all streams together; chosen likewise, at 0.05 ms each."""
_LEAST_INTERVAL_SECONDS: Final = 0.5
"""A chunk at T = 100 ms."""
_QUIET_INTERVAL_SECONDS: Final = 4.0
"""*Chosen*: a chunk at T = 100 ms in which nothing is about to happen. Who comes or goes says so at
once, whatever the interval."""
_HEARTBEAT_SECONDS: Final = 3.0
_LONGEST_HEARTBEAT_SECONDS: Final = 36.0
"""However many streams there are: no client believes an order for longer than a minute."""
_VALID_SECONDS: Final = 5.0
"""Chosen: longer than a restart of the daemon takes. A stream loses nothing, so an order is only
late where the daemon is: by two seconds at least before anybody minds."""
_VALID_HEARTBEATS: Final = _VALID_SECONDS / _HEARTBEAT_SECONDS


def report_interval_seconds(streams: int, sources: int, *, is_quiet: bool) -> float:
    """Return how often each stream is to report.

    Parameters
    ----------
    streams, sources : int
        Of the daemon, in all.
    is_quiet : bool
        Nothing is about to be decided.
    """
    return max(
        _QUIET_INTERVAL_SECONDS if is_quiet else _LEAST_INTERVAL_SECONDS,
        streams / _MESSAGES_PER_SECOND,
        sources / _SOURCES_PER_SECOND,
    )


def heartbeat_seconds(streams: int) -> float:
    """Return the longest silence towards each of so many streams."""
    fair_seconds = streams / _MESSAGES_PER_SECOND
    return min(max(_HEARTBEAT_SECONDS, fair_seconds), _LONGEST_HEARTBEAT_SECONDS)


def valid_seconds(streams: int) -> float:
    """Return how long what one of so many streams was told holds after the last order."""
    return _VALID_HEARTBEATS * heartbeat_seconds(streams)
