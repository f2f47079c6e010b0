# SPDX-License-Identifier: MIT
"""How much less is it than the baseline of the same repetition, and which repetitions count?

A repetition in which any arm was disturbed is left out for all arms: what was left out of one
alone would compare the quiet minutes of one with the busy minutes of another. The rule is that
of the results, set before they were measured.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Final, Literal

import msgspec

from resonance.bench.comparing.caveats import caveats, failed_ratio
from resonance.bench.errors import IncomparableError
from resonance.bench.records import QUANTILES, Run, Scene, Slot
from resonance.bench.statistics import Estimate, ratios, sign_test, summarize

__all__ = ["FEWEST_PAIRS", "Comparison", "Effect", "Row", "compare", "fewest_answers"]

FEWEST_PAIRS: Final = 6
"""Least and greatest of n values hold the median with probability 1 - 2**(1 - n): 94 % of five,
97 % of six; and the sign test of five pairs cannot fall below 0.06. David, Nagaraja, Order
Statistics, 3rd edition, section 7.1."""
_FEWEST_BEYOND: Final = 3
"""Answers expected beyond a quantile; so p99.9 needs 3,000, as the reference experiment has it,
and p99 then 300. *Chosen*: the same for all."""
_SHORTEST_RATIO: Final = 0.99
"""*Chosen*: of the longest slot; what is shorter was cut short."""

Role = Literal["baseline", "placebo", "arm"]


class Effect(msgspec.Struct, frozen=True):
    """An arm by the baseline, in one quantile.

    Attributes
    ----------
    estimate : Estimate
        Median of the ratios and its interval.
    sign_probability : float
        How likely as lopsided a split above and below 1 is by chance, 0 to 1.
    pairs : int
        Repetitions.
    is_known : bool
        Whether they suffice, being `FEWEST_PAIRS` or more; otherwise the interval is only the
        least and the greatest of the ratios.
    """

    estimate: Estimate
    sign_probability: float
    pairs: int
    is_known: bool


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One arm.

    Attributes
    ----------
    name : str
    role : {"baseline", "placebo", "arm"}
    medians : dict of str to float
        Of the repetitions that count, seconds, by the names of `QUANTILES`; those are left out
        which a slot has too few answers for.
    service_medians : dict of str to float
        The same from when calls were sent.
    costs : dict of str to float
        Medians of what else it cost, and ``failed_ratio``.
    against : dict of str to Effect
        By the names of `QUANTILES`; empty for the baseline.
    values : dict of str to dict of int to float
        What `medians` are of, by repetition.
    absent : dict of str to str
        Why there is no ratio, by the names of `QUANTILES`.
    """

    name: str
    role: Role
    medians: dict[str, float]
    service_medians: dict[str, float]
    costs: dict[str, float]
    against: dict[str, Effect]
    values: dict[str, dict[int, float]] = {}
    absent: dict[str, str] = {}


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Arms beside their baseline.

    Attributes
    ----------
    scene : Scene
    repetitions : int
        That count.
    excluded : list of str
        Those that do not, each with its reasons. Where they are more than those that count,
        these are not believed either: who disturbed most of a run disturbed the rest (*chosen*).
    rows : list of Row
        The baseline first, then the placebo, then the arms in the order of the scene.
    warnings : list of str
        What a reader must know besides, a line each.
    """

    scene: Scene
    repetitions: int
    excluded: list[str]
    rows: list[Row]
    warnings: list[str] = []

    @property
    def noise(self) -> dict[str, Effect]:
        """How far the placebo is from the baseline, by quantile; empty without one."""
        placebos = [row.against for row in self.rows if row.role == "placebo"]
        return placebos[0] if placebos else {}

    @property
    def noisy(self) -> list[str]:
        """Quantiles in which the same thing differed from itself: nothing is known of them."""
        return [
            name
            for name, effect in self.noise.items()
            if effect.is_known and effect.estimate.excludes(1.0)
        ]

    @property
    def too_few(self) -> str:
        """Why the repetitions that count are too few; nothing where they suffice."""
        left_out = len(self.excluded)
        if left_out > self.repetitions:
            return f"{left_out} of {left_out + self.repetitions} repetitions had to be left out"
        if self.repetitions < FEWEST_PAIRS:
            return f"{self.repetitions} of the {FEWEST_PAIRS} repetitions that it takes at least"
        return ""

    @property
    def is_believed(self) -> bool:
        """Whether there are repetitions enough, and the placebo is what it should be."""
        return not self.too_few and not self.noisy

    def row(self, name: str) -> Row:
        """Return an arm.

        Parameters
        ----------
        name : str

        Returns
        -------
        Row

        Raises
        ------
        KeyError
            There is none of that name.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)


def compare(scene: Scene) -> Comparison:
    """Work out what each arm gained beside the baseline.

    Parameters
    ----------
    scene : Scene

    Returns
    -------
    Comparison

    Raises
    ------
    IncomparableError
        The scene has no such baseline or placebo, or an arm without repetitions.
    ResultFormatError
        A histogram cannot be read.
    """
    for role, name in (("baseline", scene.baseline), ("placebo", scene.placebo)):
        if name is not None and all(run.name != name for run in scene.runs):
            raise IncomparableError(role, f"{scene.name} has no arm {name!r}")
    slots = {run.name: {slot.repetition: slot for slot in run.slots} for run in scene.runs}
    kept, excluded = _sorted_out(slots)
    ordered = sorted(scene.runs, key=lambda run: _ROLES.index(_role(scene, run)))
    counted = {name: [of[number] for number in kept] for name, of in slots.items()}
    baseline = counted[scene.baseline]
    rows = [_row(run.name, _role(scene, run), counted[run.name], baseline, kept) for run in ordered]
    return Comparison(
        scene=scene,
        repetitions=len(kept),
        excluded=excluded,
        rows=rows,
        warnings=caveats(scene, counted),
    )


_ROLES: Final[tuple[Role, ...]] = ("baseline", "placebo", "arm")


def _role(scene: Scene, run: Run) -> Role:
    if run.name == scene.baseline:
        return "baseline"
    return "placebo" if run.name == scene.placebo else "arm"


def _sorted_out(slots: Mapping[str, Mapping[int, Slot]]) -> tuple[list[int], list[str]]:
    """Return the repetitions that count, and of the others why not."""
    numbers = sorted({number for of in slots.values() for number in of})
    longest = max((slot.seconds for of in slots.values() for slot in of.values()), default=0.0)
    kept: list[int] = []
    excluded: list[str] = []
    for number in numbers:
        doubts = [
            f"{name}: {doubt}"
            for name, of in slots.items()
            for doubt in _doubts(of.get(number), longest)
        ]
        if doubts:
            excluded.append(f"repetition {number}: {'; '.join(doubts)}")
        else:
            kept.append(number)
    return kept, excluded


def _doubts(slot: Slot | None, longest_seconds: float) -> list[str]:
    if slot is None:
        return ["was not measured in it"]
    doubts = list(slot.doubts)
    if not doubts and slot.seconds < _SHORTEST_RATIO * longest_seconds:
        doubts.append(f"was cut short, {slot.seconds:g} s of {longest_seconds:g} s")
    if not doubts and not slot.answers():
        doubts.append("no call was answered")
    return doubts


def _row(
    name: str, role: Role, slots: Sequence[Slot], baseline: Sequence[Slot], numbers: Sequence[int]
) -> Row:
    absent: dict[str, str] = {}
    values: dict[str, list[float]] = {}
    against: dict[str, Effect] = {}
    for each, q in QUANTILES.items():
        if absence := _absence(slots, q):
            absent[each] = absence
            continue
        values[each] = _values(slots, q)
        if role == "baseline":
            continue
        if absence := _absence(baseline, q):
            absent[each] = f"of the baseline, {absence}"
        else:
            against[each] = _effect(ratios(values[each], _values(baseline, q)))
    service = {each: _values(slots, QUANTILES[each], "service") for each in values}
    return Row(
        name=name,
        role=role,
        medians={each: statistics.median(of) for each, of in values.items()},
        service_medians={each: statistics.median(of) for each, of in service.items() if of},
        costs=_costs(slots),
        against=against,
        values={each: dict(zip(numbers, of, strict=True)) for each, of in values.items()},
        absent=absent,
    )


def fewest_answers(q: float) -> int:
    """Return how many answers of a slot tell a quantile: as many as leave three beyond it.

    Parameters
    ----------
    q : float
        The share, 0 to 1, without 1.

    Returns
    -------
    int

    >>> [fewest_answers(q) for q in (0.5, 0.99, 0.999)]
    [6, 300, 3000]
    """
    return round(_FEWEST_BEYOND / (1.0 - q))


def _absence(slots: Sequence[Slot], q: float) -> str:
    """Return why a quantile is not known of every slot; nothing where it is.

    A call without an end took longer than all that have one; where those are as many as are
    beyond the quantile, it lies among them.
    """
    for slot in slots:
        answers, beyond_ratio = slot.answers(), 1.0 - q
        if answers < (fewest := fewest_answers(q)):
            return f"{answers} answers in a slot, it takes {fewest}: longer slots, or a higher rate"
        endless_ratio = 1.0 - answers / slot.planned if slot.planned else 0.0
        if endless_ratio >= beyond_ratio:
            return f"{endless_ratio:.2%} of the calls of a slot were never answered"
        if not slot.quantile(q):
            return "it is 0 in a slot: too short to be told"
    return "" if slots else "no repetition is left"


def _values(
    slots: Sequence[Slot], q: float, what: Literal["response", "service"] = "response"
) -> list[float]:
    found = (slot.quantile(q, what) for slot in slots)
    return [value for value in found if value is not None]


def _effect(paired: Sequence[float]) -> Effect:
    is_known = len(paired) >= FEWEST_PAIRS
    whole = Estimate(statistics.median(paired), min(paired), max(paired))
    return Effect(
        estimate=summarize(paired) if is_known else whole,
        sign_probability=sign_test(paired),
        pairs=len(paired),
        is_known=is_known,
    )


def _costs(slots: Sequence[Slot]) -> dict[str, float]:
    known: dict[str, list[float]] = {}
    for slot in slots:
        for name, value in slot.costs.items():
            if isfinite(value):
                known.setdefault(name, []).append(value)
    costs = {name: statistics.median(values) for name, values in known.items()}
    if slots:
        costs["failed_ratio"] = statistics.median(failed_ratio(slot) for slot in slots)
    return costs
