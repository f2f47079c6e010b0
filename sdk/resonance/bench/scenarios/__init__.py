# SPDX-License-Identifier: MIT
"""How is a load written down, so that it can be sent again?

::

    scenario      TOML -> Scenario, each wrong key or value with its path in the file
    requests      what kinds of calls there are, and what they carry
    thresholds    "p99<20ms": what a run must keep to
    durations     "30s", "200ms", or seconds
    example.toml  every key, its unit and its default; the manual of the file
"""

from __future__ import annotations

from resonance.bench.scenarios.durations import parse_duration
from resonance.bench.scenarios.requests import checked_header, read_body
from resonance.bench.scenarios.scenario import Scenario, example_text, load_scenario
from resonance.bench.scenarios.thresholds import Threshold, parse_threshold

__all__ = [
    "Scenario",
    "Threshold",
    "checked_header",
    "example_text",
    "load_scenario",
    "parse_duration",
    "parse_threshold",
    "read_body",
]
