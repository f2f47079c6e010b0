# SPDX-License-Identifier: MIT
"""What beats on this node, and which sources beat together: as pictures with a conclusion.

::

    terminal, picture, page    the same in a terminal (rich), as PNG (matplotlib), as HTML
    findings                   what to conclude, in sentences
    view                       what an answer of the daemon shows
    spectrogram, wheel         the two pictures as numbers (resonance_core)
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resonance.cli.connection import CommandError, connect, needing
from resonance.cli.options import Subparsers, add_common_options

if TYPE_CHECKING:
    from resonance.cli.spectrum.view import View
    from resonance.cli.spectrum.wheel import Wheel

__all__ = ["add_parser"]

_CORE = "the analysis needs numpy and scipy: pip install 'resonance-runtime[cli,core]'"
_MATPLOTLIB = "a PNG needs matplotlib: pip install 'resonance-runtime[viz]', or say --html FILE"
_RICH = "the pictures need rich: pip install 'resonance-runtime[cli]', or say --output json"
_DESCRIPTION = """\
Show when tasks wait for a CPU, by frequency (a rhythm is a line), and where in
their period the sources run (a wheel: sources in step share one place).
"""
_EXAMPLES = """\
examples:
  resonance spectrum                           both pictures, here
  resonance spectrum --cgroup '/batch.slice/*' the waits of some cgroups only
  resonance spectrum --html rhythm.html        one file, for a ticket or a phone
  resonance spectrum --png rhythm.png
  resonance spectrum --output json | jq .findings
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to ``resonance``."""
    parser = subparsers.add_parser(
        "spectrum",
        help="what beats, and which sources are in step",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--cgroup", dest="cgroups", action="append", default=[], metavar="GLOB",
        help="only the waits of cgroups whose path matches; may be given again",
    )  # fmt: skip
    parser.add_argument("--png", type=Path, metavar="FILE", help="write the pictures as PNG")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write one page with all of it")
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Ask once, and draw."""
    with connect(arguments.socket) as daemon:
        answer, state = daemon.spectrum(arguments.cgroups), daemon.state()
    with needing(_CORE):
        from resonance.cli.spectrum.view import view_of
    view = view_of(answer, state)
    for draw, path in ((_png, arguments.png), (_html, arguments.html)):
        if path:
            _write(path, draw(view, state.unix_seconds))
    if arguments.output == "json":
        print(json.dumps(_json(view)))
    elif arguments.png or arguments.html:
        _print_findings(view)
    else:
        _print_pictures(view)
    return 0


def _png(view: View, unix_seconds: float) -> bytes:
    with needing(_MATPLOTLIB):
        from resonance.cli.spectrum.picture import png
    return png(view, unix_seconds)


def _html(view: View, unix_seconds: float) -> bytes:
    from resonance.cli.spectrum.page import html

    return html(view, unix_seconds).encode()


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise CommandError(f"{path}: {(error.strerror or str(error)).lower()}") from error


def _print_pictures(view: View) -> None:
    with needing(_RICH):
        from rich.console import Console

        from resonance.cli.spectrum.terminal import print_view
    print_view(view, Console(highlight=False))


def _print_findings(view: View) -> None:
    from resonance.cli.spectrum.findings import beat_findings, wheel_findings

    print(*beat_findings(view), *wheel_findings(view), sep="\n")


def _json(view: View) -> dict[str, Any]:
    from resonance.cli.spectrum.findings import beat_findings, wheel_findings

    beat, picture = view.beat, view.picture
    return {
        "whose": view.whose,
        "bin_seconds": view.bin_seconds,
        "duration_seconds": view.duration_seconds,
        "missing_ratio": view.missing_ratio,
        "waiting": _known(view.waiting),
        "dominant_period_seconds": _known(beat.period_seconds) if beat else None,
        "entropy_excess": _known(beat.entropy_excess) if beat else None,
        "is_periodic": bool(beat and beat.is_confirmed),
        "neighbours": [
            {
                "cgroup": each.cgroup,
                "score": each.score,
                "period_seconds": each.period_seconds,
                "lag_seconds": each.lag_seconds,
                "is_named": each.is_named,
            }
            for each in view.neighbours
        ],
        "spectrogram": picture
        and {
            "hz": picture.hz,
            "seconds": picture.seconds,
            "decibels": [
                window and [_known(power) for power in window] for window in picture.decibels
            ],
        },
        "wheel": view.wheel and _wheel_json(view.wheel),
        "findings": [*beat_findings(view), *wheel_findings(view)],
    }


def _wheel_json(wheel: Wheel) -> dict[str, Any]:
    return {
        "period_seconds": wheel.period_seconds,
        "placements": {
            name: {
                "order_parameter": _known(each.order_parameter),
                "pile_up_seconds": _known(each.pile_up_seconds),
            }
            for name, each in wheel.placements.items()
        },
        "sources": [
            {
                "source": each.name,
                "pid": each.pid,
                "period_seconds": each.period_seconds,
                "work_seconds": each.work_seconds,
                "is_eligible": each.is_eligible,
                "natural_turns": _known(each.natural),
                "now_turns": _known(each.now),
                "planned_turns": _known(each.planned),
            }
            for each in wheel.hands
        ],
        "others": wheel.others,
        "unknown": wheel.unknown,
    }


def _known(value: float) -> float | None:
    """Return a number as JSON may have it."""
    return value if math.isfinite(value) else None
