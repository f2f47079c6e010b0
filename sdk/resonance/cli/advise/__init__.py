# SPDX-License-Identifier: MIT
"""What should the owner of this host change, that Resonance does not change by itself?

::

    suggestions   which timers to spread, over how long, and the expected gain
    spread        what a random delay does to the work that piles up, in closed form
    systemd       what systemd says of its timers

Nothing is ever edited: the lines to write, and the command that takes them, are printed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

from resonance.cli.advise.suggestions import Group, Suggestion, suggest
from resonance.cli.advise.systemd import Timer, read_timers
from resonance.cli.options import Subparsers, add_output_option, seconds
from resonance.cli.units import duration_text, path_text, safe_text

__all__ = ["add_parser"]

_NAME_COLUMNS = 38
_DESCRIPTION = """\
Find systemd timers that start together, and print settings that spread them,
with the gain expected from the starts that were observed. Nothing is edited:
what you do not write yourself stays as it is.
"""
_EXAMPLES = """\
examples:
  resonance advise timers                     all timers of the system
  resonance advise timers 'backup-*' 'log*'   some of them
  resonance advise timers --spread 900        delays of 15 minutes at most
  resonance advise timers --output json | jq '.groups[].ratio'
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add ``advise`` and what it advises on."""
    parser = subparsers.add_parser(
        "advise",
        help="what to change yourself, and what that would gain",
        description="Print what would take out alignment that Resonance does not touch itself.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(required=True, metavar="SUBJECT")
    timers = verbs.add_parser(
        "timers",
        help="systemd timers that start together",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    timers.add_argument(
        "patterns", nargs="*", metavar="TIMER", help="only timers whose name matches"
    )
    timers.add_argument(
        "--spread", type=seconds, metavar="SECONDS",
        help="longest delay (default: a period up to 1 h, half of a longer one)",
    )  # fmt: skip
    add_output_option(timers)
    timers.set_defaults(run=_timers)


def _timers(arguments: argparse.Namespace) -> int:
    timers = read_timers(arguments.patterns)
    groups = suggest(timers, arguments.spread)
    if arguments.output == "json":
        print(json.dumps(_json(timers, groups)))
    else:
        print(*_text(timers, groups), sep="\n")
    return 0


def _text(timers: list[Timer], groups: list[Group]) -> Iterator[str]:
    worth = [group for group in groups if group.is_worth_it]
    yield _headline(timers, worth)
    for group in worth:
        yield ""
        yield from _group_text(group)
    if worth:
        yield ""
        yield from _how_to(worth)
    yield from _left_out(timers, groups, worth)


def _headline(timers: list[Timer], worth: list[Group]) -> str:
    if not timers:
        return "no timer matches; `systemctl list-timers --all` lists them"
    if not worth:
        return f"{len(timers)} timers: nothing to gain by spreading them"
    found = sum(each.is_change for group in worth for each in group.suggestions)
    return f"{len(timers)} timers: {found} should be spread; nothing was changed"


def _group_text(group: Group) -> Iterator[str]:
    yield (
        f"every {_span_text(group.period_seconds)}, {len(group.suggestions)} timers: "
        f"{duration_text(group.pile_up_seconds)} of work pile up; "
        f"spread out, {duration_text(group.expected_seconds)} (x{group.ratio:.2f})"
    )
    yield f"  {'timer':{_NAME_COLUMNS}}{'starts at':>10}{'work':>8}  delay now"
    for each in sorted(group.suggestions, key=lambda one: _moment(one.timer, group)):
        timer = each.timer
        yield (
            f"  {path_text(timer.unit, _NAME_COLUMNS - 1):{_NAME_COLUMNS}}"
            f"{duration_text(_moment(timer, group)):>10}"
            f"{duration_text(timer.work_seconds):>8}  {_delay_text(timer)}"
        )


def _moment(timer: Timer, group: Group) -> float:
    return (timer.start_unix_seconds or 0.0) % group.period_seconds


def _delay_text(timer: Timer) -> str:
    if not timer.delay_seconds:
        return "none"
    kind = {True: "fixed", False: "new each time", None: "new each time"}[timer.is_delay_fixed]
    return f"{duration_text(timer.delay_seconds)} {kind}"


def _how_to(worth: list[Group]) -> Iterator[str]:
    yield "If nobody minds when exactly they run: systemctl edit TIMER, and write"
    for settings, units in _by_settings(worth):
        yield ""
        for line in _wrapped(units):
            yield f"  # {line}"
        yield "  [Timer]"
        yield from (f"  {setting}" for setting in settings)
    yield ""
    yield "systemctl revert TIMER takes it back. A fixed delay differs between hosts and"
    yield "timers, and stays; a coarser AccuracySec= would let systemd join starts again."
    yield "What piles up is work ahead of its mean rate, root mean square over a period."


def _by_settings(worth: list[Group]) -> list[tuple[tuple[str, ...], list[str]]]:
    found: dict[tuple[str, ...], list[str]] = {}
    for group in worth:
        for each in group.suggestions:
            if each.is_change:
                found.setdefault(_settings(each), []).append(safe_text(each.timer.unit))
    return list(found.items())


def _settings(suggestion: Suggestion) -> tuple[str, ...]:
    lines: list[str] = []
    if suggestion.delay_seconds is not None:
        lines.append(f"RandomizedDelaySec={_span_text(suggestion.delay_seconds)}")
    if suggestion.is_delay_fixed is not None:
        lines.append("FixedRandomDelay=true")
    if suggestion.accuracy_seconds is not None:
        lines.append(f"AccuracySec={_span_text(suggestion.accuracy_seconds)}")
    return tuple(lines)


def _span_text(span_seconds: float) -> str:
    """Write a span as systemd.time(7) reads it."""
    for unit, unit_seconds in (("h", 3600.0), ("min", 60.0)):
        if span_seconds >= unit_seconds and (span_seconds / unit_seconds).is_integer():
            return f"{span_seconds / unit_seconds:.0f}{unit}"
    return f"{span_seconds:g}s"


def _wrapped(units: list[str]) -> Iterator[str]:
    line = ""
    for unit in sorted(units):
        if line and len(line) + len(unit) > 70:
            yield line
            line = ""
        line = f"{line} {unit}" if line else unit
    yield line


def _left_out(timers: list[Timer], groups: list[Group], worth: list[Group]) -> Iterator[str]:
    in_groups = {each.timer.unit for group in groups for each in group.suggestions}
    in_worth = {each.timer.unit for group in worth for each in group.suggestions}
    irregular = [each for each in timers if not each.period_seconds]
    assumed = sum(group.assumed_works for group in worth)
    notes = [
        (len(in_groups - in_worth), "start apart already, or have a delay"),
        (len(timers) - len(in_groups) - len(irregular), "have no other timer of their period"),
        (len(irregular), "do not run at equal distances"),
        (assumed, "have no known work (CPUAccounting= is off): it was taken as the median"),
    ]
    for count, what in notes:
        if count:
            yield f"{count} {what}"


def _json(timers: list[Timer], groups: list[Group]) -> dict[str, Any]:
    return {
        "timers": len(timers),
        "groups": [
            {
                "period_seconds": group.period_seconds,
                "pile_up_seconds": group.pile_up_seconds,
                "expected_seconds": group.expected_seconds,
                "ratio": group.ratio,
                "is_worth_it": group.is_worth_it,
                "assumed_works": group.assumed_works,
                "timers": [_timer_json(each, group) for each in group.suggestions],
            }
            for group in groups
        ],
    }


def _timer_json(suggestion: Suggestion, group: Group) -> dict[str, Any]:
    timer = suggestion.timer
    return {
        "unit": timer.unit,
        "phase_seconds": _moment(timer, group),
        "work_seconds": timer.work_seconds,
        "accuracy_seconds": timer.accuracy_seconds,
        "randomized_delay_seconds": timer.delay_seconds,
        "fixed_random_delay": timer.is_delay_fixed,
        "suggested": list(_settings(suggestion)),
    }
