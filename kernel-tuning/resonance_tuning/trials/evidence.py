# SPDX-License-Identifier: MIT
"""Did a change help? The p99 of three stretches of time, without, with and without it.

Pure: no clock, no kernel, the same answer for the same windows. What is compared are bucket
counts, one row per second or so; a row is the unit that is resampled, because the waits of one
second are anything but independent of each other. Who decides what to try is `strategy`.

The estimate is the p99 with the change over the geometric mean of the p99 before and after it:
a load that grows or fades steadily on the way cancels out. One that jumps does not; so how far
before and after lie apart widens the interval, and a change is only kept if it also gains on
each of its two neighbours by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

# By its own name: numpy reads it at first use, and then the daemon may read no code any more.
from numpy.random import Generator, default_rng

__all__ = [
    "FEWEST_EVENTS",
    "FEWEST_PARTS",
    "Counts",
    "Kind",
    "Reading",
    "Verdict",
    "Window",
    "Word",
    "compare",
    "quantile_ns",
]

FEWEST_EVENTS: Final = 500
"""Waits below which a window says nothing of its p99: five lie beyond it. *Chosen*."""
FEWEST_PARTS: Final = 8
"""Rows below which resampling them tells no spread."""

_RESAMPLES: Final = 400
_BLOCKS: Final = 5
"""Neighbouring rows are drawn together, so many blocks to a window: noise has a memory."""
_WIDENING: Final = 1.3
"""Of the resampled interval, which is too narrow for so few blocks. *Chosen* by the property
tests: without it 5 in 100 placebos were kept where noise had a memory of three seconds."""
_TAILS: Final = np.array([0.025, 0.975])

Counts = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]
Kind = Literal["runqueue", "srtt"]
Word = Literal["kept", "undone", "would", "harm", "no-signal"]


@dataclass(frozen=True, slots=True)
class Reading:
    """What the tasks and sockets of one cgroup waited, for a second or so.

    Attributes
    ----------
    runqueue : (buckets,) uint64
        Waits for a CPU per bucket.
    srtt : (buckets,) uint64 or None
        Smoothed round trips, one per received segment; ``None`` where not measured.
    retransmits : int
        Segments sent again.
    """

    runqueue: Counts
    srtt: Counts | None = None
    retransmits: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    """Readings of one cgroup in a row.

    Attributes
    ----------
    runqueue : (parts, buckets) uint64
    srtt : (parts, buckets) uint64 or None
    retransmits : int
    seconds : float
        All of it together.
    """

    runqueue: Counts
    srtt: Counts | None
    retransmits: int
    seconds: float

    @classmethod
    def of(cls, readings: Sequence[Reading], seconds: float) -> Window:
        """Return the window these readings make; at least one."""
        round_trips = [each.srtt for each in readings if each.srtt is not None]
        is_whole = len(round_trips) == len(readings)
        return cls(
            runqueue=np.stack([each.runqueue for each in readings]),
            srtt=np.stack(round_trips) if is_whole else None,
            retransmits=sum(each.retransmits for each in readings),
            seconds=seconds,
        )

    def waits(self, kind: Kind) -> Counts:
        """Return the counts of one kind, no rows where it was not measured."""
        if kind == "runqueue":
            return self.runqueue
        return self.runqueue[:0] if self.srtt is None else self.srtt

    def events(self, kind: Kind) -> int:
        """Return how many waits of a kind there were."""
        return int(self.waits(kind).sum())


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one change.

    Attributes
    ----------
    word : {"kept", "undone", "would", "harm", "no-signal"}
        ``would``: nothing was changed, because nothing may be. ``harm``: undone because it
        made things worse.
    reason : str
        For people, one line.
    cgroup : str
        Whose wait it was; a change on one cgroup is judged by what another waits.
    ratio, low, high : float
        Of the p99, with the change over without it, and its 95 % interval. NaN where not known,
        as the p99.
    """

    word: Word
    reason: str
    cgroup: str = ""
    ratio: float = np.nan
    low: float = np.nan
    high: float = np.nan
    p99_before_seconds: float = np.nan
    p99_during_seconds: float = np.nan
    p99_after_seconds: float = np.nan
    events_before: int = 0
    events_during: int = 0
    events_after: int = 0
    window_seconds: float = 0.0

    @property
    def gain(self) -> float:
        """How much of the p99 is gone: 0.3 for a ratio of 0.7."""
        return 1.0 - self.ratio

    @property
    def is_kept(self) -> bool:
        """Whether the change stays."""
        return self.word == "kept"


def quantile_ns(counts: npt.NDArray[np.generic], upper_ns: Counts, quantile: float) -> Floats:
    """Return the quantile of each row, interpolated in its bucket; 0 in an empty row.

    Parameters
    ----------
    counts : (..., buckets)
        Events per bucket.
    upper_ns : (buckets,) uint64
        Inclusive upper edges.
    quantile : float
        Between 0 and 1.
    """
    upper = upper_ns.astype(np.float64)
    lower = np.concatenate(([0.0], upper[:-1]))
    seen = np.cumsum(counts, axis=-1, dtype=np.float64)
    rank = quantile * seen[..., -1:]
    bucket = np.minimum((seen < rank).sum(axis=-1, keepdims=True), len(upper) - 1)
    inside = np.take_along_axis(counts, bucket, axis=-1).astype(np.float64)
    before = np.take_along_axis(seen, bucket, axis=-1) - inside
    into = (rank - before) / np.maximum(inside, 1e-9)
    value = lower[bucket] + into * (upper[bucket] - lower[bucket])
    return np.where(seen[..., -1:] > 0, value, 0.0)[..., 0]


def compare(
    before: Window,
    during: Window,
    after: Window,
    upper_ns: Counts,
    *,
    kind: Kind = "runqueue",
    min_gain_ratio: float = 0.10,
    seed: int = 0,
) -> Verdict:
    """Judge a change by the windows before, with and after it.

    Parameters
    ----------
    before, during, after : Window
        Of the same cgroup.
    upper_ns : (buckets,) uint64
        Inclusive upper edges of their buckets.
    kind : {"runqueue", "srtt"}
        Which wait must get shorter.
    min_gain_ratio : float
        How much of the p99 must go for a change to stay.
    seed : int
        Of the resampling.

    References
    ----------
    Künsch, "The jackknife and the bootstrap for general stationary observations", 1989,
    doi:10.1214/aos/1176347265: resampling blocks of rows.
    """
    windows = (before, during, after)
    if reason := _why_no_signal(windows, kind):
        return Verdict("no-signal", reason, window_seconds=during.seconds)
    generator = default_rng(seed)
    logs = [_log_p99(window.waits(kind).sum(axis=0), upper_ns) for window in windows]
    drawn = [_log_p99(_resampled(window.waits(kind), generator), upper_ns) for window in windows]
    overall = _interval(
        float(logs[1] - (logs[0] + logs[2]) / 2),
        drawn[1] - (drawn[0] + drawn[2]) / 2,
        drift=float(abs(logs[0] - logs[2])) / 2,
    )
    neighbours = [_interval(float(logs[1] - logs[side]), drawn[1] - drawn[side]) for side in (0, 2)]
    word, reason = _judged(overall, neighbours, min_gain_ratio)
    ratio, low, high = overall
    p99 = [float(np.exp(value)) / 1e9 for value in logs]
    return Verdict(
        word=word,
        reason=reason,
        ratio=ratio,
        low=low,
        high=high,
        p99_before_seconds=p99[0],
        p99_during_seconds=p99[1],
        p99_after_seconds=p99[2],
        events_before=before.events(kind),
        events_during=during.events(kind),
        events_after=after.events(kind),
        window_seconds=during.seconds,
    )


def _why_no_signal(windows: Sequence[Window], kind: Kind) -> str:
    fewest = min(window.events(kind) for window in windows)
    if fewest < FEWEST_EVENTS:
        return f"a window has {fewest} {kind} events; a p99 needs {FEWEST_EVENTS}"
    parts = min(len(window.waits(kind)) for window in windows)
    return f"a window has {parts} parts, too few to tell its spread" if parts < FEWEST_PARTS else ""


def _log_p99(counts: npt.NDArray[np.generic], upper_ns: Counts) -> Floats:
    # A resample may draw only seconds without events; a wait below 1 ns is none.
    return np.log(np.maximum(quantile_ns(counts, upper_ns, 0.99), 1.0))


def _resampled(counts: Counts, generator: Generator) -> Floats:
    """Return sums of rows drawn anew in circular blocks, (resamples, buckets)."""
    parts = len(counts)
    block = max(1, parts // _BLOCKS)
    starts = generator.integers(0, parts, (_RESAMPLES, -(-parts // block), 1))
    rows = ((starts + np.arange(block)) % parts).reshape(_RESAMPLES, -1)[:, :parts]
    weights = np.zeros((_RESAMPLES, parts))
    np.add.at(weights, (np.arange(_RESAMPLES)[:, None], rows), 1.0)
    drawn: Floats = weights @ counts.astype(np.float64)
    return drawn


def _interval(estimate: float, drawn: Floats, drift: float = 0.0) -> tuple[float, float, float]:
    """Return a ratio and its interval, of their logarithms.

    How far the time without the change lies apart from itself is a doubt of its own, which
    resampling within the windows cannot see.
    """
    # Not np.quantile, which reads modules at first use: the daemon may read no code by then.
    ranks = np.rint(np.array(_TAILS) * (len(drawn) - 1)).astype(np.intp)
    low, high = _WIDENING * (np.sort(drawn)[ranks] - estimate)
    # Where most draws agree, the estimate may lie outside of their middle.
    below, above = np.hypot(min(low, 0.0), drift), np.hypot(max(high, 0.0), drift)
    ratio, least, most = np.exp([estimate, estimate - below, estimate + above]).tolist()
    return ratio, least, most


def _judged(
    overall: tuple[float, float, float],
    neighbours: Sequence[tuple[float, float, float]],
    min_gain_ratio: float,
) -> tuple[Word, str]:
    ratio, low, high = overall
    found = f"p99 is {ratio:.2f} of what it was ({low:.2f} to {high:.2f})"
    if low > 1.0 and ratio >= 1.0 + min_gain_ratio:
        return "harm", f"{found}: worse"
    if ratio > 1.0 - min_gain_ratio:
        return "undone", f"{found}; a change must take {min_gain_ratio:.0%} off it"
    if high >= 1.0:
        return "undone", f"{found}, which may be chance"
    for (against, _, may_be), when in zip(neighbours, ("before", "after"), strict=True):
        if may_be >= 1.0 or against > 1.0 - min_gain_ratio:
            return (
                "undone",
                f"{found}, but {against:.2f} (up to {may_be:.2f}) of the time {when} it",
            )
    return "kept", found
