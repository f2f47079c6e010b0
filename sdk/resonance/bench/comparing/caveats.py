# SPDX-License-Identifier: MIT
"""What must a reader know besides the numbers? How arms were measured, and what they did not do."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from resonance.bench.records import Run, Scene, Slot

__all__ = ["caveats", "failed_ratio"]

_MAX_MORE_FAILED_RATIO: Final = 0.001
"""*Chosen*: as much as could hide behind p99.9."""


def failed_ratio(slot: Slot) -> float:
    """Return the share of the calls due that were not answered with success.

    Parameters
    ----------
    slot : Slot

    Returns
    -------
    float
        0 to 1.
    """
    return sum(slot.failed.values()) / slot.planned if slot.planned else 0.0


def caveats(scene: Scene, counted: Mapping[str, Sequence[Slot]]) -> list[str]:
    """Return what a reader must know, a line each.

    Parameters
    ----------
    scene : Scene
    counted : mapping of str to sequence of Slot
        Of each arm the slots that count.

    Returns
    -------
    list of str
    """
    baseline = scene.run(scene.baseline)
    others = [run for run in scene.runs if run.name != scene.baseline]
    return [
        *_unknown_machines(scene.runs),
        *(line for run in others for line in _apart(baseline, run)),
        *_throttled(counted),
        *(
            line
            for run in others
            for line in _failing(run.name, counted[run.name], baseline.name, counted[baseline.name])
        ),
    ]


def _unknown_machines(runs: Sequence[Run]) -> Iterator[str]:
    unknown = [run.name for run in runs if run.machine is None]
    if unknown:
        yield (
            f"on which machine {', '.join(unknown)} ran is not known: "
            "that it was the same one is yours to say"
        )


def _apart(baseline: Run, run: Run) -> Iterator[str]:
    """Tell of arms that did not take turns; of a single repetition there is no turn to take."""
    first, second = sorted((baseline, run), key=lambda each: _begins(each)[0])
    if len(first.slots) < 2 or len(second.slots) < 2:
        return
    if _begins(first)[-1] < _begins(second)[0]:
        minutes = (statistics.median(_begins(second)) - statistics.median(_begins(first))) / 60.0
        yield (
            f"{first.name} was measured before {second.name}, {minutes:.1f} minutes apart, not "
            "in turn: what changed meanwhile is in the ratio; use `resonance bench run --versus`"
        )


def _begins(run: Run) -> list[float]:
    return sorted(slot.started_at for slot in run.slots)


def _throttled(counted: Mapping[str, Sequence[Slot]]) -> Iterator[str]:
    for name, slots in counted.items():
        times = sum(slot.generator.is_throttled for slot in slots)
        if times:
            yield (
                f"{name}: the kernel kept the generator from its CPU in {times} of {len(slots)} "
                "repetitions; use more --processes, or a lower rate"
            )


def _failing(
    name: str, slots: Sequence[Slot], baseline: str, reference: Sequence[Slot]
) -> Iterator[str]:
    if not slots:
        return
    share, other = (
        statistics.median(failed_ratio(slot) for slot in of) for of in (slots, reference)
    )
    if abs(share - other) > _MAX_MORE_FAILED_RATIO:
        yield (
            f"{name}: {share:.1%} of the calls failed, {other:.1%} of {baseline}'s: times are of "
            "those that had an answer; `--gate 'failed_ratio<=0.001'` looks at the others"
        )
