# SPDX-License-Identifier: MIT
"""Serves ``resonance.admin.v1``: what only the operator may ask.

On a socket of its own that only its owner may open: the daemon's user, and root. Being allowed
to read hints is no right to move the work of others, or to switch off what they chose. What is
asked and set beside the phases belongs to other rooms, which hand in their calls.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol, get_args

import grpc
import grpc.aio
from prometheus_client import Counter

from resonance_api.admin.v1 import admin_pb2
from resonance_core.control.records import Mode
from resonanced.phase import explain
from resonanced.phase.registry import Registry
from resonanced.rpc import Context, Handler, RefusedError, bind, counted, parse
from resonanced.sockets import ADMIN_SOCKET, check_socket_path

__all__ = ["AdminServer", "PhaseSwitch", "Switch"]

_log = logging.getLogger(__name__)
REQUESTS: Final = Counter(
    "resonance_admin_requests_total", "Requests of the operator by outcome", ["method", "code"]
)
for _method in admin_pb2.DESCRIPTOR.services_by_name["Admin"].methods_by_name:
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


class Switch(Protocol):
    """Something the operator may look at and set."""

    def calls(self) -> Mapping[str, Callable[[bytes], bytes]]:
        """Return what answers, by the name of the method; it may raise `RefusedError`."""
        ...


class AdminServer:
    """The gRPC service; lives in the daemon's event loop.

    Parameters
    ----------
    directory : pathlib.Path
        Where the socket is made.
    switches : sequence of Switch
        What the operator may set.
    """

    def __init__(self, directory: Path, switches: Sequence[Switch]) -> None:
        self.path = (directory / ADMIN_SOCKET).absolute()
        self._calls = {name: call for each in switches for name, call in each.calls().items()}
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
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            method: grpc.unary_unary_rpc_method_handler(_answering(method, call))
            for method, call in self._calls.items()
        }
        return grpc.method_handlers_generic_handler(SERVICE, handlers)


def _answering(method: str, call: Callable[[bytes], bytes]) -> Handler[bytes]:
    async def answer(payload: bytes, _context: Context) -> bytes:
        return call(payload)

    return counted(REQUESTS, method, answer)


class PhaseSwitch:
    """How far periodic work is moved.

    Parameters
    ----------
    registry : Registry
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def calls(self) -> dict[str, Callable[[bytes], bytes]]:
        """Return what answers the operator, by the name of the method."""
        return {"GetPhase": self._get, "SetPhase": self._set}

    def _get(self, payload: bytes) -> bytes:
        parse(admin_pb2.GetPhaseRequest, payload)
        return self._status()

    def _set(self, payload: bytes) -> bytes:
        self._carry_out(parse(admin_pb2.SetPhaseRequest, payload))
        return self._status()

    def _carry_out(self, request: admin_pb2.SetPhaseRequest) -> None:
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

    def _status(self) -> bytes:
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
        ).SerializeToString()
