# SPDX-License-Identifier: MIT
"""What does a measurement look like to a program? Numbers; histograms are in the result's file."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from typing import Any

import msgspec

from resonance.bench.records import Slot
from resonance.cli.bench.run_plan import Arm, Plan
from resonance.cli.bench.run_rounds import Rounds, Taken
from resonance.cli.bench.run_verdicts import QUANTILES, advice, known_quantile, verdicts
from resonance.histogram import Histogram

__all__ = ["as_json"]


def as_json(plan: Plan, rounds: Rounds, code: int) -> dict[str, Any]:
    """Return what was measured; response times that are not to be believed are null."""
    return {
        "version": metadata.version("resonance-runtime"),
        "exit_code": code,
        "is_interrupted": rounds.is_interrupted,
        "error": None if rounds.error is None else str(rounds.error),
        "notes": rounds.notes,
        "arms": [_arm(plan, arm, rounds.of(arm)) for arm in plan.arms],
    }


def _arm(plan: Plan, arm: Arm, taken: Sequence[Taken]) -> dict[str, Any]:
    slots = [each.slot for each in taken]
    is_judged = bool(slots) and not any(slot.doubts for slot in slots)
    return {
        "name": arm.name,
        "target": str(arm.load.target),
        "arrival": arm.load.arrival,
        "rate_per_second": arm.load.rate_per_second,
        "thresholds": [
            {"text": each.threshold.text, "value": each.value, "is_met": each.is_met}
            for each in (verdicts(plan, slots) if is_judged else ())
        ],
        "repetitions": [_repetition(each) for each in taken],
    }


def _repetition(taken: Taken) -> dict[str, Any]:
    slot = taken.slot
    return {
        "repetition": taken.repetition,
        "is_partial": taken.measured.is_partial,
        "started_at": slot.started_at,
        "seconds": slot.seconds,
        "planned": slot.planned,
        "sent": slot.sent,
        "answered": slot.answered,
        "failed": slot.failed,
        "achieved_ratio": slot.achieved_ratio,
        "response_seconds": _believed(slot, slot.histogram("response")),
        "service_seconds": _believed(slot, slot.histogram("service")),
        "lateness_seconds": _quantiles(slot.histogram("lateness")),
        "requests": {
            name: {
                "planned": part.planned,
                "answered": part.answered,
                "failed": part.failed,
                "response_seconds": _believed(slot, Histogram.decode(part.response)),
            }
            for name, part in slot.parts.items()
        },
        "generator": msgspec.to_builtins(slot.generator),
        "doubts": [
            {"reason": doubt, "advice": advice(doubt, slot.generator)} for doubt in slot.doubts
        ],
    }


def _believed(slot: Slot, histogram: Histogram) -> dict[str, float | None] | None:
    return None if slot.doubts else _quantiles(histogram)


def _quantiles(histogram: Histogram) -> dict[str, float | None]:
    return {name: known_quantile(histogram, q) for name, q in QUANTILES.items()}
