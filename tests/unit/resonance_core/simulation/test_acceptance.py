# SPDX-License-Identifier: MIT
"""Does the shipped controller keep what the simulation promised?

Ratios of latencies, geometric means over the seeds, every seed on the same work for all arms.
`make bench-simulation` runs the whole grid.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from resonance_core.simulation import Comparison, Scenario, compare, reference_scenario
from resonance_core.simulation.judge import Traffic

ANY = float("inf")
LEAST_THROUGHPUT = 0.99


@dataclass(frozen=True)
class Bar:
    """What p95, p99 and p99.9 of one arm may be at most, by those of another."""

    against: str
    most: tuple[float, float, float]
    traffic: Traffic = "requests"
    arm: str = "splay"


@dataclass(frozen=True)
class Case:
    scenario: Scenario
    bars: tuple[Bar, ...]
    seeds: int = 5
    is_steady: bool = False
    """Sources come to rest: nobody is held any more in the last third."""


CASES = {
    "eight aligned sources": Case(
        reference_scenario(8, 0.75),
        (
            Bar("none", (0.40, 0.40, 0.45)),
            Bar("jitter", (ANY, 0.45, ANY)),
            Bar("random", (0.80, 0.80, 0.85)),
            Bar("random", (ANY, 0.80, ANY), "all"),
        ),
        is_steady=True,
    ),
    "sixteen aligned sources": Case(
        reference_scenario(16, 0.60), (Bar("oracle", (1.08, 1.08, 1.08)),), is_steady=True
    ),
    "sixteen aligned sources, busy": Case(
        reference_scenario(16, 0.85),
        (
            Bar("random", (0.85, 0.85, ANY)),
            Bar("random", (ANY, 0.85, ANY), "all"),
            Bar("oracle", (1.10, 1.10, 1.10)),
        ),
        is_steady=True,
    ),
    "sixteen sources that nobody aligned": Case(
        reference_scenario(16, 0.75, start="random"),
        (Bar("none", (0.85, 0.85, 0.90)), Bar("none", (ANY, 0.85, ANY), "all")),
        is_steady=True,
    ),
    "no period": Case(
        reference_scenario(16, 0.75, is_periodic=False), (Bar("none", (1.02, 1.02, 1.02)),)
    ),
    "light load": Case(
        reference_scenario(16, 0.30, start="random"), (Bar("none", (1.03, 1.03, 1.03)),)
    ),
    "phases that drift": Case(
        reference_scenario(16, 0.75, drift_seconds=0.002),
        (Bar("none", (1.10, 1.10, 1.10)),),
        seeds=10,
    ),
}


def _missed(compared: Comparison, bars: tuple[Bar, ...]) -> Iterator[str]:
    for bar in bars:
        ratios = compared.ratios(bar.arm, bar.against)
        found = ratios.latency[bar.traffic][1:]
        for name, ratio, most in zip(("p95", "p99", "p99.9"), found, bar.most, strict=True):
            if not ratio <= most:
                yield f"{name} of {bar.traffic}, {bar.arm} by {bar.against}: {ratio:.3f} > {most}"
        if ratios.throughput < LEAST_THROUGHPUT:
            yield f"throughput, {bar.arm} by {bar.against}: {ratios.throughput:.3f}"


def _held_too_long(compared: Comparison) -> Iterator[str]:
    for seed, play in enumerate(compared.plays["splay"]):
        holds = play.outcome.holds
        if holds.steady_seconds > 0.00005:
            yield f"seed {seed}: {holds.steady_seconds:g} s per cycle at rest"


def _beyond_the_budget(compared: Comparison) -> Iterator[str]:
    for seed, play in enumerate(compared.plays["splay"]):
        holds = play.outcome.holds
        if holds.longest_step_seconds > 0.007 + 1e-9:
            yield f"seed {seed}: a step of {holds.longest_step_seconds:g} s"
        if holds.largest_share_of_bound > 1.0:
            yield f"seed {seed}: held {holds.largest_share_of_bound:.2f} of the bound"


@pytest.mark.parametrize("name", CASES)
def test_the_shipped_controller_keeps_its_ratios(name: str) -> None:
    case = CASES[name]
    arms = dict.fromkeys(each for bar in case.bars for each in (bar.against, bar.arm))
    compared = compare(case.scenario, tuple(arms), range(case.seeds))
    missed = [*_missed(compared, case.bars), *_beyond_the_budget(compared)]
    if case.is_steady:
        missed += _held_too_long(compared)
    assert missed == []


def test_alignment_that_was_of_use_comes_back() -> None:
    """Long enough that what came before the rollback is not judged."""
    scenario = reference_scenario(16, 0.75, cycles=500, warmup_cycles=300)
    compared = compare(replace(scenario, setup_seconds=0.0065), ("none", "splay"), range(3))
    assert [*_missed(compared, (Bar("none", (1.05, 1.05, 1.05)),))] == []
    assert all(play.trips["rollback"] == 1 for play in compared.plays["splay"])
    assert all(play.states[-1][1] == "lockout" for play in compared.plays["splay"])


def test_anchored_sources_are_left_alone() -> None:
    scenario = reference_scenario(16, 0.75, phase_free=False, slack_seconds=0.007)
    found = compare(scenario, ("none", "splay"), range(3)).ratios("splay", "none")
    assert found.latency == {
        traffic: pytest.approx([1.0] * 4) for traffic in ("requests", "sources", "all")
    }


@pytest.mark.parametrize(("count", "load"), [(16, 0.60), (16, 0.75), (16, 0.85), (64, 0.75)])
def test_no_order_in_the_first_harmonic_is_no_victory(count: int, load: float) -> None:
    compared = compare(reference_scenario(count, load), ("random", "kuramoto"), range(10))
    assert compared.ratios("kuramoto", "random").latency["requests"][2] >= 1.2
