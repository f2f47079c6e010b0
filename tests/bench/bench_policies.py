# SPDX-License-Identifier: MIT
"""What a call through the SDK costs that succeeds at once, beside the same with other libraries.

Overhead is what a call costs less what the bare function does in the same round: CPU time of the
whole process, so that a timer's thread counts and other programs do not. Ours chooses among three
replicas and has a copy armed; the others would only retry (`sdk_overhead`). With ten thousand
calls in flight, one task of the application for each, it is what a library adds to that
(`crowded`).
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import crowded
import paired
import sdk_overhead
from paired import Estimate, Result
from resonance import AsyncClient
from sdk_overhead import AGAIN, ARE_ARMED, ARMED, WORKER, WORKER_PEER

SYNC_BAR_NS: Final = 2_000.0
ASYNC_BAR_NS: Final = 4_000.0
PEER_BARS: Final = {"tenacity": 0.10, "stamina": 0.10, "hyx": 1.0, "pyresilience": 1.0}
_PLACEBO_BAR: Final = 1.15
"""*Chosen*: short runs on a shared machine differ by a tenth."""
_CROWD_BAR: Final = 1.0
"""*Chosen*: what we promise there is that there are no tasks; the rest is not to be worse."""
_OURS: Final = (ARMED, "call, no hedge", "hedge", "retry")
_SLOW: Final = ("tenacity", "stamina", WORKER, WORKER_PEER)
_CALLS: Final = 20_000
_SLOW_CALLS: Final = 2_000

Values = Mapping[str, Sequence[float]]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=31, help="of about four seconds each")
    parser.add_argument("--quick", action="store_true", help="five rounds")
    arguments = parser.parse_args(argv)
    rounds = 5 if arguments.quick else arguments.rounds
    results = [*_sync(rounds), *_async(rounds), *_crowded(rounds)]
    return paired.conclude("policies", results)


def _sync(rounds: int) -> list[Result]:
    with sdk_overhead.sync_arms() as arms:

        def measure(name: str) -> float:
            value = sdk_overhead.called(arms[name], _count(name))
            if name in ARE_ARMED:
                sdk_overhead.require_armed(arms[name]())
            return value

        values = paired.interleave({name: partial(measure, name) for name in arms}, rounds)
    _print("threads", values)
    in_workers = paired.compare(_overhead(values, WORKER), _overhead(values, WORKER_PEER))
    return [
        *_rows("threads", values, SYNC_BAR_NS),
        Result("threads: call, in a worker", "pyresilience", in_workers, 1.0),
    ]


def _async(rounds: int) -> list[Result]:
    armed_policy, plain_policy = sdk_overhead.policies()
    armed, plain = AsyncClient(armed_policy), AsyncClient(plain_policy)
    arms = sdk_overhead.async_arms(armed, plain)

    async def measure(name: str) -> float:
        value = await sdk_overhead.awaited(arms[name], _count(name))
        if name in ARE_ARMED:
            sdk_overhead.require_armed(await arms[name]())
        return value

    with asyncio.Runner() as runner:

        def measured(name: str) -> float:
            return runner.run(measure(name))

        for name in (ARMED, "hedge"):
            runner.run(sdk_overhead.learn(arms[name]))
        values = paired.interleave({name: partial(measured, name) for name in arms}, rounds)
        runner.run(armed.close())
        runner.run(plain.close())
    _print("asyncio", values)
    return _rows("asyncio", values, ASYNC_BAR_NS)


def _count(name: str) -> int:
    return _SLOW_CALLS if name in _SLOW else _CALLS


def _crowded(rounds: int) -> list[Result]:
    looks = {arm: crowded.crowded(arm) for arm in crowded.CROWDED}
    arms = {arm: partial(crowded.seconds, arm) for arm in crowded.CROWDED}
    values = paired.interleave(arms, max(1, rounds // 3))
    print(f"\n{f'{crowded.CALLS:,} calls in flight':28}   tasks  bytes per call    us per call")
    for arm, look in looks.items():
        size = look.bytes - looks["plain"].bytes
        microseconds = statistics.median(_overhead(values, arm)) * 1e6
        print(f"{arm:28} {look.tasks:7}  {size:14.0f}  {microseconds:13.2f}")
    sizes = {arm: look.bytes - looks["plain"].bytes for arm, look in looks.items()}
    tasks = looks[ARMED].tasks / crowded.CALLS
    ours = _overhead(values, ARMED)
    what = f"{crowded.CALLS:,} in flight: "
    rows = [Result(f"{what}tasks of ours", "calls", _exact(tasks), 0.0)]
    for peer in ("tenacity", "stamina"):
        spent = paired.compare(ours, _overhead(values, peer))
        memory = _exact(sizes[ARMED] / sizes[peer])
        rows.append(Result(f"{what}time", peer, spent, _CROWD_BAR))
        rows.append(Result(f"{what}memory", peer, memory, _CROWD_BAR))
    return rows


def _exact(ratio: float) -> Estimate:
    """Return what is counted, not measured."""
    return Estimate(ratio, ratio, ratio)


def _overhead(values: Values, arm: str) -> list[float]:
    return [value - plain for value, plain in zip(values[arm], values["plain"], strict=True)]


def _print(where: str, values: Values) -> None:
    print(f"\n{where:28}   ns per call   overhead")
    for name, each in values.items():
        overhead = statistics.median(_overhead(values, name))
        print(f"{name:28} {statistics.median(each):13.0f}  {overhead:9.0f}")


def _rows(where: str, values: Values, bar_ns: float) -> list[Result]:
    again = paired.placebo(values[ARMED], values[AGAIN])
    rows = [Result(f"A/A: {where}: {ARMED}", "again", again, _PLACEBO_BAR, is_placebo=True)]
    for name in _OURS:
        absolute = paired.within(_overhead(values, name), bar_ns)
        rows.append(Result(f"{where}: {name}", f"{bar_ns / 1e3:g} us", absolute, 1.0))
    for peer, bar in PEER_BARS.items():
        if peer in values:
            estimate = paired.compare(_overhead(values, ARMED), _overhead(values, peer))
            rows.append(Result(f"{where}: {ARMED}", peer, estimate, bar))
    return rows


if __name__ == "__main__":
    sys.exit(main())
