# SPDX-License-Identifier: MIT
"""What an operator may set about hints and who heeds them: ``[hints]`` and ``[policies]``."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

__all__ = ["HintsSettings", "PoliciesSettings"]


class HintsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where hints are served, how often, and for how many readers.

    Attributes
    ----------
    socket : str
        Name of the gRPC socket in the runtime directory; ends in ``.sock``. The shared page
        lies beside it and ends in ``.page``.
    page_hz : float
        Writes of the shared page per second while somebody reads it.
    heartbeat_seconds : float
        Longest silence on a ``Watch`` stream.
    valid_for_seconds : float
        Age at which a hint turns into "unknown". Longer than the interval of the signals,
        or hints would expire between two ticks.
    max_streams : int
        ``Watch`` streams served at once; one more is refused.
    """

    socket: Annotated[str, msgspec.Meta(pattern=r"^[^/\x00-\x1f]+\.sock\Z", max_length=64)] = (
        "hints.sock"
    )
    page_hz: Annotated[float, msgspec.Meta(ge=10, le=1_000)] = 200.0
    heartbeat_seconds: Annotated[float, msgspec.Meta(ge=0.1, le=60)] = 1.0
    valid_for_seconds: Annotated[float, msgspec.Meta(ge=0.1, le=60)] = 0.5
    max_streams: Annotated[int, msgspec.Meta(ge=1, le=65_536)] = 1_024


class PoliciesSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far the SDK's policies may go on this host.

    Attributes
    ----------
    mode : {"observe", "advise", "active"}
        With which the service starts; ``resonanced policies`` sets another. A client does the
        lower of its own mode and this.
    """

    mode: Literal["observe", "advise", "active"] = "active"
