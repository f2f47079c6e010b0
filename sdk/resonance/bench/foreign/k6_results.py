# SPDX-License-Identifier: MIT
"""How long did calls take that k6 sent?

k6 times a request from when it is sent, and tells beside it how long the request waited for a
connection, connecting included; both together are the response time here, and the first alone
is the service time. How late k6 began an iteration it does not tell, so there is no lateness;
those it never began count as due and not sent.

References
----------
grafana/k6, ``lib/netext/httpext/tracer.go`` (``Done``) and ``error_codes.go``.
"""

from __future__ import annotations

import os
from array import array
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import isfinite
from pathlib import Path
from typing import Final

import msgspec

from resonance.bench.digest import Calls, Outcome, digest
from resonance.bench.errors import PlanError, ResultFormatError
from resonance.bench.foreign.k6_points import Point, Tags, points_of
from resonance.bench.foreign.marks import TAG, Mark
from resonance.bench.records import Rule, Run

__all__ = ["read_k6"]

_DURATION: Final = "http_req_duration"
_BLOCKED: Final = "http_req_blocked"
_DROPPED: Final = "dropped_iterations"
_METRICS: Final = frozenset({_DURATION, _BLOCKED, _DROPPED})
_MISSING_RATIO: Final = 0.001
"""*Chosen*: k6 may begin one more or one less than the rate says."""
_NEVER: Final = -1
_FIRST_FAILURE: Final = 400
_LEAST_SECONDS: Final = 1e-3
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_OUTCOMES: Final = {
    "1050": Outcome.TIMEOUT,
    "1211": Outcome.TIMEOUT,
    "1201": Outcome.RESET,
    "1220": Outcome.RESET,
}
"""Those that are one case each; of the others see `_FAMILIES`."""
_FAMILIES: Final = {"11": Outcome.REFUSED, "121": Outcome.REFUSED, "13": Outcome.REFUSED}
"""Name resolution, connecting, TLS; by how the code begins."""


@dataclass(slots=True)
class _Taken:
    """What was read so far; times in nanoseconds of Unix time."""

    ended_ns: array[int] = field(default_factory=lambda: array("q"))
    waited_ns: array[int] = field(default_factory=lambda: array("q"))
    took_ns: array[int] = field(default_factory=lambda: array("q"))
    outcomes: array[int] = field(default_factory=lambda: array("b"))
    names: list[str] = field(default_factory=list[str])
    dropped_ns: array[int] = field(default_factory=lambda: array("q"))
    tags: Tags | None = None

    def due_ns(self) -> list[int]:
        """Return when each call began, but for those that were dropped."""
        moments = zip(self.ended_ns, self.took_ns, self.waited_ns, strict=True)
        return [ended - took - waited for ended, took, waited in moments]

    def sent_ns(self) -> list[int]:
        """Return when each call had its connection."""
        return [ended - took for ended, took in zip(self.ended_ns, self.took_ns, strict=True)]

    def span_ns(self) -> tuple[int, int]:
        """Return when the first and the last call was due."""
        every = [*self.due_ns(), *self.dropped_ns]
        return min(every), max(every)


def read_k6(
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    target: str | None = None,
    rate_per_second: float | None = None,
) -> Run:
    """Return what k6 measured as a run of one slot.

    Parameters
    ----------
    path : path-like
        Of ``k6 run --out json=FILE``, compressed or not.
    name : str, optional
        Of the arm; that of the file by default.
    target : str, optional
        Where calls went, where the points do not tell.
    rate_per_second : float, optional
        At which k6 was told to begin calls, where the script was not exported by this package.

    Returns
    -------
    Run
        ``closed`` where nothing says that calls were sent at a rate.

    Raises
    ------
    ResultFormatError
        It is no such file, or a line is damaged.
    PlanError
        The target is not known, or the rate not above 0.
    MissingExtraError
        hdrhistogram is not installed.
    OSError
        It cannot be read.
    """
    where = os.fspath(path)
    taken = _taken(path, where)
    if not taken.took_ns:
        raise ResultFormatError(where, f"no point of {_DURATION}: k6 sent no request over HTTP")
    mark = _mark(taken, where)
    goal = target or (mark.target if mark else "") or (taken.tags.url if taken.tags else "")
    if not goal:
        raise PlanError("target", f"{where} does not tell it; say --target URL")
    if mark is None and rate_per_second is not None:
        if not (isfinite(rate_per_second) and rate_per_second > 0.0):
            raise PlanError("rate", f"must be above 0 calls per second, not {rate_per_second}")
        mark = Mark(target=goal, rate=rate_per_second, seconds=_whole_seconds(taken))
    return _run(taken, mark, name=name or Path(path).name.partition(".")[0], target=goal)


def _taken(path: str | os.PathLike[str], where: str) -> _Taken:
    taken = _Taken()
    for number, metric, point in points_of(path, _METRICS):
        at_ns = (point.time - _EPOCH) // _MICROSECOND * 1_000
        if not 0.0 <= point.value < 1e9:
            raise ResultFormatError(where, f"line {number}: {point.value} is no value of {metric}")
        if metric == _DROPPED:
            taken.dropped_ns.extend([at_ns] * round(point.value))
        elif metric == _DURATION:
            taken.ended_ns.append(at_ns)
            taken.took_ns.append(round(point.value * 1e6))
            taken.waited_ns.append(0)
            taken.outcomes.append(_outcome(point))
            taken.names.append(point.tags.name if point.tags else "")
            taken.tags = taken.tags or point.tags
        elif taken.ended_ns and taken.ended_ns[-1] == at_ns:
            # It follows the duration of the same request, with the same time.
            taken.waited_ns[-1] = round(point.value * 1e6)
    return taken


def _outcome(point: Point) -> Outcome:
    tags = point.tags or Tags()
    if tags.status.isdecimal() and int(tags.status):
        return Outcome.STATUS if int(tags.status) >= _FIRST_FAILURE else Outcome.OK
    if not tags.error_code:
        return Outcome.OK if not tags.status else Outcome.RESET
    if tags.error_code in _OUTCOMES:
        return _OUTCOMES[tags.error_code]
    for begin, outcome in _FAMILIES.items():
        if tags.error_code.startswith(begin):
            return outcome
    return Outcome.GARBAGE if tags.error_code.startswith(("16", "17")) else Outcome.RESET


def _mark(taken: _Taken, where: str) -> Mark | None:
    """Return what the script told of itself, if it was one of ours."""
    if taken.tags is None or not taken.tags.mark:
        return None
    try:
        mark = msgspec.json.decode(taken.tags.mark, type=Mark)
    except msgspec.MsgspecError as error:
        raise ResultFormatError(where, f"the script's tag {TAG!r} is damaged: {error}") from None
    if not (mark.seconds > mark.warm_up_seconds >= 0.0 and mark.rate > 0.0):
        raise ResultFormatError(where, f"the script's tag {TAG!r} has no rate or no duration")
    unknown = sorted(set(taken.names).difference(mark.requests))
    if unknown:
        raise ResultFormatError(
            where, f"a request is called {unknown[0]!r}, which the script's tag does not know"
        )
    return mark


def _run(taken: _Taken, mark: Mark | None, *, name: str, target: str) -> Run:
    began_ns, last_ns = taken.span_ns()
    unsent_ns = [*taken.dropped_ns, *[last_ns] * _missing(taken, mark)]
    due_ns = [*taken.due_ns(), *unsent_ns]
    seconds = mark.seconds if mark else _whole_seconds(taken)
    names = mark.requests if mark and len(mark.requests) > 1 else []
    places = {each: place for place, each in enumerate(names)}
    never = [_NEVER] * len(unsent_ns)
    slot, _ = digest(
        Calls(
            due_ns=[each - began_ns for each in due_ns],
            reached_ns=[_NEVER] * len(due_ns),
            sent_ns=[*(each - began_ns for each in taken.sent_ns()), *never],
            ended_ns=[*(each - began_ns for each in taken.ended_ns), *never],
            outcomes=[*taken.outcomes, *[Outcome.NONE] * len(unsent_ns)],
            # Which kind of call was never begun is not known; the first is as good as any.
            parts=[*(places[each] for each in taken.names), *[0] * len(unsent_ns)]
            if names
            else None,
        ),
        seconds=seconds,
        warm_up_seconds=mark.warm_up_seconds if mark else 0.0,
        started_at=began_ns / 1e9,
        rule=Rule(),
        names=names,
    )
    return Run(
        version="unknown",
        tool="k6",
        name=name,
        target=target,
        arrival="constant" if mark or taken.dropped_ns else "closed",
        rate_per_second=mark.rate if mark else len(due_ns) / seconds,
        machine=None,
        asked=msgspec.to_builtins(mark) if mark else {},
        slots=[slot],
    )


def _missing(taken: _Taken, mark: Mark | None) -> int:
    """Return how many calls were due of which there is no word: k6 was ended, or the file cut."""
    if mark is None:
        return 0
    due = int(mark.rate * mark.seconds)
    missing = due - len(taken.took_ns) - len(taken.dropped_ns)
    return missing if missing > max(1.0, _MISSING_RATIO * due) else 0


def _whole_seconds(taken: _Taken) -> float:
    """Return how long calls were due, the distance to one more included."""
    began_ns, last_ns = taken.span_ns()
    count = len(taken.took_ns) + len(taken.dropped_ns)
    return max((last_ns - began_ns) / 1e9 * count / max(count - 1, 1), _LEAST_SECONDS)
