# SPDX-License-Identifier: MIT
"""What does a measurement look like to a person, in lines that fit the terminal?"""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from resonance.bench.records import Generator, Slot
from resonance.cli.bench.run_plan import Arm, Plan
from resonance.cli.bench.run_rounds import Rounds, Taken
from resonance.cli.bench.run_verdicts import (
    QUANTILES,
    advice,
    answers_needed,
    known_quantile,
    verdicts,
)
from resonance.cli.bench.run_words import (
    connections_text,
    failures_text,
    gap_text,
    generator_text,
    load_text,
    rate_text,
    time_text,
    verdict_text,
)
from resonance.cli.units import count_text, duration_text, safe_text
from resonance.histogram import Histogram

__all__ = ["Paint", "report"]

Paint = Callable[[str], str]

_ROW_QUANTILES: Final = {name: QUANTILES[name] for name in ("p50", "p95", "p99", "p99.9", "max")}
_LABEL_COLUMNS: Final = 12
_CELL_COLUMNS: Final = 7
_LARGE_GAP_RATIO: Final = 0.1
"""*Chosen*: of p99, between response and service; below, who reads on would look for nothing."""
_MANY_FAILED_RATIO: Final = 0.01


def report(plan: Plan, rounds: Rounds, *, columns: int, paint: Paint) -> Iterator[str]:
    """Write what was measured; `paint` makes what is not to be believed red."""
    page = _Page(columns, paint)
    for number, arm in enumerate(arm for arm in plan.arms if rounds.of(arm)):
        if number:
            yield ""
        yield from page.arm(plan, arm, rounds.of(arm))
    for note in rounds.notes:
        yield from page.wrapped("note", note)
    if rounds.is_interrupted:
        yield from page.wrapped("interrupted", "what is above is what there was until then")


class _Page:
    def __init__(self, columns: int, paint: Paint) -> None:
        self._columns = max(40, columns)
        self._paint = paint

    def wrapped(self, label: str, text: str) -> Iterator[str]:
        """Write a label and a sentence beside it."""
        yield from textwrap.wrap(
            text,
            self._columns,
            initial_indent=f"{label:{_LABEL_COLUMNS}}",
            subsequent_indent=" " * _LABEL_COLUMNS,
            break_long_words=False,
            break_on_hyphens=False,
        )

    def arm(self, plan: Plan, arm: Arm, taken: Sequence[Taken]) -> Iterator[str]:
        """Write one arm: all of its one slot, or a line for each of several."""
        target = safe_text(str(arm.load.target))
        yield f"{arm.name}: {target}" if len(plan.arms) > 1 else target
        yield from self.wrapped("load", load_text(arm.load))
        if len(taken) == 1:
            yield from self._slot(taken[0])
        else:
            yield from self._slots(taken)
        if plan.thresholds and not any(each.slot.doubts for each in taken):
            yield ""
            for verdict in verdicts(plan, [each.slot for each in taken]):
                line = f"{'threshold':{_LABEL_COLUMNS}}{verdict_text(verdict)}"
                yield line if verdict.is_met else self._paint(line)

    def _slot(self, taken: Taken) -> Iterator[str]:
        slot = taken.slot
        if taken.measured.is_partial:
            yield from self.wrapped("partial", f"{slot.seconds:.3g} s were measured")
        if not slot.planned:
            yield from self.wrapped("-", "no call was due after the warm-up")
            return
        yield from self._calls(slot)
        yield ""
        yield f"{'':{_LABEL_COLUMNS}}{''.join(f'{name:>{_CELL_COLUMNS}}' for name in QUANTILES)}"
        if not slot.doubts:
            yield _row("response", slot.histogram("response"))
            yield _row("service", slot.histogram("service"))
        yield _row("lateness", slot.histogram("lateness"))
        if not slot.doubts:
            yield from self._remarks(slot)
            if slot.parts:
                yield ""
                yield from _parts(slot)
        yield ""
        yield from self.wrapped("generator", generator_text(slot.generator))
        yield from self._doubts([taken])

    def _calls(self, slot: Slot) -> Iterator[str]:
        failed = sum(slot.failed.values())
        yield from self.wrapped(
            "rate",
            f"{rate_text(slot.planned, slot.seconds)} due, {slot.achieved_ratio:.1%} of it sent "
            "in time",
        )
        yield from self.wrapped(
            "calls", f"{slot.planned:,} due, {slot.answered:,} answered, {failed:,} failed"
        )
        if failed:
            yield from self.wrapped("failed", failures_text(slot.failed))
        yield from self.wrapped("connections", connections_text(slot.generator))

    def _remarks(self, slot: Slot) -> Iterator[str]:
        response, service = slot.histogram("response"), slot.histogram("service")
        missing = [
            f"{name} needs {answers_needed(q):,}"
            for name, q in QUANTILES.items()
            if response.count < answers_needed(q)
        ]
        if missing:
            yield from self.wrapped("-", f"{response.count:,} answers: {', '.join(missing)}")
        high, low = response.quantile(0.99), service.quantile(0.99)
        if high and low is not None and high - low > _LARGE_GAP_RATIO * high:
            yield from self.wrapped("gap", gap_text(slot, high, low))
        timed = slot.failed.get("status", 0) + slot.failed.get("timeout", 0)
        if timed > _MANY_FAILED_RATIO * slot.planned:
            yield from self.wrapped(
                "mind", f"{timed:,} of the times are of calls that failed: see above"
            )

    def _slots(self, taken: Sequence[Taken]) -> Iterator[str]:
        yield ""
        names = "".join(f"{name:>{_CELL_COLUMNS}}" for name in _ROW_QUANTILES)
        yield f"{'REPETITION':10}{'SENT':>7}{names}{'FAILED':>8}"
        for each in taken:
            yield self._slot_row(each)
        good = [each.slot for each in taken if not each.slot.doubts]
        if good:
            yield _median_row("median", [slot.histogram("response") for slot in good])
            yield _median_row("service", [slot.histogram("service") for slot in good])
        late = [known_quantile(each.slot.histogram("lateness"), 0.99) for each in taken]
        yield ""
        yield from self.wrapped(
            "lateness",
            f"p99 {duration_text(max((each for each in late if each is not None), default=None))} "
            "in the worst repetition",
        )
        yield from self.wrapped("generator", generator_text(_worst(taken)))
        yield from self.wrapped("connections", connections_text(_worst(taken)))
        failed = _summed([each.slot.failed for each in taken])
        if failed:
            yield from self.wrapped("failed", failures_text(failed))
        yield from self._doubts(taken)

    def _slot_row(self, taken: Taken) -> str:
        slot = taken.slot
        failed = sum(slot.failed.values())
        head = f"{taken.repetition:<10}{slot.achieved_ratio:7.1%}"
        if slot.doubts:
            times = f"{'not to be believed, see below':>{_CELL_COLUMNS * len(_ROW_QUANTILES)}}"
            return self._paint(f"{head}{times}{count_text(failed):>8}")
        return f"{head}{_cells(slot.histogram('response'), _ROW_QUANTILES)}{count_text(failed):>8}"

    def _doubts(self, taken: Sequence[Taken]) -> Iterator[str]:
        """Write why slots are not to be believed, and what to do, each advice once."""
        reasons: dict[str, list[str]] = {}
        for each in taken:
            where = f"repetition {each.repetition}: " if len(taken) > 1 else ""
            for doubt in each.slot.doubts:
                reasons.setdefault(advice(doubt, each.slot.generator), []).append(where + doubt)
        for remedy, doubts in reasons.items():
            yield ""
            for doubt in doubts:
                lines = textwrap.wrap(f"NOT TO BE BELIEVED: {doubt}", self._columns)
                yield from map(self._paint, lines)
            yield from textwrap.wrap(
                remedy, self._columns, initial_indent="  ", subsequent_indent="  "
            )


def _row(label: str, histogram: Histogram) -> str:
    return f"{label:{_LABEL_COLUMNS}}{_cells(histogram, QUANTILES)}"


def _cells(histogram: Histogram, quantiles: dict[str, float]) -> str:
    values = (known_quantile(histogram, q) for q in quantiles.values())
    return "".join(f"{time_text(value):>{_CELL_COLUMNS}}" for value in values)


def _median_row(label: str, histograms: Sequence[Histogram]) -> str:
    cells: list[str] = []
    for q in _ROW_QUANTILES.values():
        values = [known_quantile(each, q) for each in histograms]
        known = [value for value in values if value is not None]
        median = statistics.median(known) if len(known) == len(values) else None
        cells.append(f"{time_text(median):>{_CELL_COLUMNS}}")
    return f"{label:17}{''.join(cells)}"


def _parts(slot: Slot) -> Iterator[str]:
    yield f"{'REQUEST':18}{'DUE':>11}{'FAILED':>9}{'p50':>7}{'p99':>7}{'max':>7}"
    quantiles = {name: QUANTILES[name] for name in ("p50", "p99", "max")}
    for name, part in slot.parts.items():
        label = name if len(name) <= 17 else f"{name[:16]}…"
        cells = _cells(Histogram.decode(part.response), quantiles)
        yield f"{safe_text(label):18}{part.planned:11,}{part.failed:9,}{cells}"


def _worst(taken: Sequence[Taken]) -> Generator:
    """Return the generator of all repetitions, each number of the worst of them."""
    each = [one.slot.generator for one in taken]
    return Generator(
        processes=max(one.processes for one in each),
        is_realtime=all(one.is_realtime for one in each),
        cpu_cores=max(one.cpu_cores for one in each),
        cpu_wait_seconds=max(one.cpu_wait_seconds for one in each),
        stalls=max(one.stalls for one in each),
        is_throttled=any(one.is_throttled for one in each),
        waited=max(one.waited for one in each),
        connections=max(one.connections for one in each),
    )


def _summed(counts: Sequence[dict[str, int]]) -> dict[str, int]:
    kinds = dict.fromkeys(kind for each in counts for kind in each)
    return {kind: sum(each.get(kind, 0) for each in counts) for kind in kinds}
