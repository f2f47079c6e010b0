# SPDX-License-Identifier: MIT
"""What is to be drawn, whatever it is drawn with: series added up, analysed and put in order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from resonance.cli.spectrum.spectrogram import LEAST_BINS, Spectrogram, spectrogram
from resonance.cli.spectrum.wheel import Wheel, wheel_of
from resonance.cli.units import path_text
from resonance_api.hints.v1.hints_pb2 import Neighbour, State
from resonance_api.phase.v1.phase_pb2 import SpectrumResponse
from resonance_core.errors import CoreError
from resonance_core.spectral.lines import known_lines
from resonance_core.spectral.period import dominant_period

__all__ = ["Beat", "View", "view_of"]

_PATH_COLUMNS = 36


@dataclass(frozen=True, slots=True)
class Beat:
    """Whether the node's queue has a rhythm.

    Attributes
    ----------
    period_seconds : float
        NaN where there is none.
    entropy_excess : float
        How much less random than white noise it is, 0 to 1.
    is_confirmed : bool
    reason : str
        One clause.
    """

    period_seconds: float
    entropy_excess: float
    is_confirmed: bool
    reason: str


@dataclass(frozen=True, slots=True)
class View:
    """All there is to see.

    Attributes
    ----------
    whose : str
        The cgroup, or how many they are.
    bin_seconds, duration_seconds : float
        Of the series.
    missing_ratio : float
        Share of the bins nobody could read.
    waiting : float
        Mean number of tasks that waited for a CPU; NaN where no bin was read.
    picture : Spectrogram, or None
        None where nothing waited, or the series is too short.
    beat : Beat, or None
        None where it cannot be told.
    wheel : Wheel, or None
        None without sources.
    neighbours : tuple of Neighbour
        The cgroups whose rhythm the queue of the others follows, most coherent first.
    guard_state, guard_reason, mode : str
        What phase control does.
    """

    whose: str
    bin_seconds: float
    duration_seconds: float
    missing_ratio: float
    waiting: float
    picture: Spectrogram | None
    beat: Beat | None
    wheel: Wheel | None
    neighbours: tuple[Neighbour, ...]
    mode: str
    guard_state: str
    guard_reason: str


def view_of(answer: SpectrumResponse, state: State) -> View:
    """Return what an answer of the daemon, and its state at that time, show."""
    waiting = _waiting(answer)
    known = [value for value in waiting if not math.isnan(value)]
    return View(
        whose=_whose(answer),
        bin_seconds=answer.bin_seconds,
        duration_seconds=len(waiting) * answer.bin_seconds,
        missing_ratio=1.0 - len(known) / len(waiting) if waiting else 0.0,
        waiting=sum(known) / len(known) if known else math.nan,
        picture=spectrogram(waiting, answer.bin_seconds),
        beat=_beat(waiting, answer.bin_seconds) if any(known) else None,
        wheel=wheel_of(answer.sources),
        neighbours=tuple(state.rhythm.neighbours),
        mode=state.rhythm.mode,
        guard_state=state.rhythm.guard_state,
        guard_reason=state.rhythm.reason,
    )


def _whose(answer: SpectrumResponse) -> str:
    if len(answer.series) == 1:
        return path_text(answer.series[0].cgroup, _PATH_COLUMNS)
    return f"{len(answer.series)} cgroups"


def _waiting(answer: SpectrumResponse) -> list[float]:
    """Return the mean number of waiting tasks per bin, NaN where the bin is missing."""
    if not answer.series or not 0.0 < answer.bin_seconds < math.inf:
        return []
    length = min(len(each.wait_seconds) for each in answer.series)
    total, known = [0.0] * length, [False] * length
    for each in answer.series:
        for at, wait_seconds in enumerate(each.wait_seconds[:length]):
            if not math.isnan(wait_seconds):  # as before a cgroup was there
                total[at] += wait_seconds
                known[at] = True
    for at in answer.missing_bins:
        if at < length:
            known[at] = False
    return [
        sum_seconds / answer.bin_seconds if is_known else math.nan
        for sum_seconds, is_known in zip(total, known, strict=True)
    ]


def _beat(waiting: Sequence[float], bin_seconds: float) -> Beat | None:
    if len(waiting) < LEAST_BINS:
        return None
    try:
        found = dominant_period(
            waiting, bin_seconds, known_lines=known_lines(bin_seconds=bin_seconds)
        )
    except CoreError:  # too short or too torn to tell, which the view says by itself
        return None
    return Beat(
        period_seconds=found.seconds,
        entropy_excess=found.entropy_excess,
        is_confirmed=found.is_confirmed,
        reason=found.reason,
    )
