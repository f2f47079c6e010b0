# SPDX-License-Identifier: MIT
"""How long does it take, at that rate? Sends what is due when it is due, and reports.

::

    run_options    what can be said to it
    run_plan       arguments, or a scenario -> arms, repetitions, thresholds
    run_rounds     measures them in turn, until the end or until Ctrl-C
    run_progress   a bar, or a line per second
    run_verdicts   is it to be believed, is it good enough, which exit code
    run_text       the report for people, in the words of run_words; run_json for programs
    run_files      results and logs
"""

from __future__ import annotations

import argparse
import functools
import os
import shutil
import sys

import msgspec

from resonance.bench.errors import PlanError
from resonance.bench.scenarios import example_text
from resonance.cli.bench.run_files import make_ready, write_log, write_runs
from resonance.cli.bench.run_json import as_json
from resonance.cli.bench.run_options import options
from resonance.cli.bench.run_plan import Plan, plan_of
from resonance.cli.bench.run_progress import open_view
from resonance.cli.bench.run_rounds import Rounds, measure_rounds, runs_of, stopped_by_interrupt
from resonance.cli.bench.run_text import Paint, report
from resonance.cli.bench.run_verdicts import exit_code
from resonance.cli.connection import CommandError
from resonance.cli.options import Subparsers
from resonance.errors import MissingExtraError
from resonance.histogram import Histogram

__all__ = ["add_parser"]

_RED, _PLAIN = "\33[31m", "\33[0m"


def add_parser(subparsers: Subparsers) -> None:
    """Add ``bench run``."""
    parser = options(subparsers)
    parser.set_defaults(run=functools.partial(_run, parser))


def _run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    if arguments.print_example:
        print(example_text(), end="")
        return 0
    if arguments.target is None:
        parser.error("say a TARGET, such as http://127.0.0.1:8080/, or a scenario")
    try:
        plan = plan_of(arguments)
        Histogram().encode()  # or it is known to be impossible only after all of it
        make_ready(plan, arguments.output, arguments.log)
        rounds = _measured(plan, is_quiet=arguments.json)
    except PlanError as error:
        parser.error(str(error))
    except MissingExtraError as error:
        raise CommandError(str(error)) from None
    return _finished(arguments, plan, rounds)


def _measured(plan: Plan, *, is_quiet: bool) -> Rounds:
    with stopped_by_interrupt() as interrupt, open_view(is_quiet=is_quiet) as view:
        return measure_rounds(plan, view, interrupt)


def _finished(arguments: argparse.Namespace, plan: Plan, rounds: Rounds) -> int:
    """Write files first, so that nothing is lost when the reader of the text has gone."""
    if not rounds.taken:
        raise CommandError(str(rounds.error))
    failures = _written(arguments, plan, rounds)
    code = exit_code(plan, rounds)
    if failures and code == 0:
        code = 1
    if arguments.json:
        document = msgspec.json.encode(as_json(plan, rounds, code))
        print(msgspec.json.format(document, indent=2).decode())
    else:
        columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else 80
        print("\n".join(report(plan, rounds, columns=columns, paint=_paint())))
    sys.stdout.flush()
    for failure in (*failures, rounds.error):
        if failure is not None:
            print(f"resonance: {failure}", file=sys.stderr)
    return code


def _written(arguments: argparse.Namespace, plan: Plan, rounds: Rounds) -> list[CommandError]:
    failures: list[CommandError] = []
    try:
        if arguments.output:
            write_runs(arguments.output, runs_of(plan, rounds))
    except CommandError as error:
        failures.append(error)
    try:
        if arguments.log:
            write_log(arguments.log, rounds)
    except CommandError as error:
        failures.append(error)
    return failures


def _paint() -> Paint:
    """Return what makes a line red, where that is seen."""
    is_seen = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return (lambda line: f"{_RED}{line}{_PLAIN}") if is_seen else str
