# SPDX-License-Identifier: MIT
"""One outage, and what becomes of it in each arm at the same time.

Each arm has a server and a crowd of clients of its own, in processes of their own. They run
side by side, so that whatever else the machine does meets all of them; a server's capacity is
set by the clock, so that they do not take it from each other. That they did not, the lateness
of servers and clients shows.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from paired import percentile

from .clients import Crowd
from .goodput import Told, amplification, goodput, recovery_seconds
from .server import CAPACITY_HZ

__all__ = ["Aftermath", "Times", "run"]

CLIENTS: Final = 20
"""Each has a budget of its own, as processes have."""
LOAD: Final = 0.75
_START_SECONDS: Final = 5.0
"""*Chosen*: until all processes have started, and imported what they need, on a busy machine."""
_BENCH: Final = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Times:
    """How long it is before, in and after the outage, in seconds."""

    calm: float = 5.0
    outage: float = 5.0
    after: float = 30.0


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What came of one outage in one arm.

    Attributes
    ----------
    recovery_seconds : float
        From the end of the outage to the first lasting goodput of 95 %.
    calm_attempts, outage_attempts, attempts : float
        Attempts for each call: before the outage, in it, and from its beginning to the end.
    lost : float
        Share of the calls from the beginning of the outage on that had no result by the end.
    last_goodput : float
        In the last 5 s.
    late_seconds : float
        p99 of how late calls were begun, or answers were sent: the larger.
    """

    recovery_seconds: float
    calm_attempts: float
    outage_attempts: float
    attempts: float
    lost: float
    last_goodput: float
    late_seconds: float


def run(
    arms: Sequence[str], times: Times, seed: int, *, withdraws: bool = False
) -> dict[str, Aftermath]:
    """Let a server go out for a while, and see how its clients come through.

    Parameters
    ----------
    arms : sequence of str
    times : Times
    seed : int
        Of the moments at which calls are begun.
    withdraws : bool
        What is given up is taken back from the server's queue.
    """
    with ExitStack() as stack:
        servers = {arm: stack.enter_context(_process("storm.server")) for arm in arms}
        begin_at = time.monotonic() + _START_SECONDS
        out_from = begin_at + times.calm
        over_at = out_from + times.outage
        end_at = over_at + times.after
        crowds: dict[str, subprocess.Popen[str]] = {}
        for arm, server in servers.items():
            assert server.stdout is not None
            assert server.stdin is not None
            port = int(server.stdout.readline())
            server.stdin.write(f"{out_from} {over_at}\n")
            server.stdin.flush()
            rate = LOAD * CAPACITY_HZ
            crowd = Crowd(arm, port, seed, CLIENTS, rate, begin_at, end_at, withdraws)
            argument = json.dumps(asdict(crowd))
            crowds[arm] = stack.enter_context(_process("storm.clients", argument))
        told = {arm: _last_words(crowd) for arm, crowd in crowds.items()}
        served = {arm: _last_words(server) for arm, server in servers.items()}
    return {arm: _aftermath(told[arm], served[arm], out_from, over_at, end_at) for arm in arms}


@contextmanager
def _process(module: str, *arguments: str) -> Generator[subprocess.Popen[str]]:
    """Run a program of this folder, which is not left behind."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=_BENCH,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()  # which does nothing to what has ended


def _last_words(process: subprocess.Popen[str]) -> dict[str, Any]:
    words, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{process.args!r} ended with status {process.returncode}")
    told: dict[str, Any] = json.loads(words)
    return told


def _aftermath(
    told: dict[str, Any], server: dict[str, Any], out_from: float, over_at: float, end_at: float
) -> Aftermath:
    calls = [Told(*call) for call in told["calls"]]
    affected = [call for call in calls if call.begun_at >= out_from]
    return Aftermath(
        recovery_seconds=recovery_seconds(calls, over_at, end_at),
        calm_attempts=amplification(calls, 0.0, out_from),
        outage_attempts=amplification(calls, out_from, over_at),
        attempts=amplification(calls, out_from, end_at),
        lost=sum(not call.is_good for call in affected) / len(affected),
        last_goodput=goodput(calls, end_at - 5.0, end_at),
        late_seconds=max(percentile(each["late_seconds"], 0.99) for each in (told, server)),
    )
