# SPDX-License-Identifier: MIT
"""What a route's message says: which route it is, its congestion control, its words for ``ip``.

Pure: bytes in, bytes out. Who sends them is `netlink`.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from resonance_tuning.surfaces.netlink import Message, join_attributes, split_attributes

__all__ = [
    "Destination",
    "congestion_of",
    "identity_text",
    "priority_of",
    "refusal",
    "replace_words",
    "with_congestion",
]

_DST, _OIF, _GATEWAY, _PRIORITY, _PREFSRC, _METRICS, _MULTIPATH = 1, 4, 5, 6, 7, 8, 9
_CACHEINFO, _TABLE, _VIA, _PREF, _ENCAP_TYPE, _ENCAP, _NH_ID = 12, 15, 18, 20, 21, 22, 30
_LOCK, _CC_ALGO = 1, 16
_MAIN: Final = 254
_UNICAST: Final = 1
_CLONED: Final = 0x200
_ON_LINK: Final = 4
"""``RTNH_F_ONLINK``, the only flag that is asked for; the others are the kernel's report."""
_NEXT_HOP: Final = struct.Struct("=HBBi")
_EXPIRES_OFFSET: Final = 8
_METRIC_WORDS: Final = {
    2: "mtu",
    3: "window",
    6: "ssthresh",
    7: "cwnd",
    8: "advmss",
    9: "reordering",
    10: "hoplimit",
    11: "initcwnd",
    14: "initrwnd",
    15: "quickack",
    17: "fastopen_no_cookie",
}
_SCOPES: Final = {0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}
_PREFERENCES: Final = {0: "medium", 1: "high", 3: "low"}


@dataclass(frozen=True, slots=True)
class Destination:
    """What a route leads to.

    Attributes
    ----------
    family : int
        ``AF_INET`` or ``AF_INET6``.
    address : bytes
    length : int
        Bits of the address that count.
    """

    family: int
    address: bytes
    length: int

    @classmethod
    def parse(cls, text: str) -> Destination:
        """Parse ``default`` (of IPv4), an address, or an address with a length.

        Raises
        ------
        ValueError
            It is none of them.
        """
        name, _, length = ("0.0.0.0/0" if text == "default" else text).partition("/")
        family = socket.AF_INET6 if ":" in name else socket.AF_INET
        try:
            address = socket.inet_pton(family, name)
        except OSError as error:
            raise ValueError(f"not a route's destination: {text!r}") from error
        bits = int(length) if length else len(address) * 8
        if not 0 <= bits <= len(address) * 8:
            raise ValueError(f"not a route's destination: {text!r}")
        return cls(family, address, bits)

    def __str__(self) -> str:
        return f"{socket.inet_ntop(self.family, self.address)}/{self.length}"

    def is_of(self, route: Message) -> bool:
        """Return whether a route leads here: of the main table, for every type of service."""
        header = route.header
        return (
            header["family"] == self.family
            and header["dst_len"] == self.length
            and (header["type"], header["tos"]) == (_UNICAST, 0)
            and not header["flags"] & _CLONED
            and route.number(_TABLE, header["table"]) == _MAIN
            and route.attributes.get(_DST, bytes(len(self.address))) == self.address
        )


def priority_of(route: Message) -> int:
    """Return a route's metric; with the destination, what a replacement goes by."""
    return route.number(_PRIORITY)


def refusal(route: Message) -> str:
    """Return why a route cannot be replaced and put back exactly, or nothing."""
    raw = route.attributes.get(_CACHEINFO)
    if raw and struct.unpack_from("=i", raw, _EXPIRES_OFFSET)[0]:
        return "the route expires by itself"
    return ""


def congestion_of(route: Message) -> str:
    """Return a route's congestion control, with ``lock`` where sockets may not choose another."""
    metrics = dict(split_attributes(route.attributes.get(_METRICS, b"")))
    name = metrics.get(_CC_ALGO, b"").rstrip(b"\0").decode()
    return f"{name} lock" if name and _locks(metrics) & (1 << _CC_ALGO) else name


def with_congestion(route: Message, congestion: str) -> Message:
    """Return a route ready to be sent, with another congestion control, or none where empty."""
    name, _, lock = congestion.partition(" ")
    metrics = dict(split_attributes(route.attributes.get(_METRICS, b"")))
    metrics.pop(_CC_ALGO, None)
    locks = _locks(metrics) & ~(1 << _CC_ALGO) | (bool(lock) << _CC_ALGO)
    metrics.pop(_LOCK, None)
    if locks:
        metrics[_LOCK] = struct.pack("=I", locks)
    if name:
        metrics[_CC_ALGO] = name.encode() + b"\0"
    header = {**route.header, "flags": route.header["flags"] & _ON_LINK}
    attributes = _asked_for(route.attributes)
    attributes.pop(_METRICS, None)
    # Of a next hop by its id the kernel takes a route that is there, metrics and all, unless it
    # is given some, be they none (fib_find_info_nh in net/ipv4/fib_semantics.c).
    if metrics or _NH_ID in attributes:
        attributes[_METRICS] = join_attributes(dict(sorted(metrics.items())))
    return Message(header, dict(sorted(attributes.items())))


def identity_text(route: Message) -> str:
    """Return everything of a route but its metrics: another next hop makes another route."""
    attributes = _asked_for(route.attributes)
    attributes.pop(_METRICS, None)
    header = {**route.header, "flags": route.header["flags"] & _ON_LINK}
    return Message(header, attributes).to_text()


def replace_words(route: Message) -> list[str]:
    """Return the words after ``ip route replace`` that make a route as it is.

    Raises
    ------
    ValueError
        It has something that cannot be said in words, as a next hop by its id.
    """
    attributes = _asked_for(route.attributes)
    header = route.header
    family = header["family"]
    known = {_DST, _OIF, _GATEWAY, _PRIORITY, _PREFSRC, _METRICS, _MULTIPATH, _TABLE, _PREF}
    if attributes.keys() - known:
        raise ValueError("the route has attributes that have no words here")
    address = attributes.get(_DST, bytes(4 if family == socket.AF_INET else 16))
    words = [f"{socket.inet_ntop(family, address)}/{header['dst_len']}"]
    words += _hop_words(family, attributes)
    words += ["proto", str(header["proto"])]
    if family == socket.AF_INET:
        words += ["scope", _SCOPES.get(header["scope"], str(header["scope"]))]
    if _PREFSRC in attributes:
        words += ["src", socket.inet_ntop(family, attributes[_PREFSRC])]
    if _PRIORITY in attributes:
        words += ["metric", str(route.number(_PRIORITY))]
    if header["flags"] & _ON_LINK:
        words.append("onlink")
    words += _metric_words(dict(split_attributes(attributes.get(_METRICS, b""))))
    if _PREF in attributes:
        words += ["pref", _PREFERENCES[attributes[_PREF][0]]]
    return words + list(_next_hops(family, attributes.get(_MULTIPATH, b"")))


def _locks(metrics: dict[int, bytes]) -> int:
    locks: int = struct.unpack("=I", metrics.get(_LOCK, bytes(4)))[0]
    return locks


def _asked_for(attributes: dict[int, bytes]) -> dict[int, bytes]:
    """Return what a request for the route would hold: not the kernel's report beside it."""
    left_out = {_CACHEINFO}
    if _NH_ID in attributes:
        left_out |= {_OIF, _GATEWAY, _VIA, _MULTIPATH, _ENCAP, _ENCAP_TYPE}
    kept = {number: value for number, value in attributes.items() if number not in left_out}
    if _MULTIPATH in kept:
        kept[_MULTIPATH] = _without_reports(kept[_MULTIPATH])
    return kept


def _without_reports(multipath: bytes) -> bytes:
    cleared = bytearray(multipath)
    for offset, _ in _hops(multipath):
        cleared[offset + 2] &= _ON_LINK
    return bytes(cleared)


def _hops(multipath: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _NEXT_HOP.size <= len(multipath):
        length = _NEXT_HOP.unpack_from(multipath, offset)[0]
        yield offset, multipath[offset : offset + length]
        offset += (length + 3) & ~3


def _hop_words(family: int, attributes: dict[int, bytes]) -> list[str]:
    words: list[str] = []
    if _GATEWAY in attributes:
        words += ["via", socket.inet_ntop(family, attributes[_GATEWAY])]
    if _OIF in attributes:
        words += ["dev", socket.if_indextoname(struct.unpack("=I", attributes[_OIF])[0])]
    return words


def _metric_words(metrics: dict[int, bytes]) -> list[str]:
    words: list[str] = []
    locks = _locks(metrics)
    for number, value in metrics.items():
        if number == _LOCK:
            continue
        lock = ["lock"] if locks >> number & 1 else []
        if number == _CC_ALGO:
            words += ["congctl", *lock, value.rstrip(b"\0").decode()]
        elif number in _METRIC_WORDS:
            words += [_METRIC_WORDS[number], *lock, str(struct.unpack("=I", value)[0])]
        else:
            raise ValueError(f"the route's metric {number} has no words here")
    return words


def _next_hops(family: int, multipath: bytes) -> Iterator[str]:
    for _, hop in _hops(multipath):
        _, flags, weight, index = _NEXT_HOP.unpack_from(hop)
        inner = dict(split_attributes(hop[_NEXT_HOP.size :]))
        if inner.keys() - {_GATEWAY}:
            raise ValueError("a next hop has attributes that have no words here")
        yield "nexthop"
        if _GATEWAY in inner:
            yield from ("via", socket.inet_ntop(family, inner[_GATEWAY]))
        yield from ("dev", socket.if_indextoname(index), "weight", str(weight + 1))
        if flags & _ON_LINK:
            yield "onlink"
