# SPDX-License-Identifier: MIT
"""Which routes and queueing disciplines has this network namespace? By rtnetlink(7) itself.

What the kernel counts and how long an entry has to live are left out: they change by themselves.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

_ROUTES, _QDISCS = 26, 38
"""``RTM_GETROUTE`` and ``RTM_GETQDISC``."""
_REQUEST_DUMP = 0x0301
_ERROR, _DONE = 2, 3
_RTMSG, _TCMSG = 12, 20
"""Bytes of the headers ``struct rtmsg`` and ``struct tcmsg``."""
_CACHE_INFO, _EXPIRES = 12, 23
_STATS, _XSTATS, _STATS2 = 3, 4, 7


def _dump(kind: int, header_bytes: int) -> Iterator[bytes]:
    """Give the body of each message of a dump; none where the kernel will not give it."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as link:
        length = 16 + header_bytes
        link.send(struct.pack("=IHHII", length, kind, _REQUEST_DUMP, 1, 0) + bytes(header_bytes))
        while True:
            data = link.recv(1 << 20)
            while data:
                size, answer = struct.unpack_from("=IH", data)
                if answer in {_DONE, _ERROR}:
                    return
                yield data[16:size]
                data = data[(size + 3) & ~3 :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        size, kind = struct.unpack_from("=HH", data)
        yield kind & 0x3FFF, data[4:size]
        data = data[(size + 3) & ~3 :]


def _describe(kind: int, header_bytes: int, volatile: set[int]) -> Iterator[tuple[str, str]]:
    name = {_ROUTES: "route", _QDISCS: "qdisc"}[kind]
    for body in _dump(kind, header_bytes):
        kept = {
            attribute: value.hex()
            for attribute, value in _attributes(body[header_bytes:])
            if attribute not in volatile
        }
        yield f"{name} {body[:header_bytes].hex()} {kept}", "exists"


def routes() -> Iterator[tuple[str, str]]:
    """Give each route of each table, with its metrics."""
    return _describe(_ROUTES, _RTMSG, {_CACHE_INFO, _EXPIRES})


def queueing_disciplines() -> Iterator[tuple[str, str]]:
    """Give each queueing discipline of each device, with its options."""
    return _describe(_QDISCS, _TCMSG, {_STATS, _XSTATS, _STATS2})
