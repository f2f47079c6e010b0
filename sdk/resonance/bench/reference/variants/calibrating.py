# SPDX-License-Identifier: MIT
"""How much work takes a server so long? Found between an amount that takes less and one more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from resonance.bench.errors import ExperimentError

__all__ = ["amount_of"]

_ROUNDS: Final = 3
"""*Chosen*: the time of a hash is in proportion to its rounds, where one would do; that of a
compression is not quite to the length of the text."""
_MOST_FACTOR: Final = 1_000


def amount_of(cost: Callable[[int], float], guesses: tuple[int, int], work_seconds: float) -> int:
    """Return the amount of work whose cost was nearest to what is wanted.

    Parameters
    ----------
    cost : callable
        The CPU seconds of a request with an amount of work.
    guesses : (int, int)
        Amounts of work: next to none, and more.
    work_seconds : float
        Above 0.

    Returns
    -------
    int

    Raises
    ------
    ExperimentError
        A request takes longer even without any work; or not nearly so long with very much.
    """
    low, high = guesses
    costs = {low: cost(low)}
    if costs[low] >= work_seconds:
        raise ExperimentError(
            "calibrating",
            f"without any work a request takes {costs[low] * 1e3:.2f} ms here, and "
            f"{work_seconds * 1e3:.2f} ms are asked for: ask for more",
        )
    most = high * _MOST_FACTOR
    costs[high] = cost(high)
    while costs[high] < work_seconds:
        low, high = high, 2 * high
        if high > most:
            raise ExperimentError(
                "calibrating",
                f"{low} units of work take {costs[low] * 1e3:.2f} ms, and "
                f"{work_seconds * 1e3:.2f} ms are asked for: ask for less",
            )
        costs[high] = cost(high)
    for _ in range(_ROUNDS):
        share = (work_seconds - costs[low]) / (costs[high] - costs[low])
        between = round(low + share * (high - low))
        if between in costs:
            break
        costs[between] = cost(between)
        if costs[between] < work_seconds:
            low = between
        else:
            high = between
    return min(costs, key=lambda amount: abs(costs[amount] - work_seconds))
