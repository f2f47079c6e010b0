# SPDX-License-Identifier: MIT
"""Serves ``resonance.hints.v1`` on a Unix socket, with health and reflection.

A publication costs nothing until somebody asks. Behind a reader that stops reading stand the
few states that fill the HTTP/2 flow-control window its own side opened (64 KiB, unless it lets
gRPC widen it) and one write buffer; they never become more.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import Counter

from resonance_api.hints.v1 import hints_pb2
from resonance_bpf.report import LoadReport
from resonanced.hints import requests
from resonanced.hints.messages import Header, Publication
from resonanced.hints.settings import HintsSettings
from resonanced.hints.streams import Board
from resonanced.model import Resolution, ResolveSubject, Snapshot, shown_path
from resonanced.rpc import Context, RefusedError, bind, counted
from resonanced.sockets import check_socket_path

__all__ = ["Guest", "HintServer"]

REQUESTS: Final = Counter(
    "resonance_hint_requests_total",
    "Requests by outcome; a Watch counts when it ends",
    ["method", "code"],
)
for _method in ("Get", "Watch", "Resolve"):
    for _code in ("OK", "CANCELLED", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "UNAVAILABLE"):
        REQUESTS.labels(_method, _code)

SERVICE: Final = "resonance.hints.v1.Hints"
SOCKET_MODE: Final = 0o660

_STOP_SECONDS: Final = 0.5
"""What streams get to end by themselves."""
_OTHER_CALLS: Final = 256
"""Calls served at once beside the streams: Get, Resolve, health, reflection."""
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 64 * 1024),  # a report of a guest; ours are far smaller
    ("grpc.max_metadata_size", 8 * 1024),
    ("grpc.max_concurrent_streams", 100),  # per connection
    ("grpc.http2.bdp_probe", 0),  # keeps the flow-control window at 64 KiB
)


class Guest(Protocol):
    """Another service on our socket."""

    @property
    def name(self) -> str:
        """Of the service, for health and reflection."""
        ...

    @property
    def most_streams(self) -> int:
        """That it serves at once."""
        ...

    def handler(self) -> grpc.GenericRpcHandler:
        """Return what answers its calls."""
        ...

    def close(self) -> None:
        """End its streams."""
        ...


class HintServer:
    """The gRPC service; lives in the daemon's event loop.

    Parameters
    ----------
    settings : HintsSettings
    directory : pathlib.Path
        Where the socket is made.
    report : LoadReport
        The backend in force.
    resolve : callable
        Finds the cgroup of an endpoint or process.
    percentile_window_seconds : float
        Span of the percentiles in the snapshots.
    guests : sequence of Guest
        Other services on the same socket.
    """

    def __init__(
        self,
        settings: HintsSettings,
        directory: Path,
        report: LoadReport,
        resolve: Callable[[ResolveSubject], Resolution],
        percentile_window_seconds: float,
        *,
        guests: Sequence[Guest] = (),
    ) -> None:
        self.path = (directory / settings.socket).absolute()
        self._settings = settings
        self._resolve = resolve
        self._guests = guests
        self._header = Header(
            instance=secrets.randbits(64),
            valid_for_seconds=settings.valid_for_seconds,
            percentile_window_seconds=percentile_window_seconds,
            backend=report.backend,
            tier=report.tier,
            hierarchy=report.hierarchy,
        )
        self._board = Board(settings.heartbeat_seconds)
        self._health = health.aio.HealthServicer()
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Bind the socket and serve.

        Raises
        ------
        StartError
            The path cannot be had.
        """
        check_socket_path(self.path)
        streams = self._settings.max_streams + sum(guest.most_streams for guest in self._guests)
        server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=streams + _OTHER_CALLS)
        guests = (guest.handler() for guest in self._guests)
        server.add_generic_rpc_handlers((self._handlers(), *guests))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        served = (SERVICE, *(guest.name for guest in self._guests))
        names = (*served, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
        for service in ("", *served):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        bind(server, self.path, SOCKET_MODE)
        await server.start()
        self._server = server

    def publish(self, snapshot: Snapshot) -> None:
        """Make a snapshot the state that readers get."""
        latest = self._board.latest
        self._board.put(
            latest.followed_by(snapshot) if latest else Publication(snapshot, self._header)
        )

    async def stop(self) -> None:
        """End the streams, refuse new requests, remove the socket."""
        if self._server is None:
            return
        self._board.close()
        for guest in self._guests:
            guest.close()
        await self._health.enter_graceful_shutdown()
        await self._server.stop(_STOP_SECONDS)
        self._server = None
        self.path.unlink(missing_ok=True)

    def _handlers(self) -> grpc.GenericRpcHandler:
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "Get": unary(counted(REQUESTS, "Get", self._get)),
            "Resolve": unary(counted(REQUESTS, "Resolve", self._resolve_subject)),
            "Watch": stream(counted(REQUESTS, "Watch", self._watch)),
        }
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    async def _get(self, payload: bytes, _context: Context) -> bytes:
        question = requests.question(requests.parse(hints_pb2.GetRequest, payload))
        latest = self._board.latest
        if latest is None:
            raise RefusedError("nothing is measured yet", grpc.StatusCode.UNAVAILABLE)
        head = hints_pb2.GetResponse(state=latest.head())
        return latest.answer(question) + head.SerializeToString()

    async def _resolve_subject(self, payload: bytes, _context: Context) -> bytes:
        subject = requests.subject(requests.parse(hints_pb2.ResolveRequest, payload))
        resolution = self._resolve(subject)
        slot = resolution.slot
        return hints_pb2.ResolveResponse(
            is_known=resolution.is_known,
            reason=resolution.reason,
            cgroup=shown_path(resolution.cgroup),
            cgroup_id=resolution.cgroup_id,
            slot=slot.index if slot else 0,
            slot_generation=slot.generation if slot else 0,
        ).SerializeToString()

    async def _watch(self, payload: bytes, context: Context) -> None:
        request = requests.parse(hints_pb2.WatchRequest, payload)
        question, interval = requests.question(request), requests.interval_seconds(request)
        if self._board.streams >= self._settings.max_streams:
            reason = f"{self._board.streams} streams are served; max_streams allows no more"
            raise RefusedError(reason, grpc.StatusCode.RESOURCE_EXHAUSTED)
        await self._board.follow(question, interval, context.write)
        raise RefusedError("the daemon is stopping", grpc.StatusCode.UNAVAILABLE)
