# SPDX-License-Identifier: MIT
"""All scenes in one go: which arm is next, what is kept of it, and is the host as it was?"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from random import Random
from typing import Final

from msgspec import structs

from resonance.bench.errors import BenchError
from resonance.bench.machine import this_machine
from resonance.bench.records import Experiment, Run, Scene, Slot
from resonance.bench.reference import fingerprint
from resonance.bench.reference.arms import AGAIN, ARMS, BASELINE, Arm
from resonance.bench.reference.daemon import applied
from resonance.bench.reference.links import Links
from resonance.bench.reference.nodes import REPLICAS, Nodes, Start, replicas
from resonance.bench.reference.rig import RULE, Clients, Open, Rig, rig
from resonance.bench.reference.scenes import SceneSpec
from resonance.bench.reference.variants import VARIANTS
from resonance.histogram import Interval, LogWriter

__all__ = ["Progress", "experiment", "measure"]

_BY_PROCESS: Final = "realtime"
"""The knob that is turned for processes, and not for their cgroup."""
_MOST_TRIES: Final = 3
_TARGET: Final = f"{REPLICAS} replicas"

Progress = Callable[[str, int, int], None]
"""Told which scene and arm is next, and how many slots of a scene are done, of how many."""


@dataclass(frozen=True, slots=True)
class _Stage:
    """A scene with its rig."""

    name: str
    spec: SceneSpec
    on: Rig
    seed: int
    log: LogWriter | None


def measure(
    name: str,
    spec: SceneSpec,
    *,
    progress: Progress,
    seed: int,
    log: Path | None = None,
) -> Scene:
    """Measure one scene.

    Parameters
    ----------
    name : str
    spec : SceneSpec
    progress : callable
    seed : int
        Of calls, jobs, the clients' chance and the order of the arms.
    log : Path, optional
        Where the log of all its slots is written, tagged by arm.

    Returns
    -------
    Scene

    Raises
    ------
    BenchError
        The machine lacks something, or what was sent is not accounted for.
    OSError
        The log cannot be written.
    """
    slots: dict[str, list[Slot]] = {arm: [] for arm in spec.arms}
    start, connect = _servers(spec)
    with ExitStack() as stack:
        on = stack.enter_context(
            rig(spec.topology, spec.demand.clients, start=start, connect=connect)
        )
        writer = None
        if log is not None:
            file = stack.enter_context(log.open("w", encoding="ascii"))
            writer = LogWriter(file, started_at=time.time())
        stack.enter_context(on.nodes.starved(is_so=spec.demand.is_starved))
        stage = _Stage(name, spec, on, seed, writer)
        clients = {
            arm: ARMS[arm].clients(spec.demand.clients, f"{seed} {name} {arm}") for arm in spec.arms
        }
        order = Random(f"{seed} {name}")  # noqa: S311 - the order of arms is no secret
        whole = spec.repetitions * len(spec.arms)
        for repetition in range(spec.repetitions):
            arms = order.sample(spec.arms, len(spec.arms))
            for place, arm in enumerate(arms):
                progress(f"{name}: {arm}", repetition * len(arms) + place, whole)
                slots[arm].append(_undisturbed(stage, arm, clients[arm], repetition))
        progress(name, whole, whole)
    return Scene(
        name=name,
        summary=spec.summary,
        baseline=BASELINE,
        placebo=AGAIN if AGAIN in spec.arms else None,
        runs=[_run(arm, spec, seed, of) for arm, of in slots.items()],
    )


def _servers(spec: SceneSpec) -> tuple[Start, Open]:
    """Return what starts the servers of a scene, and what connects to them."""
    if not spec.servers:
        return replicas, Links
    variant = VARIANTS[spec.servers]
    return variant.servers, variant.links


def _undisturbed(stage: _Stage, arm: str, clients: Clients, repetition: int) -> Slot:
    """Measure a slot, and again with the same calls and jobs where the rule does not believe it."""
    most, tries = _MOST_TRIES if stage.spec.repetitions > 1 else 1, 0
    while True:
        tries += 1
        slot, intervals = stage.on.slot(
            stage.spec.demand,
            clients,
            seed=f"{stage.seed} {stage.name} {repetition}",
            repetition=repetition,
            isolated=_isolated(ARMS[arm], stage.on.nodes),
        )
        if tries == most or not slot.doubts:
            break
    if stage.log is not None:
        for each in intervals:
            _write(stage.log, each, arm)
    return structs.replace(slot, costs={**slot.costs, "tries": float(tries)})


def _write(log: LogWriter, interval: Interval, arm: str) -> None:
    tag = arm.replace(" ", "-").replace(",", "")
    log.write(interval.histogram, interval.started_at, interval.seconds, tag=tag)


def _isolated(arm: Arm, nodes: Nodes) -> AbstractContextManager[None] | None:
    """Return what has the profile of an arm in force."""
    if not arm.profile or nodes.service is None or nodes.batch is None:
        return None
    first, second, *_ = sorted(os.sched_getaffinity(0))
    critical = [nodes.service.path]
    if _BY_PROCESS in arm.profile:
        critical += sorted({f"process:{each.name}" for each in nodes.servers})
    return applied(
        arm.profile.replace("{first}", str(first)).replace("{second}", str(second)),
        latency_critical=critical,
        batch=[nodes.batch.path],
    )


def _run(arm: str, spec: SceneSpec, seed: int, slots: list[Slot]) -> Run:
    return Run(
        version=metadata.version("resonance-runtime"),
        name=arm,
        target=_TARGET,
        arrival="poisson",
        rate_per_second=spec.demand.rate_per_second,
        machine=this_machine(),
        rule=RULE,
        asked={"topology": spec.topology, "seed": seed, **asdict(spec.demand)},
        slots=slots,
    )


def experiment(
    title: str, parts: Mapping[str, Callable[[], Sequence[Scene]]], notes: Sequence[str] = ()
) -> Experiment:
    """Measure several things, and look whether the host is as it was.

    Parameters
    ----------
    title : str
    parts : mapping of str to callable
        Each measures scenes. One that cannot be measured on this machine is told in the notes.
    notes : sequence of str

    Returns
    -------
    Experiment

    Raises
    ------
    BenchError
        Nothing could be measured.
    """
    before, started_at = fingerprint.take(), time.time()
    scenes: list[Scene] = []
    told = list(notes)
    for name, part in parts.items():
        try:
            scenes += part()
        except (BenchError, OSError) as error:  # the latter: a server has gone, a disk is full
            told.append(f"{name} was not measured: {error}")
    if not scenes:
        raise BenchError("; ".join(told))
    return Experiment(
        version=metadata.version("resonance-runtime"),
        title=title,
        started_at=started_at,
        seconds=time.time() - started_at,
        machine=this_machine(),
        scenes=scenes,
        differences=fingerprint.differences(before),
        notes=told,
    )
