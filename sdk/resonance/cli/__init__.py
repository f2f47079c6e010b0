# SPDX-License-Identifier: MIT
"""The command ``resonance``: what a person sees of a node in a terminal.

::

    resonance top       live table per cgroup          top, readings; table, screen (rich)
    resonance runqlat   one histogram of one interval  runqlat
    resonance hints     what applications are told     hints
    resonance explain   why a source runs when it does explain
    resonance spectrum  what beats, and in which step  spectrum (rich, matplotlib)
    resonance advise    what to change oneself         advise
    resonance simulate  would phase control help       simulate
    resonance bench     what did it gain               bench

    connection          the daemon on its Unix socket, and one clear line when it is away
    options, units      what the commands share of arguments and of text

Each command sets ``run``, a function from parsed arguments to an exit code.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager

__all__ = ["main"]

_EXAMPLES = """\
examples:
  resonance top                      the live table; q quits
  resonance runqlat --for 5          a histogram of the next 5 seconds
  resonance hints get --output json  what applications are told, once
  resonance spectrum                 is there a rhythm, and who is in step?
  resonance explain flush            why the source "flush" runs when it does
  resonance advise timers            which systemd timers to spread
  resonance bench run URL --rate 2000    how long does it take, at that rate?
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    with _ended_by_interrupt():
        # Here, as it takes a while: Ctrl-C meanwhile is to end us without a word.
        from resonance.cli.connection import CommandError

        parser = _parser()
    arguments = parser.parse_args(argv)
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


@contextmanager
def _ended_by_interrupt() -> Generator[None]:
    """Let Ctrl-C end the process at once, unless who started us has it ignored."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Version(argparse.Action):
    """Looks the release up only when asked."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib import metadata

        print(metadata.version("resonance-runtime"))
        parser.exit()


def _silence_stdout() -> None:
    """Keep the interpreter from complaining at exit that its reader has gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _parser() -> argparse.ArgumentParser:
    from resonance.cli import advise, bench, explain, hints, runqlat, simulate, spectrum, top

    parser = argparse.ArgumentParser(
        prog="resonance",
        description="See how long this node's tasks and sockets wait, per cgroup.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the release and exit")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    top.add_parser(subparsers)
    runqlat.add_parser(subparsers)
    hints.add_parser(subparsers)
    explain.add_parser(subparsers)
    spectrum.add_parser(subparsers)
    advise.add_parser(subparsers)
    simulate.add_parser(subparsers)
    bench.add_parser(subparsers)
    return parser
