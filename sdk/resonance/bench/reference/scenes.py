# SPDX-License-Identifier: MIT
"""Where the arms meet: topologies, loads, and how often. Set before anything was measured.

A request takes 0.7 ms of CPU time. A batch job has three threads of 40 ms of CPU time each on
average, and comes whether or not those before it have ended.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from resonance.bench.reference.arms import AGAIN, BASELINE
from resonance.bench.reference.nodes import CPUS, WORK_SECONDS
from resonance.bench.reference.slots import Demand
from resonance.bench.reference.variants import VARIANTS

__all__ = ["EXTRA", "SCENES", "SceneSpec", "smoke"]

_BATCH_LOAD: Final = 0.25
"""Of all CPU time."""
_BUSY_BATCH_LOAD: Final = 0.3
_BALANCING_RATE_PER_SECOND: Final = 450.0
_TAIL_ANSWERS: Final = 3_300
"""So many more than the 3,000 below which nothing is said of p99.9 that none has fewer."""
_CHOICES: Final = (
    BASELINE,
    AGAIN,
    "round-robin",
    "p2c",
    "peak-ewma",
    "full scan",
    "pressure, two drawn",
    "pressure, full scan",
    "bounded chance, two drawn",
    "head-room, two drawn",
    "expected wait, two drawn",
)
_ISOLATION: Final = (
    BASELINE,
    AGAIN,
    "hedge",
    "p2c, guarded hedge",
    "idle",
    "weight",
    "soft set",
    "hard set",
    "real time",
    "all but real time",
    "all",
)
_LOADS: Final = (BASELINE, AGAIN, "idle", "all but real time")
_FEW: Final = (*_LOADS, "p2c, guarded hedge")


@dataclass(frozen=True, slots=True)
class SceneSpec:
    """A load, and the arms that meet it.

    Parameters
    ----------
    summary : str
        One sentence for a reader.
    topology : {"one node", "two nodes"}
    demand : Demand
    arms : tuple of str
    repetitions : int
    servers : str
        One of `VARIANTS`; empty for the rig's own.
    """

    summary: str
    topology: Literal["one node", "two nodes"]
    demand: Demand
    arms: tuple[str, ...]
    repetitions: int
    servers: str = ""


def _rate(share: float) -> float:
    """Return calls per second whose work is this share of all CPU time."""
    return share * CPUS / WORK_SECONDS


def _one_node(share: float, seconds: float, batch_load: float = _BATCH_LOAD) -> Demand:
    return Demand(1, _rate(share), batch_load, seconds=seconds, warm_up_seconds=0.3)


def _two_nodes(clients: int, *, is_starved: bool = False) -> Demand:
    return Demand(
        clients,
        _BALANCING_RATE_PER_SECOND,
        _BUSY_BATCH_LOAD,
        seconds=1.7,
        warm_up_seconds=0.8 if is_starved else 0.2,
        is_starved=is_starved,
    )


SCENES: Final[dict[str, SceneSpec]] = {
    "one node": SceneSpec(
        "Four replicas that use 40 % of two CPUs, and beside them in a cgroup of its own batch "
        "work that uses 25 %; one client, who chooses at random.",
        "one node",
        _one_node(0.4, _TAIL_ANSWERS / _rate(0.4)),
        _ISOLATION,
        6,
    ),
    "one node, 20 %": SceneSpec(
        "The same with half as many requests.", "one node", _one_node(0.2, 1.2), _LOADS, 6
    ),
    "one node, 60 %": SceneSpec(
        "The same with half as many again.", "one node", _one_node(0.6, 1.2), _LOADS, 6
    ),
    "no neighbours": SceneSpec(
        "Four replicas that use 40 % of two CPUs, and nobody beside them.",
        "one node",
        _one_node(0.4, 1.5, 0.0),
        (BASELINE, AGAIN, "p2c, guarded hedge", "p2c, eager hedge", "all but real time"),
        6,
    ),
    "two nodes, one client": SceneSpec(
        "Two replicas on each of two CPUs, 450 requests a second of one client, and batch work in "
        "bursts that uses 30 % of each CPU, independently.",
        "two nodes",
        _two_nodes(1),
        _CHOICES,
        6,
    ),
    "two nodes, twenty clients": SceneSpec(
        "The same requests of twenty clients, of whom each knows only its own.",
        "two nodes",
        _two_nodes(20),
        _CHOICES,
        6,
    ),
}

EXTRA: Final[dict[str, SceneSpec]] = {
    **{
        f"two nodes, {clients}, starved": SceneSpec(
            "As without it, but on the first CPU three threads never sleep.",
            "two nodes",
            _two_nodes(number, is_starved=True),
            _CHOICES,
            6,
        )
        for number, clients in ((1, "one client"), (20, "twenty clients"))
    },
    **{
        f"one node, {name}": SceneSpec(
            f"As `one node`, with half as many requests, of {variant.summary}.",
            "one node",
            _one_node(0.2, 2.4),
            _FEW,
            6,
            servers=name,
        )
        for name, variant in VARIANTS.items()
    },
}
"""Only run when asked for by name."""


def smoke(spec: SceneSpec) -> SceneSpec:
    """Return a scene that is run to see that it runs, and measures nothing.

    Parameters
    ----------
    spec : SceneSpec

    Returns
    -------
    SceneSpec
        One repetition of short slots.
    """
    demand = replace(spec.demand, seconds=0.5, warm_up_seconds=0.1)
    return replace(spec, demand=demand, repetitions=1)
