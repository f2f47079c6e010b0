# SPDX-License-Identifier: MIT
"""What does each arm have, in rows: percentiles, costs, and what the generator was like?"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from resonance.bench.comparing import Comparison, Row, fewest_answers
from resonance.bench.records import QUANTILES, Run
from resonance.bench.report.labels import estimate_text, milliseconds_text, ratio_text, share_text
from resonance.bench.report.series import believed, is_beyond_chance
from resonance.bench.report.words import escaped
from resonance.histogram import Quantiles

__all__ = ["arm_table", "load_table", "parts_table"]

_NOTHING: Final = '<span class="faint">–</span>'  # noqa: RUF001 - an empty cell
_WITHHELD: Final = '<span class="bad">withheld</span>'
_MILLISECONDS: Final = "<small>ms</small>"


_Costs = dict[str, float]


class _Column(NamedTuple):
    title: str
    cell: Callable[[Row], str]


def arm_table(comparison: Comparison) -> Iterator[str]:
    """Return what each arm had and cost, and its ratios.

    Parameters
    ----------
    comparison : Comparison

    Yields
    ------
    str
        HTML.
    """
    columns = list(_columns(comparison))
    heads = [f"<th scope=col>{column.title}</th>" for column in columns]
    yield from _open("arms", ["<th scope=col>arm</th>", *heads])
    for row in comparison.rows:
        role = (
            "" if row.role == "arm" or len(comparison.rows) == 1 else f" <small>{row.role}</small>"
        )
        cells = "".join(f"<td>{column.cell(row)}</td>" for column in columns)
        yield f"<tr><th scope=row>{escaped(row.name)}{role}</th>{cells}</tr>"
    yield "</tbody></table></div>"
    yield from _absences(comparison.rows)


def _open(label: str, heads: Sequence[str]) -> Iterator[str]:
    yield f'<div class="scroll" role="region" aria-label="{label}" tabindex="0"><table>'
    yield f"<thead><tr>{''.join(heads)}</tr></thead><tbody>"


def _absences(rows: Sequence[Row]) -> Iterator[str]:
    reasons = Counter(each for row in rows for each in row.absent.items() if row.medians)
    for (name, reason), times in reasons.items():
        arms = "" if times == len(rows) else f" ({times} of {len(rows)} arms)"
        yield f'<p class="faint">{name} is not told{arms}: {escaped(reason)}.</p>'


def _columns(comparison: Comparison) -> Iterator[_Column]:
    told = [name for name in QUANTILES if any(name in row.medians for row in comparison.rows)]
    for name in told or list(QUANTILES):
        yield _Column(f"{name} {_MILLISECONDS}", partial(_cell, comparison, name))
    if any("p99" in row.against for row in comparison.rows):
        yield _Column("sign test <small>at p99</small>", _sign)
    if any("p99" in row.service_medians for row in comparison.rows):
        yield _Column(f"service p99 {_MILLISECONDS}", _service)
    costs = {name for row in comparison.rows for name in row.costs}
    base = next(row.costs for row in comparison.rows if row.role == "baseline")
    if not any(row.costs.get("failed_ratio") for row in comparison.rows):
        costs.discard("failed_ratio")
    for name, title, text_of in _COSTS:
        if name in costs:
            yield _Column(title, partial(text_of, base, name))
    late = _lateness(comparison)
    yield _Column("lateness p99 <small>µs</small>", partial(_by_name, late))
    doubted = {run.name: _doubted(run) for run in comparison.scene.runs}
    yield _Column("not believed", partial(_by_name, doubted))


def _by_name(cells: dict[str, str], row: Row) -> str:
    return cells.get(row.name, _NOTHING)


def _cell(comparison: Comparison, name: str, row: Row) -> str:
    if name not in row.medians:
        return _NOTHING if comparison.repetitions else _WITHHELD
    value = f"<b>{milliseconds_text(row.medians[name])}</b>"
    effect = row.against.get(name)
    if effect is None:
        return value
    told = estimate_text(effect.estimate)
    if not is_beyond_chance(comparison, name, effect):
        return f"{value}<small>{told}</small>"
    kind, mark = ("good", "▼") if effect.estimate.ratio < 1.0 else ("bad", "▲")
    return f'{value}<small class="{kind}">{mark} {told}</small>'


def _sign(row: Row) -> str:
    effect = row.against.get("p99")
    if effect is None:
        return _NOTHING
    chance = effect.sign_probability
    return f"{chance:.2f}" if chance >= 0.0095 else f"{chance:.1g}"


def _service(row: Row) -> str:
    value = row.service_medians.get("p99")
    return _NOTHING if value is None else milliseconds_text(value)


def _share(base: _Costs, name: str, row: Row) -> str:
    del base
    return share_text(row.costs[name]) if name in row.costs else _NOTHING


def _by_baseline(base: _Costs, name: str, row: Row) -> str:
    value, reference = row.costs.get(name), base.get(name)
    return ratio_text(value / reference) if value and reference else _NOTHING


_COSTS: Final[tuple[tuple[str, str, Callable[[_Costs, str, Row], str]], ...]] = (
    ("extra_ratio", "extra requests", _share),
    ("wasted_ratio", "wasted work", _share),
    ("hedge_win_ratio", "copies that won", _share),
    ("job_p50_seconds", "batch job p50 <small>by the baseline's</small>", _by_baseline),
    ("job_rate_per_second", "batch rate <small>by the baseline's</small>", _by_baseline),
    ("failed_ratio", "failed", _share),
)


def _lateness(comparison: Comparison) -> dict[str, str]:
    kept, found = believed(comparison), dict[str, str]()
    for run in comparison.scene.runs:
        late = (slot.quantile(0.99, "lateness") for slot in run.slots if slot.repetition in kept)
        values = [seconds for seconds in late if seconds is not None]
        if values:
            found[run.name] = f"{statistics.median(values) * 1e6:,.0f}"
    return found


def _median(slots: Sequence[Quantiles], q: float) -> str:
    if not slots or any(each.count < fewest_answers(q) for each in slots):
        return _NOTHING
    values = [value for each in slots if (value := each.at(q)) is not None]
    return milliseconds_text(statistics.median(values))


def _doubted(run: Run) -> str:
    times = sum(bool(slot.doubts) for slot in run.slots)
    return f'<span class="bad">{times} of {len(run.slots)}</span>' if times else "0"


def load_table(runs: Sequence[Run]) -> Iterator[str]:
    """Return what was asked of each arm, what became of it, and what the generator was like.

    Parameters
    ----------
    runs : sequence of Run

    Yields
    ------
    str
        HTML.
    """
    titles = (
        "arm", "target", "calls per second", "due", "sent in time", "answered", "failed",
        "waited for a connection", "generator",
    )  # fmt: skip
    yield from _open("load", [f"<th scope=col>{title}</th>" for title in titles])
    for run in runs:
        due = sum(slot.planned for slot in run.slots)
        sent = sum(slot.sent for slot in run.slots)
        answered = sum(slot.answered for slot in run.slots)
        cells = (
            f"{run.rate_per_second:,.0f} {run.arrival}",
            f"{due:,}",
            f"{sent / due:.1%}" if due else _NOTHING,
            f"{answered:,}",
            escaped(_failures(run)),
            f"{sum(slot.generator.waited for slot in run.slots):,}",
        )
        yield (
            f"<tr><th scope=row>{escaped(run.name)}</th>"
            f'<td class="words">{escaped(run.target)}</td>'
            f"{''.join(f'<td>{cell}</td>' for cell in cells)}"
            f'<td class="words">{escaped(", ".join(_generator(run)))}</td></tr>'
        )
    yield "</tbody></table></div>"


def parts_table(comparison: Comparison) -> Iterator[str]:
    """Return what each kind of request took in each arm; nothing where there is but one kind.

    Parameters
    ----------
    comparison : Comparison

    Yields
    ------
    str
        HTML.

    Raises
    ------
    ResultFormatError
        A histogram cannot be read.
    """
    kept = believed(comparison)
    runs = [run for run in comparison.scene.runs if any(slot.parts for slot in run.slots)]
    if not runs:
        return
    titles = ("arm", "request", "due", "failed", *(f"{name} {_MILLISECONDS}" for name in QUANTILES))
    yield from _open("requests", [f"<th scope=col>{title}</th>" for title in titles])
    for run in runs:
        slots = [slot for slot in run.slots if slot.repetition in kept]
        for name in dict.fromkeys(name for slot in run.slots for name in slot.parts):
            parts = [slot.parts[name] for slot in run.slots if name in slot.parts]
            quantiles = [
                slot.parts[name].histogram().quantiles() for slot in slots if name in slot.parts
            ]
            cells = (
                f"{sum(part.planned for part in parts):,}",
                f"{sum(part.failed for part in parts):,}",
                *(_median(quantiles, q) for q in QUANTILES.values()),
            )
            yield (
                f"<tr><th scope=row>{escaped(run.name)}</th><th scope=row>{escaped(name)}</th>"
                f"{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
            )
    yield "</tbody></table></div>"


def _failures(run: Run) -> str:
    failed = Counter[str]()
    for slot in run.slots:
        failed.update(slot.failed)
    return ", ".join(f"{count:,} {kind}" for kind, count in failed.items()) or "0"


def _generator(run: Run) -> Iterable[str]:
    """Yield what the generator was like, as far as the tool that measured tells."""
    if run.tool != "resonance":
        yield run.tool
        return
    ours = [slot.generator for slot in run.slots]
    processes = max((each.processes for each in ours), default=1)
    yield f"{processes} process{'es' if processes > 1 else ''}"
    yield "real-time" if all(each.is_realtime for each in ours) else "not real-time"
    stalls = sum(each.stalls for each in ours)
    if stalls:
        yield f"{stalls} stalls of 10 ms or more"
    if any(each.is_throttled for each in ours):
        yield "throttled by the kernel"
