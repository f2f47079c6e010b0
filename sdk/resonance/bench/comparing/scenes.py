# SPDX-License-Identifier: MIT
"""Which runs may be set beside each other? Those that differ in nothing but what is compared.

Whatever else differs is refused, with both values: a ratio of two loads, two machines or two
tools says nothing about the arms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from resonance.bench.errors import IncomparableError
from resonance.bench.records import Run, Scene

__all__ = ["scene_of"]

_MAX_RATE_DIFFERENCE_RATIO: Final = 0.01
"""*Chosen*: as far as a generator may stay behind before a slot is doubted."""
_FREE: Final = frozenset(
    {"ca", "insecure", "name", "output", "repetitions", "seed", "target", "thresholds", "verify"}
)
"""Of what was asked for, all that may differ: the load is the same."""
_SAME: Final[tuple[tuple[str, Callable[[Run], object], str], ...]] = (
    ("unit", lambda run: run.unit, "import both again with this release"),
    ("format", lambda run: run.format, "measure both with one release"),
    ("tool", lambda run: run.tool, "measure both with one tool; each has its own errors"),
    ("release", lambda run: run.version, "measure both with one release"),
    ("arrival", lambda run: run.arrival, "measure both with the same arrivals"),
    (
        "rule",
        lambda run: run.rule,
        "measure both with the same rule; it is set before, not afterwards",
    ),
)
_ABSENT: Final = "nothing"


def scene_of(
    runs: Sequence[Run],
    baseline: str | None = None,
    placebo: str | None = None,
    *,
    name: str = "",
    summary: str = "",
) -> Scene:
    """Set runs beside each other, if they may be.

    Parameters
    ----------
    runs : sequence of Run
        In the order they are to be told in.
    baseline : str, optional
        Name of the run that all are compared with; by default the first.
    placebo : str, optional
        Name of the run that is the baseline once more.
    name : str
        Of the scene; by default the names of the runs.
    summary : str
        One sentence for a reader.

    Returns
    -------
    Scene

    Raises
    ------
    IncomparableError
        They differ in more than what is compared, or there is nothing to compare.
    """
    if len(runs) < 2:
        raise IncomparableError("runs", f"{len(runs)} is given; a comparison is of two or more")
    _check_names(runs, baseline, placebo)
    for run in runs:
        _check_slots(run)
    first, *others = runs
    for other in others:
        _check_pair(first, other)
    for place, run in enumerate(runs):
        for other in runs[place + 1 :]:
            _check_distinct(run, other)
    return Scene(
        name=name or " / ".join(run.name for run in runs),
        summary=summary,
        baseline=first.name if baseline is None else baseline,
        placebo=placebo,
        runs=list(runs),
    )


def _check_names(runs: Sequence[Run], baseline: str | None, placebo: str | None) -> None:
    names = [run.name for run in runs]
    for each in names:
        if names.count(each) > 1:
            raise IncomparableError(
                "name", f"{each!r} is the name of {names.count(each)} runs; give each its own"
            )
    for role, asked in (("baseline", baseline), ("placebo", placebo)):
        if asked is not None and asked not in names:
            raise IncomparableError(
                role, f"no run is called {asked!r}; there are: {', '.join(names)}"
            )
    if placebo is not None and placebo == (names[0] if baseline is None else baseline):
        raise IncomparableError(
            "placebo", f"{placebo!r} is the baseline itself; measure that once more, as an arm"
        )


def _check_slots(run: Run) -> None:
    numbers = [slot.repetition for slot in run.slots]
    if not numbers:
        raise IncomparableError("repetitions", f"{run.name} has none; measure it again")
    for number in numbers:
        if numbers.count(number) > 1:
            raise IncomparableError(
                "repetitions",
                f"{run.name} has number {number} {numbers.count(number)} times: "
                "which one is the pair is not known; measure it again",
            )


def _check_pair(first: Run, other: Run) -> None:
    for what, of, remedy in _SAME:
        _check_same(what, (first, of(first)), (other, of(other)), remedy)
    if first.machine is not None and other.machine is not None:
        _check_same(
            "machine",
            (first, first.machine),
            (other, other.machine),
            "measure both on one machine, in turn",
        )
    rates = sorted((first.rate_per_second, other.rate_per_second))
    if rates[1] - rates[0] > _MAX_RATE_DIFFERENCE_RATIO * rates[1]:
        raise _different(
            "rate",
            (first, f"{first.rate_per_second:g}/s"),
            (other, f"{other.rate_per_second:g}/s"),
            "measure both at the same rate",
        )
    for key in sorted((first.asked.keys() | other.asked.keys()) - _FREE):
        _check_same(
            key,
            (first, first.asked.get(key, _ABSENT)),
            (other, other.asked.get(key, _ABSENT)),
            "measure both with the same scenario",
        )
    if not {slot.repetition for slot in first.slots} & {slot.repetition for slot in other.slots}:
        raise _different(
            "repetitions",
            (first, _numbers(first)),
            (other, _numbers(other)),
            "none has a pair; measure both in the same rounds",
        )


def _check_same(what: str, one: tuple[Run, object], two: tuple[Run, object], remedy: str) -> None:
    if one[1] != two[1]:
        raise _different(what, one, two, remedy)


def _different(
    what: str, one: tuple[Run, object], two: tuple[Run, object], remedy: str
) -> IncomparableError:
    values = (f"{_shown(value)} of {run.name}" for run, value in (one, two))
    return IncomparableError(what, f"{', '.join(values)}: {remedy}")


def _shown(value: object) -> str:
    if isinstance(value, str):
        return value
    text = msgspec.json.encode(value) if isinstance(value, list | dict) else str(value)
    return text.decode() if isinstance(text, bytes) else text


def _numbers(run: Run) -> str:
    return ", ".join(str(slot.repetition) for slot in run.slots)


def _check_distinct(run: Run, other: Run) -> None:
    if any(slot in other.slots for slot in run.slots):
        raise IncomparableError(
            "runs",
            f"{run.name} and {other.name} are the same measurement; "
            "a placebo is the same thing measured once more",
        )
