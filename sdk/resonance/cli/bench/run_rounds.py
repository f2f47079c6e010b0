# SPDX-License-Identifier: MIT
"""How are the arms measured: in turn, in a drawn order, until the end or until Ctrl-C?"""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from typing import Protocol

import msgspec

from resonance.bench import load as generator
from resonance.bench.errors import TargetError
from resonance.bench.load import Measured, Progress
from resonance.bench.machine import this_machine
from resonance.bench.plan import Load
from resonance.bench.records import Run, Slot
from resonance.cli.bench.run_plan import Arm, Plan

__all__ = [
    "Interrupt",
    "Rounds",
    "Taken",
    "View",
    "measure_rounds",
    "runs_of",
    "stopped_by_interrupt",
]


class View(Protocol):
    """Who shows how far it is."""

    def begin(self, title: str) -> None:
        """Say what is measured next."""

    def show(self, progress: Progress) -> None:
        """Say how far that is."""


@dataclass(frozen=True, slots=True)
class Taken:
    """One slot of one arm."""

    arm: Arm
    repetition: int
    measured: Measured

    @property
    def slot(self) -> Slot:
        """What was measured."""
        return self.measured.slot


@dataclass(slots=True)
class Rounds:
    """What was measured, and what ended it early, if anything did."""

    taken: list[Taken] = field(default_factory=list[Taken])
    is_interrupted: bool = False
    error: Exception | None = None

    def of(self, arm: Arm) -> list[Taken]:
        """Return the slots of an arm, by repetition."""
        return [each for each in self.taken if each.arm is arm]

    @property
    def notes(self) -> list[str]:
        """What the generator says, each once."""
        return list(dict.fromkeys(note for each in self.taken for note in each.measured.notes))


class Interrupt:
    """Whether somebody pressed Ctrl-C."""

    def __init__(self) -> None:
        self.is_set = False

    def __call__(self) -> bool:
        """Tell whether somebody did."""
        return self.is_set


@contextmanager
def stopped_by_interrupt() -> Generator[Interrupt]:
    """Let the first Ctrl-C end the sending, and the second one end us.

    Who started us may have it ignored, as of a job in the background; then it stays so.
    """
    interrupt = Interrupt()
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        yield interrupt
        return

    def stop(_number: int, _frame: object) -> None:
        interrupt.is_set = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, stop)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)


def measure_rounds(plan: Plan, view: View, interrupt: Interrupt) -> Rounds:
    """Measure all arms once per repetition; what was measured before a failure is kept."""
    rounds = Rounds()
    for repetition in range(plan.repetitions):
        for arm in plan.order(repetition):
            view.begin(_title(plan, arm, repetition))
            try:
                measured = generator.measure(
                    arm.load_of(repetition),
                    rule=plan.rule,
                    repetition=repetition,
                    progress=view.show,
                    is_stopped=interrupt,
                )
            except (TargetError, OSError) as error:
                rounds.error = error
                return rounds
            rounds.taken.append(Taken(arm, repetition, measured))
            if interrupt.is_set:
                rounds.is_interrupted = True
                return rounds
    return rounds


def _title(plan: Plan, arm: Arm, repetition: int) -> str:
    name = arm.name if len(plan.arms) > 1 else ""
    turn = f"{repetition + 1}/{plan.repetitions}" if plan.repetitions > 1 else ""
    return " ".join(part for part in (name, turn) if part)


def runs_of(plan: Plan, rounds: Rounds) -> list[Run]:
    """Return what is written down, arm by arm; an arm without a slot is left out."""
    version, machine = metadata.version("resonance-runtime"), this_machine()
    return [
        Run(
            version=version,
            name=arm.name,
            target=str(arm.load.target),
            arrival=arm.load.arrival,
            rate_per_second=arm.load.rate_per_second,
            machine=machine,
            rule=plan.rule,
            asked=_asked(plan, arm.load),
            slots=[_written(each) for each in rounds.of(arm)],
        )
        for arm in plan.arms
        if rounds.of(arm)
    ]


def _written(taken: Taken) -> Slot:
    """Return a slot as it is written; one that was cut short says so, and is not compared."""
    slot = taken.slot
    if not taken.measured.is_partial:
        return slot
    return msgspec.structs.replace(
        slot, doubts=[*slot.doubts, f"interrupted after {slot.seconds:.1f} s"]
    )


def _asked(plan: Plan, load: Load) -> dict[str, object]:
    """Return what was asked for, without what may be secret: values of headers, bodies."""
    return {
        "seed": load.seed,
        "seconds": load.seconds,
        "warm_up_seconds": load.warm_up_seconds,
        "stages": [
            {
                "seconds": stage.seconds,
                "rate_per_second": stage.rate_per_second,
                "to_rate_per_second": stage.end_rate_per_second,
            }
            for stage in load.stages
        ],
        "requests": [
            {
                "name": request.name,
                "weight": request.weight,
                "method": request.method,
                "path": request.path,
                "headers": [name for name, _ in request.headers],
                "body_bytes": len(request.body),
            }
            for request in load.requests
        ],
        "connections": load.connections,
        "processes": load.processes,
        "timeout_seconds": load.timeout_seconds,
        "frame_bytes": load.frame_bytes,
        "verify": load.target.verify,
        "repetitions": plan.repetitions,
        "thresholds": [threshold.text for threshold in plan.thresholds],
    }
