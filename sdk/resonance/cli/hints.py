# SPDX-License-Identifier: MIT
"""What does the daemon tell applications: once, as it changes, or about one process.

The commands ask through `resonance.hints`, as an application would.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

import resonance.hints
from resonance.cli.connection import CommandError
from resonance.cli.options import Subparsers, add_common_options, seconds
from resonance.cli.units import cpus_text, duration_text, path_text
from resonance.hints import CgroupState, Latency, Resolution, State

__all__ = ["add_parser"]

_ANSWER_SECONDS = 5.0
_NOT_KNOWN = 3
_PATH_COLUMNS = 33
_CELL_COLUMNS = 9
_CPUS_COLUMNS = 60
_GET_EXAMPLES = """\
  resonance hints get                         every cgroup with a slot
  resonance hints get --cgroup '/system.slice/*' --output json
"""
_WATCH_EXAMPLES = """\
  resonance hints watch --count 10            the state now and nine more
"""
_RESOLVE_EXAMPLES = """\
  resonance hints resolve 127.0.0.1:8080      which cgroup serves this?
  resonance hints resolve 4711                which cgroup holds this process?
"""
_EXAMPLES = f"""\
examples:
{_GET_EXAMPLES}{_WATCH_EXAMPLES}{_RESOLVE_EXAMPLES}
exit status:
  0  done      1  the daemon cannot be asked      2  wrong arguments
  3  resolve: the daemon does not know
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add ``hints`` and its verbs."""
    parser = subparsers.add_parser(
        "hints",
        help="what applications are told",
        description="Show what applications are told about how long tasks and sockets wait.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _add_get(verbs)
    _add_watch(verbs)
    _add_resolve(verbs)


def _add_verb(verbs: Subparsers, name: str, what: str, examples: str) -> argparse.ArgumentParser:
    return verbs.add_parser(
        name,
        help=what,
        description=f"Print {what}.",
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_get(verbs: Subparsers) -> None:
    get = _add_verb(verbs, "get", "the state now", _GET_EXAMPLES)
    _add_cgroup_option(get)
    add_common_options(get)
    get.set_defaults(run=_get)


def _add_watch(verbs: Subparsers) -> None:
    what = "the state now and each change, until Ctrl-C"
    watch = _add_verb(verbs, "watch", what, _WATCH_EXAMPLES)
    _add_cgroup_option(watch)
    watch.add_argument("--count", type=_count, metavar="N", help="stop after N states")
    watch.add_argument(
        "--interval",
        type=seconds,
        default=1.0,
        metavar="SECONDS",
        help="shortest time between two states (default 1)",
    )
    add_common_options(watch)
    watch.set_defaults(run=_watch)


def _add_resolve(verbs: Subparsers) -> None:
    what = "the cgroup of an endpoint or a process"
    resolve = _add_verb(verbs, "resolve", what, _RESOLVE_EXAMPLES)
    resolve.add_argument(
        "subject", metavar="SUBJECT", help="127.0.0.1:8080, [::1]:8080, :8080, or a process id"
    )
    add_common_options(resolve)
    resolve.set_defaults(run=_resolve)


def _add_cgroup_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cgroup",
        action="append",
        default=[],
        metavar="GLOB",
        help="only cgroups whose path matches; may be repeated",
    )


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of states")
    return value


def _get(arguments: argparse.Namespace) -> int:
    with resonance.hints.connect(arguments.socket) as hints:
        state = hints.state(arguments.cgroup, timeout=_ANSWER_SECONDS)
        if state is None:
            raise CommandError(hints.status.service)
    _print_state(state, arguments.output, indent=2)
    return 0


def _watch(arguments: argparse.Namespace) -> int:
    asyncio.run(_follow(arguments))
    return 0


async def _follow(arguments: argparse.Namespace) -> None:
    """Print states; a daemon that goes away ends the command, as there is nothing to watch."""
    printed = 0
    async with resonance.hints.aio.connect(arguments.socket) as hints:
        async for state in hints.subscribe(arguments.cgroup, interval_seconds=arguments.interval):
            if state is None:
                raise CommandError(hints.status.service)
            _print_state(state, arguments.output, indent=0)
            printed += 1
            if printed == arguments.count:
                return


def _resolve(arguments: argparse.Namespace) -> int:
    subject = int(arguments.subject) if arguments.subject.isdecimal() else arguments.subject
    with resonance.hints.connect(arguments.socket) as hints:
        resolution = hints.resolve(subject, timeout=_ANSWER_SECONDS)
        if hints.status.service:
            raise CommandError(hints.status.service)
    if arguments.output == "json":
        print(msgspec.json.encode(resolution).decode())
    else:
        print(_resolution_text(resolution))
    return 0 if resolution.is_known else _NOT_KNOWN


def _print_state(state: State, output: str, *, indent: int) -> None:
    if output == "json":
        text = msgspec.json.encode(_as_json(state))
        text = msgspec.json.format(text, indent=indent) if indent else text
        print(text.decode(), flush=True)
    else:
        print("\n".join(_table(state)), flush=True)


def _as_json(state: State) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.structs.asdict(state)
    return {**fields, "age_seconds": state.age_seconds}


def _table(state: State) -> Iterator[str]:
    yield (
        f"{state.tier} on {state.hierarchy}, {state.mode}; "
        f"{duration_text(state.age_seconds)} old, percentiles of the last "
        f"{state.percentile_window_seconds:g} s"
    )
    yield _line("CGROUP", ["PRESSURE", "RUNQ p50", "RUNQ p99", "SRTT p50", "SRTT p99"])
    for cgroup in _busiest_first(state.cgroups):
        yield _line(path_text(cgroup.cgroup, _PATH_COLUMNS), _cells(cgroup))
        if cgroup.exclusive_cpus:
            yield f"  alone on CPUs {cpus_text(cgroup.exclusive_cpus, _CPUS_COLUMNS)}"
    if not state.cgroups:
        yield "no cgroup with a slot matches"


def _line(path: str, cells: Iterable[str]) -> str:
    return f"{path:{_PATH_COLUMNS}}" + "".join(f"{cell:>{_CELL_COLUMNS}}" for cell in cells)


def _busiest_first(cgroups: Iterable[CgroupState]) -> list[CgroupState]:
    return sorted(cgroups, key=lambda each: (-(each.pressure or 0.0), each.cgroup))


def _cells(cgroup: CgroupState) -> list[str]:
    pressure = "-" if cgroup.pressure is None else f"{cgroup.pressure:.3f}"
    runqueue, srtt = cgroup.runqueue or Latency(), cgroup.srtt or Latency()
    durations = (runqueue.p50_seconds, runqueue.p99_seconds, srtt.p50_seconds, srtt.p99_seconds)
    return [pressure, *(duration_text(each) for each in durations)]


def _resolution_text(resolution: Resolution) -> str:
    if not resolution.is_known:
        return f"not known: {resolution.reason}"
    slot = f"slot {resolution.slot}" if resolution.slot else "no slot of its own (other)"
    path = path_text(resolution.cgroup, len(resolution.cgroup))
    return f"{path}  id {resolution.cgroup_id}, {slot}"
