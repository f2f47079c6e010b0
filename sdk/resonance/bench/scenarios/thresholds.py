# SPDX-License-Identifier: MIT
"""What must a run keep to: ``p99<20ms``, ``failed<1%``? Absolute, of one run.

Ratios between two runs are gates, which are the business of `resonance.bench.comparing`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Final

from resonance.bench.errors import PlanError
from resonance.bench.records import Slot
from resonance.bench.scenarios.durations import parse_duration

__all__ = ["Threshold", "parse_threshold"]

_QUANTILES: Final = {
    "p50": 0.5,
    "p90": 0.9,
    "p95": 0.95,
    "p99": 0.99,
    "p99.9": 0.999,
    "max": 1.0,
}
_SHARES: Final = ("failed", "achieved")
_COMPARISONS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_FORM: Final = re.compile(r"\s*([a-z][a-z0-9.]*)\s*(<=|>=|<|>)\s*(\S+)\s*")
_PERCENT: Final = re.compile(r"(\d+(?:\.\d+)?)%")


@dataclass(frozen=True, slots=True)
class Threshold:
    """A bar for one number of a run.

    Parameters
    ----------
    text : str
        As it was written.
    name : {"p50", "p90", "p95", "p99", "p99.9", "max", "failed", "achieved"}
        Response times; the share of calls that failed; the share that was sent in time.
    comparison : {"<", "<=", ">", ">="}
    bar : float
        Seconds of response times, a ratio otherwise.
    """

    text: str
    name: str
    comparison: str
    bar: float

    @property
    def is_duration(self) -> bool:
        """Whether the number is in seconds."""
        return self.name in _QUANTILES

    def value(self, slot: Slot) -> float | None:
        """Return the number the bar is for.

        Parameters
        ----------
        slot : Slot

        Returns
        -------
        float or None
            ``None`` where too few calls were answered to know: a quantile needs one beyond it.
        """
        if self.name == "achieved":
            return slot.achieved_ratio
        if self.name == "failed":
            return sum(slot.failed.values()) / slot.planned if slot.planned else None
        q = _QUANTILES[self.name]
        response = slot.histogram("response")
        if q < 1.0 and round(response.count * (1.0 - q), 6) < 1.0:
            return None
        return response.quantile(q)

    def is_met(self, value: float) -> bool:
        """Tell whether a number keeps to the bar.

        Parameters
        ----------
        value : float

        Returns
        -------
        bool
        """
        return _COMPARISONS[self.comparison](value, self.bar)


def parse_threshold(text: str, key: str = "threshold") -> Threshold:
    """Return what a text means as a threshold.

    Parameters
    ----------
    text : str
        A name, a comparison, and a duration, or a percentage or ratio.
    key : str
        What is wrong where it is none.

    Returns
    -------
    Threshold

    Raises
    ------
    PlanError
        It is none.

    Examples
    --------
    >>> parse_threshold("p99 < 20ms").bar, parse_threshold("failed<1%").bar
    (0.02, 0.01)
    """
    form = _FORM.fullmatch(text)
    if form is None:
        raise PlanError(key, f'{text!r} is no threshold: such as "p99<20ms" or "failed<1%"')
    name, comparison, value = form.groups()
    if name in _QUANTILES:
        bar = parse_duration(value, key)
    elif name in _SHARES:
        bar = _ratio(value, key)
    else:
        known = ", ".join((*_QUANTILES, *_SHARES))
        raise PlanError(key, f"{name} is not measured; known: {known}")
    return Threshold("".join(form.groups()), name, comparison, bar)


def _ratio(text: str, key: str) -> float:
    percent = _PERCENT.fullmatch(text)
    try:
        ratio = float(percent[1]) / 100.0 if percent else float(text)
    except ValueError:
        ratio = -1.0
    if not (isfinite(ratio) and 0.0 <= ratio <= 1.0):
        raise PlanError(key, f'{text!r} is no share: from "0%" to "100%", or from 0 to 1')
    return ratio
