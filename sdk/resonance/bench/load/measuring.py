# SPDX-License-Identifier: MIT
"""What came of one slot? Starts those who send, watches them, and digests what they wrote.

The parent does nothing that must be done in time: it sleeps, looks and shows. What children wrote
is there whatever becomes of them.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from math import ceil
from typing import Final, NamedTuple

import msgspec

from resonance.bench.digest import Calls, digest
from resonance.bench.load.connections import Share
from resonance.bench.load.processes import Child
from resonance.bench.load.reaching import reach
from resonance.bench.load.schedules import draw_kinds, draw_moments
from resonance.bench.load.sheets import Counter, Sheet, Signal
from resonance.bench.load.watching import Progress, Watcher
from resonance.bench.load.wires import wire_factory
from resonance.bench.plan import Load
from resonance.bench.records import Generator, Rule, Slot
from resonance.histogram import Interval

__all__ = ["Measured", "measure"]

_LOOK_SECONDS: Final = 0.05
_PROGRESS_SECONDS: Final = 0.25
_AHEAD_NS: Final = 20_000_000
_READY_SECONDS: Final = 15.0
_LATE_SECONDS: Final = 5.0
"""*Chosen*: a child that has not ended so long after its last call could end does not end."""
_BUSY_PERMILLE: Final = 600
"""*Chosen*: beyond it a process is late too often, and near what a real-time class is left."""
_NO_CLASS: Final = (
    "no real-time class is permitted here, so the generator may itself wait for a CPU: give it "
    "CAP_SYS_NICE, or say `ulimit -r 10`"
)


class Measured(NamedTuple):
    """One slot.

    Attributes
    ----------
    slot : Slot
    intervals : list of Interval
        Response times interval by interval, for a log.
    is_partial : bool
        It was stopped before its end.
    notes : tuple of str
        What the user must know, a line each.
    """

    slot: Slot
    intervals: list[Interval]
    is_partial: bool
    notes: tuple[str, ...]


def measure(
    load: Load,
    *,
    rule: Rule,
    repetition: int = 0,
    progress: Callable[[Progress], None] | None = None,
    is_stopped: Callable[[], bool] | None = None,
) -> Measured:
    """Send what is due, and return what came of it.

    Parameters
    ----------
    load : Load
    rule : Rule
    repetition : int
    progress : callable, optional
        Called about four times a second.
    is_stopped : callable, optional
        Asked about twenty times a second; true ends the sending.

    Returns
    -------
    Measured

    Raises
    ------
    TargetError
        No connection could be made, or who answers does not speak the protocol.
    PlanError
        The target's protocol cannot carry a request.
    MissingExtraError
        A library that is needed is not installed.
    """
    make_wire = wire_factory(load)
    endpoint = reach(load, make_wire)
    due_ns = draw_moments(load.stages, load.arrival, load.seed)
    sheet = Sheet(due_ns, draw_kinds(load.requests, len(due_ns), load.seed), load.processes)
    share = Share(load, endpoint, make_wire, sheet, 0)
    children: list[Child] = []
    said: list[str] = []
    try:
        for process in range(load.processes):
            children += (Child(share._replace(process=process)),)
        _await_ready(children)
        begin_ns = time.monotonic_ns() + _AHEAD_NS
        started_at = time.time() + _AHEAD_NS / 1e9
        sheet.signals[Signal.BEGIN_NS] = begin_ns
        _watch(share, children, progress, is_stopped)
    finally:
        for child in children:
            said += child.end()
    died = [how for how in (child.how_it_died() for child in children) if how]
    stop_ns = sheet.signals[Signal.STOP_NS]
    seconds = stop_ns / 1e9 if stop_ns else load.seconds
    planned = bisect_left(sheet.due_ns, stop_ns) if stop_ns else len(due_ns)
    generator = _generator(children)
    result = digest(
        _calls(sheet, planned),
        seconds=seconds,
        warm_up_seconds=min(load.warm_up_seconds, seconds),
        started_at=started_at,
        repetition=repetition,
        rule=rule,
        names=[request.name for request in load.requests] if sheet.kinds else (),
        generator=generator,
    )
    lost = [f"{len(died)} of {len(children)} generators died ({', '.join(died)})"] if died else []
    slot = msgspec.structs.replace(result.slot, doubts=[*result.slot.doubts, *lost])
    notes = [*lost, *_notes(children, generator), *said]
    return Measured(slot, result.intervals, bool(stop_ns), tuple(dict.fromkeys(notes)))


def _await_ready(children: Sequence[Child]) -> None:
    until = time.monotonic() + _READY_SECONDS
    while time.monotonic() < until:
        if all(child.is_ready or not child.is_alive() for child in children):
            return
        time.sleep(0.002)


def _watch(
    share: Share,
    children: Sequence[Child],
    progress: Callable[[Progress], None] | None,
    is_stopped: Callable[[], bool] | None,
) -> None:
    """Wait until all have ended, or should have."""
    load, sheet = share.load, share.sheet
    begin_ns = sheet.signals[Signal.BEGIN_NS]
    watcher = Watcher(sheet, load.seconds, load.timeout_seconds)
    end_seconds = load.seconds + load.timeout_seconds + _LATE_SECONDS
    shown = 0.0
    while True:
        alive = sum(child.is_alive() for child in children) > 0
        now = time.monotonic_ns() - begin_ns
        elapsed = now / 1e9
        if progress is not None and (elapsed - shown >= _PROGRESS_SECONDS or not alive):
            shown = elapsed
            progress(watcher.look(now))
        if not alive or elapsed > end_seconds:
            return
        if is_stopped is not None and is_stopped() and not sheet.signals[Signal.STOP_NS]:
            if elapsed < load.seconds:
                sheet.signals[Signal.STOP_NS] = max(1, now)
            end_seconds = min(end_seconds, max(0.0, elapsed) + 1.0 + _LATE_SECONDS)
        time.sleep(_LOOK_SECONDS)


def _calls(sheet: Sheet, planned: int) -> Calls:
    return Calls(
        due_ns=sheet.due_ns[:planned],
        reached_ns=sheet.reached_ns[:planned],
        sent_ns=sheet.sent_ns[:planned],
        ended_ns=sheet.ended_ns[:planned],
        outcomes=sheet.outcomes[:planned],
        parts=sheet.kinds[:planned] if sheet.kinds else None,
    )


def _generator(children: Sequence[Child]) -> Generator:
    lines = [child.counters for child in children]

    def total(counter: Counter) -> int:
        return sum(line[counter] for line in lines)

    return Generator(
        processes=len(lines),
        is_realtime=all(line[Counter.IS_REALTIME] for line in lines),
        cpu_cores=sum(line[Counter.CPU_NS] / max(1, line[Counter.TIME_NS]) for line in lines),
        cpu_wait_seconds=total(Counter.WAIT_NS) / 1e9,
        stalls=total(Counter.STALLS),
        is_throttled=any(line[Counter.IS_THROTTLED] for line in lines),
        waited=total(Counter.WAITED),
        connections=total(Counter.CONNECTIONS),
    )


def _notes(children: Sequence[Child], generator: Generator) -> list[str]:
    notes = [] if generator.is_realtime else [_NO_CLASS]
    highest = max(child.counters[Counter.HIGHEST_CPU_PERMILLE] for child in children)
    if generator.is_throttled:
        notes.append(
            "the kernel took the CPU from the generator, which wanted too much of it: use "
            "--processes, or a lower rate"
        )
    if highest > _BUSY_PERMILLE:
        processes = ceil(len(children) * highest / _BUSY_PERMILLE)
        notes.append(
            f"a generator used {highest / 10:.0f} % of a CPU in one second; above "
            f"{_BUSY_PERMILLE / 10:.0f} % it is late too often: use --processes {processes}"
        )
    return notes
