# SPDX-License-Identifier: MIT
"""What does it look like: one page of HTML, and pictures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from resonance.bench.comparing import compare
from resonance.bench.errors import BenchError, PlanError
from resonance.bench.records import Experiment, Run, Scene, read_result
from resonance.bench.report import page, pictures
from resonance.cli.bench.results import read_scene
from resonance.cli.options import Subparsers
from resonance.cli.units import safe_text
from resonance.errors import MissingExtraError

__all__ = ["add_parser", "write_whole"]

_WRONG: Final = 2
_DESCRIPTION = """\
Write a report of runs, or of an experiment, as one HTML file: no script, no other
file, no network; for a phone, for print and in the dark, too.
"""
_EXAMPLES = """\
examples:
  resonance bench report run.json
  resonance bench report before.json after.json --output report.html
  resonance bench report reference.json --pictures pictures/ --highlight p2c

exit status:
  0  written      2  wrong arguments, no results, or it cannot be written
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add ``bench report``."""
    parser = subparsers.add_parser(
        "report",
        help="one page of HTML, and pictures",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "results", nargs="+", type=Path, metavar="FILE",
        help="files of runs, or directories of them; or one file of an experiment",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path, default=Path("report.html"), metavar="FILE",
        help="where to write it (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--pictures", type=Path, metavar="DIR", help="write the figures there, too, as PNG"
    )
    parser.add_argument("--title", default="", help="instead of the experiment's own")
    parser.add_argument(
        "--baseline", metavar="NAME", help="the arm to compare with (default: the first)"
    )
    parser.add_argument("--placebo", metavar="NAME", help="the arm that is the baseline once more")
    parser.add_argument(
        "--highlight", dest="named", action="append", default=[], metavar="NAME",
        help="an arm for the pictures to lift out; may be given more than once",
    )  # fmt: skip
    parser.set_defaults(run=_report)


def _report(arguments: argparse.Namespace) -> int:
    try:
        measured = _measured(arguments)
        scenes = list(measured)
        _check(arguments.named, scenes)
        comparisons = [compare(scene) for scene in scenes]
        text = page(measured, comparisons, title=arguments.title, named=arguments.named)
        write_whole(arguments.output, text.encode())
        print(f"wrote {arguments.output}")
        if arguments.pictures is not None:
            drawn = pictures(comparisons, named=arguments.named)
            arguments.pictures.mkdir(parents=True, exist_ok=True)
            for name, data in drawn.items():
                write_whole(arguments.pictures / name, data)
            print(f"wrote {len(drawn)} pictures to {arguments.pictures}")
    except (BenchError, MissingExtraError, OSError) as error:
        print(f"resonance: {safe_text(str(error))}", file=sys.stderr)
        return _WRONG
    return 0


def _measured(arguments: argparse.Namespace) -> Experiment | list[Scene]:
    paths: list[Path] = arguments.results
    told = {"baseline": arguments.baseline, "placebo": arguments.placebo}
    if len(paths) > 1 or paths[0].is_dir():
        return [read_scene(paths, **told)]
    result = read_result(paths[0])
    if isinstance(result, Run):
        return [_alone(result, paths[0])]
    if not result.scenes:
        raise PlanError(str(paths[0]), "the experiment has no scene: nothing to report")
    if any(told.values()):
        return [read_scene(paths, scene=scene.name, **told) for scene in result]
    return result


def _alone(run: Run, path: Path) -> Scene:
    """Return a scene of a run that is compared with no other."""
    if not run.slots:
        raise PlanError(str(path), "the run has no repetition: nothing to report")
    return Scene(name=run.name or path.stem, summary=f"Calls to {run.target}.",
                 baseline=run.name, runs=[run])  # fmt: skip


def _check(named: Sequence[str], scenes: Sequence[Scene]) -> None:
    known = dict.fromkeys(run.name for scene in scenes for run in scene.runs)
    for name in named:
        if name not in known:
            raise PlanError("--highlight", f"no arm is called {name!r}; there are: "
                            f"{', '.join(known)}")  # fmt: skip


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is whole or as it was before; a device is just written to.

    Parameters
    ----------
    path : Path
    data : bytes

    Raises
    ------
    OSError
        It cannot be written; the error names the file.
    """
    whole = path.resolve()
    part = whole.with_name(f"{whole.name}.part")
    try:
        if whole.exists() and not whole.is_file():
            whole.write_bytes(data)
            return
        part.write_bytes(data)
        part.replace(whole)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from None
