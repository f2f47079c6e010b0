# SPDX-License-Identifier: MIT
"""Which arguments do the commands share."""

from __future__ import annotations

import argparse
import math
from typing import TypeAlias

from resonance.hints._link import socket_path

__all__ = ["Subparsers", "add_common_options", "add_output_option", "seconds"]

# argparse has no public name for what add_subparsers() returns.
Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--socket`` and ``--output``."""
    parser.add_argument(
        "--socket",
        metavar="PATH",
        type=socket_path,
        default=socket_path(None),
        help="the daemon's socket (default %(default)s)",
    )
    add_output_option(parser)


def add_output_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--output``."""
    parser.add_argument("--output", choices=("text", "json"), default="text", help="default text")


def seconds(text: str) -> float:
    """Return a positive duration; argparse tells the user when it is none."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number of seconds")
    return value
