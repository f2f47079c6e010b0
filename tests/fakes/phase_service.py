# SPDX-License-Identifier: MIT
"""The phase service and the operator's one, with the shipped controller; and a process on it."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc

from fakes.hint_service import WINDOW_SECONDS, resolve
from fakes.snapshots import REPORT
from resonance_api.phase.v1.phase_pb2 import Order, Registration, Releases, Report
from resonance_api.phase.v1.phase_pb2_grpc import PhaseStub
from resonance_core.control.parameters import Parameters
from resonance_core.control.records import Mode
from resonanced.hints.policies import PolicySwitch
from resonanced.hints.server import HintServer
from resonanced.hints.settings import HintsSettings
from resonanced.model import PolicyMode
from resonanced.phase.admin import AdminServer, PhaseSwitch
from resonanced.phase.registry import Registry
from resonanced.phase.server import PhaseServer
from resonanced.phase.spectrum import Spectrum

TICK_SECONDS = 0.02
_PERIOD_NS = 20_000_000


class PhaseService:
    """Serve in `directory` until the block ends, ticking as the daemon does."""

    def __init__(
        self, directory: Path, mode: Mode = "observe", parameters: Parameters | None = None
    ) -> None:
        self.directory = directory
        self.socket = directory / "hints.sock"
        self.registry = Registry(parameters or Parameters(), mode)
        self.ceilings: list[PolicyMode] = []
        self.policies = PolicySwitch("active", self.ceilings.append)
        self.spectrum: Spectrum | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        phase = PhaseServer(self.registry, lambda: self.spectrum)
        self.hints = HintServer(
            HintsSettings(), self.directory, REPORT, resolve, WINDOW_SECONDS, guests=(phase,)
        )
        self.admin = AdminServer(self.directory, [PhaseSwitch(self.registry), self.policies])
        self.run(self.hints.start())
        self.run(self.admin.start())
        self._loop.call_soon_threadsafe(self._tick)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def stop(self) -> None:
        """End the services, as at the end of the daemon."""
        self.run(self.hints.stop())
        self.run(self.admin.stop())

    def run(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Run something in the daemon's loop and wait for it."""
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=20)

    def _tick(self) -> None:
        self.registry.tick(time.monotonic())
        self._loop.call_later(TICK_SECONDS, self._tick)


class Process:
    """A process with sources: its end of an Attend stream."""

    def __init__(self, socket: Path) -> None:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0)]
        self.channel = grpc.insecure_channel(f"unix:{socket}", options=options)
        self._reports: queue.SimpleQueue[Report | None] = queue.SimpleQueue()
        self.orders: Iterator[Order] = PhaseStub(self.channel).Attend(
            iter(self._reports.get, None), timeout=60
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Vanish."""
        self._reports.put(None)
        self.channel.close()

    def end(self) -> None:
        """End the reports, as a process does that has no source any more."""
        self._reports.put(None)

    def report(self, report: Report) -> None:
        """Send a report."""
        self._reports.put(report)

    def register(self, *registrations: Registration) -> None:
        """Send the registrations in one report."""
        self.report(Report(registrations=registrations))

    def wait_for(self, holds: Callable[[Order], bool]) -> Order:
        """Return the next order of which this holds."""
        return next(order for order in self.orders if holds(order))


def flusher(key: int = 1, **fields: Any) -> Registration:
    """Return the registration of a source that may be moved, every 20 ms."""
    values: dict[str, Any] = {
        "name": f"flush-{key}",
        "period_seconds": 0.02,
        "phase_free": True,
        "pid": 77,
    }
    now = {"key": key, "origin_ns": time.monotonic_ns()}
    return Registration(**(now | values | fields))


class Fleet:
    """Sources of one process that fire in step, every 20 ms, until the block ends.

    Their timers are exact and their work is declared, so that only what is decided about
    them takes time.
    """

    def __init__(self, process: Process, keys: range) -> None:
        self._process, self._keys = process, keys
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._report)
        self._last = time.monotonic_ns() // _PERIOD_NS

    def __enter__(self) -> Self:
        self._process.register(*(flusher(key, origin_ns=0) for key in self._keys))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _report(self) -> None:
        while not self._ended.wait(0.1):
            now = time.monotonic_ns() // _PERIOD_NS
            fired = range(self._last + 1, now + 1)
            self._last = now
            self._process.report(Report(releases=[burst(key, fired) for key in self._keys]))


def burst(key: int, numbers: range) -> Releases:
    """Return what a source of a fleet did in these cycles of 20 ms."""
    return Releases(
        key=key,
        at_ns=[number * _PERIOD_NS for number in numbers],
        work_seconds=[0.004] * len(numbers),
        completion_seconds=[0.012] * len(numbers),
    )
