# SPDX-License-Identifier: MIT
"""When is a change worth trying, when does it stay, and when is it taken back?

The numbers only; `strategy` acts on them.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

__all__ = ["Guard"]

_Ratio = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
_Gain = Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)]
_Seconds = Annotated[float, msgspec.Meta(gt=0.0, le=86_400.0)]
_Windows = Annotated[int, msgspec.Meta(ge=1, le=1_000)]
_Changes = Annotated[int, msgspec.Meta(ge=1, le=1_000)]
_Growth = Annotated[float, msgspec.Meta(ge=1.0, le=1_000.0)]


class Guard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When to act, what counts as a gain, and when to step back.

    Attributes
    ----------
    slo_runqueue_p99_seconds : float
        Waiting for a CPU longer than this is worth a change.
    slo_srtt_p99_seconds : float or None
        The same of round trips; None leaves the network alone unless its queues show.
    min_gain_ratio : float
        A change that improves the tail by less is taken back.
    window_seconds : float
        Length of one observation.
    enter_windows, leave_windows : int
        Windows in a row beyond the objective before a change, and below `leave_ratio` of it
        before CPUs that were set apart are given back.
    leave_ratio : float
    dwell_seconds, min_change_interval_seconds : float
        How long a state stays at least, and the time between two changes of one target.
    max_changes_per_hour : int
    cool_down_seconds : float
        Rest of a knob that was taken back; doubles each time.
    batch_full_pressure_ratio, batch_full_pressure_seconds : float
        Batch work that stands still more than this, for so long, is given way.
    max_utilisation_ratio : float
        Busier hosts are not narrowed further.
    min_rtt_seconds : float
        On shorter paths congestion control is left alone.
    max_retransmit_ratio, max_retransmit_growth : float
        More retransmits than this, or this many times what they were, take it back.
    """

    slo_runqueue_p99_seconds: _Seconds = 0.002
    slo_srtt_p99_seconds: _Seconds | None = None
    min_gain_ratio: _Gain = 0.10
    window_seconds: _Seconds = 20.0
    enter_windows: _Windows = 3
    leave_ratio: _Ratio = 0.7
    leave_windows: _Windows = 10
    dwell_seconds: _Seconds = 60.0
    max_changes_per_hour: _Changes = 20
    min_change_interval_seconds: _Seconds = 10.0
    cool_down_seconds: _Seconds = 3_600.0
    batch_full_pressure_ratio: _Ratio = 0.6
    batch_full_pressure_seconds: _Seconds = 60.0
    max_utilisation_ratio: _Ratio = 0.85
    min_rtt_seconds: _Seconds = 0.002
    max_retransmit_ratio: _Ratio = 0.02
    max_retransmit_growth: _Growth = 3.0
