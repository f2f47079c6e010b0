# SPDX-License-Identifier: MIT
"""A daemon's phase service in this process: notes what is reported, orders what it is told."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from resonance_api.phase.v1.phase_pb2 import (
    ExplainRequest,
    ExplainResponse,
    Order,
    Placement,
    Refusal,
    Registration,
    Releases,
    Report,
    SpectrumRequest,
    SpectrumResponse,
)
from resonance_api.phase.v1.phase_pb2_grpc import PhaseServicer, add_PhaseServicer_to_server

PATIENCE = 10.0


class PhaseDaemon(PhaseServicer):
    """Attend any number of streams; every order goes to all of them."""

    def __init__(self) -> None:
        self.mode = "active"
        self.valid_for_seconds = 5.0
        self.registrations: list[Registration] = []
        self.releases: list[Releases] = []
        self.departed: list[int] = []
        self.streams = 0
        self.open_streams = 0
        self.largest_report = 0
        self.greets = True
        self._orders: list[queue.SimpleQueue[Order | None]] = []
        self._changed = threading.Condition()

    def Attend(  # noqa: N802 - gRPC's name
        self, request_iterator: Iterator[Report], context: grpc.ServicerContext
    ) -> Iterator[Order]:
        orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        with self._changed:
            self.streams += 1
            self.open_streams += 1
            self._orders.append(orders)
        context.add_callback(lambda: orders.put(None))
        threading.Thread(target=self._listen, args=(request_iterator, orders)).start()
        while (order := orders.get()) is not None:
            yield order
        with self._changed:
            self.open_streams -= 1
            self._orders.remove(orders)
            self._changed.notify_all()

    def Explain(  # noqa: N802
        self, request: ExplainRequest, context: grpc.ServicerContext
    ) -> ExplainResponse:
        return ExplainResponse()

    def Spectrum(  # noqa: N802
        self, request: SpectrumRequest, context: grpc.ServicerContext
    ) -> SpectrumResponse:
        return SpectrumResponse()

    def order(self, **fields: Any) -> None:
        """Send an order, with the mode and validity of this daemon unless told otherwise."""
        values: dict[str, Any] = {
            "mode": self.mode,
            "valid_for_seconds": self.valid_for_seconds,
            "report_interval_seconds": 0.02,
        }
        for orders in list(self._orders):
            orders.put(Order(**(values | fields)))

    def place(self, key: int, kind: str, offset_seconds: float, step_seconds: float = 0.01) -> None:
        """Order one placement."""
        self.order(
            placements=[
                Placement(
                    key=key,
                    kind=f"KIND_{kind.upper()}",  # type: ignore[arg-type]
                    offset_seconds=offset_seconds,
                    max_step_seconds=step_seconds,
                    reason="as the test wants it",
                )
            ]
        )

    def refuse(self, key: int, reason: str) -> None:
        """Order that a source is not attended."""
        self.order(refusals=[Refusal(key=key, reason=reason)])

    def until(self, holds: Callable[[], object]) -> None:
        """Wait for reports until something holds."""
        deadline = time.monotonic() + PATIENCE
        with self._changed:
            while not holds():
                assert self._changed.wait(deadline - time.monotonic()), "no such report came"

    def _listen(self, reports: Iterator[Report], orders: queue.SimpleQueue[Order | None]) -> None:
        with contextlib.suppress(grpc.RpcError, Exception):  # the stream ended
            for report in reports:
                with self._changed:
                    self.registrations.extend(report.registrations)
                    self.releases.extend(report.releases)
                    self.departed.extend(report.departed)
                    self.largest_report = max(self.largest_report, report.ByteSize())
                    self._changed.notify_all()
                if report.registrations and self.greets:
                    self.order()
        orders.put(None)


@contextlib.contextmanager
def serve(socket: Path, daemon: PhaseServicer) -> Iterator[None]:
    """Serve on a socket until the block ends."""
    server = grpc.server(ThreadPoolExecutor(max_workers=8))
    add_PhaseServicer_to_server(daemon, server)
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    try:
        yield
    finally:
        server.stop(grace=None).wait()
