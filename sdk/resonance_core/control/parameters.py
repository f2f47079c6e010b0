# SPDX-License-Identifier: MIT
"""What the phase controller may do, and how sure it must be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from resonance_core.errors import InvalidSampleError

__all__ = ["Parameters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Limits and thresholds; the defaults are the ones the simulation was judged with.

    Attributes
    ----------
    r_band : (float, float)
        Arm and clear on the de-biased order parameter: alignment is suspected above the
        second and gone below the first, 0 to 1. It arms; the discrepancy decides.
    k_min, k_max : float
        Coupling as the fraction of a phase error that is removed per cycle, 0 < k < 2.
    max_slew_seconds : float
        Longest hold of a source in one cycle; at most `max_slew_ratio` of its period.
    max_slew_ratio : float
        Chosen: 7 % of the period, so that short periods are not torn.
    batch_latency_seconds : float
        Longest time a batch window stays open for a valley of the load.
    estimate_cycles : int
        Cycles of which a phase is the mean.
    chunk_cycles : int
        Cycles between two decisions.
    baseline_chunks : int
        Chunks in shadow before anything is moved.
    act_ratio : float
        Act only if the plan's discrepancy is at most this share of the present one.
    min_discrepancy_ratio : float
        And the present one at least this share of `mean_service_seconds`.
    mean_service_seconds : float
        Work of a request that nobody delays.
    cores : float
        CPUs that serve the sources.
    canary_ratio : float
        Share of the sources that mode adaptive moves before a gain is proven.
    harm_ratio : float
        Rollback if the realised tail is worse than this many times the tail in shadow.
    confidence : float
        Of the sequence that says so.
    shadow_block_ratio : float
        Share of blocks that are given back to shadow while the gain is not proven.
    max_sources : int
        One more is refused.
    min_period_seconds, max_period_seconds : float
        A source outside is refused.
    hold_anchored : bool
        Let anchored sources that declare slack be held; their own latency pays for it.
    """

    r_band: tuple[float, float] = (0.35, 0.65)
    k_min: float = 0.05
    k_max: float = 1.0
    max_slew_seconds: float = 0.007
    max_slew_ratio: float = 0.07
    batch_latency_seconds: float = 0.025
    estimate_cycles: int = 16
    chunk_cycles: int = 5
    baseline_chunks: int = 6
    act_ratio: float = 0.75
    min_discrepancy_ratio: float = 0.15
    mean_service_seconds: float = 0.001
    cores: float = 1.0
    canary_ratio: float = 0.25
    harm_ratio: float = 1.10
    confidence: float = 0.99
    shadow_block_ratio: float = 0.20
    max_sources: int = 1024
    min_period_seconds: float = 0.005
    max_period_seconds: float = 86_400.0
    hold_anchored: bool = False

    def __post_init__(self) -> None:
        low, high = self.r_band
        shortest, longest = self.min_period_seconds, self.max_period_seconds
        checks = (
            ("r_band", 0.0 <= low < high <= 1.0, "must be two ascending numbers from 0 to 1"),
            (
                "k_min, k_max",
                0.0 < self.k_min <= self.k_max < 2.0,
                "must be 0 < k_min <= k_max < 2",
            ),
            ("canary_ratio", 0.0 < self.canary_ratio <= 1.0, "must be above 0 and at most 1"),
            ("act_ratio", 0.0 < self.act_ratio <= 1.0, "must be above 0 and at most 1"),
            ("confidence", 0.0 < self.confidence < 1.0, "must be above 0 and below 1"),
            ("shadow_block_ratio", 0.0 <= self.shadow_block_ratio <= 1.0, "must be from 0 to 1"),
            ("harm_ratio", 1.0 <= self.harm_ratio < math.inf, "must be a number of at least 1"),
            ("estimate_cycles", self.estimate_cycles >= 4, "must be at least 4"),
            *((name, _is_positive(getattr(self, name)), "must be above 0") for name in _POSITIVE),
            (
                "max_period_seconds",
                shortest <= longest < math.inf,
                "must be at least the least one",
            ),
        )
        for name, is_fine, reason in checks:
            if not is_fine:
                raise InvalidSampleError(name, reason)

    @property
    def floor_seconds(self) -> float:
        """Discrepancy per core below which there is nothing to gain and no harm."""
        return self.min_discrepancy_ratio * self.mean_service_seconds


_POSITIVE: Final = (
    "max_slew_seconds",
    "max_slew_ratio",
    "batch_latency_seconds",
    "mean_service_seconds",
    "cores",
    "min_period_seconds",
    "chunk_cycles",
    "baseline_chunks",
    "max_sources",
)


def _is_positive(value: float) -> bool:
    return math.isfinite(value) and value > 0.0
