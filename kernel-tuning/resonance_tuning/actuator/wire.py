# SPDX-License-Identifier: MIT
"""What the actuator and those who drive it say to each other: one line of JSON per message.

A request carries an id, and its answer the same one; an event carries none. `Begin` comes
first and once, from root; whoever speaks later, the daemon for one, can only pick from what
the plan of that configuration holds. Neither side trusts the other's bytes to be more than
these records, nor a line to end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Final

import msgspec

from resonance_tuning.errors import ActuatorError
from resonance_tuning.planning.planner import Plan
from resonance_tuning.records import Receipt, Setting
from resonance_tuning.settings import TuningSettings

__all__ = [
    "MAX_ANSWER_BYTES",
    "MAX_REQUEST_BYTES",
    "Answer",
    "Apply",
    "Begin",
    "Begun",
    "Drifted",
    "Event",
    "Failed",
    "Lines",
    "Live",
    "PlanRequest",
    "Planned",
    "Receipts",
    "Record",
    "Replanned",
    "Request",
    "SteppedDown",
    "Undo",
    "Verify",
    "decode_request",
    "decode_said",
    "encode",
]

MAX_REQUEST_BYTES: Final = 1 << 20
MAX_ANSWER_BYTES: Final = 1 << 24
"""A plan names every target, so an answer may be far longer than a request."""

_Id = Annotated[int, msgspec.Meta(ge=1)]
_Sentence = Annotated[str, msgspec.Meta(max_length=4_096, pattern=r"^[^\x00-\x1f\x7f-\x9f]*\Z")]
"""What ends up in the journal and on a terminal: nothing that moves a cursor."""
_Kind = Annotated[str, msgspec.Meta(max_length=64, pattern=r"^[a-z][a-z_-]*\Z")]
_Key = Annotated[str, msgspec.Meta(max_length=64, pattern=r"^[a-z][a-z0-9_]*\Z")]
_Value = _Sentence | bool | int | float


class Begin(msgspec.Struct, frozen=True, kw_only=True, tag="begin"):
    """The first request: root's configuration, and on what terms.

    Attributes
    ----------
    is_resident : bool
        It lives as long as the service: what it changed is undone at its end, and it watches
        in between. Otherwise it serves one command and leaves what it changed.
    is_shadow : bool
        No knob may be turned and no capability is kept.
    max_rung : int
        The most invasive rung of the ladder that may be taken.
    verify_seconds : float
        How often it looks whether somebody else has changed what it turned.
    """

    id: _Id = 1
    settings: TuningSettings
    is_resident: bool
    is_shadow: bool = False
    max_rung: Annotated[int, msgspec.Meta(ge=1)] = 5
    verify_seconds: Annotated[float, msgspec.Meta(gt=0)] = 2.5


class PlanRequest(msgspec.Struct, frozen=True, tag="plan"):
    """What would be changed now?"""

    id: _Id


class Apply(msgspec.Struct, frozen=True, tag="apply"):
    """Make these settings, all or none; each must be in the plan of this moment."""

    id: _Id
    settings: tuple[Setting, ...]
    reason: _Sentence


class Undo(msgspec.Struct, frozen=True, tag="undo"):
    """Put back what was there before these settings; before all of them if none is named."""

    id: _Id
    settings: tuple[Setting, ...]
    reason: _Sentence


class Verify(msgspec.Struct, frozen=True, tag="verify"):
    """Is what was turned still as it was turned?"""

    id: _Id


class Record(msgspec.Struct, frozen=True, tag="record"):
    """Write a note into the journal, a verdict for one."""

    id: _Id
    kind: _Kind
    data: dict[_Key, _Value]


class Live(msgspec.Struct, frozen=True, tag="live"):
    """Which settings are in force through us?"""

    id: _Id


Request = Begin | PlanRequest | Apply | Undo | Verify | Record | Live


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """It is ready.

    Attributes
    ----------
    recovered : tuple of Receipt
        What a process that died had left, and what became of it.
    capabilities : tuple of str
        All it still holds.
    is_shadow : bool
        True also where tuning was asked for and cannot be had here.
    reason : str
        Why it cannot; empty where things are as asked for.
    """

    id: _Id
    boot_id: str
    recovered: tuple[Receipt, ...]
    capabilities: tuple[str, ...]
    is_shadow: bool
    reason: str = ""


class Planned(msgspec.Struct, frozen=True, tag="planned"):
    """The plan of this moment."""

    id: _Id
    plan: Plan


class Receipts(msgspec.Struct, frozen=True, tag="receipts"):
    """What became of each setting."""

    id: _Id
    receipts: tuple[Receipt, ...]


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """It was not done, and why; what was begun is taken back."""

    id: _Id
    reason: str
    receipts: tuple[Receipt, ...] = ()


class Drifted(msgspec.Struct, frozen=True, tag="drifted"):
    """Somebody else has changed these; they are theirs now."""

    receipts: tuple[Receipt, ...]


class Replanned(msgspec.Struct, frozen=True, tag="replanned"):
    """The host is not what it was: what was undone for that, and why to ask for a new plan."""

    reason: str
    receipts: tuple[Receipt, ...] = ()


class SteppedDown(msgspec.Struct, frozen=True, tag="stepped-down"):
    """Batch work was starved for too long; what squeezed it was undone."""

    receipts: tuple[Receipt, ...]
    reason: str


Answer = Begun | Planned | Receipts | Failed
Event = Drifted | Replanned | SteppedDown


def encode(message: Request | Answer | Event) -> bytes:
    r"""Write one line; bytes of a name that are no UTF-8 stand as ``\udcXX`` in it."""
    try:
        return msgspec.json.encode(message) + b"\n"
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(message)).encode("ascii") + b"\n"


def decode_request(line: bytes) -> Request:
    """Parse one line from the client; raises ``msgspec.MsgspecError``."""
    request: Request = _decode(line, Request)
    return request


def decode_said(line: bytes) -> Answer | Event:
    """Parse one line from the actuator; raises ``msgspec.MsgspecError``."""
    said: Answer | Event = _decode(line, Answer | Event)
    return said


def _decode(line: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(line, type=kind)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError as error:
        # It may be a name that is no UTF-8: only the standard library reads that.
        try:
            document = json.loads(line)
        except (ValueError, RecursionError):
            raise error from None
        return msgspec.convert(document, type=kind)


class Lines:
    """Bytes as they arrive, as whole lines.

    Parameters
    ----------
    max_bytes : int
        The longest line that is waited for.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Return the lines that are complete now, without their ends.

        Raises
        ------
        ActuatorError
            A line is longer than any of ours.
        """
        self._rest += data
        while (end := self._rest.find(b"\n")) >= 0:
            line = bytes(self._rest[:end])
            del self._rest[: end + 1]
            yield line
        if len(self._rest) > self._max_bytes:
            raise ActuatorError(f"the other side sends a line of more than {self._max_bytes} bytes")
