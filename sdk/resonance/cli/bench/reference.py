# SPDX-License-Identifier: MIT
"""What does each thing we do gain on this machine: the experiment behind our own claims."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from resonance.bench.comparing import compare
from resonance.bench.errors import BenchError
from resonance.bench.records import Experiment, write_result
from resonance.cli.bench.compare import comparison_lines
from resonance.cli.connection import CommandError
from resonance.cli.options import Subparsers

__all__ = ["add_parser"]

_NOT_BELIEVED: Final = 3
_MOST_TIMES: Final = 100
_DESCRIPTION = """\
Measure what each thing we do gains on this machine, in a quarter of an hour:
replica choice with one client and with twenty, hedging, CPU isolation, phase
control, and all together, each beside a baseline, and the baseline once more.
Everything runs in cgroups of its own, which are gone afterwards. Needs root, a
C compiler and `resonanced`; give it a machine that does nothing else.
"""
_EXAMPLES = """\
examples:
  resonance bench reference                        all of it; a quarter of an hour
  resonance bench reference --scene 'one node'     one scene
  resonance bench reference --smoke                does it run here? 90 seconds
  resonance bench reference --list                 what there is

exit status:
  0  measured      1  something could not be measured, or the host is not as before
  2  wrong arguments
  3  measured, but a scene is too noisy to be believed
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add ``bench reference``."""
    parser = subparsers.add_parser(
        "reference",
        help="the experiment behind our own claims",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--scene", dest="scenes", action="append", metavar="NAME",
        help="measure this one; may be given more than once",
    )  # fmt: skip
    parser.add_argument("--list", action="store_true", help="list the scenes")
    parser.add_argument(
        "--smoke", action="store_true", help="one repetition of short slots, that measure nothing"
    )
    parser.add_argument(
        "--times", type=_times, default=1, metavar="N",
        help="N times as many repetitions (default 1)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=int, metavar="N", help="draw what an earlier run drew (default: a new one)"
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIRECTORY",
        help="where reference.json, reference.html and logs are written (default: "
        "reference-DATE here)",
    )  # fmt: skip
    parser.set_defaults(run=_reference)


def _times(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_TIMES:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to {_MOST_TIMES}")
    return int(text)


def _reference(arguments: argparse.Namespace) -> int:
    # Here: it takes the daemon's command and much else to import this.
    from resonance.bench import reference

    if arguments.list:
        print(*reference.NAMES, sep="\n")
        return 0
    names: Sequence[str] = arguments.scenes or reference.DEFAULT
    for name in names:
        if name not in reference.NAMES:
            raise CommandError(f"no scene is called {name!r}; --list tells them")
    output: Path = arguments.output or Path(time.strftime("reference-%Y-%m-%d-%H%M"))
    output.mkdir(parents=True, exist_ok=True)
    try:
        measured = reference.run(
            names,
            progress=_Progress(),
            seed=arguments.seed if arguments.seed is not None else int(time.time()),
            times=arguments.times,
            is_smoke=arguments.smoke,
            logs=output,
        )
    except BenchError as error:
        raise CommandError(str(error)) from error
    return _told(measured, output, is_smoke=arguments.smoke)


class _Progress:
    """A line for each slot: nothing here may wake up while a slot is measured."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, what: str, done: int, whole: int) -> None:
        minutes, seconds = divmod(round(time.monotonic() - self._began), 60)
        line = f"{minutes:2}:{seconds:02}  {done:3} of {whole}  {what}"
        is_terminal = sys.stderr.isatty()
        print(
            f"\r\33[K{line}" if is_terminal else line,
            end="" if is_terminal and done < whole else "\n",
            file=sys.stderr,
            flush=True,
        )


def _told(measured: Experiment, output: Path, *, is_smoke: bool) -> int:
    """Write it down, print the tables, and return the exit status."""
    from resonance.bench.report import page

    comparisons = [compare(scene) for scene in measured.scenes]
    write_result(output / "reference.json", measured)
    (output / "reference.html").write_text(page(measured, comparisons), encoding="utf-8")
    for comparison in comparisons:
        print(*comparison_lines(comparison), "", sep="\n")
    print(f"{measured.machine}; {measured.seconds / 60:.0f} minutes")
    faults = [*measured.notes, *(measured.differences or ())]
    for fault in faults:
        print(f"resonance: {fault}", file=sys.stderr)
    if not faults:
        print("the host is as it was before")
    print(f"written: {output}/reference.json, {output}/reference.html, and logs")
    if faults:
        return 1
    is_believed = all(comparison.is_believed for comparison in comparisons)
    return 0 if is_smoke or is_believed else _NOT_BELIEVED
