# SPDX-License-Identifier: MIT
"""Is it to be believed, did it keep to its thresholds, and what is the exit code of that?"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Final, NamedTuple

from resonance.bench.records import Generator, Slot
from resonance.bench.scenarios import Threshold
from resonance.cli.bench.run_plan import Plan
from resonance.cli.bench.run_rounds import Rounds
from resonance.histogram import Histogram

__all__ = [
    "QUANTILES",
    "Verdict",
    "advice",
    "answers_needed",
    "exit_code",
    "is_doubtful",
    "known_quantile",
    "verdicts",
]

QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
_ADVICE: Final = {
    "sent in time": "No call waited for a connection, so it is the generator that does not keep "
    "up: try --processes 2, a lower --rate, or a second machine.",
    "late at p99": "The generator waited for a CPU: allow it the real-time class (as root, or with "
    "CAP_SYS_NICE), stop what else runs here, or measure from another machine.",
    "no call was answered": "See above how they failed; is it the right address and protocol?",
    "generators died": "Was it killed, or was memory short? The kernel's log (dmesg) knows.",
    "used by others": "Stop what else runs on this machine, or measure on another one.",
}
"""By what `digest.doubts_of` and `load.measure` say."""
_FULL_ADVICE: Final = (
    "Calls waited for a connection, so the target does not keep up with this rate, and that is "
    "the finding: a lower --rate measures it below its limit."
)
_REALTIME_ADVICE: Final = (
    "It has the real-time class already, and the target answers quickly: stop what else runs "
    "here, leave the generator a CPU of its own, or measure from another machine."
)
_OTHER_ADVICE: Final = "Measure again."


class Verdict(NamedTuple):
    """A threshold, and the median of its number over the repetitions; `None`: too few answers."""

    threshold: Threshold
    value: float | None

    @property
    def is_met(self) -> bool:
        """What is not known is not met."""
        return self.value is not None and self.threshold.is_met(self.value)


def verdicts(plan: Plan, slots: Sequence[Slot]) -> list[Verdict]:
    """Return what became of each threshold; of slots that are to be believed."""
    return [
        Verdict(each, _median([each.value(slot) for slot in slots])) for each in plan.thresholds
    ]


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known and len(known) == len(values) else None


def is_doubtful(rounds: Rounds) -> bool:
    """Tell whether a slot is not to be believed."""
    return any(each.slot.doubts for each in rounds.taken)


def exit_code(plan: Plan, rounds: Rounds) -> int:
    """Return how it ended."""
    if rounds.is_interrupted:
        return 130
    if is_doubtful(rounds):
        return 3
    if rounds.error is not None:
        return 1
    slots = [[each.slot for each in rounds.of(arm)] for arm in plan.arms]
    return int(not all(each.is_met for of_arm in slots for each in verdicts(plan, of_arm)))


def advice(doubt: str, generator: Generator) -> str:
    """Return what to do about a doubt."""
    if "late at p99" in doubt and generator.is_realtime:
        return _REALTIME_ADVICE
    if "sent in time" in doubt and generator.waited:
        return _FULL_ADVICE
    return next((text for part, text in _ADVICE.items() if part in doubt), _OTHER_ADVICE)


def answers_needed(q: float) -> int:
    """Return how many answers a quantile needs: one beyond it.

    >>> [answers_needed(q) for q in (0.5, 0.99, 0.999, 1.0)]
    [2, 100, 1000, 1]
    """
    return 1 if q == 1.0 else round(1.0 / (1.0 - q))


def known_quantile(histogram: Histogram, q: float) -> float | None:
    """Return a quantile, seconds, or `None` where there are too few answers for it."""
    return histogram.quantile(q) if histogram.count >= answers_needed(q) else None
