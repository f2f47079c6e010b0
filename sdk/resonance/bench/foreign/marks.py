# SPDX-License-Identifier: MIT
"""What does an exported script tell of itself, so that its results can be read as a run?

k6 writes the tags of a test beside every point. One of them is ours and holds what k6 itself
does not write down: where calls went, how many were due, and how long.
"""

from __future__ import annotations

from typing import Final

import msgspec

from resonance.bench.plan import Load

__all__ = ["TAG", "Mark", "mark_of"]

TAG: Final = "resonance"
"""The name of the tag."""


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What of a load is told.

    Attributes
    ----------
    target : str
    rate : float
        Calls due each second, the mean where it changes.
    seconds : float
        How long calls are due, warm-up included.
    warm_up_seconds : float
    requests : list of str
        The names of the kinds of request, in order.
    """

    target: str
    rate: float
    seconds: float
    warm_up_seconds: float = 0.0
    requests: list[str] = []


def mark_of(load: Load) -> str:
    """Return the mark of a load.

    Parameters
    ----------
    load : Load

    Returns
    -------
    str
        JSON.
    """
    mark = Mark(
        target=str(load.target),
        rate=load.rate_per_second,
        seconds=load.seconds,
        warm_up_seconds=load.warm_up_seconds,
        requests=[each.name for each in load.requests],
    )
    return msgspec.json.encode(mark).decode()
