# SPDX-License-Identifier: MIT
"""What does a comparison look like, for people and for programs?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from resonance.cli.units import duration_text

if TYPE_CHECKING:
    from resonance_core.simulation import Comparison, Outcome, Ratios

__all__ = ["as_json", "table"]


def table(comparison: Comparison) -> Iterator[str]:
    """Write a comparison in lines of at most 80 columns, but for the sentences around it."""
    from resonance_core.simulation import FLATTERED

    yield from _head(comparison)
    yield ""
    yield "         REQUESTS TAKE          BY none                        SOURCES"
    yield "ARM         p95    p99  p99.9    p95   p99 (of seeds)  p99.9    p99    held"
    yield from (_row(comparison, arm) for arm in comparison.plays)
    yield ""
    flattered = [arm for arm in comparison.plays if arm in FLATTERED]
    if flattered:
        yield f"flattered, as they know the true phases: {', '.join(flattered)}"
    if "splay" in comparison.plays:
        yield from _controller_lines(comparison)


def _head(comparison: Comparison) -> Iterator[str]:
    scenario = comparison.scenario
    sources = sum(block.count for block in scenario.sources)
    seeds = len(comparison.plays["none"])
    yield f"{scenario.name}: {scenario.summary}" if scenario.summary else scenario.name
    yield (
        f"{sources} sources, {scenario.cores} cores, load {scenario.utilisation_ratio:.2f}, "
        f"{scenario.discipline}; {scenario.duration_seconds:g} s without the first "
        f"{scenario.warmup_seconds:g} s, {seeds} seed{'s' if seeds > 1 else ''}"
    )


def _row(comparison: Comparison, arm: str) -> str:
    import resonance_core.simulation as core

    outcomes = [play.outcome for play in comparison.plays[arm]]
    ratios = comparison.ratios(arm, "none")
    times = [_mean([each.latency_seconds["requests"][k] for each in outcomes]) for k in (1, 2, 3)]
    _, p95, p99, p999 = ratios.latency["requests"]
    cells = "".join(f"{_duration_text(value):>7}" for value in times)
    low, high = ratios.low["requests"][2], ratios.high["requests"][2]
    spread = "" if math.isnan(low) else f"({low:.2f}-{high:.2f})"
    sources = ratios.latency["sources"][core.QUANTILES.index(0.99)]
    held = _mean([each.holds.steady_seconds for each in outcomes])
    return (
        f"{arm:8}{cells}{_ratio_text(p95, 7)}{_ratio_text(p99, 6)} {spread:11}"
        f"{_ratio_text(p999, 6)}{_ratio_text(sources, 7)}"
        f"{duration_text(held) if held > 1e-9 else '-':>8}"
    )


def _ratio_text(ratio: float, columns: int) -> str:
    return f"{'-':>{columns}}" if math.isnan(ratio) else f"{ratio:{columns}.2f}"


def _duration_text(value_seconds: float) -> str:
    return duration_text(None if math.isnan(value_seconds) else value_seconds)


def _controller_lines(comparison: Comparison) -> Iterator[str]:
    plays = comparison.plays["splay"]
    yield "splay is the controller this package ships; it knows what a daemon knows"
    predicted = [each.prediction.wait_p99_ratio for each in plays]
    known = [each for each in predicted if not math.isnan(each)]
    realised = comparison.ratios("splay", "none").wait_p99
    before = f"predicted before it set out {_mean(known):.2f}" if known else "not predicted"
    after = "nobody waited" if math.isnan(realised) else f"realised {realised:.2f}"
    yield f"p99 of the requests' waits, splay by none: {before}, {after}"
    states = ", ".join(f"{state} from {at:.1f} s" for at, state in plays[0].states)
    yield f"its states with the first seed: {states or 'no group was formed'}"
    trips = {guard: sum(each.trips.get(guard, 0) for each in plays) for guard in plays[0].trips}
    acted = ", ".join(f"{guard} {count}" for guard, count in sorted(trips.items()) if count)
    if acted:
        yield f"guards that acted, over all seeds: {acted}"


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return all of a comparison; what is not known is null when it is written."""
    from resonance_core.simulation import FLATTERED

    return {
        "scenario": comparison.scenario,
        "seeds": len(comparison.plays["none"]),
        "arms": {
            arm: {
                "is_flattered": arm in FLATTERED,
                "seeds": [_outcome_json(each.outcome) for each in plays],
                "by_none": _ratios_json(comparison.ratios(arm, "none")),
            }
            for arm, plays in comparison.plays.items()
        },
        "controller": [
            {
                "prediction": each.prediction,
                "states": [{"at_seconds": at, "state": state} for at, state in each.states],
                "trips": each.trips,
            }
            for each in comparison.plays.get("splay", ())
        ],
    }


def _outcome_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "latency_seconds": _by_quantile(outcome.latency_seconds),
        "wait_p99_seconds": outcome.wait_p99_seconds,
        "jobs_per_second": outcome.jobs_per_second,
        "holds": outcome.holds,
    }


def _ratios_json(ratios: Ratios) -> dict[str, Any]:
    return {
        "latency": _by_quantile(ratios.latency),
        "low": _by_quantile(ratios.low),
        "high": _by_quantile(ratios.high),
        "wait_p99": ratios.wait_p99,
        "throughput": ratios.throughput,
    }


def _by_quantile(values: dict[Any, tuple[float, ...]]) -> dict[str, dict[str, float]]:
    from resonance_core.simulation import QUANTILES

    names = [f"p{100 * each:g}" for each in QUANTILES]
    return {traffic: dict(zip(names, row, strict=True)) for traffic, row in values.items()}
