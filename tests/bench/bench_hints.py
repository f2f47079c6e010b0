# SPDX-License-Identifier: MIT
"""What a hint costs, and how old it is: page and gRPC.

The bars are absolute, so a ratio is a measured value over its bar. Beside `Get` runs a call of a
service that does nothing: where even that misses the bar, the machine is too busy to say.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import grpc

import paired
import resonance.hints
import running
from paired import Result
from resonance.hints._layout import Page, read_pressure
from resonance_api.hints.v1.hints_pb2 import GetRequest
from resonance_api.hints.v1.hints_pb2_grpc import HintsStub
from running import Service

READ_BAR_NS: Final = 1_000.0
AGE_BAR_SECONDS: Final = 0.010
GET_BAR_SECONDS: Final = 0.001
WATCHERS: Final = 64
"""In a process of their own, so that what they do with the states is not in the way."""
_READ_PLACEBO_BAR: Final = 1.25
_AGE_PLACEBO_BAR: Final = 1.25
_GET_PLACEBO_BAR: Final = 1.5
"""*Chosen*: the p99 of a thousand calls is the tenth worst of them."""
_READS: Final = 50_000
_AGES: Final = 2_000
_CALLS: Final = 1_000
_OTHER: Final = "other"


class _Nothing:
    """What a method call costs by itself."""

    def pressure(self, cgroup: str | None = None) -> float | None:
        return None


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6, help="of about 20 seconds each")
    parser.add_argument("--port", type=int, default=9767, help="for the metrics")
    arguments = parser.parse_args(argv)
    paired.end_by_exception()
    with running.populated_cgroups(), running.service(arguments.port) as service:
        running.await_slots(service)
        results = [
            *_measure_page(service, arguments.rounds),
            *_measure_calls(service, arguments.rounds),
        ]
    return paired.conclude("hints", results)


def _measure_page(service: Service, rounds: int) -> list[Result]:
    with resonance.hints.connect(os.fspath(service.socket)) as hints:
        if hints.pressure(_OTHER) is None:
            raise RuntimeError(f"the page cannot be read: {hints.status.page}")
        read, nothing = partial(_read_ns, hints.pressure), partial(_read_ns, _Nothing().pressure)
        cost = paired.interleave({"read": read, "empty": nothing, "empty again": nothing}, rounds)
        age = partial(_age_seconds, service.page, hints.pressure)
        ages = paired.interleave({"age": age, "age again": age}, rounds)
    for name, values in cost.items():
        print(f"page, {name:12}  {statistics.median(values):8.1f} ns per call")
    for name, values in ages.items():
        print(f"page, {name:12}  {statistics.median(values) * 1e3:8.2f} ms at p99")
    both = ages["age"] + ages["age again"]
    return [
        _placebo("empty method call", cost["empty"], cost["empty again"], _READ_PLACEBO_BAR),
        _placebo("hint age p99", ages["age"], ages["age again"], _AGE_PLACEBO_BAR),
        Result("page read from Python", "1 us", paired.within(cost["read"], READ_BAR_NS), 1.0),
        Result("hint age p99, page read", "10 ms", paired.within(both, AGE_BAR_SECONDS), 1.0),
    ]


def _placebo(what: str, first: list[float], second: list[float], bar: float) -> Result:
    estimate = paired.placebo(first, second)
    return Result(f"A/A: {what}", "again", estimate, bar, is_placebo=True)


def _read_ns(read: Callable[[str], float | None]) -> float:
    started = time.perf_counter_ns()
    for _ in range(_READS):
        read(_OTHER)
    return (time.perf_counter_ns() - started) / _READS


def _age_seconds(path: Path, read: Callable[[str], float | None]) -> float:
    """Return the p99 age of the page as a reader meets it at moments of its own."""
    page, draw, ages = Page.open(path), random.Random(_AGES), list[float]()
    try:
        for _ in range(_AGES):
            time.sleep(draw.uniform(0.0, 0.004))
            read(_OTHER)
            reading = read_pressure(page.memory, page.header_bytes)
            if reading is not None:
                ages.append((time.monotonic_ns() - reading[0]) / 1e9)
    finally:
        page.close()
    return paired.percentile(ages, 0.99)


def _measure_calls(service: Service, rounds: int) -> list[Result]:
    with ExitStack() as stack:
        daemon = stack.enter_context(grpc.insecure_channel(f"unix:{service.socket}"))
        get = HintsStub(daemon).Get
        socket = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "bare.sock"
        size = get(GetRequest()).ByteSize()
        stack.enter_context(_beside("bare_server.py", socket, size))
        channel = stack.enter_context(grpc.insecure_channel(f"unix:{socket}"))
        alone = partial(_call_seconds, partial(get, GetRequest()))
        watched = partial(_watched_call_seconds, service.socket, alone)
        bare = partial(_call_seconds, partial(channel.unary_unary("/bare/Get"), b""))
        arms = {"alone": alone, "alone again": alone, "watched": watched, "bare": bare}
        calls = paired.interleave(arms, rounds)
    for name, values in calls.items():
        print(f"call, {name:12}  {statistics.median(values) * 1e3:8.3f} ms at p99")
    share = {name: paired.within(values, GET_BAR_SECONDS) for name, values in calls.items()}
    return [
        _placebo("Get p99", calls["alone"], calls["alone again"], _GET_PLACEBO_BAR),
        Result(
            f"A/A: call of nothing p99, {size} bytes", "1 ms", share["bare"], 1.0, is_placebo=True
        ),
        Result("Get p99, no watchers", "1 ms", share["alone"], 1.0),
        Result(f"Get p99, {WATCHERS} watchers", "1 ms", share["watched"], 1.0),
    ]


def _call_seconds(call: Callable[[], object]) -> float:
    """Return the p99 of calls at moments of our own."""
    draw, taken = random.Random(_CALLS), list[float]()
    for _ in range(_CALLS):
        time.sleep(draw.uniform(0.0, 0.004))
        started = time.perf_counter_ns()
        call()
        taken.append((time.perf_counter_ns() - started) / 1e9)
    return paired.percentile(taken, 0.99)


def _watched_call_seconds(socket: Path, measure: Callable[[], float]) -> float:
    with _beside("watchers.py", socket, WATCHERS):
        return measure()


@contextmanager
def _beside(program: str, *arguments: object) -> Iterator[None]:
    """Run a program that lies beside this one, from when it says that it is ready."""
    path = Path(__file__).with_name(program)
    process = subprocess.Popen(
        [sys.executable, str(path), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        if process.stdout.readline() != "ready\n":
            raise RuntimeError(f"{program} did not start")
        yield
    finally:
        process.communicate()


if __name__ == "__main__":
    sys.exit(main())
