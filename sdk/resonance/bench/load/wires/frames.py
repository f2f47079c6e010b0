# SPDX-License-Identifier: MIT
"""How do frames of fixed length stand for calls?

A request is the body that was given, or 16 bytes with the number of the call in the last eight, as
the replicas of the reference experiment have them. An answer is as long as the load says. Answers
come in the order of the requests; those of 16 bytes to our own frame say which call they are of.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from struct import Struct
from typing import Final

from resonance.bench.digest import Outcome
from resonance.bench.errors import PlanError
from resonance.bench.load.wires import Wire, WireError
from resonance.bench.plan import Load

__all__ = ["wires"]

_FRAME: Final = Struct("=IIQ")
_REQUEST: Final = 1
_DROPPED: Final = 5
_CAPACITY: Final = 256
"""*Chosen*: what the replicas of the reference experiment read at once."""
_OK: Final = Outcome.OK
_Ended = Sequence[tuple[int, Outcome]]


def wires(load: Load) -> Callable[[], Wire]:
    """Return what makes the wire of a new connection.

    Parameters
    ----------
    load : Load

    Returns
    -------
    callable

    Raises
    ------
    PlanError
        Some requests have a body and others have none.
    """
    bodies = [request.body for request in load.requests]
    if not any(bodies) and load.frame_bytes == _FRAME.size:
        return _Numbered
    if any(bodies) and not all(bodies):
        raise PlanError("requests", "with raw TCP either all of them have a body or none has one")
    return partial(_Ordered, bodies, load.frame_bytes)


class _Numbered:
    """Frames that say which call they are of; calls may end in any order."""

    def __init__(self) -> None:
        self.capacity = _CAPACITY
        self.is_reusable = True
        self._calls: dict[int, None] = {}
        self._rest = b""

    def begin(self) -> bytes:
        return b""

    def send(self, number: int, request: int) -> bytes:  # noqa: ARG002 - all are alike
        self._calls[number] = None
        return _FRAME.pack(_REQUEST, 0, number)

    def receive(self, data: bytes) -> _Ended:
        if self._rest or len(data) != _FRAME.size:
            return self._receive(data)
        kind, _, number = _FRAME.unpack(data)
        if number not in self._calls:
            raise WireError(f"an answer to call {number}, which is not under way here")
        del self._calls[number]
        return ((number, _OK if kind != _DROPPED else Outcome.STATUS),)

    def _receive(self, data: bytes) -> _Ended:
        data = self._rest + data
        self._rest = b""
        whole = len(data) - len(data) % _FRAME.size
        ended: list[tuple[int, Outcome]] = []
        for place in range(0, whole, _FRAME.size):
            ended += self.receive(data[place : place + _FRAME.size])
        self._rest = data[whole:]
        return ended

    def reply(self) -> bytes:
        return b""

    def end(self) -> _Ended:
        ended = _lost(list(self._calls), bool(self._rest))
        self._calls.clear()
        return ended


class _Ordered:
    """Frames without a number; calls end in the order in which they began."""

    def __init__(self, bodies: Sequence[bytes], frame_bytes: int) -> None:
        self.capacity = _CAPACITY
        self.is_reusable = True
        self._bodies = bodies
        self._frame_bytes = frame_bytes
        self._calls: deque[int] = deque()
        self._bytes = 0

    def begin(self) -> bytes:
        return b""

    def send(self, number: int, request: int) -> bytes:
        self._calls.append(number)
        return self._bodies[request] or _FRAME.pack(_REQUEST, 0, number)

    def receive(self, data: bytes) -> _Ended:
        frames, self._bytes = divmod(self._bytes + len(data), self._frame_bytes)
        if frames + bool(self._bytes) > len(self._calls):
            raise WireError(f"{len(data)} bytes and no call that they can be the answer to")
        return [(self._calls.popleft(), _OK) for _ in range(frames)]

    def reply(self) -> bytes:
        return b""

    def end(self) -> _Ended:
        ended = _lost(list(self._calls), bool(self._bytes))
        self._calls.clear()
        return ended


def _lost(calls: Sequence[int], is_cut: bool) -> _Ended:
    """Return how calls ended, the first of them in the middle of its answer or not."""
    return [
        (number, Outcome.CUT if is_cut and not place else Outcome.RESET)
        for place, number in enumerate(calls)
    ]
