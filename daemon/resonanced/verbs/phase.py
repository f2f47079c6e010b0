# SPDX-License-Identifier: MIT
"""``resonanced phase``: asks the running daemon for its mode of phase control, or for another.

What it sets holds until the service ends; what a service starts with stands in its
configuration, under ``[phase]``.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any, Final

import grpc

from resonance_api.admin.v1.admin_pb2 import GetPhaseRequest, PhaseStatus, SetPhaseRequest
from resonance_api.admin.v1.admin_pb2_grpc import AdminStub
from resonanced import config
from resonanced.errors import StartError
from resonanced.sockets import ADMIN_SOCKET, is_served
from resonanced.verbs import options
from resonanced.verbs.terminal import wrapped, write, write_json

__all__ = ["phase"]

_PATIENCE_SECONDS: Final = 5.0
_LABEL: Final = 11
"""Columns before what is said; the longest label has ten."""


def phase(arguments: argparse.Namespace) -> int:
    """Set a mode or stop, where one is named; tell what is so then; return the exit status."""
    path = _socket(arguments)
    status = _ask(path, arguments.mode)
    if arguments.output == "json":
        write_json(_data(status))
    else:
        write(_lines(status))
    return 0


def _socket(arguments: argparse.Namespace) -> Path:
    directory = options.absolute(arguments.runtime_directory)
    flags = {"service": {"runtime_directory": directory}} if directory else {}
    path = Path(config.load(arguments.config, flags).service.runtime_directory) / ADMIN_SOCKET
    is_hidden = path.parent.exists() and not os.access(path.parent, os.X_OK)
    if is_hidden or (path.exists() and not os.access(path, os.W_OK)):
        raise StartError(str(path), "only its owner and root may ask here", "run it with sudo")
    if not is_served(path):
        hint = "start resonanced, or name its --runtime-directory"
        raise StartError(str(path), "nobody answers there", hint)
    return path


def _ask(path: Path, mode: str | None) -> PhaseStatus:
    with grpc.insecure_channel(f"unix:{path}") as channel:
        stub = AdminStub(channel)
        try:
            if mode is None:
                return stub.GetPhase(GetPhaseRequest(), timeout=_PATIENCE_SECONDS)
            request = SetPhaseRequest(stop=True) if mode == "stop" else SetPhaseRequest(mode=mode)
            return stub.SetPhase(request, timeout=_PATIENCE_SECONDS)
        except grpc.RpcError as error:
            # grpcio's stubs know no common type of what a failed call raises.
            reason = error.details() or error.code().name
            hint = "resonanced's log may say why"
            raise StartError(str(path), f"not answered: {reason}", hint) from error


def _lines(status: PhaseStatus) -> list[str]:
    asked = status.configured_mode
    mode = status.mode if asked == status.mode else f"{status.mode} (configured: {asked})"
    sources = f"{status.sources} registered, {status.eligible} may be moved, {status.held} held"
    acted = ", ".join(f"{guard} {times}" for guard, times in sorted(status.trips.items()) if times)
    return [
        *_told("mode", mode),
        *_told("sources", sources),
        *(line for group in status.groups for line in _told("group", group)),
        *_told("guards", acted or "none has acted"),
        *_told("withheld", f"{status.shadowed} commands, because of the mode"),
    ]


def _told(label: str, text: str) -> list[str]:
    return wrapped(text, " " * _LABEL, label.ljust(_LABEL))


def _data(status: PhaseStatus) -> dict[str, Any]:
    return {
        "mode": status.mode,
        "configured_mode": status.configured_mode,
        "sources": status.sources,
        "eligible": status.eligible,
        "held": status.held,
        "groups": list(status.groups),
        "trips": dict(sorted(status.trips.items())),
        "shadowed": status.shadowed,
    }
