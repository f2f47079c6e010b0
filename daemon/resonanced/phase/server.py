# SPDX-License-Identifier: MIT
"""Serves ``resonance.phase.v1``: on the socket of the hints, whose server it is a guest of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import grpc
from prometheus_client import Counter, Gauge

from resonance_api.phase.v1 import phase_pb2
from resonanced.phase import explain, spectrum
from resonanced.phase.conversation import Conversation
from resonanced.phase.registry import Registry
from resonanced.phase.spectrum import Spectrum
from resonanced.rpc import Context, RefusedError, counted, parse

__all__ = ["PhaseServer"]

STREAMS: Final = Gauge("resonance_phase_streams", "Attend streams served now")
REQUESTS: Final = Counter(
    "resonance_phase_requests_total",
    "Requests by outcome; an Attend counts when it ends",
    ["method", "code"],
)
for _method in ("Attend", "Explain", "Spectrum"):
    for _code in (
        "OK",
        "CANCELLED",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "RESOURCE_EXHAUSTED",
        "UNAVAILABLE",
    ):
        REQUESTS.labels(_method, _code)

SERVICE: Final = "resonance.phase.v1.Phase"
_MOST_PATTERNS: Final = 64


class PhaseServer:
    """The gRPC service; lives in the daemon's event loop.

    Parameters
    ----------
    registry : Registry
    spectrum : callable
        Returns what the analysis sees now; ``None`` where nothing is analysed.

    Attributes
    ----------
    name : str
        Of the service.
    most_streams : int
        Served at once; one more is refused.
    """

    def __init__(self, registry: Registry, spectrum: Callable[[], Spectrum | None]) -> None:
        self.name = SERVICE
        self.most_streams = registry.most_streams
        self._registry = registry
        self._spectrum_now = spectrum
        self._closing, self._turn = asyncio.Event(), asyncio.Lock()

    def handler(self) -> grpc.GenericRpcHandler:
        """Return what answers the calls of the service."""
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "Attend": grpc.stream_stream_rpc_method_handler(
                counted(REQUESTS, "Attend", self._attend)
            ),
            "Explain": grpc.unary_unary_rpc_method_handler(
                counted(REQUESTS, "Explain", self._explain)
            ),
            "Spectrum": grpc.unary_unary_rpc_method_handler(
                counted(REQUESTS, "Spectrum", self._spectrum)
            ),
        }
        return grpc.method_handlers_generic_handler(self.name, handlers)

    def close(self) -> None:
        """End all streams; what their sources were told holds until it expires."""
        self._closing.set()

    async def _attend(self, _reports: object, context: Context) -> None:
        if self._registry.streams >= self.most_streams:
            reason = f"{self._registry.streams} streams are served; max_sources allows no more"
            raise RefusedError(reason, grpc.StatusCode.RESOURCE_EXHAUSTED)
        with STREAMS.track_inprogress():
            await Conversation(self._registry, context, self._closing, self._turn).run()

    async def _explain(self, payload: bytes, _context: Context) -> bytes:
        request = parse(phase_pb2.ExplainRequest, payload)
        return explain.response(self._registry, request.source).SerializeToString()

    async def _spectrum(self, payload: bytes, _context: Context) -> bytes:
        request = parse(phase_pb2.SpectrumRequest, payload)
        if len(request.cgroups) > _MOST_PATTERNS:
            raise RefusedError(f"more than {_MOST_PATTERNS} cgroup patterns")
        sources = self._registry.find("")
        return spectrum.response(self._spectrum_now(), tuple(request.cgroups), sources)
