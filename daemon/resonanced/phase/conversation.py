# SPDX-License-Identifier: MIT
"""One process and the daemon talk about its sources: who says what, how often, how long?

Reports are read no faster than they are asked for, so a client that floods fills its own
flow-control window and waits. Orders are made when they are sent. A client that says nothing
for long is gone, whatever its connection looks like.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Generator
from typing import Final, cast

import grpc
from prometheus_client import Counter

from resonance_api.phase.v1 import phase_pb2
from resonance_core.control.records import Command
from resonance_core.errors import InvalidSampleError
from resonanced.phase import requests
from resonanced.phase.attendance import Attendance, Orders
from resonanced.phase.pace import heartbeat_seconds, report_interval_seconds, valid_seconds
from resonanced.phase.registry import Registry
from resonanced.rpc import Context, RefusedError, parse

__all__ = ["Conversation"]

REPORTS: Final = Counter("resonance_phase_reports_total", "Reports taken in from sources")

_BURST: Final = 32
"""Reports that are taken as they come: a process that starts registers one by one; chosen."""
_REPORTS_PER_INTERVAL: Final = 2.0
_SHARE: Final = 0.1
"""Of a core, for the reports of all streams together, whatever is in them; chosen: an honest
fleet needs a tenth of it."""
_LONG_SECONDS: Final = 0.001
"""A report that took so long lets a tick come before the next one is read; chosen."""
_SILENCE_SECONDS: Final = 30.0
_SILENT_INTERVALS: Final = 10.0
_SILENT_PERIODS: Final = 3.0
_KINDS: Final = {
    "grant": phase_pb2.Placement.KIND_GRANT,
    "slew": phase_pb2.Placement.KIND_SLEW,
    "home": phase_pb2.Placement.KIND_HOME,
}


class Conversation:
    """One stream, from its first report to its end.

    Parameters
    ----------
    registry : Registry
    context : grpc.aio.ServicerContext
    closing : asyncio.Event
        Set when the daemon ends.
    turn : asyncio.Lock
        Shared by all conversations: one report at a time.
    """

    def __init__(
        self, registry: Registry, context: Context, closing: asyncio.Event, turn: asyncio.Lock
    ) -> None:
        self._registry = registry
        self._context = context
        self._closing = closing
        self._turn = turn
        self._due = asyncio.Event()
        self._attendance: Attendance = registry.open(self._due.set)
        self._credit = float(_BURST)
        self._credit_at = time.monotonic()

    async def run(self) -> None:
        """Talk until the client ends the stream; then its sources are attended no longer.

        Raises
        ------
        RefusedError
            It said what is no report, or nothing for too long; or the daemon ends.
        """
        try:
            # Before anything else: gRPC cannot send a status while it sends the headers, and a
            # stream that is refused in that moment would never end for its client.
            await self._context.send_initial_metadata(())
            await self._talk()
        finally:
            self._registry.close(self._attendance)

    async def _talk(self) -> None:
        sides = [
            asyncio.ensure_future(side) for side in (self._listen(), self._tell(), self._close())
        ]
        try:
            await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for side in sides:
                side.cancel()
            ended = await asyncio.gather(*sides, return_exceptions=True)
        for outcome in ended:
            if isinstance(outcome, Exception):
                raise outcome

    async def _listen(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._patience_seconds()):
                    payload = cast("object", await self._context.read())
            except TimeoutError as error:
                reason = "nothing was reported for too long"
                raise RefusedError(reason, grpc.StatusCode.DEADLINE_EXCEEDED) from error
            if not isinstance(payload, bytes):
                return  # it is grpc.aio.EOF: the client has ended its reports
            async with self._turn:
                started = time.monotonic()
                self._take(parse(phase_pb2.Report, payload))
                spent_seconds = time.monotonic() - started
                if spent_seconds > _LONG_SECONDS:
                    await asyncio.sleep(0)
            if pause_seconds := self._pause_seconds(spent_seconds):
                await asyncio.sleep(pause_seconds)

    def _patience_seconds(self) -> float:
        """Return how long the client may be silent: one that sleeps long reports rarely."""
        return max(
            _SILENCE_SECONDS,
            _SILENT_INTERVALS * self._registry.report_interval_seconds,
            _SILENT_PERIODS * self._attendance.longest_period_seconds,
        )

    def _pause_seconds(self, spent_seconds: float) -> float:
        """Return how long to wait before the next report is read, so that none can flood.

        A report costs one credit, or more where it took more than its stream's share of time.
        Timers come and go in quiet times too, and each is reported at once.
        """
        now = time.monotonic()
        streams, sources = self._registry.streams, len(self._registry)
        interval = report_interval_seconds(streams, sources, is_quiet=False)
        per_second = _REPORTS_PER_INTERVAL / interval
        earned = (now - self._credit_at) * per_second
        fair_seconds = spent_seconds * streams / _SHARE
        cost = max(1.0, fair_seconds * per_second)
        self._credit = min(self._credit + earned, float(_BURST)) - cost
        self._credit_at = now
        return max(-self._credit / per_second, 0.0)

    def _take(self, report: phase_pb2.Report) -> None:
        REPORTS.inc()
        now = time.monotonic()
        for registration in report.registrations:
            with self._refusing(registration.key):
                attended = requests.attended(registration, now)
                self._registry.register(self._attendance, attended, now)
        for message in report.releases:
            attended_now = self._attendance.find(message.key)
            if attended_now is None:
                continue  # it was refused while this was under way
            with self._refusing(message.key):
                period = attended_now.source.period_seconds
                did = requests.releases(message, period, now)
                self._registry.observe(self._attendance, did)
        self._registry.depart(self._attendance, report.departed)

    @contextlib.contextmanager
    def _refusing(self, client_key: int) -> Generator[None]:
        try:
            yield
        except InvalidSampleError as error:
            self._registry.refuse(self._attendance, client_key, str(error))

    async def _tell(self) -> None:
        while True:
            self._due.clear()
            await self._context.write(self._order(self._attendance.take()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(heartbeat_seconds(self._registry.streams)):
                    await self._due.wait()

    async def _close(self) -> None:
        await self._closing.wait()
        raise RefusedError("the daemon is stopping", grpc.StatusCode.UNAVAILABLE)

    def _order(self, orders: Orders) -> bytes:
        return phase_pb2.Order(
            placements=[_placement(key, each) for key, each in orders.placements.items()],
            refusals=[
                phase_pb2.Refusal(key=key, reason=reason) for key, reason in orders.refusals.items()
            ],
            report_interval_seconds=self._registry.report_interval_seconds,
            valid_for_seconds=valid_seconds(self._registry.streams),
            mode=self._registry.mode,
        ).SerializeToString()


def _placement(client_key: int, command: Command) -> phase_pb2.Placement:
    return phase_pb2.Placement(
        key=client_key,
        kind=_KINDS[command.kind],
        offset_seconds=command.offset_seconds,
        max_step_seconds=command.max_step_seconds,
        reason=command.reason,
    )
