# SPDX-License-Identifier: MIT
"""What did one arm gain beside another: a table for people, JSON, and an exit code for CI."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from resonance.bench.comparing import (
    FEWEST_PAIRS,
    Comparison,
    Gate,
    Row,
    Verdict,
    compare,
    judge,
    parse_gate,
)
from resonance.bench.errors import BenchError
from resonance.bench.records import QUANTILES
from resonance.cli.bench.results import read_scene
from resonance.cli.options import Subparsers, add_output_option
from resonance.cli.units import duration_text, quantity_text, safe_text
from resonance.errors import MissingExtraError

__all__ = ["add_parser", "comparison_lines"]

_MISSED: Final = 1
_WRONG: Final = 2
_NOT_BELIEVED: Final = 3
_COLUMNS: Final = 80
_NAME_COLUMNS: Final = 22
_DESCRIPTION = """\
Compare arms repetition by repetition: the median of the ratios to the baseline,
its 95 % bootstrap interval, and a sign test. Repetitions in which any arm was
disturbed are left out for all. Only what met the same load, on one machine and
measured by one release, is compared.
"""
_EXAMPLES = f"""\
gates:
  p99<=0.85             by the baseline's; below 1 the interval must not hold 1
  p50<=1.03             1 or more: the median alone
  failed_ratio<=0.001   a cost, as it is; failed_ratio>=... is known, too
  'idle:p99.9<=0.4'     of the arm called idle alone

examples:
  resonance bench compare results/ --gate 'p99<=0.85'
  resonance bench compare before.json after.json --placebo again.json \\
      --gate 'p99<=0.85' --gate 'failed_ratio<=0.001'
  resonance bench compare reference.json --scene 'one node' --output json

exit status:
  0  all gates are met; without any, the comparison is to be believed
  1  a gate is missed
  2  wrong arguments, no results, or results that may not be compared
  3  not to be believed: the placebo is not 1, fewer than {FEWEST_PAIRS} repetitions are
     left, or there are too few answers
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add ``bench compare``."""
    parser = subparsers.add_parser(
        "compare",
        help="paired ratios, intervals, gates",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "results", nargs="+", type=Path, metavar="RESULT",
        help="files of runs, or directories of them; or one file of an experiment",
    )  # fmt: skip
    parser.add_argument(
        "--baseline", metavar="NAME",
        help="the arm to compare with (default: the first, of a directory `baseline`)",
    )  # fmt: skip
    parser.add_argument(
        "--placebo", metavar="RESULT",
        help="the baseline measured once more: a file, or the name of an arm (default: the one "
        "that is called `placebo`)",
    )  # fmt: skip
    parser.add_argument("--scene", metavar="NAME", help="which scene of an experiment")
    parser.add_argument(
        "--gate", dest="gates", action="append", default=[], type=_gate, metavar="EXPR",
        help="a bar; may be given more than once",
    )  # fmt: skip
    add_output_option(parser)
    parser.set_defaults(run=_compare)


def _gate(text: str) -> Gate:
    try:
        return parse_gate(text)
    except BenchError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _compare(arguments: argparse.Namespace) -> int:
    try:
        scene = read_scene(
            arguments.results,
            baseline=arguments.baseline,
            placebo=arguments.placebo,
            scene=arguments.scene,
        )
        comparison = compare(scene)
        verdicts = judge(comparison, arguments.gates)
    except (BenchError, MissingExtraError, OSError) as error:
        print(f"resonance: {safe_text(str(error))}", file=sys.stderr)
        return _WRONG
    code = _code(comparison, verdicts)
    if arguments.output == "json":
        text = msgspec.json.format(msgspec.json.encode(_json(comparison, verdicts, code)), indent=2)
        print(text.decode())
    else:
        print(*comparison_lines(comparison, verdicts), sep="\n")
    return code


def _code(comparison: Comparison, verdicts: Sequence[Verdict]) -> int:
    outcomes = {verdict.outcome for verdict in verdicts}
    if "missed" in outcomes:
        return _MISSED
    is_known = outcomes == {"met"} if outcomes else comparison.is_believed
    return 0 if is_known else _NOT_BELIEVED


def _json(comparison: Comparison, verdicts: Sequence[Verdict], code: int) -> dict[str, Any]:
    scene = comparison.scene
    return {
        "scene": scene.name,
        "summary": scene.summary,
        "baseline": scene.baseline,
        "placebo": scene.placebo,
        "machine": scene.run(scene.baseline).machine,
        "repetitions": comparison.repetitions,
        "excluded": comparison.excluded,
        "warnings": comparison.warnings,
        "noisy": comparison.noisy,
        "is_believed": comparison.is_believed,
        "rows": comparison.rows,
        "gates": verdicts,
        "conclusion": _conclusion(comparison, verdicts),
        "exit_status": code,
    }


def comparison_lines(comparison: Comparison, verdicts: Sequence[Verdict] = ()) -> Iterator[str]:
    """Write a comparison for people, in 80 columns; the last line says all of it."""
    scene = comparison.scene
    yield from _wrapped(f"{scene.name}: {scene.summary}" if scene.summary else scene.name)
    yield from _wrapped(
        f"{comparison.repetitions} repetitions, {len(comparison.excluded)} left out; medians, "
        "from when calls were due and (service) from when they were sent"
    )
    yield ""
    yield (
        f"{'ARM':{_NAME_COLUMNS}} {'':5} {'MEDIAN':>7} {'SERVICE':>7}"
        f"  {_cut('BY ' + scene.baseline, 19):19}  {'SIGN p':>6}"
    )
    for row in comparison.rows:
        yield from _arm(row)
    yield ""
    yield from _floor(comparison)
    for title, lines in (
        ("not told", _absent(comparison.rows)),
        ("left out", comparison.excluded),
        ("warning", comparison.warnings),
    ):
        for line in lines:
            yield from _wrapped(f"{title}: {line}")
    for verdict in verdicts:
        yield from _wrapped(
            f"gate {verdict.gate}: {verdict.arm}: {verdict.outcome.upper()}: {verdict.reason}"
        )
    yield _conclusion(comparison, verdicts)


def _arm(row: Row) -> Iterator[str]:
    name = _cut(row.name, _NAME_COLUMNS)
    for each in QUANTILES:
        if each in row.medians:
            median = duration_text(row.medians[each])
            service = duration_text(row.service_medians.get(each))
            line = f"{name:{_NAME_COLUMNS}} {each:5} {median:>7} {service:>7}"
            yield f"{line}  {_ratio(row, each)}".rstrip()
            name = ""
    if name:
        yield f"{name:{_NAME_COLUMNS}} nothing is known"
    costs = (quantity_text(key, value) for key, value in row.costs.items())
    told = ", ".join(f"{label} {value}" for label, value in costs)
    is_told = any(value for value in row.costs.values()) or len(row.costs) > 1
    if is_told:
        yield from textwrap.wrap(told, _COLUMNS - 2, initial_indent="  ", subsequent_indent="  ")


def _ratio(row: Row, name: str) -> str:
    if name not in row.against:
        return ""
    effect = row.against[name]
    estimate = effect.estimate
    ends = f"[{estimate.low:.3f}-{estimate.high:.3f}]"
    interval = ends if effect.is_known else f"({estimate.low:.3f}-{estimate.high:.3f})"
    if effect.pairs == 1:
        interval = "no interval"
    return f"{f'{estimate.ratio:.3f} {interval}':19}  {effect.sign_probability:6.4f}"


def _floor(comparison: Comparison) -> Iterator[str]:
    if comparison.scene.placebo is None:
        yield from _wrapped(
            "noise: no placebo; the baseline measured once more would tell what is noise here"
        )
    known = {name: effect for name, effect in comparison.noise.items() if effect.is_known}
    if known:
        floors = (
            f"{name} {max(abs(end - 1.0) for end in (each.estimate.low, each.estimate.high)):.0%}"
            for name, each in known.items()
        )
        yield from _wrapped(f"noise: the placebo's interval reaches from 1 by {', '.join(floors)}")
    if comparison.noisy:
        yield from _wrapped(
            f"too noisy: the same thing differed from itself in {', '.join(comparison.noisy)}; "
            "nothing is known of these. Measure again, on a quieter machine or for longer"
        )
    if comparison.too_few:
        yield from _wrapped(f"too few: {comparison.too_few}")
    if 1 < comparison.repetitions < FEWEST_PAIRS:
        yield "in parentheses: the least and the greatest ratio, which are no 95 % interval"


def _absent(rows: Sequence[Row]) -> Iterator[str]:
    """Say why a quantile is not told, once for all arms of which it is not for that reason."""
    arms: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for name, reason in row.absent.items() if row.medians else ():
            arms.setdefault((name, reason), []).append(row.name)
    for (name, reason), of in arms.items():
        whose = "" if len(of) == len(rows) else f" of {', '.join(of)}"
        yield f"{name}{whose}: {reason}"


def _conclusion(comparison: Comparison, verdicts: Sequence[Verdict]) -> str:
    """Say all of it in one line."""
    pairs = f"{comparison.repetitions} repetitions"
    outcomes = [verdict.outcome for verdict in verdicts]
    if outcomes:
        counts = (outcomes.count("met"), outcomes.count("missed"), outcomes.count("not known"))
        return "gates: {} met, {} missed, {} not known; ".format(*counts) + pairs
    if not comparison.is_believed:
        why = comparison.too_few or f"noise in {', '.join(comparison.noisy)}"
        return f"not to be believed: {why}; {pairs}"
    arms = [row for row in comparison.rows if row.role == "arm" and "p99" in row.against]
    told = "; ".join(
        f"p99 of {_cut(row.name, _NAME_COLUMNS)} {row.against['p99'].estimate.ratio:.3f}"
        for row in arms[:1]
    )
    return f"compared: {pairs}" + (f"; {told}" if len(arms) == 1 else f", {len(arms)} arms")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(safe_text(text), _COLUMNS, subsequent_indent="  ")


def _cut(text: str, columns: int) -> str:
    text = safe_text(text)
    return text if len(text) <= columns else f"{text[: columns - 1]}…"
