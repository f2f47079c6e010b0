# SPDX-License-Identifier: MIT
"""What an operator may choose about measuring: the table ``[signals]``."""

from __future__ import annotations

from typing import Annotated

import msgspec

__all__ = ["SignalsSettings"]

_Interval = Annotated[float, msgspec.Meta(ge=0.02, le=10.0)]
_PercentileWindow = Annotated[float, msgspec.Meta(ge=1.0, le=300.0)]
_PressureWindow = Annotated[float, msgspec.Meta(ge=0.01, le=0.2)]
_Quarantine = Annotated[float, msgspec.Meta(ge=1.0, le=3_600.0)]
_Pattern = Annotated[str, msgspec.Meta(min_length=1, pattern=r"^[/*\[?]")]


class SignalsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often maps are read, and which cgroups are measured apart.

    Attributes
    ----------
    interval_seconds : float
        Time between two snapshots, 0.02 to 10.
    cgroups : tuple of str
        Shell patterns on the path below the hierarchy's root; a match always has a slot
        of its own while there are slots. ``*`` also crosses ``/``.
    percentile_window_seconds : float
        Percentiles speak of this much of the past, 1 to 300.
    pressure_window_seconds : float
        Pressure is the mean over this much of the past, 0.01 to 0.2 (the bins of a large
        host reach back 0.25 s).
    slot_quarantine_seconds : float
        How long a slot rests between two owners, 1 to 3600; at least two scrape
        intervals, so that no scrape mixes two owners.
    """

    interval_seconds: _Interval = 0.1
    cgroups: tuple[_Pattern, ...] = ()
    percentile_window_seconds: _PercentileWindow = 10.0
    pressure_window_seconds: _PressureWindow = 0.1
    slot_quarantine_seconds: _Quarantine = 30.0
