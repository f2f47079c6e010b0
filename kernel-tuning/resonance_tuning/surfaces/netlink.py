# SPDX-License-Identifier: MIT
"""Routes and queueing disciplines, by netlink: dump, replace, delete, check.

The only file that imports pyroute2, and only when it is used: that takes some 20 MB. Messages
keep their attributes as the kernel's own bytes, so that what is put back is what was there, also
where pyroute2 does not know an attribute.

Each call works in a thread of its own: a synchronous socket of pyroute2 refuses to work where an
event loop runs. Nothing here decides which route or device.
"""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from resonance_tuning.errors import KnobUnavailableError
from resonance_tuning.host import Host
from resonance_tuning.surfaces.namespaces import run_in

__all__ = [
    "Message",
    "class_count",
    "delete_qdisc",
    "filter_count",
    "join_attributes",
    "lacks_qdisc",
    "missing",
    "qdiscs",
    "replace_qdisc",
    "replace_route",
    "routes",
    "split_attributes",
]

T = TypeVar("T")

_NETLINK_HEADER_BYTES: Final = 16
_ATTRIBUTE_HEADER: Final = struct.Struct("=HH")
_TYPE_MASK: Final = 0x3FFF
"""Less ``NLA_F_NESTED`` and ``NLA_F_NET_BYTEORDER``, which the kernel does not ask for here."""
_NEW_ROUTE, _NEW_QDISC, _DELETE_QDISC = 24, 36, 37
_KIND, _STAB = 1, 8
_ROOT: Final = 0xFFFF_FFFF
_REQUEST_AND_ACK: Final = 0x5
_REPLACE: Final = 0x100
_CREATE: Final = 0x400


@dataclass(frozen=True)
class Message:
    """A message of the kernel: its header's numbers, and its attributes as they came.

    Attributes
    ----------
    header : dict of str to int
        By the names of ``struct rtmsg`` and ``struct tcmsg``.
    attributes : dict of int to bytes
        By the kernel's numbers of them, as ``RTA_DST``.
    """

    header: dict[str, int]
    attributes: dict[int, bytes]

    def to_text(self) -> str:
        """Return it as JSON, the bytes as hexadecimal digits."""
        attributes = {str(number): value.hex() for number, value in self.attributes.items()}
        return json.dumps({"header": self.header, "attributes": attributes}, sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> Message:
        """Return what `to_text` wrote.

        Raises
        ------
        ValueError
            It wrote something else.
        """
        try:
            parts = json.loads(text)
            attributes = {
                int(key): bytes.fromhex(value) for key, value in parts["attributes"].items()
            }
            return cls({str(key): int(value) for key, value in parts["header"].items()}, attributes)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"not a message: {text!r}") from error

    def number(self, attribute: int, default: int = 0) -> int:
        """Return an attribute that is one number of 32 bits."""
        value = self.attributes.get(attribute)
        return default if value is None else int(struct.unpack("=I", value)[0])


def split_attributes(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and value of each attribute in a row of them."""
    while len(raw) >= _ATTRIBUTE_HEADER.size:
        length, number = _ATTRIBUTE_HEADER.unpack_from(raw)
        if length < _ATTRIBUTE_HEADER.size:
            return
        yield number & _TYPE_MASK, raw[_ATTRIBUTE_HEADER.size : length]
        raw = raw[(length + 3) & ~3 :]


def join_attributes(attributes: dict[int, bytes]) -> bytes:
    """Return attributes in a row, as they stand inside another one."""
    return b"".join(
        _ATTRIBUTE_HEADER.pack(_ATTRIBUTE_HEADER.size + len(value), number)
        + value.ljust((len(value) + 3) & ~3, b"\0")
        for number, value in attributes.items()
    )


def missing() -> str:
    """Return why netlink cannot be used, or nothing; imports nothing."""
    if importlib.util.find_spec("pyroute2") is None:
        return "pyroute2 is not installed"
    return ""


def routes(host: Host, family: int) -> list[Message]:
    """Return every route of an address family."""
    return _converse(host, lambda ip: [_message(found) for found in ip.get_routes(family=family)])


def replace_route(host: Host, route: Message) -> None:
    """Put a route in the place of the one with its destination, service type and priority.

    Raises
    ------
    OSError
        ``ENOENT`` where there is none: it is not made anew.
    """
    _request(host, route, _NEW_ROUTE, _REQUEST_AND_ACK | _REPLACE)


def qdiscs(host: Host, index: int) -> list[Message]:
    """Return every queueing discipline of a device."""
    found = _converse(host, lambda ip: [_message(found) for found in ip.get_qdiscs()])
    return [qdisc for qdisc in found if qdisc.header["index"] == index]


def class_count(host: Host, index: int) -> int:
    """Return how many traffic classes a device has."""
    return _converse(host, lambda ip: len(list(ip.get_classes(index=index))))


def filter_count(host: Host, qdisc: Message) -> int:
    """Return how many filters are attached to a queueing discipline."""
    where = {"index": qdisc.header["index"], "parent": qdisc.header["handle"]}
    return _converse(host, lambda ip: len(list(ip.get_filters(**where))))


def lacks_qdisc(host: Host, kind: str) -> bool:
    """Return whether the kernel says that it has no such kind of queueing discipline.

    It is asked to put one on the loopback device with an empty size table, which it refuses after
    it looked the kind up and before it changes anything.
    """
    header = {"family": 0, "pad1": 0, "pad2": 0, "index": socket.if_nametoindex("lo")}
    header |= {"handle": 0, "parent": _ROOT, "info": 0}
    try:
        replace_qdisc(host, Message(header, {_KIND: kind.encode() + b"\0", _STAB: b""}))
    except OSError as error:
        return error.errno == errno.ENOENT
    return False


def replace_qdisc(host: Host, qdisc: Message) -> None:
    """Put a queueing discipline in the place of the one with its parent."""
    _request(host, qdisc, _NEW_QDISC, _REQUEST_AND_ACK | _CREATE | _REPLACE)


def delete_qdisc(host: Host, qdisc: Message) -> None:
    """Delete a queueing discipline; its header says which.

    pyroute2's own ``tc("del", ...)`` may raise `KeyError` and delete nothing.
    """
    _request(host, Message(qdisc.header, {}), _DELETE_QDISC, _REQUEST_AND_ACK)


def _message(found: Any) -> Message:
    header = {name: found[name] for name, _ in found.fields if isinstance(found[name], int)}
    start = found.offset + _NETLINK_HEADER_BYTES + struct.calcsize(_layout(found))
    raw = bytes(found.data[start : found.offset + found["header"]["length"]])
    return Message(header, dict(split_attributes(raw)))


def _layout(found: Any) -> str:
    return "=" + "".join(form for _, form in found.fields)


def _request(host: Host, message: Message, kind: int, flags: int) -> None:
    def send(ip: Any) -> None:
        raw = _to_send(message)
        raw["header"]["type"], raw["header"]["flags"] = kind, flags
        list(ip.nlm_request_batch([raw]))

    _converse(host, send)


def _to_send(message: Message) -> Any:
    from pyroute2.netlink import nlmsg
    from pyroute2.netlink.rtnl.rtmsg import rtmsg
    from pyroute2.netlink.rtnl.tcmsg import tcmsg

    class Raw(nlmsg):  # type: ignore[misc]
        fields = (rtmsg if "dst_len" in message.header else tcmsg).fields
        nla_map = tuple((number, f"attribute {number}", "cdata") for number in range(1, 64))

    raw: Any = Raw()
    raw.update(message.header)
    raw["attrs"] = [[f"attribute {number}", value] for number, value in message.attributes.items()]
    return raw


def _converse(host: Host, say: Callable[[Any], T]) -> T:
    """Return the answer to what is said over a socket that is open no longer."""

    def run() -> T:
        try:
            from pyroute2 import IPRoute
            from pyroute2.netlink.exceptions import NetlinkError
        except ImportError as error:
            raise KnobUnavailableError(
                "netlink", f"pyroute2 cannot be imported: {error}"
            ) from error
        with IPRoute() as ip:
            try:
                return say(ip)
            except NetlinkError as error:
                number: int = error.code
                raise OSError(number, os.strerror(number)) from error

    return run_in(host, "", run)
