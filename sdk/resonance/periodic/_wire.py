# SPDX-License-Identifier: MIT
"""The gRPC side of the timers: one stream of reports to the daemon, one of orders back.

Imported when there is a daemon, and not before.
"""

from __future__ import annotations

import math
import os
import queue
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import grpc

from resonance.hints._cgroup import cgroup_id
from resonance.hints._channel import OPTIONS, check, failed
from resonance.hints._layout import Page, UnreadableError
from resonance.hints._link import FailedCallError
from resonance.periodic._roll import Entry, Roll
from resonance.periodic._source import Done, Source
from resonance_api.phase.v1 import phase_pb2
from resonance_api.phase.v1.phase_pb2_grpc import PhaseStub

__all__ = ["Stream"]

_MOST_REGISTRATIONS: Final = 64
_MOST_RELEASES: Final = 1_000
"""Of one report; chosen: well within what a daemon takes in one message."""
_MOST_VALID_SECONDS: Final = 60.0
_MOST_INTERVAL_SECONDS: Final = 60.0
_VALID_SECONDS: Final = 5.0
_INTERVAL_SECONDS: Final = 0.5
"""Where the daemon says nothing sensible."""
_GATHER_SECONDS: Final = 0.02
"""So that timers which begin together are reported together."""
_IDLE_SECONDS: Final = 5.0
"""The stream outlives its last timer for so long: the next one need not connect anew."""
_IMPORTANCE: Final = {
    "low": phase_pb2.IMPORTANCE_LOW,
    "normal": phase_pb2.IMPORTANCE_NORMAL,
    "high": phase_pb2.IMPORTANCE_HIGH,
    "critical": phase_pb2.IMPORTANCE_CRITICAL,
}
_KINDS: Final[dict[int, str]] = {
    phase_pb2.Placement.KIND_GRANT: "grant",
    phase_pb2.Placement.KIND_SLEW: "slew",
    phase_pb2.Placement.KIND_HOME: "home",
}


class Stream:
    """An open way to the daemon.

    Parameters
    ----------
    path : pathlib.Path
        Its socket.

    Raises
    ------
    FailedCallError
        No call can be made from this process, or to this path.
    """

    def __init__(self, path: Path) -> None:
        check(path)
        self._cgroup_id = _own_cgroup_id(path)
        self._interval_seconds = _INTERVAL_SECONDS
        self._roll = Roll()
        # Its `put` may be called by a finaliser in the middle of another `put`; no event's can.
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_idle = False
        self._is_closed = False
        self._channel = grpc.insecure_channel(f"unix:{path}", options=OPTIONS)
        self._stub = PhaseStub(self._channel)

    def run(self, sources: Callable[[], list[Source]], heard: Callable[[], None]) -> None:
        """Report and obey until there has been no source for a while.

        Parameters
        ----------
        sources : callable
            Returns those that are there now.
        heard : callable
            Called at each order.

        Raises
        ------
        FailedCallError
            The daemon has gone, or does not want us.
        """
        try:
            for order in self._stub.Attend(self._reports(sources)):
                heard()
                self._obey(order)
        except grpc.RpcError as error:
            if not self._is_idle:
                raise failed(error) from error
        if not self._is_idle:
            raise FailedCallError("UNAVAILABLE", "the daemon ended the stream")

    def ring(self) -> None:
        """Report soon: somebody came or went, or reports are wanted more often."""
        self._bell.put(None)

    def close(self) -> None:
        """End the stream."""
        self._is_closed = True
        self.ring()
        self._channel.close()

    def _reports(self, sources: Callable[[], list[Source]]) -> Iterator[phase_pb2.Report]:
        """Yield reports as they are due; gRPC asks for them in a thread of its own."""
        last_used = time.monotonic()
        while not self._is_closed:
            changes = self._roll.update(sources(), time.monotonic_ns())
            yield from _chunks(self._contents(changes.came, changes.went))
            if self._roll:
                last_used = time.monotonic()
            elif time.monotonic() - last_used > _IDLE_SECONDS:
                self._is_idle = True
                self._channel.close()  # a half-closed stream would wait for the daemon
                return
            self._wait()

    def _wait(self) -> None:
        try:
            self._bell.get(timeout=self._interval_seconds)
        except queue.Empty:
            return
        time.sleep(_GATHER_SECONDS)
        for _ in range(self._bell.qsize()):
            self._bell.get_nowait()

    def _contents(self, came: dict[int, Entry], went: list[int]) -> Iterator[_Content]:
        yield from went
        for key, entry in came.items():
            yield self._registration(key, entry)
        for key, source in self._roll.items():
            done = source.take()
            for first in range(0, len(done), _MOST_RELEASES):
                yield _releases(key, source, done[first : first + _MOST_RELEASES])

    def _registration(self, key: int, entry: Entry) -> phase_pb2.Registration:
        source, spec = entry.source, entry.source.spec
        return phase_pb2.Registration(
            key=key,
            name=spec.name,
            period_seconds=source.period_seconds,
            origin_ns=source.origin_ns,
            phase_free=spec.phase_free,
            slack_seconds=spec.slack_seconds,
            importance=_IMPORTANCE[spec.importance],
            offset_seconds=entry.offset_ns / 1e9,
            pid=os.getpid(),
            cgroup_id=self._cgroup_id,
        )

    def _obey(self, order: phase_pb2.Order) -> None:
        before, self._interval_seconds = (
            self._interval_seconds,
            _within(order.report_interval_seconds, _MOST_INTERVAL_SECONDS, _INTERVAL_SECONDS),
        )
        if self._interval_seconds < before:
            self.ring()  # or it would wait for as long as it was told before
        valid_seconds = _within(order.valid_for_seconds, _MOST_VALID_SECONDS, _VALID_SECONDS)
        for refusal in order.refusals:
            refused = self._roll.refuse(refusal.key)
            if refused is not None:
                refused.daemon_until_ns = 0
                refused.refusal = refusal.reason
        until_ns = time.monotonic_ns() + round(valid_seconds * 1e9)
        for source in self._roll.confirm():
            source.mode = order.mode
            source.daemon_until_ns = until_ns
        for placement in order.placements:
            placed = self._roll.find(placement.key)
            kind = _KINDS.get(placement.kind)
            if placed is not None and kind is not None:
                offset_seconds, step_seconds = placement.offset_seconds, placement.max_step_seconds
                placed.place(kind, offset_seconds, step_seconds, placement.reason)


_Content = int | phase_pb2.Registration | phase_pb2.Releases


def _chunks(contents: Iterator[_Content]) -> Iterator[phase_pb2.Report]:
    """Yield reports that are small enough; none where there is nothing to say."""
    report, size = phase_pb2.Report(), 0
    for content in contents:
        cost = _cost(content)
        if size + cost > _MOST_RELEASES:
            yield report
            report, size = phase_pb2.Report(), 0
        size += cost
        if isinstance(content, int):
            report.departed.append(content)
        elif isinstance(content, phase_pb2.Registration):
            report.registrations.append(content)
        else:
            report.releases.append(content)
    if size:
        yield report


def _cost(content: _Content) -> int:
    """Return how much of a report this takes, in releases."""
    if isinstance(content, phase_pb2.Registration):
        return _MOST_RELEASES // _MOST_REGISTRATIONS
    return len(content.at_ns) if isinstance(content, phase_pb2.Releases) else 1


def _releases(key: int, source: Source, done: list[Done]) -> phase_pb2.Releases:
    return phase_pb2.Releases(
        key=key,
        at_ns=[each.natural_ns for each in done],
        work_seconds=[each.work_seconds for each in done],
        completion_seconds=[each.completion_seconds for each in done],
        offset_seconds=source.offset_ns / 1e9,
    )


def _within(value: float, most: float, otherwise: float) -> float:
    """Return a time the daemon gave, where it can be one."""
    return min(value, most) if 0.0 < value < math.inf else otherwise


def _own_cgroup_id(path: Path) -> int:
    """Return the number of this process's cgroup as the daemon counts them; 0 if unknown."""
    try:
        page = Page.open(path.parent / f"{path.stem}.page")
    except (OSError, UnreadableError):
        return 0
    hierarchy = page.hierarchy
    page.close()
    return cgroup_id(hierarchy, None) or 0
