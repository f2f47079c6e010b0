# SPDX-License-Identifier: MIT
"""Which rounds are to be believed? The rule is set before anything is measured.

A round in which one slot was disturbed is left out whole, so that every arm has met the same
machine as often as every other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .slots import Sample

__all__ = ["believed"]


def believed(
    samples: Mapping[str, Sequence[Sample]], most_foreign_cores: float
) -> tuple[dict[str, list[Sample]], list[str]]:
    """Return the rounds nobody disturbed, and what disturbed each of the others.

    Parameters
    ----------
    samples : mapping of str to sequence of Sample
        By arm, one of each round.
    most_foreign_cores : float
        CPUs that others may use in a slot.

    Returns
    -------
    samples : dict of str to list of Sample
        By arm; all rounds, where none was undisturbed.
    doubts : list of str
    """
    doubts: dict[int, str] = {}
    for arm, of in samples.items():
        for place, sample in enumerate(of):
            if why := sample.doubt(most_foreign_cores):
                doubts.setdefault(place, f"round {place}, {arm}: {why}")
    rounds = len(next(iter(samples.values())))
    kept = [place for place in range(rounds) if place not in doubts] or range(rounds)
    return {arm: [of[place] for place in kept] for arm, of in samples.items()}, [
        doubts[place] for place in sorted(doubts)
    ]
