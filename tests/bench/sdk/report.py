# SPDX-License-Identifier: MIT
"""How the samples of a scene become a table and rows of the result."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Final

import paired
from paired import Estimate, Result

from .doubts import believed
from .slots import Sample

__all__ = ["compared", "screened", "show"]

_DISTURBED_BAR: Final = 0.5
"""*Chosen*: where more than half of the rounds were disturbed, so was the rest."""

Samples = Mapping[str, Sequence[Sample]]
"""By arm, one of each round."""


def screened(
    scene: str, samples: Samples, most_foreign_cores: float
) -> tuple[dict[str, list[Sample]], Result]:
    """Leave disturbed rounds out; say which and why, and in a row of the result how many."""
    kept, doubts = believed(samples, most_foreign_cores)
    for doubt in doubts:
        print(f"disturbed: {scene}: {doubt}", file=sys.stderr)
    rounds = len(next(iter(samples.values())))
    share = paired.summarize([len(doubts) / rounds])
    what = f"A/A: {scene}: disturbed rounds"
    return kept, Result(what, "all rounds", share, _DISTURBED_BAR, is_placebo=True)


def compared(samples: Samples, arm: str, baseline: str, field: str) -> Estimate:
    """Return one arm by another in a field of `Sample`."""
    return paired.compare(
        [getattr(sample, field) for sample in samples[arm]],
        [getattr(sample, field) for sample in samples[baseline]],
    )


def show(scene: str, samples: Samples, baseline: str) -> None:
    """Print medians, and p95, p99 and p99.9 by those of the baseline."""
    title = f"{scene}, medians of {len(samples[baseline])}"
    print(
        f"\n{title:36}  p50 ms     p95     p99   p99.9     job    late  extra wasted  used foreign"
        f"   p95, p99, p99.9 by {baseline}"
    )
    for arm, of in samples.items():
        ratios = (compared(samples, arm, baseline, field) for field in ("p95", "p99", "p999"))
        print(
            f"{arm:36}"
            + "".join(
                f"{_median(of, field) * 1e3:8.2f}"
                for field in ("p50", "p95", "p99", "p999", "job_seconds", "late_p99")
            )
            + f" {_median(of, 'extra_ratio'):6.2%} {_median(of, 'wasted_ratio'):6.2%}"
            + f" {_median(of, 'used_cores'):5.2f} {_median(of, 'foreign_cores'):7.2f}"
            + "".join(f"   {each.ratio:.2f} [{each.low:.2f}-{each.high:.2f}]" for each in ratios)
        )


def _median(samples: Sequence[Sample], field: str) -> float:
    values: list[float] = [getattr(sample, field) for sample in samples]
    return statistics.median(values)
