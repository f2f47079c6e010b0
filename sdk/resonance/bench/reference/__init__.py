# SPDX-License-Identifier: MIT
"""The experiment behind our own claims: what does each thing we do gain on this machine?

Every tail in it comes from queueing and from the scheduler: real processes burn a fixed amount of
CPU time for each request, no one sleeps in between, and batch neighbours in cgroups of their own
are told what they paid. Requests are due by chance and are sent then, by one process in a
real-time class; the order of the arms is drawn anew in each repetition, and one of them is the
baseline once more. docs/reference-experiment.md tells how to read it.

::

    scenes        where arms meet: topologies, loads, how often
    arms          policies, what the kernel tells, profiles
    measuring     a scene measured; all of them in one go, and the host looked over
    rig           nodes, the daemon, clients: a slot
    nodes         replicas and neighbours, in cgroups
    driving       the loop that drives the shipped policies
    daemon        the command resonanced, as an operator has it
    phase         periodic neighbours and the phase controller
    network       a slow link, CUBIC and BBR
    variants      the same with gRPC, nginx and uvicorn in place of the rig's own server
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from resonance.bench.records import Experiment, Scene
from resonance.bench.reference import network, phase
from resonance.bench.reference.measuring import Progress, experiment, measure
from resonance.bench.reference.scenes import EXTRA, SCENES, SceneSpec, smoke

__all__ = ["DEFAULT", "NAMES", "run"]

_PERIODIC: Final = "periodic neighbours"
"""Told as two scenes: beside aligned phases, and beside those of chance."""
_TITLE: Final = "Reference experiment"
_PHASE_REPETITIONS: Final = 6
_NETWORK_REPETITIONS: Final = 6
_NETWORK_SECONDS: Final = 8.0

DEFAULT: Final = (*SCENES, _PERIODIC)
"""Names of what is measured unless something else is asked for."""
NAMES: Final = (*DEFAULT, *EXTRA, *network.NAMES)
"""Names of all that can be measured."""


def run(
    names: Sequence[str] = DEFAULT,
    *,
    progress: Progress,
    seed: int,
    times: int = 1,
    is_smoke: bool = False,
    logs: Path | None = None,
) -> Experiment:
    """Measure scenes, one after the other.

    Parameters
    ----------
    names : sequence of str
        Of `NAMES`.
    progress : callable
        Told which scene and arm is next, and how many slots of a scene are done, of how many.
    seed : int
        Of all that is drawn. A new one for each run: with the same, what a lucky draw did for an
        arm would look like its own merit each time.
    times : int
        How often as many repetitions as by default.
    is_smoke : bool
        One repetition of short slots: whether it runs, not what it gains.
    logs : Path, optional
        A directory for the logs of HdrHistogram, one for each scene.

    Returns
    -------
    Experiment

    Raises
    ------
    BenchError
        Nothing could be measured.
    OSError
        A log cannot be written.
    """
    parts: dict[str, Callable[[], Sequence[Scene]]] = {}
    for name, spec in {**SCENES, **EXTRA}.items():
        if name in names:
            parts[name] = partial(_scene, name, _sized(spec, times, is_smoke), progress, seed, logs)
    if _PERIODIC in names:
        parts[_PERIODIC] = partial(_phase, progress, seed, _PHASE_REPETITIONS * times, is_smoke)
    if links := [name for name in network.NAMES if name in names]:
        parts["the network"] = partial(
            _network, progress, seed, links, _NETWORK_REPETITIONS * times, is_smoke
        )
    title = f"{_TITLE}, a smoke run that measures nothing" if is_smoke else _TITLE
    return experiment(title, parts)


def _sized(spec: SceneSpec, times: int, is_smoke: bool) -> SceneSpec:
    return smoke(spec) if is_smoke else replace(spec, repetitions=spec.repetitions * times)


def _scene(
    name: str, spec: SceneSpec, progress: Progress, seed: int, logs: Path | None
) -> list[Scene]:
    log = logs / f"{name.replace(',', '').replace(' ', '-')}.hlog" if logs else None
    return [measure(name, spec, progress=progress, seed=seed, log=log)]


def _phase(progress: Progress, seed: int, repetitions: int, is_smoke: bool) -> list[Scene]:
    if is_smoke:
        return phase.measure(1, progress, phase.SMOKE, seed=seed)
    return phase.measure(repetitions, progress, seed=seed)


def _network(
    progress: Progress, seed: int, names: Sequence[str], repetitions: int, is_smoke: bool
) -> list[Scene]:
    if is_smoke:
        return network.measure(1, 1.0, progress, names=names, warm_up_seconds=0.5, seed=seed)
    return network.measure(repetitions, _NETWORK_SECONDS, progress, names=names, seed=seed)
