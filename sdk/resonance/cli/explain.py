# SPDX-License-Identifier: MIT
"""Why is a periodic source where it is: the daemon's sentences, and the numbers behind them.

The sentences are the daemon's own: it decides, so it says why.
"""

from __future__ import annotations

import argparse
import json
import math
import textwrap
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

from resonance.cli.connection import connect
from resonance.cli.options import Subparsers, add_common_options
from resonance.cli.units import quantity_text, safe_text
from resonance_api.phase.v1.phase_pb2 import ExplainResponse, Explanation

__all__ = ["add_parser"]

_NO_SOURCE = 3
_COLUMNS = 79
_NAME_COLUMNS = 34
_DESCRIPTION = """\
Say why a periodic source runs when it does: what it declared, what was seen,
whether it may be moved, where it was put, and what that is to gain. Sources are
what programs start with resonance.every(...).
"""
_EXAMPLES = """\
examples:
  resonance explain flush             one source, with the numbers
  resonance explain 'cache-*'         those whose name matches
  resonance explain                   the node, and every source
  resonance explain flush --output json | jq '.sources[0].numbers'

exit status:
  0  explained      1  the daemon cannot be asked      2  wrong arguments
  3  no source has such a name
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to ``resonance``."""
    parser = subparsers.add_parser(
        "explain",
        help="why a periodic source runs when it does",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source", nargs="?", default="", metavar="SOURCE", help="its name; shell patterns match"
    )
    parser.add_argument(
        "--numbers", action="store_true", help="the numbers of every source, not of a single one"
    )
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Ask once and print."""
    with connect(arguments.socket) as daemon:
        answer = daemon.explain(arguments.source)
    if arguments.output == "json":
        print(json.dumps(_json(answer)))
    else:
        print(*_text(answer, arguments.source, has_numbers=arguments.numbers), sep="\n")
    return _NO_SOURCE if arguments.source and not answer.explanations else 0


def _json(answer: ExplainResponse) -> dict[str, Any]:
    sources = [
        {
            "source": each.source,
            "pid": each.pid,
            "sentences": list(each.sentences),
            "numbers": {name: _known(each.numbers[name]) for name in sorted(each.numbers)},
        }
        for each in answer.explanations
    ]
    return {"sources": sources, "node": list(answer.sentences), "left_out": answer.left_out}


def _known(value: float) -> float | str | None:
    """Return a number as JSON may have it: not known is null, and endless is a word."""
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else str(value)


def _text(answer: ExplainResponse, wanted: str, *, has_numbers: bool) -> Iterator[str]:
    is_single = len(answer.explanations) == 1
    for together in _by_group(answer.explanations):
        shared = _shared(together)
        for each in together:
            yield from _source(each, shared, has_numbers=has_numbers or is_single)
            yield ""
        if shared:
            yield f"all {len(together)} of them"
            yield from _sentences(shared)
            yield ""
    if answer.left_out:
        yield f"and {answer.left_out} more; say a narrower name to see them"
        yield ""
    if not answer.explanations:
        yield _absence(wanted)
        yield ""
    yield "the node"
    yield from _sentences(answer.sentences or ("Nothing periodic is known.",))
    if len(answer.explanations) > 1 and not has_numbers:
        yield ""
        yield "--numbers shows what is behind the sentences."


def _absence(wanted: str) -> str:
    if wanted:
        return f"no source is called {safe_text(wanted)}; `resonance explain` lists all"
    return "no source is registered; a program starts one with resonance.every(...)"


def _by_group(explanations: Iterable[Explanation]) -> Iterable[list[Explanation]]:
    """Return those of one group of sources together, and each list by name."""
    groups: dict[float, list[Explanation]] = {}
    for each in sorted(explanations, key=lambda each: each.source):
        groups.setdefault(each.numbers.get("group_period_seconds", 0.0), []).append(each)
    return groups.values()


def _shared(together: Sequence[Explanation]) -> list[str]:
    """Return what is said of each of several sources, as what is true of their group."""
    if len(together) == 1:
        return []
    first, *others = together
    return [each for each in first.sentences if all(each in other.sentences for other in others)]


def _source(
    explanation: Explanation, shared: Container[str], *, has_numbers: bool
) -> Iterator[str]:
    process = f"  process {explanation.pid}" if explanation.pid else ""
    yield f"{safe_text(explanation.source)}{process}"
    yield from _sentences([each for each in explanation.sentences if each not in shared])
    if has_numbers and explanation.numbers:
        yield ""
        yield from _numbers(explanation.numbers)


def _sentences(sentences: Iterable[str]) -> Iterator[str]:
    for sentence in sentences:
        yield from textwrap.wrap(
            safe_text(sentence), _COLUMNS, initial_indent="  ", subsequent_indent="  "
        )


def _numbers(numbers: Mapping[str, float]) -> Iterator[str]:
    for name in sorted(numbers):
        label, text = quantity_text(name, numbers[name])
        yield f"  {safe_text(label):{_NAME_COLUMNS}} {text:>9}"
