# SPDX-License-Identifier: MIT
"""Who watches, and what does each reader get next?

A stream never queues. While a reader is busy newer states take the place of older ones;
when it is ready again it gets the state of that moment, and what it missed is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from prometheus_client import Counter, Gauge

from resonance_api.hints.v1 import hints_pb2
from resonanced.hints.messages import Publication, Question

__all__ = ["Board"]

STREAMS: Final = Gauge("resonance_hint_streams", "Watch streams served now")
SENT: Final = Counter("resonance_hints_sent_total", "States sent to readers")
DROPPED: Final = Counter(
    "resonance_hints_dropped_total",
    "States a slow reader did not get because a newer one took their place",
)


class Board:
    """Where the latest publication hangs, and everybody who looks at it.

    Parameters
    ----------
    heartbeat_seconds : float
        Longest silence on a stream.
    """

    def __init__(self, heartbeat_seconds: float) -> None:
        self.latest: Publication | None = None
        self.streams = 0
        self._heartbeat_seconds = heartbeat_seconds
        self._changed = asyncio.Event()
        self._is_closed = False

    def put(self, publication: Publication) -> None:
        """Replace the publication and wake all streams.

        What was asked of the last one will be asked again, so it is made ready now, and no
        reader waits for it; while nobody asks, nothing is made.
        """
        if self.latest is not None:
            publication.prepare(self.latest)
        self.latest = publication
        self._wake()

    def close(self) -> None:
        """Let every stream end after its present message."""
        self._is_closed = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def follow(
        self,
        question: Question,
        interval_seconds: float,
        write: Callable[[bytes], Awaitable[None]],
    ) -> None:
        """Write the state now, then each change, and a heartbeat when nothing changes.

        Parameters
        ----------
        question : Question
        interval_seconds : float
            Shortest time between two messages.
        write : callable
            Sends one serialised ``WatchResponse``; returns when the reader has room.
        """
        self.streams += 1
        STREAMS.inc()
        try:
            await self._follow(question, interval_seconds, write)
        finally:
            self.streams -= 1
            STREAMS.dec()

    async def _follow(
        self,
        question: Question,
        interval_seconds: float,
        write: Callable[[bytes], Awaitable[None]],
    ) -> None:
        now = asyncio.get_running_loop().time
        sent, sent_at = b"", -self._heartbeat_seconds
        while not self._is_closed:
            changed, publication = self._changed, self.latest
            answer = publication.answer(question) if publication else b""
            silence = now() - sent_at
            is_heartbeat = answer == sent
            if publication and (not is_heartbeat or silence >= self._heartbeat_seconds):
                await write(_message(publication, answer, is_heartbeat=is_heartbeat))
                self._count(publication)
                sent, sent_at = answer, now()
                await asyncio.sleep(interval_seconds)
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(self._heartbeat_seconds - silence, 0.0)):
                        await changed.wait()

    def _count(self, written: Publication) -> None:
        SENT.inc()
        assert self.latest is not None
        overtaken = self.latest.snapshot.sequence - written.snapshot.sequence - 1
        if overtaken > 0:
            DROPPED.inc(overtaken)


def _message(publication: Publication, answer: bytes, *, is_heartbeat: bool) -> bytes:
    head = hints_pb2.WatchResponse(state=publication.head(), is_heartbeat=is_heartbeat)
    return answer + head.SerializeToString()
