# SPDX-License-Identifier: MIT
"""What do clients and servers tell each other beside the messages of gRPC? Names and readers.

Metadata is a sequence of pairs; names are in lower case, values are text, or bytes where the
name ends in ``-bin``. What cannot be read counts as absent: no call may fail for it. The one
exception is pushback, where gRPC has what cannot be read mean "do not come back".
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Final

from google.protobuf.message import DecodeError

from resonance.server._load import LoadReport
from resonance_api.load.v1.load_report_pb2 import LoadReport as Message

__all__ = [
    "LOAD_REPORT",
    "OWN_LOAD_REPORT",
    "PUSHBACK",
    "STARTED",
    "TIED",
    "WANTS_LOAD",
    "Pairs",
    "from_wire",
    "to_wire",
    "value_of",
]

TIED: Final = "resonance-tied"
"""From the client: tell me when you begin, because there is a twin that need not run then."""
STARTED: Final = "resonance-started"
"""From the server, in the initial metadata of a tied call: its handler begins now."""
PUSHBACK: Final = "grpc-retry-pushback-ms"
"""From the server, in the trailing metadata: when to come back; gRFC A6."""
LOAD_REPORT: Final = "endpoint-load-metrics-bin"
"""From the server, in the trailing metadata: how loaded it is, for gRPC's balancers; gRFC A51."""
WANTS_LOAD: Final = "resonance-wants-load"
"""From the client: tell me the load in a way that I can read."""
OWN_LOAD_REPORT: Final = "resonance-load-bin"
"""The same bytes again, for who asked. gRPC's core keeps the standard name to itself and shows
it to no application (grpc/grpc, ``src/core/lib/surface/call_utils.cc``, `PublishToAppEncoder`;
so with grpcio 1.85)."""

Pairs = Iterable[tuple[str, str | bytes]]
_LOADS: Final = (
    "cpu_utilization",
    "mem_utilization",
    "application_utilization",
    "rps_fractional",
    "eps",
)


def value_of(metadata: Pairs | None, name: str) -> str | bytes | None:
    """Return the first value under a name.

    Parameters
    ----------
    metadata : iterable of pairs, or None
    name : str
        In lower case.

    Returns
    -------
    str, bytes or None
        ``None`` where there is none.
    """
    return next((value for key, value in metadata or () if key == name), None)


def to_wire(report: LoadReport) -> bytes:
    """Return a load report as gRPC carries it; what is not known is left out.

    Parameters
    ----------
    report : LoadReport

    Returns
    -------
    bytes
    """
    known = {name: value for name in _LOADS if (value := getattr(report, name)) is not None}
    return Message(named_metrics=report.named_metrics, **known).SerializeToString()


def from_wire(metadata: Pairs | None) -> LoadReport | None:
    """Return how loaded a server says it is.

    Parameters
    ----------
    metadata : iterable of pairs, or None
        The trailing metadata of a call.

    Returns
    -------
    LoadReport or None
        ``None`` where it says nothing that can be read. A load of exactly 0 is not told from
        one that is not known: the wire has no difference.
    """
    value = value_of(metadata, OWN_LOAD_REPORT)
    if not isinstance(value, bytes):
        return None
    try:
        message = Message.FromString(value)
    except DecodeError:
        return None
    loads = {name: getattr(message, name) or None for name in _LOADS}
    named = dict(message.named_metrics)
    told = [load for load in loads.values() if load is not None]
    if min(told, default=0.0) < 0.0 or not all(map(isfinite, (*told, *named.values()))):
        return None
    return LoadReport(named_metrics=named, **loads)
