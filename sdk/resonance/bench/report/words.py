# SPDX-License-Identifier: MIT
"""What does a page say in sentences: what was found, how it was measured, what it means?"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import Final

from resonance.bench.comparing import FEWEST_PAIRS, Comparison, Row
from resonance.bench.records import Rule, Run
from resonance.bench.report.labels import estimate_text, plain
from resonance.bench.report.series import is_beyond_chance

__all__ = ["doubt", "escaped", "finding", "notes"]

_QUANTILE: Final = "p99"
_ARRIVALS: Final = {
    "poisson": "at random (Poisson)",
    "constant": "evenly",
    "closed": "one after another: each waited for the one before (closed loop)",
}

_OF_COMPARISONS: Final = {
    "Who was compared with whom": (
        "Always two arms in the same repetition. A ratio is the median of the repetitions' own "
        "ratios, not the ratio of two medians, so it can differ a little from what the columns "
        "give; samples of different repetitions are never put together."
    ),
    "The interval": (
        "95 % of the medians of resampled repetitions lie in it (percentile bootstrap). Where it "
        "leaves out 1 the difference is marked: ▼ less, ▲ more than the baseline. Where it holds "
        "1, it may be nothing."
    ),
    "The sign test": (
        "Beside each arm at p99: how likely a split of the ratios above and below 1 as lopsided "
        "as this one would be if the arm did nothing. It asks nothing of how they are distributed."
    ),
    "The placebo": (
        "The baseline once more, under another name. What it differs by is what this machine's "
        "noise looks like; a gain that is not larger is none."
    ),
}
_FEW: Final = (
    "A percentile is told only where every repetition expects three answers beyond it: p99 "
    "takes 300 of them, p99.9 takes 3,000."
)


def escaped(text: str) -> str:
    """Return what somebody else wrote so that it is text within a page, and nothing else.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
    """
    return html.escape(plain(text))


def finding(comparison: Comparison) -> str:
    """Return what a scene has to say, in a sentence or two.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    str
        Not escaped; empty of a run without another.
    """
    if len(comparison.rows) < 2:
        return ""
    if not comparison.repetitions:
        return "Nothing is known: no repetition is to be believed."
    return " ".join((*_arms(comparison), *_placebo(comparison)))


def _arms(comparison: Comparison) -> Iterator[str]:
    arms = [row for row in comparison.rows if row.role == "arm" and _QUANTILE in row.against]
    clear = [row for row in arms if _is_clear(comparison, row)]
    better = [row for row in clear if _ratio(row) < 1.0]
    worse = [row for row in clear if _ratio(row) > 1.0]
    if better:
        of = f" in {len(better)} of {len(arms)} arms; least" if len(arms) > 1 else ""
        yield f"p99 is less beyond chance{of} with {_told(min(better, key=_ratio))}."
    if worse:
        of = f" in {len(worse)} of {len(arms)} arms; most" if len(arms) > 1 else ""
        yield f"p99 is more beyond chance{of} with {_told(max(worse, key=_ratio))}."
    if arms and not clear:
        if len(arms) > 1:
            yield f"p99 differs from the baseline's beyond chance in none of {len(arms)} arms."
        else:
            yield f"p99 does not differ beyond chance with {_told(arms[0])}."


def _told(row: Row) -> str:
    return f"{row.name}: {estimate_text(row.against[_QUANTILE].estimate)}"


def _placebo(comparison: Comparison) -> Iterator[str]:
    effect = comparison.noise.get(_QUANTILE)
    if effect is not None:
        yield f"The placebo, the baseline once more: {estimate_text(effect.estimate)}."


def _ratio(row: Row) -> float:
    return row.against[_QUANTILE].estimate.ratio


def _is_clear(comparison: Comparison, row: Row) -> bool:
    return is_beyond_chance(comparison, _QUANTILE, row.against[_QUANTILE])


def doubt(comparison: Comparison) -> str:
    """Return why a scene is not to be believed, or not all of it.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    str
        Empty where it is.
    """
    is_compared = len(comparison.rows) > 1
    if not comparison.repetitions:
        return "Percentiles are withheld: there is no repetition that is to be believed."
    if comparison.noisy:
        noisy = ", ".join(comparison.noisy)
        return (
            f"Too noisy: the placebo, which is the baseline once more, differs from it at {noisy}; "
            "no ratio there is to be believed."
        )
    if is_compared and comparison.repetitions < FEWEST_PAIRS:
        return (
            f"Only {comparison.repetitions} of the {FEWEST_PAIRS} repetitions that an interval "
            "takes: what is given is the least and the greatest ratio, and proves nothing."
        )
    return ""


def notes(comparisons: Sequence[Comparison]) -> Iterator[tuple[str, str]]:
    """Return how it was measured and what the numbers mean, a title and a text each.

    Parameters
    ----------
    comparisons : sequence of Comparison
        All that are told of.

    Yields
    ------
    (str, str)
        Not escaped.
    """
    runs = [run for comparison in comparisons for run in comparison.scene.runs]
    yield "What a time is", _times(runs)
    if any(len(comparison.rows) > 1 for comparison in comparisons):
        yield from _OF_COMPARISONS.items()
    yield "Few answers", _FEW
    for rule in dict.fromkeys(run.rule for run in runs):
        yield "The rule, set before anything was measured", _rule(rule)


def _times(runs: Sequence[Run]) -> str:
    arrivals = dict.fromkeys(run.arrival for run in runs)
    how = " or ".join(_ARRIVALS[arrival] for arrival in arrivals)
    if "closed" in arrivals:
        return (
            f"Calls were sent {how}. Such a generator stops asking while the target is slow, so "
            "its tail is better than what users would have had."
        )
    return (
        f"Calls were due {how}, at moments drawn before the first was sent, and were sent then "
        "whatever became of those before (open loop). A response time runs from when a call was "
        "due, so what waited for a connection or for a slow generator has waited all the same; a "
        "service time runs from when it was sent. Lateness is the generator's own error."
    )


def _rule(rule: Rule) -> str:
    foreign = ""
    if rule.max_foreign_cores is not None:
        foreign = f", or others used more than {rule.max_foreign_cores:g} CPUs"
    return (
        f"A repetition is not believed where less than {rule.min_achieved_ratio:.0%} of the calls "
        "were sent in time, or the generator's lateness at p99 was more than "
        f"{rule.max_lateness_ratio:.0%} of the measured p99{foreign}. It is then left out whole, "
        "for all arms."
    )
