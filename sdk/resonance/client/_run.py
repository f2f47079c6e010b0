# SPDX-License-Identifier: MIT
"""Runs a function as an attempt: it can see which, and until when it is wanted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf
from time import monotonic
from typing import TypeVar

from resonance import deadlines
from resonance.client._current import CURRENT
from resonance.policies import Attempt

__all__ = ["run_coroutine", "run_function"]

T = TypeVar("T")


def run_function(attempt: Attempt, fn: Callable[..., T]) -> T:
    """Call a function as an attempt of a call, in this thread.

    Parameters
    ----------
    attempt : Attempt
    fn : callable
        Gets the target where the call has one to choose.

    Returns
    -------
    object
        What the function returned.
    """
    call = attempt.call
    token = CURRENT.set(attempt)
    try:
        if call.deadline < inf:
            with deadlines.deadline(max(0.0, call.deadline - monotonic())):
                return fn() if call.targets is None else fn(attempt.target)
        return fn() if call.targets is None else fn(attempt.target)
    finally:
        CURRENT.reset(token)


async def run_coroutine(attempt: Attempt, fn: Callable[..., Awaitable[T]]) -> T:
    """Await what a function returns, as an attempt of a call, in this task.

    Parameters
    ----------
    attempt : Attempt
    fn : callable
        Gets the target where the call has one to choose.

    Returns
    -------
    object
        What was awaited.
    """
    call = attempt.call
    token = CURRENT.set(attempt)
    try:
        if call.deadline < inf:
            with deadlines.deadline(max(0.0, call.deadline - monotonic())):
                return await (fn() if call.targets is None else fn(attempt.target))
        return await (fn() if call.targets is None else fn(attempt.target))
    finally:
        with suppress(ValueError):  # thrown away with its loop, and not in its own context
            CURRENT.reset(token)
