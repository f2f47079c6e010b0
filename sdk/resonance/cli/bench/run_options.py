# SPDX-License-Identifier: MIT
"""What can be said to ``resonance bench run``?"""

from __future__ import annotations

import argparse
from pathlib import Path

from resonance.bench.errors import PlanError
from resonance.bench.scenarios import (
    checked_header,
    parse_duration,
    parse_threshold,
    read_body,
)
from resonance.cli.options import Subparsers

__all__ = ["options"]

_MOST_REPETITIONS = 1_000
_USAGE = "resonance bench run TARGET --rate N [options] | SCENARIO.toml [options]"
_DESCRIPTION = """\
Send calls to a target when they are due, and report how long each took from
then on. What cannot be believed is not printed.

TARGET is http://HOST:PORT/PATH, https://, h2c:// or h2:// (HTTP/2 without and
with TLS), grpc://HOST:PORT/package.Service/Method, grpcs://, tcp://HOST:PORT,
or one of them on a Unix socket: http+unix:/run/app.sock:/path.
"""
_EXAMPLES = """\
examples:
  resonance bench run http://127.0.0.1:8080/ --rate 2000 --duration 30
  resonance bench run load.toml --output before.json --log before.hlog
  resonance bench run http://127.0.0.1:8080/ --rate 500 --repetitions 10 \\
    --versus new=http://127.0.0.1:8081/ --placebo --output results/
  resonance bench run --print-example > load.toml      every key, explained

exit status:
  0    done
  1    a threshold was missed, the target cannot be reached, a file not written
  2    wrong arguments, or a wrong scenario
  3    not to be believed: the report says why, and has no response times
  130  interrupted: the report is of what there was until then
"""


def options(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Add ``run`` and return its parser."""
    parser = subparsers.add_parser(
        "run",
        help="open-loop load on a target",
        usage=_USAGE,
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "target", nargs="?", metavar="TARGET", help="where calls go, or a scenario: a TOML file"
    )
    _add_load_options(parser)
    _add_call_options(parser)
    _add_comparison_options(parser)
    _add_result_options(parser)
    return parser


def _add_load_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("load", "durations: 30s, 1m30s, 200ms, or plain seconds")
    group.add_argument("--rate", type=float, metavar="N", help="calls per second")
    group.add_argument(
        "--duration", type=_duration, metavar="T", help="warm-up included (default 30s)"
    )
    group.add_argument(
        "--warm-up", type=_duration, metavar="T", help="sent, but not in the report (default 0)"
    )
    group.add_argument(
        "--arrival", choices=("poisson", "constant"),
        help="as independent users are, or evenly spaced (default poisson)",
    )  # fmt: skip
    group.add_argument(
        "--timeout", type=_duration, metavar="T",
        help="from when a call was due; then it has failed (default 10s)",
    )  # fmt: skip
    group.add_argument(
        "--connections", type=int, metavar="N", help="at most, of each process (default 256)"
    )
    group.add_argument(
        "--processes", type=int, metavar="N", help="that share the calls (default 1)"
    )
    group.add_argument("--seed", type=int, metavar="N", help="draws when calls are due (default 0)")


def _add_call_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("calls")
    group.add_argument("--method", help="of HTTP (default GET, or POST with --data)")
    group.add_argument(
        "--header", type=_header, action="append", default=[], metavar="'K: V'",
        help="one more header; of gRPC one more entry of its metadata",
    )  # fmt: skip
    group.add_argument(
        "--data", type=_data, metavar="TEXT|@FILE", help="what is sent; of gRPC the message"
    )
    group.add_argument(
        "--frame-bytes", type=int, metavar="N", help="of tcp: how long an answer is (default 16)"
    )
    group.add_argument("--insecure", action="store_true", help="accept any certificate")
    group.add_argument(
        "--ca", default="", metavar="FILE", help="trust this PEM file instead of the system's"
    )


def _add_comparison_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("comparison", "arms take turns, in an order that is drawn")
    group.add_argument(
        "--repetitions", type=_repetitions, metavar="N", help="of every arm (default 1)"
    )
    group.add_argument(
        "--versus", type=_versus, action="append", default=[], metavar="NAME=TARGET",
        help="one more arm, which meets the same calls",
    )  # fmt: skip
    group.add_argument(
        "--placebo", action="store_true", help="measure the first target twice: is it noise?"
    )
    group.add_argument(
        "--name", metavar="NAME", help="of the first arm (default that of --output, or baseline)"
    )


def _add_result_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("results")
    group.add_argument(
        "--threshold", type=_threshold, action="append", default=[], metavar="T",
        help="exit with 1 unless it holds, such as 'p99<20ms' or 'failed<1%%'",
    )  # fmt: skip
    group.add_argument(
        "--output", metavar="FILE|DIR",
        help="write the result for `bench compare` and `bench report`; of several arms a directory",
    )  # fmt: skip
    group.add_argument("--log", metavar="FILE", help="write an interval log for HdrHistogram")
    group.add_argument("--json", action="store_true", help="print the report as JSON")
    group.add_argument(
        "--print-example", action="store_true", help="print a scenario with every key, and exit"
    )


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except PlanError as error:
        raise argparse.ArgumentTypeError(error.reason) from None


def _threshold(text: str) -> str:
    try:
        return parse_threshold(text).text
    except PlanError as error:
        raise argparse.ArgumentTypeError(error.reason) from None


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    try:
        if colon:
            return checked_header(name, value)
    except PlanError as error:
        raise argparse.ArgumentTypeError(error.reason) from None
    raise argparse.ArgumentTypeError(f"{text!r} is no header, such as 'Accept: text/html'")


def _data(text: str) -> bytes:
    try:
        return read_body(Path(text[1:]), "data") if text.startswith("@") else text.encode()
    except PlanError as error:
        raise argparse.ArgumentTypeError(error.reason) from None


def _repetitions(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_REPETITIONS:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to {_MOST_REPETITIONS}")
    return int(text)


def _versus(text: str) -> tuple[str, str]:
    name, equals, target = text.partition("=")
    if not (name and equals and target):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=TARGET")
    return name, target
