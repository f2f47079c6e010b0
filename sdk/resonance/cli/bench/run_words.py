# SPDX-License-Identifier: MIT
"""In which words is a load told, a generator, a failure, a threshold?"""

from __future__ import annotations

from typing import Final

from resonance.bench.plan import Load
from resonance.bench.records import Generator, Slot
from resonance.cli.bench.run_verdicts import Verdict
from resonance.cli.units import duration_text, safe_text

__all__ = [
    "connections_text",
    "failures_text",
    "gap_text",
    "generator_text",
    "load_text",
    "rate_text",
    "time_text",
    "verdict_text",
]

_KINDS: Final = {
    "none": "never ended",
    "status": "with an error status",
    "refused": "not connected",
    "reset": "reset before an answer",
    "cut": "cut off in the answer",
    "garbage": "answered with garbage",
    "timeout": "timed out",
}
"""By the names of `resonance.bench.digest.Outcome`."""


def load_text(load: Load) -> str:
    """Write what is sent."""
    rates = " then ".join(
        f"{_number(stage.rate_per_second)}/s"
        + (
            f" to {_number(stage.end_rate_per_second)}/s"
            if stage.end_rate_per_second != stage.rate_per_second
            else ""
        )
        + f" for {stage.seconds:g} s"
        for stage in load.stages
    )
    warm_up = f", the first {load.warm_up_seconds:g} s not counted" if load.warm_up_seconds else ""
    return f"{load.arrival}, {rates}{warm_up}; seed {load.seed}"


def rate_text(calls: int, seconds: float) -> str:
    """Write calls in so many seconds as a rate."""
    return f"{_number(calls / seconds if seconds > 0.0 else 0.0)}/s"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100.0 else f"{value:.3g}"


def failures_text(failed: dict[str, int]) -> str:
    """Write how many failed how, the most first."""
    ordered = sorted(failed.items(), key=lambda item: -item[1])
    return ", ".join(f"{count:,} {_KINDS.get(kind, safe_text(kind))}" for kind, count in ordered)


def connections_text(generator: Generator) -> str:
    """Write how many connections there were, and whether they were enough."""
    waited = "no call waited for one"
    if generator.waited:
        waited = f"{generator.waited:,} calls found none with room and waited"
    return f"{generator.connections:,} at most; {waited}"


def generator_text(generator: Generator) -> str:
    """Write what the generator was like, warm-up included."""
    several = "es" if generator.processes > 1 else ""
    parts = [
        f"{generator.processes} process{several}",
        "real-time class" if generator.is_realtime else "ordinary class",
        f"{generator.cpu_cores:.2f} CPU",
        f"ready but not run for {time_text(generator.cpu_wait_seconds)}",
        f"{generator.stalls or 'no'} stall{'' if generator.stalls == 1 else 's'} of 10ms or more",
    ]
    if generator.is_throttled:
        parts.append("THROTTLED by the kernel")
    return ", ".join(parts)


def gap_text(slot: Slot, response: float, service: float) -> str:
    """Write why responses took longer than services, both at p99."""
    text = f"of p99, {duration_text(response - service)} is waiting to be sent"
    if slot.generator.waited:
        return f"{text}: {slot.generator.waited:,} calls found every connection in use"
    return f"{text}, in the generator: see lateness"


def verdict_text(verdict: Verdict) -> str:
    """Write what became of a threshold."""
    threshold, value = verdict
    if value is None:
        return f"{threshold.text:16} not known: too few answers"
    number = time_text(value) if threshold.is_duration else f"{value:.3%}"
    return f"{threshold.text:16} {'met' if verdict.is_met else 'MISSED'}: {number}"


def time_text(value_seconds: float | None) -> str:
    """Write a duration in at most six columns, which may be nothing."""
    return "0" if value_seconds == 0.0 else duration_text(value_seconds)
