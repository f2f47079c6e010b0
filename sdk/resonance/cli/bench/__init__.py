# SPDX-License-Identifier: MIT
"""What did it gain? The commands of measurement.

::

    resonance bench run        open-loop load on a target             run
    resonance bench compare    paired ratios, gates                   compare
    resonance bench report     one page of HTML, and pictures         report
    resonance bench headline   the lines of a README                  headline
    resonance bench reference  the experiment behind our own claims   reference
    resonance bench export     a script for wrk2 or k6                exchange
    resonance bench import     their results as ours                  exchange
    resonance bench merge      logs of HdrHistogram as one            logs
"""

from __future__ import annotations

import argparse

from resonance.cli.bench import compare, exchange, headline, logs, reference, report, run
from resonance.cli.options import Subparsers

__all__ = ["add_parser"]

_DESCRIPTION = """\
Measure latency as a user has it: calls are sent when they are due, whatever
became of those before, and their time runs from then.
"""
_EXAMPLES = """\
examples:
  resonance bench run http://127.0.0.1:8080/ --rate 2000 --duration 30
  resonance bench compare before.json after.json --gate 'p99<=0.85'
  resonance bench report before.json after.json --output report.html
  resonance bench reference                 what it gains on this machine
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add ``bench``."""
    parser = subparsers.add_parser(
        "bench",
        help="what did it gain? open-loop load, comparison, report",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run.add_parser(commands)
    compare.add_parser(commands)
    report.add_parser(commands)
    headline.add_parser(commands)
    reference.add_parser(commands)
    exchange.add_parser(commands)
    logs.add_parser(commands)
