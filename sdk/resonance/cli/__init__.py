# SPDX-License-Identifier: MIT
"""The command ``resonance``: what a person sees of a node in a terminal.

::

    resonance top       live table per cgroup          top, readings; table, screen (rich)
    resonance runqlat   one histogram of one interval  runqlat
    resonance hints     what applications are told     hints

    connection          the daemon on its Unix socket, and one clear line when it is away
    options, units      what the commands share of arguments and of text

Each command sets ``run``, a function from parsed arguments to an exit code.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from resonance.cli import hints, runqlat, top
from resonance.cli.connection import CommandError

__all__ = ["main"]

_EXAMPLES = """\
examples:
  resonance top                      the live table; q quits
  resonance runqlat --for 5          a histogram of the next 5 seconds
  resonance hints get --output json  what applications are told, once
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = _parser().parse_args(argv)
    if sys.stdout is None:  # closed by who started us
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for as long as we run
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except CommandError as error:
        print(f"resonance: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _silence_stdout()
        return 141
    except OSError as error:
        _silence_stdout()
        print(f"resonance: {error}", file=sys.stderr)
        return 1
    return code


def _silence_stdout() -> None:
    """Keep the interpreter from complaining at exit that its reader has gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="resonance",
        description="See how long this node's tasks and sockets wait, per cgroup.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    top.add_parser(subparsers)
    runqlat.add_parser(subparsers)
    hints.add_parser(subparsers)
    return parser
