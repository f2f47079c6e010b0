# SPDX-License-Identifier: MIT
"""When is which arm in force, where do the tasks' phases begin, and what is left out? Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from resonance.bench.reference.phase.neighbours import PERIOD_SECONDS, TASKS

__all__ = ["ARMS", "Arm", "Block", "Timing", "origins", "timetable"]

_JITTER_SECONDS: Final = 0.001


@dataclass(frozen=True, slots=True)
class Arm:
    """How the tasks lie, and whether they are moved.

    Attributes
    ----------
    phases : {"aligned", "random"}
        Where in the period they begin: together to 1 ms, or anywhere, drawn anew each time.
    mode : {"shadow", "active"}
        ``shadow`` decides and moves nothing: the same work of the daemon, but for that.
    """

    phases: Literal["aligned", "random"]
    mode: Literal["shadow", "active"]


ARMS: Final[Mapping[str, Arm]] = {
    "aligned phases": Arm("aligned", "shadow"),
    "aligned again": Arm("aligned", "shadow"),
    "random phases": Arm("random", "shadow"),
    "phase control": Arm("aligned", "active"),
}


@dataclass(frozen=True, slots=True)
class Timing:
    """How long everything takes.

    Attributes
    ----------
    measured_seconds : float
        Of each arm.
    settle_seconds : float
        Before that, in which tasks go to phases of their own, at most 7 ms a cycle.
    control_seconds : float
        Where the controller moves them, before that and after they are where they begin: six
        chunks of baseline, sixteen cycles to see a phase, fifteen to move, and some rest.
    start_seconds : float
        For the processes to start.
    """

    measured_seconds: float = 2.6
    settle_seconds: float = 2.0
    control_seconds: float = 8.0
    start_seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class Block:
    """When an arm is in force; seconds on CLOCK_MONOTONIC.

    Attributes
    ----------
    name : str
        Of `ARMS`.
    begin : float
        When tasks go to where their phases begin, and nothing is moved.
    moved_from : float
        When the controller may move them, where it does in this arm.
    measured_from, end : float
    """

    name: str
    begin: float
    moved_from: float
    measured_from: float
    end: float


def timetable(order: Sequence[str], timing: Timing, start: float) -> list[Block]:
    """Return when each arm is in force, one after the other.

    Parameters
    ----------
    order : sequence of str
        Names of `ARMS`.
    timing : Timing
    start : float
        Of the first one.

    Returns
    -------
    list of Block
    """
    blocks: list[Block] = []
    for name in order:
        moved_from = measured_from = start + timing.settle_seconds
        if ARMS[name].mode == "active":
            measured_from += timing.control_seconds
        end = measured_from + timing.measured_seconds
        blocks.append(Block(name, start, moved_from, measured_from, end))
        start = end
    return blocks


def origins(blocks: Sequence[Block], draw: Random) -> list[list[float]]:
    """Draw where each task's phase begins, and until when it keeps it.

    Parameters
    ----------
    blocks : sequence of Block
    draw : Random

    Returns
    -------
    list of list of float
        Of each task: origin, until when, origin, until when, and so on.
    """
    zero = blocks[0].begin
    spread = {
        "aligned": [zero + draw.gauss(0.0, _JITTER_SECONDS) for _ in range(TASKS)],
        "random": [zero + draw.uniform(0.0, PERIOD_SECONDS) for _ in range(TASKS)],
    }
    kinds = [ARMS[block.name].phases for block in blocks]
    of: list[list[float]] = [[] for _ in range(TASKS)]
    for block, kind, following in zip(blocks, kinds, [*kinds[1:], None], strict=True):
        if kind != following:  # who stays where he is is not told anew
            for task, origin in zip(of, spread[kind], strict=True):
                task += [origin, block.end]
    return of
