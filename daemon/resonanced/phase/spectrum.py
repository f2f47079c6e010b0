# SPDX-License-Identifier: MIT
"""What does the analysis see, and how does that read on the wire?

The series are the larger part by far, up to megabytes: they go from the array into the
message as they are, without a Python number in between.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

import numpy as np
import numpy.typing as npt

from resonance_api.phase.v1 import phase_pb2
from resonance_core.control.records import SourceState
from resonanced.phase.attendance import Attended

__all__ = ["Spectrum", "response"]

_SERIES: Final = phase_pb2.SpectrumResponse.SERIES_FIELD_NUMBER
_EVENTS: Final = phase_pb2.Series.EVENTS_FIELD_NUMBER
_WAITS: Final = phase_pb2.Series.WAIT_SECONDS_FIELD_NUMBER
_LENGTH_DELIMITED: Final = 2
"""Wire type; https://protobuf.dev/programming-guides/encoding."""
_SEVEN_BITS: Final = 0x7F


@dataclass(frozen=True, slots=True)
class Spectrum:
    """The series of the analysis, as they are now.

    Attributes
    ----------
    start_ns : int
        CLOCK_MONOTONIC at the start of the first bin.
    bin_seconds : float
    cgroups : tuple of str
        As people read them; one per row.
    events, wait_seconds : (cgroups, bins) float32
        Switches to a task that had waited, and what they had waited together.
    missing : (bins,) bool
        Nobody could read them; they hold nothing.
    """

    start_ns: int
    bin_seconds: float
    cgroups: tuple[str, ...]
    events: npt.NDArray[np.float32]
    wait_seconds: npt.NDArray[np.float32]
    missing: npt.NDArray[np.bool_]


def response(
    spectrum: Spectrum | None,
    patterns: tuple[str, ...],
    sources: Iterable[tuple[Attended, SourceState]],
) -> bytes:
    """Return a serialised ``SpectrumResponse``.

    Parameters
    ----------
    spectrum : Spectrum or None
        ``None`` where nothing is analysed; then only the sources are told.
    patterns : tuple of str
        Which cgroups; empty for all.
    sources : iterable of (Attended, SourceState)
    """
    head = phase_pb2.SpectrumResponse(sources=[_phase(*each) for each in sources])
    if spectrum is None:
        return head.SerializeToString()
    head.bin_seconds, head.start_ns = spectrum.bin_seconds, spectrum.start_ns
    head.missing_bins.extend(np.flatnonzero(spectrum.missing).tolist())
    series = [
        _series(cgroup, spectrum.events[row], spectrum.wait_seconds[row])
        for row, cgroup in enumerate(spectrum.cgroups)
        if not patterns or any(fnmatchcase(cgroup, each) for each in patterns)
    ]
    # Fields of a message may stand in any order, and messages that follow each other are one.
    return b"".join([head.SerializeToString(), *(_field(_SERIES, each) for each in series)])


def _phase(attended: Attended, state: SourceState) -> phase_pb2.SourcePhase:
    period = attended.source.period_seconds
    turned = state.phase_rad + math.tau * attended.held_seconds / period
    return phase_pb2.SourcePhase(
        name=attended.source.name,
        pid=attended.pid,
        period_seconds=period,
        natural_phase_rad=state.phase_rad,
        phase_rad=turned % math.tau,
        planned_phase_rad=state.target_phase_rad,
        work_seconds=state.work_seconds,
        is_eligible=state.is_eligible,
    )


def _series(cgroup: str, events: npt.NDArray[np.float32], waits: npt.NDArray[np.float32]) -> bytes:
    name = phase_pb2.Series(cgroup=cgroup).SerializeToString()
    return name + _field(_EVENTS, _packed(events)) + _field(_WAITS, _packed(waits))


def _packed(values: npt.NDArray[np.float32]) -> bytes:
    return values.astype("<f4").tobytes()


def _field(number: int, payload: bytes) -> bytes:
    return bytes((number << 3 | _LENGTH_DELIMITED,)) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    """Return an integer in groups of seven bits, lowest first; all but the last are marked."""
    groups = bytearray()
    while value > _SEVEN_BITS:
        groups.append(value & _SEVEN_BITS | (_SEVEN_BITS + 1))
        value >>= 7
    groups.append(value)
    return bytes(groups)
