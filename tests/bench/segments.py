# SPDX-License-Identifier: MIT
"""What does measuring round trips cost per received segment, beside an empty program?

Two processes on one CPU, SCHED_FIFO, hand a byte to and fro over TCP on the loopback.
"""

from __future__ import annotations

import os
import socket
import statistics
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Final

from kernel import Variant, account, run_time_accounted
from paired import Result, compare, interleave, placebo

SRTT_BAR: Final = 2.2
_PLACEBO_BAR: Final = 1.15
"""*Chosen*: an event is shared with a Python process, whose cache misses vary."""
_ROUND_TRIPS: Final = 20_000


@contextmanager
def _echo() -> Iterator[socket.socket]:
    """Yield a connection to a process that returns each byte."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pid = os.fork()
        if pid == 0:
            peer, _ = listener.accept()
            while byte := peer.recv(1):
                peer.send(byte)
            os._exit(0)
        with socket.create_connection(listener.getsockname()) as connection:
            yield connection
    os.waitpid(pid, 0)


@contextmanager
def _pinned() -> Iterator[None]:
    """Run this process and its children on one CPU, before all others."""
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cpus)})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.sched_setaffinity(0, cpus)


def _ns_per_segment(variant: Variant) -> float:
    with variant() as descriptors, run_time_accounted(), _pinned(), _echo() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        before = account(descriptors[0])
        for _ in range(_ROUND_TRIPS):
            connection.send(b"!")
            connection.recv(1)
        spent = account(descriptors[0]) - before
    return spent.run_ns / spent.runs


def measure_segments(variants: Mapping[str, Variant], rounds: int) -> list[Result]:
    """Compare the variants ``empty`` and ``ours``, whose first program is that of tcp_probe."""
    arms = {**variants, "empty again": variants["empty"]}
    cost = interleave({name: partial(_ns_per_segment, arm) for name, arm in arms.items()}, rounds)
    print("\nTCP ping-pong, median program ns per segment")
    for name, values in cost.items():
        print(f"{name:28}  {statistics.median(values):10.1f}")
    again = placebo(cost["empty again"], cost["empty"])
    what = "SRTT program ns per segment"
    return [
        Result("A/A: empty tcp_probe", "empty again", again, _PLACEBO_BAR, is_placebo=True),
        *(
            Result(f"{name}: {what}", "empty", compare(cost[name], cost["empty"]), SRTT_BAR)
            for name in variants
            if name != "empty"
        ),
    ]
