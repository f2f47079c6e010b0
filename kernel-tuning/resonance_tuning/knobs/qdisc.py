# SPDX-License-Identifier: MIT
"""The root queueing discipline of a device, replaced only where nothing hangs on it.

Ours has a handle of its own, so that it is told from one that somebody else put there. A device
whose discipline has classes or filters is left alone, ``mq`` of a device with several queues too.
BBR does not need ``fq``: without it TCP paces itself.

A value is the kind; as read it is followed by the handle, ``pfifo 8001:``, unless the kernel put
it there by itself.
"""

from __future__ import annotations

import shlex
import socket
import struct
from typing import ClassVar, Final, Literal

from resonance_tuning.errors import KnobUnavailableError, TargetVanishedError
from resonance_tuning.knob import Knob
from resonance_tuning.records import State, Target, TargetKind
from resonance_tuning.surfaces import netlink
from resonance_tuning.surfaces.netlink import Message

__all__ = ["Qdisc"]

_KIND, _OPTIONS = 1, 2
_ROOT: Final = 0xFFFF_FFFF
_OUR_HANDLE: Final = 0x7E50_0000
_WITH_LIMIT: Final = ("pfifo", "bfifo")
_EVERYWHERE: Final = (*_WITH_LIMIT, "pfifo_fast")
"""Kinds of every kernel with queueing disciplines; and those whose options we know whole."""
_WANTED: Final = ("fq", "fq_codel", *_EVERYWHERE)


class Qdisc(Knob):
    """The root queueing discipline."""

    name: ClassVar[str] = "qdisc"
    summary: ClassVar[str] = (
        "Queueing discipline of a device: fq paces connections and keeps one from delaying another."
    )
    scope: ClassVar[TargetKind] = "device"
    rung: ClassVar[int] = 4
    evidence: ClassVar[Literal["runqueue", "srtt", "none"]] = "srtt"
    capabilities: ClassVar[frozenset[str]] = frozenset({"CAP_NET_ADMIN"})

    def unavailable(self, target: Target) -> str:
        """Return that the device is not there, or what hangs on its discipline."""
        try:
            return netlink.missing() or self._what_hangs_on(self._root(target))
        except TargetVanishedError as error:
            return error.reason

    def parse(self, value: object) -> str:
        """Return the kind."""
        if not isinstance(value, str) or value not in _WANTED:
            raise ValueError(f"expected one of {', '.join(_WANTED)}, not {value!r}")
        return value

    def canonical(self, target: Target, value: str) -> str:
        """Return kind and handle; those that are there, where the kind already is.

        Raises
        ------
        KnobUnavailableError
            The kernel has none of this kind.
        """
        root = self._root(target)
        if value in {_kind(root), _text(root)}:
            return _text(root)
        if value not in _EVERYWHERE and netlink.lacks_qdisc(self.host, value):
            raise KnobUnavailableError(self.name, _unknown(value))
        return f"{value} {_OUR_HANDLE >> 16:x}:"

    def identity(self, target: Target) -> str:
        """Return the device's index, which no later device gets."""
        return str(self._index(target))

    def read(self, target: Target) -> State:
        """Return kind and handle, from a fresh dump; the whole message beside it."""
        root = self._root(target)
        return State(_text(root), {"qdisc": _to_make(root).to_text()})

    def write(self, target: Target, value: str) -> None:
        """Put a discipline of this kind, as the kernel makes it, in the root's place.

        Raises
        ------
        KnobUnavailableError
            The kernel has none of this kind.
        """
        kind = value.partition(" ")[0]
        root = self._root(target)
        if _kind(root) == kind:
            return
        header = {**root.header, "handle": _OUR_HANDLE, "parent": _ROOT, "info": 0}
        wanted = Message(header, {_KIND: kind.encode() + b"\0"})
        try:
            self._replace(root, wanted)
        except FileNotFoundError as error:
            raise KnobUnavailableError(self.name, _unknown(kind)) from error

    def restore(self, target: Target, prior: State) -> None:
        """Delete ours, which brings the kernel's default back, or put back what was there.

        Raises
        ------
        OSError
            What is there afterwards is not what was.
        """
        root = self._root(target)
        if _text(root) != prior.value:
            before = Message.from_text(prior.coupled["qdisc"])
            if before.header["handle"]:
                self._replace(root, before)
            else:
                netlink.delete_qdisc(self.host, root)
        now = self.read(target)
        if now.value != prior.value:
            raise OSError(f"{target}: {now.value} is there instead of {prior.value}")

    def commands(self, target: Target, prior: State) -> tuple[str, ...]:
        """Return the ``tc`` that puts the prior discipline back."""
        kind, _, handle = prior.value.partition(" ")
        if not handle:
            return (shlex.join(["tc", "qdisc", "del", "dev", target.name, "root"]),)
        words = ["tc", "qdisc", "replace", "dev", target.name, "root", "handle", handle, kind]
        if kind in _WITH_LIMIT:
            before = Message.from_text(prior.coupled["qdisc"])
            words += ["limit", str(struct.unpack_from("=I", before.attributes[_OPTIONS])[0])]
        return (shlex.join(words),)

    def _what_hangs_on(self, root: Message) -> str:
        kind, handle = _kind(root), root.header["handle"]
        if netlink.class_count(self.host, root.header["index"]):
            return f"it has {kind} with classes"
        if handle and netlink.filter_count(self.host, root):
            return f"it has {kind} with filters"
        if kind not in _EVERYWHERE and handle not in {0, _OUR_HANDLE}:
            return f"it has {kind}, which could not be put back with every option"
        return ""

    def _replace(self, root: Message, wanted: Message) -> None:
        if root.header["handle"] == wanted.header["handle"]:
            # The kernel changes what has this handle, and cannot change its kind.
            netlink.delete_qdisc(self.host, root)
        netlink.replace_qdisc(self.host, wanted)

    def _index(self, target: Target) -> int:
        try:
            return socket.if_nametoindex(target.name)
        except OSError as error:
            raise TargetVanishedError(str(target), f"there is no device {target.name}") from error

    def _root(self, target: Target) -> Message:
        for qdisc in netlink.qdiscs(self.host, self._index(target)):
            if qdisc.header["parent"] == _ROOT:
                return qdisc
        raise TargetVanishedError(str(target), f"{target.name} has no root qdisc")


def _kind(qdisc: Message) -> str:
    return qdisc.attributes[_KIND].rstrip(b"\0").decode()


def _text(qdisc: Message) -> str:
    handle = qdisc.header["handle"]
    return f"{_kind(qdisc)} {handle >> 16:x}:" if handle else _kind(qdisc)


def _to_make(qdisc: Message) -> Message:
    """Return the request that makes a discipline as it is: without the kernel's statistics."""
    kept = {n: value for n, value in qdisc.attributes.items() if n in {_KIND, _OPTIONS}}
    return Message({**qdisc.header, "info": 0}, kept)


def _unknown(kind: str) -> str:
    reason = f"this kernel has no {kind}"
    return f"{reason}; TCP paces itself instead (pacing=internal)" if kind == "fq" else reason
