# SPDX-License-Identifier: MIT
"""Where does the running kernel keep a member of a structure: a reader of its BTF.

Standard library only, because the privileged loader uses it: one pass over the type records
(about 130,000 on a distribution kernel), then names are looked up when asked for. It reads
native byte order and base BTF only; modules' split BTF is not its business.

References
----------
Linux, ``Documentation/bpf/btf.rst`` and ``include/uapi/linux/btf.h``.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from resonance_bpf.errors import ProbeUnsupportedError

__all__ = ["KERNEL_BTF", "Btf", "Integer", "Member"]

KERNEL_BTF: Final = Path("/sys/kernel/btf/vmlinux")

_HEADER: Final = struct.Struct("=HBBIIIII")
_MAGIC: Final = 0xEB9F
_INT, _PTR, _ARRAY, _STRUCT, _UNION, _ENUM = 1, 2, 3, 4, 5, 6
_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _FUNC_PROTO = 8, 9, 10, 11, 13
_TYPE_TAG, _ENUM64 = 18, 19
_FIXED_WORDS: Final = (3, 4, 3, 6, *[3] * 10, 4, 3, 3, 4, 3, 3)
"""Words of a record of each kind before its list, kinds 0 to 19."""
_LISTED_WORDS: Final = (0, 0, 0, 0, 3, 3, 2, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0, 0, 0, 3)
"""Words of each item of the list that follows, kinds 0 to 19."""
_ALIASES: Final = frozenset({_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _TYPE_TAG})
_NAMED: Final = frozenset({_STRUCT, _UNION, _ENUM, _TYPEDEF, _ENUM64})
_SIZED: Final = frozenset({_INT, _STRUCT, _UNION, _ENUM, 16, _ENUM64})
_MAX_DEPTH: Final = 16
"""Longest chain of types followed; *chosen*: a kernel's is below 12, a damaged file's endless."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a structure, found by its path.

    Attributes
    ----------
    type_id : int
        Its type in the BTF it came from.
    offset_bits : int
        Distance from the start of the outermost structure.
    size_bytes : int
        Size of its type; of a bit-field, of the integer it is declared with.
    bitfield_bits : int
        Width of a bit-field, else 0.
    """

    type_id: int
    offset_bits: int
    size_bytes: int
    bitfield_bits: int = 0

    @property
    def offset_bytes(self) -> int:
        """Distance in whole bytes; of a bit-field, of the byte it begins in."""
        return self.offset_bits // 8


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer, enumeration or boolean type."""

    size_bytes: int
    is_signed: bool


class Btf:
    """The types of one kernel.

    Parameters
    ----------
    data : bytes
        Contents of a BTF file, native byte order.
    source : str
        What error messages call it.

    Raises
    ------
    ProbeUnsupportedError
        The data is not BTF, is truncated, or holds a kind of type this reader does not know.
    """

    def __init__(self, data: bytes, source: str = "BTF") -> None:
        self.source = source
        self.digest = hashlib.sha256(data).hexdigest()
        self._words, self._strings = self._sections(data)
        self._positions = [0]
        self._identifiers: dict[tuple[int, int], int] = {}
        self._scan()

    @classmethod
    def from_file(cls, path: Path = KERNEL_BTF) -> Btf:
        """Read a BTF file.

        Raises
        ------
        ProbeUnsupportedError
            The file is absent, unreadable or not BTF.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ProbeUnsupportedError(
                str(path),
                f"no kernel type information ({error.strerror})",
                "use a kernel built with CONFIG_DEBUG_INFO_BTF=y",
            ) from error
        return cls(data, str(path))

    def size_of(self, name: str) -> int:
        """Return the size of a structure or union in bytes."""
        return self._words[self._positions[self._structure(name)] + 2]

    def member(self, path: str) -> Member:
        """Find a member such as ``task_struct.sched_info.last_queued``.

        Members of anonymous structures and unions are found as C finds them, by their own name.

        Raises
        ------
        ProbeUnsupportedError
            The structure or one of the members does not exist in this kernel.
        """
        structure, *names = path.split(".")
        type_id, offset_bits, bitfield_bits = self._structure(structure), 0, 0
        for name in names:
            found = self._find(self._resolve(type_id), name, 0)
            if found is None:
                raise ProbeUnsupportedError(path, f"this kernel has no such member ({name})")
            type_id, offset_bits, bitfield_bits = found[0], offset_bits + found[1], found[2]
        return Member(type_id, offset_bits, self._size(type_id), bitfield_bits)

    def has_member(self, path: str) -> bool:
        """Tell whether the path leads somewhere."""
        try:
            self.member(path)
        except ProbeUnsupportedError:
            return False
        return True

    def enum_value(self, name: str, enumerator: str) -> int:
        """Return the value of one enumerator of a named enumeration."""
        type_id = self._lookup(name, _ENUM) or self._lookup(name, _ENUM64)
        if not type_id:
            raise ProbeUnsupportedError(name, "this kernel has no such enumeration")
        for word in self._items(type_id):
            if self._string(self._words[word]) == enumerator:
                return self._enumerator(type_id, word)
        raise ProbeUnsupportedError(f"{name}.{enumerator}", "this kernel has no such enumerator")

    def tracepoint(self, name: str) -> tuple[str, ...] | None:
        """Return the C types of a tracepoint's arguments, or None where it does not exist.

        The first argument of the kernel's own prototype, a private cookie, is left out.
        """
        type_id = self._lookup(f"btf_trace_{name}", _TYPEDEF)
        if not type_id:
            return None
        prototype = self._resolve(self._pointee(type_id))
        if self._kind(prototype) != _FUNC_PROTO:
            raise self._damaged(f"btf_trace_{name} is not a function type")
        return tuple(self.spelling(self._words[word + 1]) for word in self._items(prototype))[1:]

    def spelling(self, type_id: int, depth: int = 0) -> str:
        """Spell a type as C does, without qualifiers: ``struct sock *``, ``u32``, ``char[16]``."""
        kind = self._kind(type_id)
        if depth > _MAX_DEPTH:
            raise self._damaged("endless type")
        if type_id == 0 or kind == _FUNC_PROTO:
            return "void"
        words, position = self._words, self._positions[type_id]
        if kind == _PTR:
            inner = self.spelling(words[position + 2], depth + 1)
            return f"{inner}*" if inner.endswith("*") else f"{inner} *"
        if kind == _ARRAY:
            return f"{self.spelling(words[position + 3], depth + 1)}[{words[position + 5]}]"
        if kind in _ALIASES and kind != _TYPEDEF:
            return self.spelling(words[position + 2], depth + 1)
        prefix = {_STRUCT: "struct ", _UNION: "union ", _ENUM: "enum ", _ENUM64: "enum "}
        return prefix.get(kind, "") + (self._string(words[position]) or "(anonymous)")

    def integer(self, type_id: int) -> Integer | None:
        """Describe an integer type, through its typedefs; None if it is another kind of type."""
        resolved = self._resolve(type_id)
        kind, position = self._kind(resolved), self._positions[resolved]
        if kind == _INT:
            is_signed = bool(self._words[position + 3] >> 24 & 1)
            return Integer(self._words[position + 2], is_signed)
        if kind in {_ENUM, _ENUM64}:
            return Integer(self._words[position + 2], bool(self._words[position + 1] >> 31))
        return None

    def _sections(self, data: bytes) -> tuple[memoryview, bytes]:
        if len(data) < _HEADER.size:
            raise self._damaged("shorter than its header")
        magic, version, _, header, types, types_size, strings, strings_size = _HEADER.unpack_from(
            data
        )
        if magic != _MAGIC or version != 1:
            raise self._damaged("not BTF version 1 in this machine's byte order")
        types_end, strings_end = header + types + types_size, header + strings + strings_size
        if max(types_end, strings_end) > len(data) or types_size % 4:
            raise self._damaged("truncated")
        words = memoryview(data[header + types : types_end]).cast("I")
        return words, data[header + strings : strings_end]

    def _scan(self) -> None:
        words, positions, identifiers = self._words, self._positions, self._identifiers
        fixed, listed, named = _FIXED_WORDS, _LISTED_WORDS, _NAMED
        position, end = 0, len(words)
        try:
            while position < end:
                info = words[position + 1]
                kind = info >> 24 & 31
                if kind in named:
                    identifiers.setdefault((kind, words[position]), len(positions))
                positions.append(position)
                position += fixed[kind] + listed[kind] * (info & 0xFFFF)
        except IndexError as error:
            raise self._damaged("a type record is cut off or of an unknown kind") from error
        if position != end:
            raise self._damaged("the last type record is cut off")

    def _lookup(self, name: str, kind: int) -> int:
        wanted = name.encode() + b"\0"
        offset = self._strings.find(wanted)
        while offset >= 0:
            type_id = self._identifiers.get((kind, offset))
            if type_id is not None:
                return type_id
            offset = self._strings.find(wanted, offset + 1)
        return 0

    def _structure(self, name: str) -> int:
        type_id = self._lookup(name, _STRUCT) or self._lookup(name, _UNION)
        if not type_id:
            raise ProbeUnsupportedError(name, "this kernel has no such structure")
        return type_id

    def _find(self, type_id: int, name: str, depth: int) -> tuple[int, int, int] | None:
        """Return type, offset in bits and bit-field width of a member, also of an anonymous one."""
        if self._kind(type_id) not in {_STRUCT, _UNION} or depth > _MAX_DEPTH:
            return None
        has_bitfields = self._words[self._positions[type_id] + 1] >> 31
        for word in self._items(type_id):
            member_name, member_type, offset = self._words[word : word + 3]
            width = offset >> 24 if has_bitfields else 0
            offset = offset & 0xFFFFFF if has_bitfields else offset
            if self._string(member_name) == name:
                return member_type, offset, width
            if not member_name:
                found = self._find(self._resolve(member_type), name, depth + 1)
                if found is not None:
                    return found[0], offset + found[1], found[2]
        return None

    def _size(self, type_id: int, depth: int = 0) -> int:
        resolved = self._resolve(type_id)
        kind, position = self._kind(resolved), self._positions[resolved]
        if kind == _PTR:
            return struct.calcsize("P")
        if kind == _ARRAY and depth < _MAX_DEPTH:
            return self._words[position + 5] * self._size(self._words[position + 3], depth + 1)
        return self._words[position + 2] if kind in _SIZED else 0

    def _enumerator(self, type_id: int, word: int) -> int:
        is_signed = self._words[self._positions[type_id] + 1] >> 31
        bits, value = 32, self._words[word + 1]
        if self._kind(type_id) == _ENUM64:
            bits, value = 64, value | self._words[word + 2] << 32
        return value - (1 << bits) if is_signed and value >> (bits - 1) else value

    def _resolve(self, type_id: int) -> int:
        for _ in range(_MAX_DEPTH):
            if self._kind(type_id) not in _ALIASES:
                return type_id
            type_id = self._words[self._positions[type_id] + 2]
        raise self._damaged("endless typedef")

    def _pointee(self, type_id: int) -> int:
        resolved = self._resolve(type_id)
        return self._words[self._positions[resolved] + 2]

    def _kind(self, type_id: int) -> int:
        if not 0 <= type_id < len(self._positions):
            raise self._damaged(f"type {type_id} does not exist")
        return self._words[self._positions[type_id] + 1] >> 24 & 31 if type_id else 0

    def _items(self, type_id: int) -> Iterator[int]:
        """Yield the position of each member, enumerator or parameter of a type."""
        position = self._positions[type_id]
        info = self._words[position + 1]
        kind = info >> 24 & 31
        step, start = _LISTED_WORDS[kind], position + _FIXED_WORDS[kind]
        yield from range(start, start + step * (info & 0xFFFF), step or 1)

    def _string(self, offset: int) -> str:
        end = self._strings.find(b"\0", offset)
        if end < 0:
            raise self._damaged(f"string {offset} does not exist")
        return self._strings[offset:end].decode("utf-8", "replace")

    def _damaged(self, reason: str) -> ProbeUnsupportedError:
        return ProbeUnsupportedError(
            self.source, f"cannot be read as BTF: {reason}", "check the file with bpftool btf dump"
        )
