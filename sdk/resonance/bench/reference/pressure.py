# SPDX-License-Identifier: MIT
"""What does the kernel say of each replica, from the page of a running service?

The page is read as docs/shared-page.md has it, in the thread of the loop. `resonance.hints` has a
thread that looks after its page; beside a real-time loop that one may be put to sleep while it
holds the interpreter, and the loop would wait for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from math import inf, isnan
from pathlib import Path
from typing import Final, Literal

from resonance.bench.errors import ExperimentError
from resonance.hints._layout import Page, read_pressure
from resonance.policies import Replica

__all__ = ["Show", "Signal", "page", "shown"]

Signal = Literal["own", "around"]
"""Whose waits are told: those of the replica's own tasks, or those of the neighbours on its CPU,
which are there whether or not the replica has anything to do."""

Show = Callable[[Sequence[Replica], float], None]

_READ_SECONDS: Final = 0.005
_VALID_SECONDS: Final = 0.050
"""Both as a client of the SDK has them."""
_SLOTS_SECONDS: Final = 15.0


@contextmanager
def page(path: Path) -> Generator[Page]:
    """Map a page and hold its lock, so that it is written as often in every slot.

    Parameters
    ----------
    path : Path

    Yields
    ------
    Page
    """
    found = Page.open(path)
    try:
        found.lock()
        yield found
    finally:
        found.close()


def shown(of: Page, cgroups: Sequence[int]) -> Show:
    """Return what sets the pressure of replicas, by the cgroup in the place of each target.

    The page is read at most every 5 ms, whoever asks.

    Parameters
    ----------
    of : Page
    cgroups : sequence of int
        Their inodes.

    Returns
    -------
    callable

    Raises
    ------
    ExperimentError
        The service gave a cgroup no slot.
    """
    places = [(cgroup, _slot(of, cgroup)) for cgroup in cgroups]
    known: list[tuple[float | None, float]] = [(None, -inf)] * len(cgroups)
    read_at = -inf

    def show(replicas: Sequence[Replica], now: float) -> None:
        nonlocal read_at
        if now >= read_at:
            read_at = now + _READ_SECONDS
            known[:] = [_reading(of, *place) for place in places]
        for replica in replicas:
            if isinstance(replica.target, int):  # it is not before the first call
                replica.pressure, replica.pressure_until = known[replica.target]

    return show


def _slot(of: Page, cgroup: int) -> int:
    """Wait until the service has given a cgroup a slot; return where its record is."""
    deadline = time.monotonic() + _SLOTS_SECONDS
    while (offset := of.find(cgroup)) is None:
        if time.monotonic() > deadline:
            raise ExperimentError("reading pressure", "the service gave a cgroup no slot")
        time.sleep(0.05)
    return offset


def _reading(of: Page, cgroup: int, offset: int) -> tuple[float | None, float]:
    """Return a pressure and until when it is believed."""
    found = read_pressure(of.memory, offset)
    if found is None or found[1] != cgroup or isnan(found[2]):
        return None, -inf
    return found[2], found[0] / 1e9 + _VALID_SECONDS
