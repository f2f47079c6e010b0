# SPDX-License-Identifier: MIT
"""What a daemon answers of rhythm: a node on which eight flushers start in step, and others."""

from __future__ import annotations

import fnmatch
import math
import random
from collections.abc import Sequence

import grpc

from resonance_api.hints.v1.hints_pb2 import Neighbour, Rhythm
from resonance_api.phase.v1.phase_pb2 import (
    ExplainRequest,
    ExplainResponse,
    Explanation,
    Series,
    SourcePhase,
    SpectrumRequest,
    SpectrumResponse,
)
from resonance_api.phase.v1.phase_pb2_grpc import PhaseServicer

BIN_SECONDS = 0.005


class RhythmDaemon(PhaseServicer):
    """Answer with what it was given, as far as it matches."""

    def __init__(
        self,
        spectrum: SpectrumResponse | None = None,
        explanations: Sequence[Explanation] = (),
        sentences: Sequence[str] = (),
        left_out: int = 0,
    ) -> None:
        self._spectrum = spectrum or SpectrumResponse(bin_seconds=BIN_SECONDS)
        self._explanations = explanations
        self._sentences = sentences
        self._left_out = left_out

    def Explain(self, request: ExplainRequest, context: grpc.ServicerContext) -> ExplainResponse:  # noqa: N802 - gRPC's name
        return ExplainResponse(
            explanations=[
                each
                for each in self._explanations
                if fnmatch.fnmatch(each.source, request.source or "*")
            ],
            sentences=self._sentences,
            left_out=self._left_out,
        )

    def Spectrum(self, request: SpectrumRequest, context: grpc.ServicerContext) -> SpectrumResponse:  # noqa: N802 - gRPC's name
        answer = SpectrumResponse()
        answer.CopyFrom(self._spectrum)
        patterns = list(request.cgroups) or ["*"]
        wanted = [
            each
            for each in answer.series
            if any(fnmatch.fnmatch(each.cgroup, pattern) for pattern in patterns)
        ]
        del answer.series[:]
        answer.series.extend(wanted)
        return answer


def source(name: str, turn: float, planned: float = math.nan, **changes: object) -> SourcePhase:
    """Return a source of 100 ms with 13 ms of work at this turn of its period."""
    values: dict[str, object] = {
        "pid": 4711,
        "period_seconds": 0.1,
        "natural_phase_rad": math.tau * turn,
        "phase_rad": math.tau * turn,
        "planned_phase_rad": math.tau * planned,
        "work_seconds": 0.013,
        "is_eligible": True,
    }
    return SourcePhase(name=name, **(values | changes))  # type: ignore[arg-type]


def series(
    cgroup: str,
    *,
    bins: int = 4096,
    period_bins: int = 0,
    start_bin: int = 0,
    level_seconds: float = 0.0005,
    seed: int = 1,
) -> Series:
    """Return waits of a cgroup: noise, and from `start_bin` on a burst once per period."""
    dice = random.Random(seed)
    waits = [dice.expovariate(1.0) * level_seconds for _ in range(bins)]
    if period_bins:
        for at in range(start_bin, bins, period_bins):
            for bin_of_burst in range(at, min(at + 4, bins)):
                waits[bin_of_burst] += 0.004 * dice.uniform(0.8, 1.2)
    return Series(cgroup=cgroup, events=[3.0] * bins, wait_seconds=waits)


FLUSHERS = tuple(source(f"flush-{at}", 0.02 + 0.002 * at, at / 8) for at in range(8))
"""Eight sources in step, and a plan that spreads them."""


def aligned() -> SpectrumResponse:
    """Return a node on which the flushers start in step after the first third."""
    return SpectrumResponse(
        bin_seconds=BIN_SECONDS,
        series=[
            series("/flush.slice", period_bins=20, start_bin=1300),
            series("/system.slice/web.service", seed=2),
            series("other", seed=3, level_seconds=0.0001),
        ],
        sources=FLUSHERS,
    )


RHYTHM = Rhythm(
    mode="shadow",
    guard_state="shadow",
    reason="6 chunks of baseline wanted, 2 seen",
    dominant_period_seconds=0.1,
    entropy_excess=0.46,
    order_parameter=0.97,
    mean_phase_rad=0.17,
    coupling=0.4,
    discrepancy_seconds=0.0296,
    planned_discrepancy_seconds=0.0037,
    predicted_ratio=0.12,
    predicted_peak_ns=1_000_042_000_000,
    delay_bound_seconds=0.104,
    delay_bound_checks=1_200,
    delay_bound_violations=3,
    neighbours=[
        Neighbour(
            cgroup="/flush.slice", cgroup_id=7, score=0.93, period_seconds=0.1,
            lag_seconds=0.005, is_named=True,
        ),
        Neighbour(cgroup="other", score=0.11, period_seconds=0.1, is_named=False),
    ],
    sources=8,
    eligible_sources=8,
)  # fmt: skip
"""What the hints say of that node."""
