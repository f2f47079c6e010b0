# SPDX-License-Identifier: MIT
"""Results of a measurement that never was: slots, runs and scenes with known response times.

All is put together by the digest that real measurements go through, and the same arguments give
the same records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from random import Random
from typing import Any

from resonance.bench.digest import Calls, Outcome, digest
from resonance.bench.machine import Machine
from resonance.bench.records import Generator, Rule, Run, Scene, Slot

MACHINE = Machine(
    processor="Example CPU", cpus=2, is_virtual=True, kernel="Linux 6.6.0-example x86_64"
)
STARTED_AT = 1_700_000_000.0
_SLOT_SECONDS = 5.0
_LATE_SECONDS = 2e-6


def lognormal(
    count: int, *, median_seconds: float = 0.002, sigma: float = 0.6, seed: object = 0
) -> list[float]:
    """Draw response times as services have them: most are short, a few are long."""
    draw = Random(f"response times {seed}")
    return [median_seconds * draw.lognormvariate(0.0, sigma) for _ in range(count)]


def slot(
    values_seconds: Sequence[float],
    *,
    repetition: int = 0,
    started_at: float | None = None,
    seconds: float = _SLOT_SECONDS,
    warm_up_seconds: float = 0.0,
    late_seconds: float = _LATE_SECONDS,
    queued_seconds: float = 0.0,
    failed: Mapping[Outcome, int] | None = None,
    costs: Mapping[str, float] | None = None,
    foreign_cores: float | None = None,
    rule: Rule | None = None,
    generator: Generator | None = None,
    parts: Mapping[str, int] | None = None,
) -> Slot:
    """Make a slot of calls that are due evenly and took so long, in this order.

    Parameters
    ----------
    values_seconds : sequence of float
        Of the calls that were answered.
    late_seconds : float
        How late the generator came to each call.
    queued_seconds : float
        How long each call, reached, waited for a connection: the service time is shorter by it.
    failed : mapping of Outcome to int
        Calls besides that failed; those with an answer took as long as the first value.
    parts : mapping of str to int
        Kinds of request and how many calls of each come one after the other.
    """
    lost = [outcome for outcome, number in (failed or {}).items() for _ in range(number)]
    outcomes = [*([Outcome.OK] * len(values_seconds)), *lost]
    took = [*values_seconds, *([values_seconds[0] if values_seconds else 0.001] * len(lost))]
    due = [int(place * seconds * 1e9 / max(1, len(took))) for place in range(len(took))]
    reached = [at + int(late_seconds * 1e9) for at in due]
    turn = [place for place, number in enumerate((parts or {}).values()) for _ in range(number)]
    calls = Calls(
        due_ns=due,
        reached_ns=reached,
        sent_ns=[at + int(queued_seconds * 1e9) for at in reached],
        ended_ns=[at + round(value * 1e9) for at, value in zip(due, took, strict=True)],
        outcomes=outcomes,
        parts=[turn[place % len(turn)] for place in range(len(took))] if turn else None,
    )
    return digest(
        calls,
        seconds=seconds,
        warm_up_seconds=warm_up_seconds,
        started_at=STARTED_AT if started_at is None else started_at,
        repetition=repetition,
        rule=rule or Rule(),
        names=list(parts or ()),
        generator=generator or Generator(is_realtime=True, cpu_cores=0.2, connections=8),
        foreign_cores=foreign_cores,
        costs=costs,
    ).slot


def run(
    name: str,
    *,
    scale: float = 1.0,
    repetitions: int = 8,
    calls: int = 400,
    sigma: float = 0.6,
    noise: float = 0.0,
    drift: float = 0.0,
    seed: object = "",
    turn: int = 0,
    slots: Sequence[Slot] | None = None,
    costs: Mapping[str, float] | None = None,
    doubtful: Sequence[int] = (),
    **changed: Any,
) -> Run:
    """Make a run whose response times are those of the baseline times `scale`.

    Parameters
    ----------
    noise : float
        Standard deviation of the logarithm of a factor that each repetition has for itself.
    drift : float
        By how much all response times grow from one repetition to the next, in every arm alike.
    seed : object
        Of the noise; the calls of a repetition are the same in all runs, but for `scale`.
    turn : int
        Place of the run within each round; rounds are a minute apart, slots six seconds.
    slots : sequence of Slot
        Instead of all of these.
    doubtful : sequence of int
        Repetitions in which others used the CPUs.
    **changed
        Fields of `Run`.
    """
    draw = Random(f"noise {name} {seed}")
    rule = changed.pop("rule", Rule(max_foreign_cores=0.3))
    made = slots if slots is not None else [
        _drawn(
            scale * (1.0 + drift) ** repetition * draw.lognormvariate(0.0, noise),
            repetition,
            calls,
            sigma,
            STARTED_AT + 60.0 * repetition + 6.0 * turn,
            0.9 if repetition in doubtful else 0.01,
            tuple((costs or {}).items()),
            rule,
        )
        for repetition in range(repetitions)
    ]  # fmt: skip
    fields: dict[str, Any] = {
        "version": "0.1.0",
        "name": name,
        "target": "http://127.0.0.1:8080/",
        "arrival": "poisson",
        "rate_per_second": calls / _SLOT_SECONDS,
        "machine": MACHINE,
        "rule": rule,
        "asked": {"seed": 7, "connections": 256, "timeout_seconds": 10.0},
        "slots": list(made),
    }
    return Run(**fields | changed)


@cache
def _drawn(
    scale: float,
    repetition: int,
    calls: int,
    sigma: float,
    started_at: float,
    foreign_cores: float,
    costs: tuple[tuple[str, float], ...],
    rule: Rule,
) -> Slot:
    return slot(
        [scale * value for value in lognormal(calls, sigma=sigma, seed=repetition)],
        repetition=repetition,
        started_at=started_at,
        costs=dict(costs),
        foreign_cores=foreign_cores,
        rule=rule,
    )


def scene(
    *runs: Run,
    name: str = "one node",
    summary: str = "Two replicas beside a batch job, at 40 % of the node.",
    placebo: str | None = None,
) -> Scene:
    """Make a scene whose baseline is the first run; by default of three arms."""
    arms = runs or (
        run("random", repetitions=12, noise=0.05, turn=0, costs={"extra_ratio": 0.0}),
        run("random again", repetitions=12, noise=0.05, turn=1, costs={"extra_ratio": 0.0}),
        run("batch idle", scale=0.4, repetitions=12, noise=0.05, turn=2,
            costs={"extra_ratio": 0.05}),
    )  # fmt: skip
    if not runs:
        placebo = "random again"
    return Scene(
        name=name, summary=summary, baseline=arms[0].name, placebo=placebo, runs=list(arms)
    )
