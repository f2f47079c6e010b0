# SPDX-License-Identifier: MIT
"""What an operator may choose about rhythm and phases: the table ``[phase]``.

Read by the keeper too, so nothing but the standard library and msgspec is imported here.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

__all__ = ["PhaseSettings"]

_Ratio = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
_Coupling = Annotated[float, msgspec.Meta(gt=0.0, lt=2.0)]
_Hold = Annotated[float, msgspec.Meta(ge=0.0001, le=0.1)]
_Canary = Annotated[float, msgspec.Meta(ge=0.01, le=1.0)]
_Harm = Annotated[float, msgspec.Meta(ge=1.01, le=10.0)]
_Sources = Annotated[int, msgspec.Meta(ge=1, le=65_536)]
_Pattern = Annotated[str, msgspec.Meta(min_length=1, pattern=r"^[/*\[?]")]


class PhaseSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the node's rhythm is looked for, and what the phase controller may do.

    Attributes
    ----------
    mode : {"observe", "shadow", "adaptive", "active"}
        With which the service starts; ``resonanced phase`` sets another.
    analysis : bool
        Read the kernel's time bins and look for periods and noisy neighbours.
    protect : tuple of str
        Shell patterns on cgroup paths: whose waits judge the controller. Empty for all that
        host no source.
    r_band : (float, float)
        Order parameter at which alignment is called gone, and suspected; ascending.
    k_min, k_max : float
        Share of a phase error that is removed per cycle, above 0, below 2; ascending.
    max_slew_seconds : float
        Longest change of a hold per cycle, 0.0001 to 0.1.
    canary_ratio : float
        Share of the sources that mode adaptive moves first, 0.01 to 1.
    harm_ratio : float
        Everything is taken back once the tail is proven worse by this factor, 1.01 to 10.
    hold_anchored : bool
        Let anchored sources that declare slack be held; their own latency pays for it.
    max_sources : int
        One more is refused, 1 to 65536.
    """

    mode: Literal["observe", "shadow", "adaptive", "active"] = "observe"
    analysis: bool = True
    protect: tuple[_Pattern, ...] = ()
    r_band: tuple[_Ratio, _Ratio] = (0.35, 0.65)
    k_min: _Coupling = 0.05
    k_max: _Coupling = 1.0
    max_slew_seconds: _Hold = 0.007
    canary_ratio: _Canary = 0.25
    harm_ratio: _Harm = 1.10
    hold_anchored: bool = False
    max_sources: _Sources = 1_024

    def __post_init__(self) -> None:
        if self.r_band[0] >= self.r_band[1]:
            raise ValueError("r_band must be two ascending numbers")
        if self.k_min > self.k_max:
            raise ValueError("k_min must not be above k_max")
