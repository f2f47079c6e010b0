# SPDX-License-Identifier: MIT
"""The hint server and the shared page of a daemon, in a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fakes.snapshots import REPORT, WEB, snapshot
from resonanced.hints.page import PageWriter
from resonanced.hints.server import HintServer
from resonanced.hints.settings import HintsSettings
from resonanced.model import Resolution, ResolveSubject

WINDOW_SECONDS = 10.0


def resolve(subject: ResolveSubject) -> Resolution:
    """Know one process and every endpoint."""
    if subject == 1:
        return Resolution(is_known=False, reason="no such process")
    return Resolution(is_known=True, slot=WEB, cgroup=WEB.cgroup, cgroup_id=WEB.cgroup_id)


class HintService:
    """Serve in `directory` until the block ends; `publish` and `write` as a daemon would."""

    def __init__(self, directory: Path, settings: HintsSettings | None = None) -> None:
        self.settings = settings or HintsSettings()
        self.socket = directory / self.settings.socket
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._sequence = 0
        self.page = PageWriter(self.socket.with_suffix(".page"), self.settings, "v2")

    def __enter__(self) -> Self:
        self._thread.start()
        self.server = HintServer(self.settings, self.socket.parent, REPORT, resolve, WINDOW_SECONDS)
        self.run(self.server.start())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.page.close()
        self.run(self.server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Run something in the daemon's loop and wait for it."""
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def publish(self, **changes: Any) -> None:
        """Publish the next snapshot, read now, with these fields changed."""
        self._sequence += 1
        values = {"sequence": self._sequence} | changes
        self._call(lambda: self.server.publish(snapshot(**values)))

    def write(self, **changes: Any) -> None:
        """Write the page as at a tick."""
        fresh = snapshot(**changes)
        self.page.write(time.monotonic_ns(), fresh.slots, fresh.pressure)

    def _call(self, function: Callable[[], None]) -> None:
        async def call() -> None:
            function()

        self.run(call())
