# SPDX-License-Identifier: MIT
"""What may the README claim: a line for each promise, made from committed results."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from resonance.bench.errors import BenchError, PlanError
from resonance.bench.records import Experiment, read_result
from resonance.bench.report.headline import BEGIN, headline, inserted, read_claims
from resonance.cli.bench.report import write_whole
from resonance.cli.options import Subparsers
from resonance.cli.units import safe_text
from resonance.errors import MissingExtraError

__all__ = ["add_parser"]

_DIFFERS: Final = 1
_WRONG: Final = 2
_DESCRIPTION = f"""\
Make the lines that a README claims: each one arm of one scene, with its interval,
its bar and what became of it. They go between the markers in --into, the first
of which is {BEGIN}
"""
_EXAMPLES = """\
examples:
  resonance bench headline docs/results                        print the lines
  resonance bench headline docs/results --into README.md       put them there
  resonance bench headline docs/results --into README.md --check

exit status:
  0  done, or there is no difference
  1  --check: the file differs from the results
  2  wrong arguments, no results, or a claim of what was not measured
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add ``bench headline``."""
    parser = subparsers.add_parser(
        "headline",
        help="the lines of a README",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "results", nargs="+", type=Path, metavar="RESULT",
        help="files of experiments, or directories of them",
    )  # fmt: skip
    parser.add_argument(
        "--claims", type=Path, metavar="FILE",
        help="what is claimed (default: claims.toml beside the first result)",
    )  # fmt: skip
    parser.add_argument("--into", type=Path, metavar="FILE", help="put them between its markers")
    parser.add_argument(
        "--check", action="store_true", help="write nothing, and tell whether --into differs"
    )
    parser.set_defaults(run=_headline)


def _headline(arguments: argparse.Namespace) -> int:
    try:
        if arguments.check and arguments.into is None:
            raise PlanError("--check", "needs --into: which file is to be looked at")
        return _made(arguments)
    except (BenchError, MissingExtraError, OSError) as error:
        print(f"resonance: {safe_text(str(error))}", file=sys.stderr)
        return _WRONG


def _made(arguments: argparse.Namespace) -> int:
    first: Path = arguments.results[0]
    folder = first if first.is_dir() else first.parent
    claims = read_claims(arguments.claims or folder / "claims.toml")
    experiments = _experiments(arguments.results)
    into: Path | None = arguments.into
    if into is None:
        print(headline(claims, experiments, Path.cwd()))
        return 0
    before = into.read_text(encoding="utf-8")
    after = inserted(before, headline(claims, experiments, into.resolve().parent))
    if arguments.check:
        told = difflib.unified_diff(
            before.splitlines(keepends=True),
            after.splitlines(keepends=True),
            str(into),
            "from the results",
        )
        sys.stdout.writelines(told)
        return _DIFFERS if before != after else 0
    write_whole(into, after.encode())
    print(f"wrote {into}")
    return 0


def _experiments(paths: Sequence[Path]) -> dict[Path, Experiment]:
    """Return the experiments among results, by file; runs beside them are not of a headline."""
    files = [
        file.resolve()
        for path in paths
        for file in (sorted(path.glob("*.json")) if path.is_dir() else [path])
    ]
    results = {file: read_result(file) for file in files}
    found = {file: each for file, each in results.items() if isinstance(each, Experiment)}
    if not found:
        told = ", ".join(str(path) for path in paths)
        raise PlanError(told, "holds no experiment; `resonance bench reference` measures one")
    return found
