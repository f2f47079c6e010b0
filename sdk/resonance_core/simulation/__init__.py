# SPDX-License-Identifier: MIT
"""Would it help here? Queues in discrete events that drive the shipped controller.

::

    comparison   arms, each on the same work for each seed
    judge        latencies, ratios, holds of a run
    run          one workload under one arm, window by window; jobs: what arrives in one
    shipped      the arm that is the controller; arms: those it is compared with
    queues       first come first served, and processor sharing
    workload     all that is drawn at random, before an arm acts
    scenario     what is simulated; `scenarios/` has some to begin with

It is exact about queues and nothing else: no caches, no frequencies, one node.
"""

from __future__ import annotations

from resonance_core.simulation.comparison import ARMS, FLATTERED, Comparison, Play, compare, play
from resonance_core.simulation.judge import QUANTILES, Holds, Outcome, Ratios
from resonance_core.simulation.scenario import Requests, Scenario, SourceBlock, reference_scenario

__all__ = [
    "ARMS",
    "FLATTERED",
    "QUANTILES",
    "Comparison",
    "Holds",
    "Outcome",
    "Play",
    "Ratios",
    "Requests",
    "Scenario",
    "SourceBlock",
    "compare",
    "play",
    "reference_scenario",
]
