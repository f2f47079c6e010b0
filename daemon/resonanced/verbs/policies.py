# SPDX-License-Identifier: MIT
"""``resonanced policies``: asks how far the SDK's policies may go on this host, or sets it.

What it sets holds until the service ends; what a service starts with stands in its
configuration, under ``[policies]``.
"""

from __future__ import annotations

import argparse
from typing import Final

from resonance_api.admin.v1.admin_pb2 import (
    GetPoliciesRequest,
    PoliciesStatus,
    SetPoliciesRequest,
)
from resonance_api.admin.v1.admin_pb2_grpc import AdminStub
from resonanced.verbs.running import PATIENCE_SECONDS, ask
from resonanced.verbs.terminal import write, write_json

__all__ = ["policies"]

_MEANINGS: Final = {
    "observe": "every client counts what it would do, and does nothing",
    "advise": "every client says what it would do, and does nothing",
    "active": "every client does what it is set to",
}


def policies(arguments: argparse.Namespace) -> int:
    """Set a ceiling, where one is named; tell what is so then; return the exit status."""
    mode: str | None = arguments.mode

    def call(stub: AdminStub) -> PoliciesStatus:
        if mode is None:
            return stub.GetPolicies(GetPoliciesRequest(), timeout=PATIENCE_SECONDS)
        return stub.SetPolicies(SetPoliciesRequest(mode=mode), timeout=PATIENCE_SECONDS)

    status = ask(arguments, call)
    if arguments.output == "json":
        write_json({"mode": status.mode, "configured_mode": status.configured_mode})
    else:
        write(_lines(status))
    return 0


def _lines(status: PoliciesStatus) -> list[str]:
    asked = status.configured_mode
    mode = status.mode if asked == status.mode else f"{status.mode} (configured: {asked})"
    return [f"mode       {mode}", f"meaning    {_MEANINGS.get(status.mode, 'not known')}"]
