# SPDX-License-Identifier: MIT
"""What does BBR per cgroup do for requests that share a slow link with a bulk transfer?

Two network namespaces and the link of the reference experiment between them: 20 Mbit/s, 20 ms
there and back, a buffer. A bulk transfer fills it while small requests go to and fro on a
connection of their own; the sender's processes are in a cgroup, and the arms differ in what was
attached to that cgroup.
The namespaces' own default is Reno, and where CUBIC is meant its sockets ask for it: so the
kernel's default does not matter, and an arm whose knob did nothing would be neither.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from paired import Result, compare, interleave, percentile, placebo
from resonance.bench.reference.network.links import FAR, Link, Namespaces, enter, link, namespaces
from resonance_tuning.host import Host
from running import remove_cgroup
from tuning.applied import attached

RTT_BAR: Final = 0.25
GOODPUT_BAR: Final = 0.95
LOSSY_GOODPUT_BAR: Final = 2.0
_PLACEBO_BAR: Final = 1.25
RATE_BITS_PER_SECOND: Final = 20_000_000
DELAY_SECONDS: Final = 0.010
"""Each way."""
DEEP_BYTES: Final = 1_000_000
SHALLOW_BYTES: Final = 32_000
"""Two thirds of the 50 kB that are under way at this rate and round trip."""
LOSS_RATIO: Final = 0.01
_SECONDS: Final = 8.0
_TRAFFIC: Final = Path(__file__).with_name("traffic.py")


@dataclass(frozen=True, slots=True)
class Sample:
    """One arm of one round.

    Attributes
    ----------
    rtt_p50_seconds, rtt_p99_seconds : float
        Of the requests.
    goodput : float
        Bytes of bulk received per second, all transfers together.
    share : float
        Of that, what went to the first transfer, which is the one in the cgroup.
    drop_ratio : float
        Packets the buffer had no room for.
    """

    rtt_p50_seconds: float
    rtt_p99_seconds: float
    goodput: float
    share: float
    drop_ratio: float


@contextmanager
def cgroup() -> Iterator[str]:
    """Make the sender's cgroup in the unified hierarchy; give its path."""
    unified = Host().unified
    if not unified:
        raise RuntimeError("no cgroup2 is mounted: sockops programs attach to nothing else")
    name = f"resonance-bench-{os.getpid()}-sender"
    directory = unified.directory / name
    directory.mkdir()
    try:
        yield f"/{name}"
    finally:
        remove_cgroup(directory)


def _once(
    where: Namespaces,
    group: str,
    *,
    value: str | None,
    buffer_bytes: int,
    loss: float = 0.0,
    has_rival: bool = False,
) -> Sample:
    """Run one arm; `value` is that of the knob ``congestion_control``, or None for CUBIC."""
    unified = Host().unified
    assert unified is not None
    procs = unified.directory / group.lstrip("/")
    with ExitStack() as stack:
        how = Link(RATE_BITS_PER_SECOND, DELAY_SECONDS, buffer_bytes, loss)
        passed = stack.enter_context(link(where, how))
        if value:
            stack.enter_context(attached(group, value))
        with _traffic(where.far, "receive", str(_SECONDS), str(1 + has_rival)) as receiver:
            assert receiver.stdout is not None
            if receiver.stdout.readline() != "ready\n":
                raise RuntimeError("the receiver did not start")
            rivals = [_traffic(where.near, "rival", FAR)] if has_rival else []
            asked = "" if value else "cubic"
            send = [FAR, str(_SECONDS), str(procs), asked]
            with _traffic(where.near, "send", *send) as sender:
                rtts = [float(line) for line in sender.communicate()[0].split()]
            for rival in rivals:
                rival.communicate()
            received: dict[str, float] = json.loads(receiver.communicate()[0])
    total = sum(received.values())
    at = partial(percentile, rtts)
    return Sample(at(0.5), at(0.99), total, received["ours"] / total, passed.dropped_ratio)


def _traffic(namespace: str, *arguments: str) -> subprocess.Popen[str]:
    command = [*enter(namespace), sys.executable, str(_TRAFFIC)]
    command += arguments
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def measure(rounds: int) -> list[Result]:
    """Compare BBR by sockops with CUBIC: deep buffer, small buffer, loss, and beside CUBIC."""
    with namespaces() as where, cgroup() as group:
        once = partial(_once, where, group)
        deep = partial(once, buffer_bytes=DEEP_BYTES)
        shallow = partial(once, buffer_bytes=SHALLOW_BYTES)
        lossy = partial(deep, loss=LOSS_RATIO)
        arms = {
            "deep, cubic": partial(deep, value=None),
            "deep, cubic again": partial(deep, value=None),
            "deep, bbr": partial(deep, value="bbr"),
            "lossy, cubic": partial(lossy, value=None),
            "lossy, bbr": partial(lossy, value="bbr"),
            "shallow, cubic": partial(shallow, value=None),
            "shallow, bbr": partial(shallow, value="bbr"),
            "deep, bbr beside cubic": partial(deep, value="bbr", has_rival=True),
            "shallow, bbr beside cubic": partial(shallow, value="bbr", has_rival=True),
        }
        samples = interleave(arms, rounds)
    _print(samples)
    return _results(samples)


def _print(samples: dict[str, list[Sample]]) -> None:
    title = f"20 Mbit/s, 20 ms, medians of {len(samples['deep, cubic'])}"
    print(f"\n{title:34}  rtt p50 ms  p99 ms  Mbit/s  ours  dropped")
    for name, of in samples.items():
        p50, p99, goodput, share, dropped = (
            statistics.median(getattr(sample, field) for sample in of)
            for field in ("rtt_p50_seconds", "rtt_p99_seconds", "goodput", "share", "drop_ratio")
        )
        print(
            f"{name:34}  {p50 * 1e3:10.1f}  {p99 * 1e3:6.1f}  {goodput * 8 / 1e6:6.2f}"
            f"  {share:4.0%}  {dropped:7.2%}"
        )


def _results(samples: dict[str, list[Sample]]) -> list[Result]:
    def p99(arm: str) -> list[float]:
        return [sample.rtt_p99_seconds for sample in samples[arm]]

    def goodput(arm: str) -> list[float]:
        return [sample.goodput for sample in samples[arm]]

    again = placebo(p99("deep, cubic again"), p99("deep, cubic"))
    return [
        Result("A/A: request p99, 1 MB buffer", "again", again, _PLACEBO_BAR, is_placebo=True),
        Result(
            "bbr by sockops: request p99, 1 MB buffer",
            "cubic",
            compare(p99("deep, bbr"), p99("deep, cubic")),
            RTT_BAR,
        ),
        Result(
            "bbr by sockops: goodput, 1 MB buffer",
            "cubic",
            compare(goodput("deep, bbr"), goodput("deep, cubic")),
            GOODPUT_BAR,
            is_floor=True,
        ),
        Result(
            "bbr by sockops: goodput, 1 % loss",
            "cubic",
            compare(goodput("lossy, bbr"), goodput("lossy, cubic")),
            LOSSY_GOODPUT_BAR,
            is_floor=True,
        ),
    ]
