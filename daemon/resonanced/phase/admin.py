# SPDX-License-Identifier: MIT
"""Serves ``resonance.admin.v1``: what only the operator may ask.

On a socket of its own that only its owner may open: the daemon's user, and root. Being allowed
to read hints is no right to move the work of others.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, get_args

import grpc
import grpc.aio
from prometheus_client import Counter

from resonance_api.admin.v1 import admin_pb2
from resonance_core.control.records import Mode
from resonanced.phase import explain
from resonanced.phase.registry import Registry
from resonanced.rpc import Context, RefusedError, bind, counted, parse
from resonanced.sockets import ADMIN_SOCKET, check_socket_path

__all__ = ["AdminServer"]

_log = logging.getLogger(__name__)
REQUESTS: Final = Counter(
    "resonance_admin_requests_total", "Requests of the operator by outcome", ["method", "code"]
)
for _method in ("GetPhase", "SetPhase"):
    for _code in ("OK", "INVALID_ARGUMENT"):
        REQUESTS.labels(_method, _code)

SERVICE: Final = "resonance.admin.v1.Admin"
SOCKET_MODE: Final = 0o600
_MODES: Final[dict[str, Mode]] = {mode: mode for mode in get_args(Mode)}
_MOST_CALLS: Final = 16
_STOP_SECONDS: Final = 0.5
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 4 * 1024),
    ("grpc.max_metadata_size", 8 * 1024),
)


class AdminServer:
    """The gRPC service; lives in the daemon's event loop.

    Parameters
    ----------
    directory : pathlib.Path
        Where the socket is made.
    registry : Registry
    """

    def __init__(self, directory: Path, registry: Registry) -> None:
        self.path = (directory / ADMIN_SOCKET).absolute()
        self._registry = registry
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Bind the socket and serve.

        Raises
        ------
        StartError
            The path cannot be had.
        """
        check_socket_path(self.path)
        server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=_MOST_CALLS)
        server.add_generic_rpc_handlers((self._handlers(),))
        bind(server, self.path, SOCKET_MODE)
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Refuse new requests, remove the socket."""
        if self._server is None:
            return
        await self._server.stop(_STOP_SECONDS)
        self._server = None
        self.path.unlink(missing_ok=True)

    def _handlers(self) -> grpc.GenericRpcHandler:
        unary = grpc.unary_unary_rpc_method_handler
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "GetPhase": unary(self._answering("GetPhase", self._get)),
            "SetPhase": unary(self._answering("SetPhase", self._set)),
        }
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    def _answering(
        self, method: str, carry_out: Callable[[bytes], None]
    ) -> Callable[[bytes, Context], object]:
        """Return a handler that does what is asked and answers with what is so then."""

        async def answer(payload: bytes, _context: Context) -> bytes:
            carry_out(payload)
            return self._status().SerializeToString()

        return counted(REQUESTS, method, answer)

    def _get(self, payload: bytes) -> None:
        parse(admin_pb2.GetPhaseRequest, payload)

    def _set(self, payload: bytes) -> None:
        request = parse(admin_pb2.SetPhaseRequest, payload)
        now = time.monotonic()
        if request.stop:
            if request.mode:
                raise RefusedError("stop sets the mode to observe; name no other")
            _log.info("phase_stopped sources=%d", len(self._registry))
            self._registry.stop(now)
            return
        mode = _MODES.get(request.mode)
        if mode is None:
            raise RefusedError(f"{request.mode!r} is no mode: {', '.join(_MODES)}")
        _log.info("phase_mode_set mode=%s before=%s", mode, self._registry.mode)
        self._registry.set_mode(mode, now)

    def _status(self) -> admin_pb2.PhaseStatus:
        counts, decision = self._registry.counts(), self._registry.decision
        return admin_pb2.PhaseStatus(
            mode=self._registry.mode,
            configured_mode=self._registry.configured_mode,
            sources=counts["registered"],
            eligible=counts["eligible"],
            held=counts["held"],
            groups=[explain.group_line(each) for each in decision.groups] if decision else (),
            trips=decision.trips if decision else {},
            shadowed=self._registry.commands["shadowed"],
        )
