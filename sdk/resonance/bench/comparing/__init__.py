# SPDX-License-Identifier: MIT
"""What did one arm gain beside another, and is it to be believed?

::

    scene = scene_of([before, after], baseline="before")
    comparison = compare(scene)
    verdicts = judge(comparison, [parse_gate("p99<=0.85")])

The layers, top first::

    gates      bars, and whether they are met
    pairing    repetitions that count, and the ratios within each of them
    caveats    what a reader must know besides
    scenes     which runs may be set beside each other at all

What is compared is always two arms in the same repetition. Repetitions are left out whole, by
the rule that the results themselves carry.
"""

from __future__ import annotations

from resonance.bench.comparing.gates import Gate, Verdict, judge, parse_gate
from resonance.bench.comparing.pairing import (
    FEWEST_PAIRS,
    Comparison,
    Effect,
    Row,
    compare,
    fewest_answers,
)
from resonance.bench.comparing.scenes import scene_of

__all__ = [
    "FEWEST_PAIRS",
    "Comparison",
    "Effect",
    "Gate",
    "Row",
    "Verdict",
    "compare",
    "fewest_answers",
    "judge",
    "parse_gate",
    "scene_of",
]
