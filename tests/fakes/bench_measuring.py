# SPDX-License-Identifier: MIT
"""A generator that sends nothing, and whose slots are what a test says they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import cycle, islice

import msgspec

from resonance.bench.digest import Calls, Outcome, digest
from resonance.bench.load import Measured, Progress
from resonance.bench.plan import Load
from resonance.bench.records import Generator, Rule

__all__ = ["FakeMeasure", "measured"]

STARTED_AT = 1_700_000_000.0


def measured(
    *,
    calls: int = 2_000,
    seconds: float = 4.0,
    warm_up_seconds: float = 0.0,
    service_ns: tuple[int, ...] = (200_000, 220_000, 260_000, 310_000, 900_000),
    waited_ns: int = 0,
    late_ns: int = 2_000,
    outcomes: tuple[Outcome, ...] = (Outcome.OK,),
    sent_ratio: float = 1.0,
    names: tuple[str, ...] = (),
    repetition: int = 0,
    rule: Rule | None = None,
    generator: Generator | None = None,
    started_at: float = STARTED_AT,
    is_partial: bool = False,
    notes: tuple[str, ...] = (),
) -> Measured:
    """Return a slot as the generator would digest it, of calls that are evenly spaced."""
    due = [round(number * seconds * 1e9 / calls) for number in range(calls)]
    sent_calls = round(calls * sent_ratio)
    reached = [each + late_ns if n < sent_calls else -1 for n, each in enumerate(due)]
    sent = [each + waited_ns if each >= 0 else -1 for each in reached]
    services = islice(cycle(service_ns), calls)
    ended = [
        each + service if each >= 0 else -1 for each, service in zip(sent, services, strict=True)
    ]
    results = list(islice(cycle(outcomes), sent_calls)) + [Outcome.NONE] * (calls - sent_calls)
    slot, intervals = digest(
        Calls(
            due_ns=due,
            reached_ns=reached,
            sent_ns=sent,
            ended_ns=ended,
            outcomes=results,
            parts=[number % len(names) for number in range(calls)] if names else None,
        ),
        seconds=seconds,
        warm_up_seconds=warm_up_seconds,
        started_at=started_at,
        repetition=repetition,
        rule=rule or Rule(),
        names=names,
        generator=generator
        or Generator(is_realtime=True, cpu_cores=0.15, cpu_wait_seconds=0.0012, connections=32),
    )
    return Measured(slot, intervals, is_partial, notes)


@dataclass
class FakeMeasure:
    """Stands in for `resonance.bench.load.measure`; notes what it was asked."""

    made: Callable[[int], Measured | Exception] = field(default=lambda _: measured())
    """What the call of this number gives."""
    loads: list[Load] = field(default_factory=list)
    repetitions: list[int] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)

    def __call__(
        self,
        load: Load,
        *,
        rule: Rule,
        repetition: int = 0,
        progress: Callable[[Progress], None] | None = None,
        is_stopped: Callable[[], bool] | None = None,
    ) -> Measured:
        made = self.made(len(self.loads))
        self.loads.append(load)
        self.repetitions.append(repetition)
        self.rules.append(rule)
        if isinstance(made, Exception):
            raise made
        assert progress is not None
        assert is_stopped is not None
        planned = made.slot.planned
        for quarter in range(1, 9):
            progress(
                Progress(
                    elapsed_seconds=quarter / 4,
                    whole_seconds=2.0,
                    planned=planned,
                    sent=planned * quarter // 8,
                    answered=planned * quarter // 8,
                    failed=0,
                    p99_seconds=0.001,
                )
            )
        return made._replace(slot=msgspec.structs.replace(made.slot, repetition=repetition))
