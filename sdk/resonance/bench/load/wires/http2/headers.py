# SPDX-License-Identifier: MIT
"""What do the header blocks of one HTTP/2 connection say, and how are ours written, cheaply?

HPACK is a language with memory: equal bytes mean the same only while its table is as it was. Most
blocks leave the table alone, and are remembered until another one changes it. Some servers, nginx
among them, add the same fields again with each answer and never refer to them: such blocks mean
the same whatever the table is, and what they add is owed to it until somebody looks. The library
that reads and writes all others is hpack.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Final, Generic, NamedTuple, TypeVar

from hpack import Decoder, Encoder, HPACKError
from hpack.table import HeaderTable

from resonance.bench.load.wires import WireError

__all__ = ["Fields", "Reader", "Writer"]

Fields = Sequence[tuple[bytes, bytes]]

_MOST_REMEMBERED: Final = 512
"""*Chosen*: dates change every second, identities with each answer; the rest fits."""
_LARGEST_TABLE_BYTES: Final = 4_096
"""The peer may allow more; it is the size that each connection begins with (RFC 7541, 6.5.2)."""
_MOST_ENTRIES: Final = _LARGEST_TABLE_BYTES // 32
"""An entry takes 32 bytes and its letters (RFC 7541, 4.1)."""

_Meaning = TypeVar("_Meaning")


class _State(NamedTuple):
    newest: tuple[bytes, bytes] | None
    entries: int
    size_bytes: int


def _state(table: HeaderTable) -> _State:
    entries = table.dynamic_entries
    return _State(entries[0] if entries else None, len(entries), table.maxsize)


def _is_same(before: _State, after: _State) -> bool:
    return before.newest is after.newest and before[1:] == after[1:]


class Reader(Generic[_Meaning]):
    """Reads the header blocks of a peer.

    Parameters
    ----------
    meaning : callable
        What is wanted of a block, from its fields; must depend on nothing else.
    """

    def __init__(self, meaning: Callable[[Mapping[bytes, bytes]], _Meaning]) -> None:
        self._decoder = Decoder()
        self._meaning = meaning
        self._known: dict[bytes, _Meaning] = {}
        self._always_known: dict[bytes, tuple[_Meaning, list[tuple[bytes, bytes]]]] = {}
        self._owed: deque[tuple[bytes, bytes]] = deque(maxlen=_MOST_ENTRIES)

    def read(self, block: bytes) -> _Meaning:
        """Return what a block means.

        Parameters
        ----------
        block : bytes
            Whole, and in the order in which the peer sent them.

        Returns
        -------
        object
            What `meaning` made of it.

        Raises
        ------
        WireError
            It is not HPACK.
        """
        known = self._known.get(block)
        if known is not None:
            return known
        always = self._always_known.get(block)
        if always is None:
            return self._decode(block)
        if always[1]:
            self._owed += always[1]
            self._known.clear()
        return always[0]

    def _decode(self, block: bytes) -> _Meaning:
        table = self._decoder.header_table
        for name, value in self._owed:
            table.add(name, value)
        self._owed.clear()
        before = _state(table)
        try:
            fields = self._decoder.decode(block, raw=True)
        except HPACKError as error:
            raise WireError(f"header block that cannot be read: {error}") from None
        meaning = self._meaning({bytes(field[0]): bytes(field[1]) for field in fields})
        is_same = _is_same(before, _state(table))
        if not is_same or len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        added = _additions(block)
        if added is not None and added <= len(table.dynamic_entries):
            if len(self._always_known) >= _MOST_REMEMBERED:
                self._always_known.clear()
            newest = list(islice(table.dynamic_entries, added))
            self._always_known[block] = meaning, newest[::-1]
        elif is_same:
            self._known[block] = meaning
        return meaning


def _additions(block: bytes) -> int | None:
    """Return how many fields a sound block adds to the table, or ``None`` if it looks into it."""
    at, added = 0, 0
    while at < len(block):
        first = block[at]
        if first & 0x80:  # a whole field of a table (RFC 7541, 6.1)
            index, at = _integer(block, at, 0x7F)
        elif first & 0x60 == 0x20:  # another size of the table (6.3)
            return None
        else:  # a field in letters, its name perhaps of a table (6.2)
            is_added = first & 0x40
            index, at = _integer(block, at, 0x3F if is_added else 0x0F)
            added += bool(is_added)
            for _ in range(1 if index else 2):
                length, at = _integer(block, at, 0x7F)
                at += length
        if index > HeaderTable.STATIC_TABLE_LENGTH:
            return None
    return added


def _integer(block: bytes, at: int, mask: int) -> tuple[int, int]:
    """Return an integer of a sound block, and where it ends (RFC 7541, 5.1)."""
    value = block[at] & mask
    at += 1
    if value == mask:
        shift, more = 0, 0x80
        while more:
            value += (block[at] & 0x7F) << shift
            more = block[at] & 0x80
            shift, at = shift + 7, at + 1
    return value, at


class Writer:
    """Writes our header blocks: few kinds of them, each many times.

    Parameters
    ----------
    kinds : sequence of Fields
    """

    def __init__(self, kinds: Sequence[Fields]) -> None:
        self._encoder = Encoder()
        self._kinds = kinds
        self._known: dict[int, bytes] = {}

    def write(self, kind: int) -> bytes:
        """Return the block of a kind; each must be sent, in the order of the calls.

        Parameters
        ----------
        kind : int
            Its place in `kinds`.

        Returns
        -------
        bytes
        """
        known = self._known.get(kind)
        if known is not None:
            return known
        table = self._encoder.header_table
        before, is_resized = _state(table), table.resized
        block = self._encoder.encode(self._kinds[kind])
        if is_resized or not _is_same(before, _state(table)):
            self._known.clear()
        else:
            self._known[kind] = block
        return block

    def limit(self, table_bytes: int) -> None:
        """Obey the peer's limit to the table.

        Parameters
        ----------
        table_bytes : int
        """
        wanted = min(table_bytes, _LARGEST_TABLE_BYTES)
        if wanted != self._encoder.header_table_size:
            self._encoder.header_table_size = wanted
            self._known.clear()
