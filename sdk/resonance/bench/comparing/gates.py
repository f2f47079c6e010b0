# SPDX-License-Identifier: MIT
"""Is it as much faster as was asked for? Bars, set before, and one of three verdicts.

::

    p99<=0.85             at most 0.85 of the baseline's p99, and the interval does not hold 1
    p50<=1.03             at most 3 % more than the baseline's; noise may be all there is
    extra_ratio<=0.08     a cost, as it is: not by the baseline's
    idle:p99.9<=0.4       of the arm called idle alone
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Final, Literal

import msgspec

from resonance.bench.comparing.pairing import Comparison, Row
from resonance.bench.errors import PlanError
from resonance.bench.records import QUANTILES

__all__ = ["Gate", "Verdict", "judge", "parse_gate"]

_FORM: Final = re.compile(
    r"(?:(?P<arm>.+):)?\s*(?P<name>[a-z][a-z0-9_.]*)\s*(?P<sign><=|>=|<|>|==?)\s*"
    r"(?P<bound>[0-9.eE+-]+)(?P<percent>%?)"
)
_QUANTILE: Final = re.compile(r"p[0-9.]+")


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """A bar.

    Attributes
    ----------
    text : str
        As it was written.
    name : str
        A quantile, or a cost.
    bound : float
        Of a quantile a ratio to the baseline's, of a cost its value.
    is_floor : bool
        The bound is the least a cost may be, not the most.
    arm : str or None
        Which one; ``None`` for all but the placebo.
    """

    text: str
    name: str
    bound: float
    is_floor: bool = False
    arm: str | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a bar.

    Attributes
    ----------
    gate : str
        As it was written.
    arm : str
    outcome : {"met", "missed", "not known"}
    reason : str
        The number, or why there is none.
    """

    gate: str
    arm: str
    outcome: Literal["met", "missed", "not known"]
    reason: str


def parse_gate(text: str) -> Gate:
    """Read a bar.

    Parameters
    ----------
    text : str
        Such as ``p99<=0.85``, ``failed_ratio<=0.1%`` or ``idle:p99.9<=0.4``.

    Returns
    -------
    Gate

    Raises
    ------
    PlanError
        It is none.
    """
    key, form = f"gate {text!r}", _FORM.fullmatch(text.strip())
    if form is None:
        raise PlanError(key, "must be like p99<=0.85, extra_ratio<=0.08 or idle:p99<=0.5")
    name, sign = form["name"], form["sign"]
    is_quantile = name in QUANTILES
    if not is_quantile and _QUANTILE.fullmatch(name):
        raise PlanError(key, f"{name} is not compared; there are: {', '.join(QUANTILES)}")
    if sign not in ({"<="} if is_quantile else {"<=", ">="}):
        instead = "<=" if is_quantile else "<= or >="
        raise PlanError(key, f"say {instead} instead of {sign}")
    try:
        bound = float(form["bound"]) / (100.0 if form["percent"] else 1.0)
    except ValueError:
        raise PlanError(key, f"{form['bound']} is not a number") from None
    if not math.isfinite(bound) or (is_quantile and bound <= 0.0):
        raise PlanError(key, "the bound of a ratio must be above 0, and finite")
    return Gate(
        text=text.strip(),
        name=name,
        bound=bound,
        is_floor=sign == ">=",
        arm=form["arm"].strip() if form["arm"] else None,
    )


def judge(comparison: Comparison, gates: Sequence[Gate]) -> list[Verdict]:
    """Tell of each bar whether each arm meets it.

    A bar of a quantile that is below 1 is met when the median is within it and the interval
    does not hold 1; one of 1 or more, when the median is within it.

    Parameters
    ----------
    comparison : Comparison
    gates : sequence of Gate

    Returns
    -------
    list of Verdict
        One of each bar and arm.

    Raises
    ------
    PlanError
        A bar is of an arm or of a cost that there is not.
    """
    return [
        _of_quantile(gate, row, comparison)
        if gate.name in QUANTILES
        else _of_cost(gate, row, comparison)
        for gate in gates
        for row in _asked(gate, comparison)
    ]


def _asked(gate: Gate, comparison: Comparison) -> Iterator[Row]:
    arms = [row for row in comparison.rows if row.role == "arm"]
    found = [row for row in arms if gate.arm in {None, row.name}]
    if not found:
        known = ", ".join(row.name for row in arms) or "none"
        raise PlanError(f"gate {gate.text!r}", f"no arm is called so; there are: {known}")
    yield from found


def _of_quantile(gate: Gate, row: Row, comparison: Comparison) -> Verdict:
    unknown = comparison.too_few
    effect = row.against.get(gate.name)
    if not unknown and effect is None:
        unknown = row.absent[gate.name]
    if not unknown and gate.name in comparison.noisy:
        noise = comparison.noise[gate.name].estimate
        unknown = (
            f"too noisy: the placebo itself is {noise.ratio:.2f} [{noise.low:.2f}-{noise.high:.2f}]"
        )
    if unknown or effect is None:
        return Verdict(gate=gate.text, arm=row.name, outcome="not known", reason=unknown)
    estimate = effect.estimate
    number = f"{estimate.ratio:.3f} [{estimate.low:.3f}-{estimate.high:.3f}]"
    if estimate.ratio > gate.bound:
        return Verdict(gate=gate.text, arm=row.name, outcome="missed", reason=number)
    if gate.bound < 1.0 and not estimate.excludes(1.0):
        reason = f"{number}: the interval holds 1, so it may be nothing"
        return Verdict(gate=gate.text, arm=row.name, outcome="missed", reason=reason)
    return Verdict(gate=gate.text, arm=row.name, outcome="met", reason=number)


def _of_cost(gate: Gate, row: Row, comparison: Comparison) -> Verdict:
    known = {name: None for each in comparison.rows for name in each.costs}
    if gate.name not in known and comparison.repetitions:
        there = ", ".join([*QUANTILES, *known])
        raise PlanError(f"gate {gate.text!r}", f"there is no such cost; there are: {there}")
    value = row.costs.get(gate.name)
    unknown = comparison.too_few or ("" if value is not None else "it was not measured")
    if unknown or value is None:
        return Verdict(gate=gate.text, arm=row.name, outcome="not known", reason=unknown)
    is_met = value >= gate.bound if gate.is_floor else value <= gate.bound
    return Verdict(
        gate=gate.text,
        arm=row.name,
        outcome="met" if is_met else "missed",
        reason=f"{value:.4g}",
    )
