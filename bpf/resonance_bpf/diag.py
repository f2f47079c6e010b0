# SPDX-License-Identifier: MIT
"""What does the kernel's own socket table (inet_diag) say about TCP sockets?

It sees the sockets of our network namespace only, needs no privilege, and carries the v2
cgroup of each socket: that of its creator, inherited by accepted sockets.

pyroute2 takes 24 MB and 0.1 s to import, so it is imported at the first dump. Its netlink
sockets run an event loop of their own, which asyncio forbids inside a running one, so each
dump has a thread for as long as it takes.

References
----------
sock_diag(7); ``inet_sk_diag_fill``, net/ipv4/inet_diag.c, Linux 6.18.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from resonance_bpf.errors import ProbeUnsupportedError, ToolchainError

__all__ = ["EstablishedSocket", "established_sockets", "listener_cgroups"]

_STATE_ESTABLISHED: Final = 1 << 1
_STATE_LISTEN: Final = 1 << 10
_EXTENSION_INFO: Final = 1 << 1


@dataclass(frozen=True, slots=True)
class EstablishedSocket:
    """One connection as its table row says it.

    Attributes
    ----------
    cookie : int
        Identifies the socket for as long as the host runs.
    cgroup_id : int
        The v2 cgroup, 0 where the kernel does not say.
    srtt_ns : int
        Smoothed round trip, in steps of 1,000 ns; 0 before the first sample.
    segments_received, retransmits : int
        Since the connection began.
    """

    cookie: int
    cgroup_id: int
    srtt_ns: int
    segments_received: int
    retransmits: int


def established_sockets() -> list[EstablishedSocket]:
    """Return all established TCP connections of this network namespace.

    Raises
    ------
    ToolchainError
        When pyroute2 is not installed.
    ProbeUnsupportedError
        When the kernel refuses the dump.
    """
    return [
        _established(message) for message in _dump(_STATE_ESTABLISHED, extensions=_EXTENSION_INFO)
    ]


def listener_cgroups(port: int) -> frozenset[int]:
    """Return the v2 cgroups that listen on a TCP port of this network namespace.

    Raises
    ------
    ToolchainError, ProbeUnsupportedError
        As `established_sockets`.
    """
    return frozenset(
        message.get_attr("INET_DIAG_CGROUP_ID")
        for message in _dump(_STATE_LISTEN, port=port)
        if message["idiag_sport"] == port and message.get_attr("INET_DIAG_CGROUP_ID")
    )


def _established(message: Any) -> EstablishedSocket:
    info: dict[str, int] = message.get_attr("INET_DIAG_INFO") or {}
    return EstablishedSocket(
        cookie=message["idiag_cookie"],
        cgroup_id=message.get_attr("INET_DIAG_CGROUP_ID") or 0,
        srtt_ns=info.get("tcpi_rtt", 0) * 1_000,
        segments_received=info.get("tcpi_segs_in", 0),
        retransmits=info.get("tcpi_total_retrans", 0),
    )


def _dump(states: int, *, extensions: int = 0, port: int = 0) -> list[Any]:
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(lambda: list(_messages(states, extensions, port))).result()


def _messages(states: int, extensions: int, port: int) -> Iterator[Any]:
    try:
        from pyroute2 import DiagSocket, NetlinkError
    except ImportError as error:
        raise ToolchainError(
            "pyroute2", str(error), "pip install 'resonance-runtime[daemon]'"
        ) from error
    try:
        with DiagSocket() as diag:
            for family in (socket.AF_INET, socket.AF_INET6):
                yield from diag.get_sock_stats(
                    family=family, states=states, extensions=extensions, sport=port
                )
    except (NetlinkError, OSError) as error:
        raise ProbeUnsupportedError("inet_diag", str(error), "modprobe tcp_diag") from error
