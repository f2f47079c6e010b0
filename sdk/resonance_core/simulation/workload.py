# SPDX-License-Identifier: MIT
"""What would arrive at the node if nobody held anything: the same for every arm of a seed.

All randomness of the work is drawn here, before an arm acts, so that two arms of one seed
differ by what they did and by nothing else (common random numbers).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from resonance_core.control.records import Floats
from resonance_core.simulation.scenario import Scenario, Service, SourceBlock

__all__ = ["Bursts", "Ints", "Workload", "draw_workload"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Bursts:
    """Bursts in the order of their natural releases.

    Attributes
    ----------
    source : (n,) int64
        Which source, from 0.
    generation : (n,) int64
        How often its source had restarted.
    natural_seconds : (n,) float64
        When the source itself would begin it, ascending.
    lattice_seconds : (n,) float64
        The same without jitter: what a clairvoyant knows.
    first_job, jobs : (n,) int64
        Where its jobs stand in `Workload.job_seconds`, and how many they are.
    """

    source: Ints
    generation: Ints
    natural_seconds: Floats
    lattice_seconds: Floats
    first_job: Ints
    jobs: Ints

    def between(self, first: int, last: int) -> Bursts:
        """Return the bursts from the one at `first` to before the one at `last`."""
        part = slice(first, last)
        return Bursts(
            self.source[part],
            self.generation[part],
            self.natural_seconds[part],
            self.lattice_seconds[part],
            self.first_job[part],
            self.jobs[part],
        )


@dataclass(frozen=True, slots=True)
class Workload:
    """All work of one run.

    Attributes
    ----------
    scenario : Scenario
    names : tuple of str
        Of the sources.
    blocks : tuple of SourceBlock
        Of each source, the block it comes from.
    period_seconds, work_seconds : (sources,) float64
        Declared period; mean work of a burst.
    origin_seconds : (generations, sources) float64
        First point of the source's lattice.
    bursts : Bursts
    job_seconds : (jobs,) float64
        CPU time of each job of the bursts.
    request_seconds, request_service_seconds : (requests,) float64
        When requests arrive, ascending, and the CPU time of each.
    """

    scenario: Scenario
    names: tuple[str, ...]
    blocks: tuple[SourceBlock, ...]
    period_seconds: Floats
    work_seconds: Floats
    origin_seconds: Floats
    bursts: Bursts
    job_seconds: Floats
    request_seconds: Floats
    request_service_seconds: Floats


def draw_workload(scenario: Scenario, seed: int) -> Workload:
    """Return the work of `scenario`; the same for the same seed, always."""
    weights, phases, releases, services, requests = (
        np.random.default_rng(each) for each in np.random.SeedSequence(seed).spawn(5)
    )
    blocks = tuple(block for block in scenario.sources for _ in range(block.count))
    names = tuple(
        f"{block.name}-{number}" for block in scenario.sources for number in range(block.count)
    )
    period = np.array([block.period_seconds for block in blocks])
    work = np.concatenate([_works(block, weights) for block in scenario.sources])
    origin = _origins(scenario, blocks, phases)
    bursts = _bursts(scenario, blocks, origin, work, releases)
    job_seconds = _job_seconds(scenario, blocks, work, bursts, services)
    at, service = _requests(scenario, requests)
    return Workload(scenario, names, blocks, period, work, origin, bursts, job_seconds, at, service)


def _works(block: SourceBlock, generator: np.random.Generator) -> Floats:
    weights = generator.lognormal(0.0, block.work_spread, block.count)
    works: Floats = weights * (block.work_seconds / weights.mean())
    return works


def _origins(
    scenario: Scenario, blocks: tuple[SourceBlock, ...], generator: np.random.Generator
) -> Floats:
    """Draw where each source's lattice begins: one row per generation."""
    starts = [0.0] if scenario.restart_seconds is None else [0.0, scenario.restart_seconds]
    rows: list[list[float]] = []
    for start in starts:
        row: list[float] = []
        for block in blocks:
            if block.start == "random":
                within = generator.uniform(0.0, block.period_seconds)
            else:
                # One instant for all blocks, and far enough in for draws before it.
                within = scenario.period_seconds / 2.0 + generator.normal(0.0, block.spread_seconds)
            row.append(start + within % block.period_seconds)
        rows.append(row)
    return np.array(rows)


def _bursts(
    scenario: Scenario,
    blocks: tuple[SourceBlock, ...],
    origin: Floats,
    work: Floats,
    generator: np.random.Generator,
) -> Bursts:
    restarts = [] if scenario.restart_seconds is None else [scenario.restart_seconds]
    lives = pairwise((0.0, *restarts, scenario.duration_seconds))
    lattices: list[Floats] = []
    naturals: list[Floats] = []
    labels: list[tuple[int, int]] = []
    for generation, (start, end) in enumerate(lives):
        for source, block in enumerate(blocks):
            first = float(origin[generation, source])
            lattice, natural = _releases(block, first, start, end, generator)
            lattices.append(lattice)
            naturals.append(natural)
            labels.append((source, generation))
    natural = np.concatenate(naturals)
    order = np.argsort(natural, kind="stable")
    label = np.repeat(np.array(labels), [len(each) for each in naturals], axis=0)[order]
    job = np.array([block.job_seconds for block in blocks])
    jobs = np.maximum(np.rint(work / job), 1.0).astype(np.int64)[label[:, 0]]
    return Bursts(
        source=label[:, 0],
        generation=label[:, 1],
        natural_seconds=natural[order],
        lattice_seconds=np.concatenate(lattices)[order],
        first_job=np.cumsum(jobs) - jobs,
        jobs=jobs,
    )


def _releases(
    block: SourceBlock, first: float, start: float, end: float, generator: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return the lattice from `first` on, and the natural releases from `start` to `end`."""
    count = int(np.ceil((end - first) / block.period_seconds * 1.5)) + 30
    if not block.is_periodic:
        random = first + np.cumsum(generator.exponential(block.period_seconds, count))
        return random[random < end], random[random < end]
    period = block.period_seconds * (1.0 + generator.normal(0.0, block.detuning_ratio))
    steps = generator.normal(0.0, block.drift_seconds, count)
    steps[0] = 0.0
    lattice = first + period * np.arange(count, dtype=np.float64) + np.cumsum(steps)
    natural = np.sort(lattice + generator.normal(0.0, block.jitter_seconds, count))
    is_within = (natural < end) & (natural >= start)
    return lattice[is_within], natural[is_within]


def _job_seconds(
    scenario: Scenario,
    blocks: tuple[SourceBlock, ...],
    work: Floats,
    bursts: Bursts,
    generator: np.random.Generator,
) -> Floats:
    mean = np.repeat(work[bursts.source] / bursts.jobs, bursts.jobs)
    source = np.repeat(bursts.source, bursts.jobs)
    variation = scenario.requests.service_variation
    services: set[Service] = {block.service for block in blocks}
    for service in sorted(services):
        is_such = np.array([block.service == service for block in blocks])[source]
        mean[is_such] *= _unit_services(service, int(is_such.sum()), variation, generator)
    return mean


def _requests(scenario: Scenario, generator: np.random.Generator) -> tuple[Floats, Floats]:
    requests = scenario.requests
    rate = requests.utilisation_ratio * scenario.cores / requests.service_seconds
    count = int(generator.poisson(rate * scenario.duration_seconds))
    at = np.sort(generator.uniform(0.0, scenario.duration_seconds, count))
    unit = _unit_services(requests.service, count, requests.service_variation, generator)
    return at, unit * requests.service_seconds


def _unit_services(
    service: Service, count: int, variation: float, generator: np.random.Generator
) -> Floats:
    """Draw service times of mean 1."""
    if service == "constant":
        return np.ones(count)
    if service == "lognormal":
        sigma = float(np.sqrt(np.log1p(variation**2)))
        return generator.lognormal(-(sigma**2) / 2.0, sigma, count)
    if service == "bimodal":
        return np.where(generator.random(count) < 0.1, 10.0, 1.0) / 1.9
    return generator.exponential(1.0, count)
