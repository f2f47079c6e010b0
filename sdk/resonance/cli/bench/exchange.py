# SPDX-License-Identifier: MIT
"""What do wrk2 and k6 say of the same load? Their scripts, and their results as ours."""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from resonance.bench.errors import PlanError, ResultFormatError
from resonance.bench.foreign import k6_script, read_k6, read_wrk2, wrk2_command
from resonance.bench.load import parse_target
from resonance.bench.plan import Load, Stage
from resonance.bench.records import QUANTILES, Run, Slot, write_result
from resonance.bench.scenarios import Scenario, load_scenario, parse_duration
from resonance.cli.connection import CommandError
from resonance.cli.options import Subparsers
from resonance.cli.units import duration_text, safe_text
from resonance.errors import MissingExtraError

__all__ = ["add_parser"]

_TOOLS: Final = ("k6", "wrk2")
_NOT_BELIEVED: Final = 3
_DURATION_SECONDS: Final = 30.0
_OF_SCENARIO: Final = ("rate", "duration", "warm_up", "timeout", "connections", "processes")
"""What a scenario file says itself."""

_EXPORT: Final = """\
Write the script with which another generator sends the same load: for k6 in
JavaScript, for wrk2 one for the shell. Headers, bodies, stages and mixes are
said in a scenario. Both send evenly spaced.
"""
_EXPORT_EXAMPLES: Final = """\
examples:
  resonance bench export http://127.0.0.1:8080/ --rate 2000 --to wrk2
  resonance bench export load.toml --arrival constant --to k6 --output load.js

exit status:
  0  written      1  it cannot be written
  2  wrong arguments, or a load that the tool cannot send
"""
_IMPORT: Final = """\
Read what another generator measured, so that it can be reported and compared:
of k6 all points (k6 run --out json=points.json.gz), of wrk2 what it prints
with --latency or -U.
"""
_IMPORT_EXAMPLES: Final = """\
examples:
  resonance bench import points.json.gz --from k6 --output k6.json
  resonance bench import wrk2.txt --from wrk2 --rate 2000 --output wrk2.json

exit status:
  0  written      1  no such result, or it cannot be written
  2  wrong arguments
  3  written, but not to be believed: the text says why
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add ``bench export`` and ``bench import``."""
    _add_export(subparsers)
    _add_import(subparsers)


def _add_export(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "export",
        help="a script for wrk2 or k6",
        description=_EXPORT,
        epilog=_EXPORT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", metavar="TARGET|SCENARIO.toml", help="as for `bench run`")
    parser.add_argument("--to", choices=_TOOLS, required=True, help="who is to send")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default standard output")
    parser.add_argument("--rate", type=float, metavar="N", help="calls per second")
    parser.add_argument(
        "--arrival", choices=("constant",), help="evenly spaced, whatever the scenario says"
    )
    for name, text in (
        ("duration", "warm-up included (default 30s)"),
        ("warm-up", "sent, but not in the result (default 0)"),
        ("timeout", "of a call (default 10s)"),
    ):
        parser.add_argument(f"--{name}", type=_duration, metavar="T", help=text)
    parser.add_argument("--connections", type=int, metavar="N", help="at most (default 256)")
    parser.add_argument("--processes", type=int, metavar="N", help="of wrk2: threads (default 1)")
    parser.add_argument("--insecure", action="store_true", help="accept any certificate")
    parser.set_defaults(run=functools.partial(_export, parser))


def _add_import(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "import",
        help="their results as ours",
        description=_IMPORT,
        epilog=_IMPORT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--from", dest="tool", choices=_TOOLS, required=True, help="who measured")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the result")
    parser.add_argument("--name", metavar="NAME", help="of the arm (default that of the file)")
    parser.add_argument("--target", metavar="URL", help="where calls went, if FILE does not tell")
    parser.add_argument(
        "--rate", type=float, metavar="N",
        help="calls per second it was told to send; of wrk2 always, of k6 without our script",
    )  # fmt: skip
    parser.set_defaults(run=functools.partial(_import, parser))


def _export(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    try:
        scenario = _scenario(arguments)
        text = (
            k6_script(scenario.load, scenario.thresholds)
            if arguments.to == "k6"
            else wrk2_command(scenario.load)
        )
    except PlanError as error:
        parser.error(str(error))
    output: Path | None = arguments.output
    if output is None:
        print(text, end="")
        return 0
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _not_written(output, error) from None
    print(f"wrote {safe_text(str(output))}")
    return 0


def _scenario(arguments: argparse.Namespace) -> Scenario:
    text: str = arguments.target
    if "://" in text or not (text.endswith(".toml") or os.path.exists(text)):
        return Scenario(_made(arguments, text))
    for name in _OF_SCENARIO:
        if getattr(arguments, name) is not None:
            option = f"--{name.replace('_', '-')}"
            raise PlanError(option, f"is what {text} says; change it there")
    scenario = load_scenario(text)
    load = scenario.load
    target = replace(load.target, verify=load.target.verify and not arguments.insecure)
    arrival = arguments.arrival or load.arrival
    return replace(scenario, load=replace(load, target=target, arrival=arrival))


def _made(arguments: argparse.Namespace, text: str) -> Load:
    if arguments.rate is None:
        raise PlanError("--rate", "how many calls per second? such as --rate 2000")
    given = {
        "warm_up_seconds": arguments.warm_up,
        "timeout_seconds": arguments.timeout,
        "connections": arguments.connections,
        "processes": arguments.processes,
    }
    return Load(
        target=parse_target(text, verify=not arguments.insecure),
        stages=(Stage(arguments.duration or _DURATION_SECONDS, arguments.rate),),
        arrival="constant",
        **{name: value for name, value in given.items() if value is not None},
    )


def _import(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    readers: dict[str, Callable[..., Run]] = {"k6": read_k6, "wrk2": read_wrk2}
    try:
        run = readers[arguments.tool](
            arguments.file,
            name=arguments.name,
            target=arguments.target,
            rate_per_second=arguments.rate,
        )
    except PlanError as error:
        parser.error(f"--{error.key}: {error.reason}")
    except (ResultFormatError, MissingExtraError, OSError) as error:
        raise CommandError(safe_text(str(error))) from None
    try:
        write_result(arguments.output, run)
    except OSError as error:
        raise _not_written(arguments.output, error) from None
    (slot,) = run.slots
    print("\n".join((*_lines(run, slot), f"wrote {safe_text(str(arguments.output))}")))
    return _NOT_BELIEVED if slot.doubts else 0


def _lines(run: Run, slot: Slot) -> list[str]:
    how = "each sent after another" if run.arrival == "closed" else "evenly spaced"
    calls = f"{slot.planned:,} calls at {run.rate_per_second:,.6g}/s, {how}"
    lines = [
        f"{run.tool} to {safe_text(run.target)}",
        f"{calls}: {slot.sent:,} sent, {slot.answered:,} answered",
    ]
    if slot.doubts:
        return [*lines, *(f"not to be believed: {doubt}" for doubt in slot.doubts)]
    values = [f"{name} {duration_text(slot.quantile(q))}" for name, q in QUANTILES.items()]
    return [*lines, "response " + "  ".join(values)]


def _not_written(path: Path, error: OSError) -> CommandError:
    return CommandError(f"{safe_text(str(path))}: {error.strerror or error}; nothing was written")


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except PlanError as error:
        raise argparse.ArgumentTypeError(error.reason) from None
