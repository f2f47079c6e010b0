# SPDX-License-Identifier: MIT
"""Would phase control help here? The shipped controller in a simulation of this node.

::

    files     the scenarios that come with it, and those of the user
    report    a comparison as a table, and as JSON

Needs the extra ``[core]``, and nothing else: no daemon, no privilege, no network.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Iterator

import msgspec

from resonance.cli.connection import CommandError
from resonance.cli.options import Subparsers, add_output_option
from resonance.cli.simulate.files import read_scenario, shipped_names
from resonance.cli.simulate.report import as_json, table
from resonance.cli.units import safe_text

__all__ = ["add_parser"]

_ARMS = ("none", "jitter", "random", "pacing", "kuramoto", "oracle", "splay")
"""Those of ``resonance_core.simulation``, which needs numpy to be asked."""
_MOST_SEEDS = 1_000
_NAME_COLUMNS = 16
_DESCRIPTION = """\
Simulate a node, and compare what its requests wait with and without phase
control. An arm is one thing that could be done; splay is what we would do.
"""
_EXAMPLES = """\
examples:
  resonance simulate                          the scenarios that come with it
  resonance simulate aligned-8                every arm on one of them
  resonance simulate node.toml --arms none,random,splay --seeds 10

exit status:
  0  done      1  the scenario cannot be simulated      2  wrong arguments
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add ``simulate``."""
    parser = subparsers.add_parser(
        "simulate",
        help="would phase control help here?",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "scenario", nargs="?", metavar="SCENARIO", help="a name, or a TOML file; none lists them"
    )
    parser.add_argument(
        "--arms", type=_arms, default=_ARMS, metavar="A,B,...",
        help=f"{', '.join(_ARMS)}; by default all",
    )  # fmt: skip
    parser.add_argument(
        "--seeds", type=_seeds, default=3, metavar="N", help="runs per arm (default 3)"
    )
    add_output_option(parser)
    parser.set_defaults(run=_simulate)


def _seeds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_SEEDS:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to {_MOST_SEEDS}")
    return int(text)


def _arms(text: str) -> tuple[str, ...]:
    """Return the arms asked for; what all are compared with is always among them."""
    asked = text.split(",")
    for arm in asked:
        if arm not in _ARMS:
            raise argparse.ArgumentTypeError(
                f"no arm is called {safe_text(arm)!r}; known: {', '.join(_ARMS)}"
            )
    return tuple(arm for arm in _ARMS if arm in asked or arm == "none")


def _simulate(arguments: argparse.Namespace) -> int:
    if importlib.util.find_spec("numpy") is None:
        raise CommandError(
            "simulate computes with numpy; install it with: pip install 'resonance-runtime[core]'"
        )
    if arguments.scenario is None:
        print("\n".join(_listing()))
        return 0
    from resonance_core.simulation import compare

    scenario = read_scenario(arguments.scenario)
    comparison = compare(scenario, arguments.arms, range(arguments.seeds))
    if arguments.output == "json":
        text = msgspec.json.format(msgspec.json.encode(as_json(comparison)), indent=2)
        print(text.decode())
    else:
        print("\n".join(table(comparison)))
    return 0


def _listing() -> Iterator[str]:
    for name in shipped_names():
        yield f"{name:{_NAME_COLUMNS}}{read_scenario(name).summary}"
