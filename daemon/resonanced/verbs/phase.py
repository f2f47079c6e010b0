# SPDX-License-Identifier: MIT
"""``resonanced phase``: asks the running daemon for its mode of phase control, or for another.

What it sets holds until the service ends; what a service starts with stands in its
configuration, under ``[phase]``.
"""

from __future__ import annotations

import argparse
from typing import Any, Final

from resonance_api.admin.v1.admin_pb2 import GetPhaseRequest, PhaseStatus, SetPhaseRequest
from resonance_api.admin.v1.admin_pb2_grpc import AdminStub
from resonanced.verbs.running import PATIENCE_SECONDS, ask
from resonanced.verbs.terminal import wrapped, write, write_json

__all__ = ["phase"]

_LABEL: Final = 11
"""Columns before what is said; the longest label has ten."""


def phase(arguments: argparse.Namespace) -> int:
    """Set a mode or stop, where one is named; tell what is so then; return the exit status."""
    mode: str | None = arguments.mode

    def call(stub: AdminStub) -> PhaseStatus:
        if mode is None:
            return stub.GetPhase(GetPhaseRequest(), timeout=PATIENCE_SECONDS)
        request = SetPhaseRequest(stop=True) if mode == "stop" else SetPhaseRequest(mode=mode)
        return stub.SetPhase(request, timeout=PATIENCE_SECONDS)

    status = ask(arguments, call)
    if arguments.output == "json":
        write_json(_data(status))
    else:
        write(_lines(status))
    return 0


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
