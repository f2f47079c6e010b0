# SPDX-License-Identifier: MIT
"""How far may the SDK's policies go on this host? The operator's switch, asked and set.

Every client does the lower of its own mode and this one. It is in the shared page when a call
returns, and in the state that is published next; it holds until the service ends.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, get_args

from resonance_api.admin.v1 import admin_pb2
from resonanced.model import PolicyMode
from resonanced.rpc import RefusedError, parse

__all__ = ["PolicySwitch"]

_log = logging.getLogger(__name__)
_MODES: Final[dict[str, PolicyMode]] = {mode: mode for mode in get_args(PolicyMode)}


class PolicySwitch:
    """The ceiling in force, and what the operator asks of it.

    Parameters
    ----------
    mode : {"observe", "advise", "active"}
        What the configuration asks for.
    say : callable
        Tells the clients of another one, at once.

    Attributes
    ----------
    mode : {"observe", "advise", "active"}
        In force.
    """

    def __init__(self, mode: PolicyMode, say: Callable[[PolicyMode], None]) -> None:
        self.mode = mode
        self._configured_mode = mode
        self._say = say

    def calls(self) -> dict[str, Callable[[bytes], bytes]]:
        """Return what answers the operator, by the name of the method."""
        return {"GetPolicies": self._get, "SetPolicies": self._set}

    def _get(self, payload: bytes) -> bytes:
        parse(admin_pb2.GetPoliciesRequest, payload)
        return self._status()

    def _set(self, payload: bytes) -> bytes:
        asked = parse(admin_pb2.SetPoliciesRequest, payload).mode
        mode = _MODES.get(asked)
        if mode is None:
            raise RefusedError(f"{asked!r} is no mode: {', '.join(_MODES)}")
        _log.info("policies_set mode=%s before=%s", mode, self.mode)
        self.mode = mode
        self._say(mode)
        return self._status()

    def _status(self) -> bytes:
        return admin_pb2.PoliciesStatus(
            mode=self.mode, configured_mode=self._configured_mode
        ).SerializeToString()
