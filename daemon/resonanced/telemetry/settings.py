# SPDX-License-Identifier: MIT
"""Where metrics are served: the table ``[telemetry]``."""

from __future__ import annotations

from typing import Annotated

import msgspec

__all__ = ["TelemetrySettings"]


class TelemetrySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[telemetry]``.

    Attributes
    ----------
    address : str
        Address to listen on. Anyone who reaches it may read every metric, and cgroup paths
        with them, so it is this host alone unless told otherwise.
    port : int
        TCP port; 0 takes any free one.
    """

    address: Annotated[str, msgspec.Meta(min_length=1)] = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 9756
