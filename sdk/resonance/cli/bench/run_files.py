# SPDX-License-Identifier: MIT
"""Where do results and logs go? Each file is whole, or as it was before."""

from __future__ import annotations

import os
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from resonance.bench.files import whole_file
from resonance.bench.records import Run, write_result
from resonance.cli.bench.run_plan import Plan
from resonance.cli.bench.run_rounds import Rounds, Taken
from resonance.cli.connection import CommandError
from resonance.histogram import LogWriter

__all__ = ["make_ready", "write_log", "write_runs"]

_ROUNDING_SECONDS = 1e-6


def make_ready(plan: Plan, output: str | None, log: str | None) -> None:
    """Make the directory of several results, and see that what is written has a place.

    Before anything is measured, so that nothing is measured in vain.

    Raises
    ------
    CommandError
        It has none.
    """
    for text in filter(None, (output, log)):
        path = Path(text)
        try:
            if text is output and (len(plan.arms) > 1 or text.endswith("/")):
                path.mkdir(exist_ok=True)
            elif text is log and path.is_dir():
                raise CommandError(f"{path}: is a directory; say a file of it")
        except FileExistsError:
            raise CommandError(
                f"{path}: is a file; of several arms say a directory, a file for each goes there"
            ) from None
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}") from None
        folder = path if path.is_dir() else path.parent
        if not folder.is_dir():
            raise CommandError(f"{path}: there is no directory {folder}; make it first")
        if not _is_stream(path) and not os.access(folder, os.W_OK | os.X_OK):
            raise CommandError(f"{path}: permission denied in {folder}")


def write_runs(output: str, runs: Sequence[Run]) -> list[Path]:
    """Write the results, and return where they are.

    Raises
    ------
    CommandError
        One cannot be written.
    """
    path, written = Path(output), list[Path]()
    for run in runs:
        place = path / f"{run.name}.json" if path.is_dir() else path
        try:
            write_result(place, run)
        except OSError as error:
            raise _not_written(place, error) from None
        written.append(place)
    return written


def write_log(log: str, rounds: Rounds) -> None:
    """Write the response times interval by interval, with the arm as a tag if there are several.

    Raises
    ------
    CommandError
        It cannot be written.
    """
    path = Path(log)
    try:
        with whole_file(path) as file, TextIOWrapper(file, encoding="utf-8") as text:
            _write_intervals(text, rounds.taken)
    except OSError as error:
        raise _not_written(path, error) from None


def _write_intervals(file: TextIO, taken: Sequence[Taken]) -> None:
    is_tagged = len({each.arm.name for each in taken}) > 1
    log = LogWriter(file, min(each.slot.started_at for each in taken))
    for each in taken:
        tag = each.arm.name if is_tagged else None
        who = f"{each.arm.name}, repetition {each.repetition}"
        file.writelines(f"# {who}: not to be believed: {doubt}\n" for doubt in each.slot.doubts)
        begins_at = each.slot.started_at + each.arm.load.warm_up_seconds - _ROUNDING_SECONDS
        for interval in each.measured.intervals:
            if interval.started_at >= begins_at:
                log.write(interval.histogram, interval.started_at, interval.seconds, tag)


def _is_stream(path: Path) -> bool:
    """Tell whether it is there and can be neither replaced nor taken back: a pipe, a device."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _not_written(path: Path, error: OSError) -> CommandError:
    return CommandError(f"{path}: not written: {error.strerror or error}")
