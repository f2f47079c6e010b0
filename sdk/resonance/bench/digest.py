# SPDX-License-Identifier: MIT
"""How do moments become a slot: histograms, a timeline, and what is to be doubted?

It knows neither who sent the calls nor how; the generator and the reference experiment both tell
it when each call was due, sent and answered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import repeat
from math import ceil, isfinite
from typing import Final, NamedTuple

from resonance.bench.records import Generator, Part, Rule, Second, Slot
from resonance.histogram import Histogram, Interval

__all__ = ["Calls", "Digest", "Outcome", "digest", "doubts_of"]

_MOST_INTERVALS: Final = 600
"""*Chosen*: a log and a timeline of an hour have intervals of ten seconds."""
_INTERVALS_SECONDS: Final = (1, 2, 5, 10, 15, 30, 60)
_GRACE_RATIO: Final = 0.01
"""Of a slot; what is sent so much after its end was still sent within it."""
_NEVER: Final = -1


class Outcome(IntEnum):
    """What became of a call; the names are those of `Slot.failed`, in small letters."""

    NONE = 0
    """It was not sent, or had not ended when waiting for it ended."""
    OK = 1
    STATUS = 2
    """An answer that says it failed: HTTP from 400 on, gRPC other than OK."""
    REFUSED = 3
    """No connection could be made."""
    RESET = 4
    """The connection was lost before any of the answer came."""
    CUT = 5
    """The connection was lost in the middle of the answer."""
    GARBAGE = 6
    """What came is not of the protocol."""
    TIMEOUT = 7


_OK: Final = int(Outcome.OK)
_TIMED: Final = frozenset(map(int, (Outcome.OK, Outcome.STATUS, Outcome.TIMEOUT)))
"""Whose time counts: a quick refusal would flatter the tail, and a timeout is at least so long."""


@dataclass(frozen=True, slots=True)
class Calls:
    """What happened to each call of a slot; sequences of equal length.

    Attributes
    ----------
    due_ns : sequence of int
        From the slot's beginning, warm-up included.
    reached_ns, sent_ns, ended_ns : sequence of int
        When the generator came to it, sent it, and had its end; -1 where it never did.
    outcomes : sequence of int
        Each an `Outcome`.
    parts : sequence of int or None
        Which kind of request; ``None`` where there is one.
    """

    due_ns: Sequence[int]
    reached_ns: Sequence[int]
    sent_ns: Sequence[int]
    ended_ns: Sequence[int]
    outcomes: Sequence[int]
    parts: Sequence[int] | None = None


class Digest(NamedTuple):
    """A slot, and its response times interval by interval, for a log."""

    slot: Slot
    intervals: list[Interval]


@dataclass(slots=True)
class _Bin:
    response_ns: list[int] = field(default_factory=list[int])
    planned: int = 0
    answered: int = 0
    failed: int = 0


def digest(
    calls: Calls,
    *,
    seconds: float,
    warm_up_seconds: float = 0.0,
    started_at: float,
    repetition: int = 0,
    rule: Rule,
    names: Sequence[str] = (),
    generator: Generator | None = None,
    foreign_cores: float | None = None,
    costs: Mapping[str, float] | None = None,
) -> Digest:
    """Work out what is reported of a slot.

    Parameters
    ----------
    calls : Calls
    seconds : float
        How long calls were due, warm-up included.
    warm_up_seconds : float
        Calls that were due in it are in the timeline and in nothing else.
    started_at : float
        Unix time of the slot's beginning.
    repetition : int
    rule : Rule
    names : sequence of str
        Of the kinds of request, where there are several.
    generator : Generator, optional
    foreign_cores : float or None
    costs : mapping of str to float, optional
        Those without a finite value are left out.

    Returns
    -------
    Digest

    Raises
    ------
    MissingExtraError
        hdrhistogram is not installed.
    """
    response_ns: list[int] = []
    service_ns: list[int] = []
    lateness_ns: list[int] = []
    parts: list[_Bin] = [_Bin() for _ in names]
    width_ns = _interval_seconds(seconds) * 1_000_000_000
    bins: list[_Bin] = [_Bin() for _ in range(max(1, ceil(seconds * 1e9 / width_ns)))]
    failed: Counter[str] = Counter()
    planned = sent = answered = 0
    warm_ns, last_ns = warm_up_seconds * 1e9, seconds * 1e9 * (1.0 + _GRACE_RATIO)
    kinds: Iterable[int] = repeat(-1) if calls.parts is None else calls.parts
    rows: zip[tuple[int, int, int, int, int, int]] = zip(
        calls.due_ns,
        calls.reached_ns,
        calls.sent_ns,
        calls.ended_ns,
        calls.outcomes,
        kinds,
        strict=False,  # the kinds may be endless
    )
    for due, reached, went, ended, outcome, part in rows:
        is_ok = outcome == _OK
        is_timed = ended > _NEVER and outcome in _TIMED
        places: list[_Bin] = [bins[min(due // width_ns, len(bins) - 1)]]
        if due >= warm_ns:
            if names:
                places.append(parts[part])
            planned += 1
            sent += _NEVER < went <= last_ns
            answered += is_ok
            if not is_ok:
                failed[Outcome(outcome).name.lower()] += 1
            if reached > _NEVER:
                lateness_ns.append(max(0, reached - due))
            if is_timed:
                response_ns.append(ended - due)
                if went > _NEVER:
                    service_ns.append(ended - went)
        for each in places:
            each.planned += 1
            each.answered += is_ok
            each.failed += not is_ok
            if is_timed:
                each.response_ns.append(ended - due)
    response, service, lateness = map(_histogram, (response_ns, service_ns, lateness_ns))
    histograms = [_histogram(each.response_ns) for each in bins]
    slot = Slot(
        started_at=started_at,
        repetition=repetition,
        seconds=seconds - warm_up_seconds,
        planned=planned,
        sent=sent,
        answered=answered,
        failed=dict(failed),
        response=response.encode(),
        service=service.encode(),
        lateness=lateness.encode(),
        timeline=[
            _second(each, histogram, place * width_ns / 1e9, seconds, width_ns / 1e9)
            for place, (each, histogram) in enumerate(zip(bins, histograms, strict=True))
        ],
        parts={name: _part(each) for name, each in zip(names, parts, strict=True)},
        generator=generator or Generator(),
        foreign_cores=foreign_cores,
        costs={name: value for name, value in (costs or {}).items() if isfinite(value)},
        doubts=doubts_of(
            rule,
            achieved_ratio=sent / planned if planned else None,
            lateness_p99=lateness.quantile(0.99),
            response_p99=response.quantile(0.99),
            foreign_cores=foreign_cores,
        ),
    )
    intervals = [
        Interval(started_at + second.at_seconds, second.seconds, histogram)
        for second, histogram in zip(slot.timeline, histograms, strict=True)
    ]
    return Digest(slot, intervals)


def doubts_of(
    rule: Rule,
    *,
    achieved_ratio: float | None,
    lateness_p99: float | None,
    response_p99: float | None,
    foreign_cores: float | None,
) -> list[str]:
    """Return why a slot is not to be believed.

    Parameters
    ----------
    rule : Rule
    achieved_ratio : float or None
        Calls sent within the slot by calls that were due; ``None`` where none was.
    lateness_p99, response_p99 : float or None
        Seconds; ``None`` where there was none.
    foreign_cores : float or None

    Returns
    -------
    list of str
        Each a reason with its number and its bar; empty where it is to be believed.
    """
    if achieved_ratio is None:
        return ["no call was due after the warm-up"]
    doubts: list[str] = []
    if achieved_ratio < rule.min_achieved_ratio:
        doubts.append(
            f"{achieved_ratio:.1%} of the calls were sent in time, "
            f"at least {rule.min_achieved_ratio:.0%} must be"
        )
    if response_p99 is None:
        doubts.append("no call was answered")
    elif lateness_p99 is not None and lateness_p99 > rule.max_lateness_ratio * response_p99:
        doubts.append(
            f"the generator was {lateness_p99 * 1e6:.0f} us late at p99, more than "
            f"{rule.max_lateness_ratio:.0%} of the measured {response_p99 * 1e6:.0f} us"
        )
    most = rule.max_foreign_cores
    if most is not None and foreign_cores is not None and foreign_cores > most:
        doubts.append(f"{foreign_cores:.2f} CPUs were used by others, at most {most:.2f} may be")
    return doubts


def _interval_seconds(seconds: float) -> int:
    fitting = (each for each in _INTERVALS_SECONDS if seconds <= each * _MOST_INTERVALS)
    return next(fitting, ceil(seconds / _MOST_INTERVALS))


def _histogram(values_ns: list[int]) -> Histogram:
    histogram = Histogram()
    histogram.add_all_ns(values_ns)
    return histogram


def _second(
    of: _Bin, histogram: Histogram, at_seconds: float, whole_seconds: float, width_seconds: float
) -> Second:
    return Second(
        at_seconds=at_seconds,
        seconds=min(width_seconds, whole_seconds - at_seconds),
        planned=of.planned,
        answered=of.answered,
        failed=of.failed,
        p50=histogram.quantile(0.5),
        p99=histogram.quantile(0.99),
        highest=histogram.quantile(1.0),
    )


def _part(of: _Bin) -> Part:
    return Part(
        planned=of.planned,
        answered=of.answered,
        failed=of.failed,
        response=_histogram(of.response_ns).encode(),
    )
