# SPDX-License-Identifier: MIT
"""How is a call written on a connection, and its end read from it? Without a socket, and no clock.

::

    http1     HTTP/1.1, parsed by httptools
    http2     HTTP/2, on hpack
    grpc      unary calls, on http2
    frames    bytes of fixed length

A wire is of one connection. What it needs of the load is worked out once, by `wire_factory`; the
libraries are imported then and no earlier. A module of a wire has one door for that::

    def wires(load: Load) -> Callable[[], Wire]: ...
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final, Protocol, cast

from resonance.bench.digest import Outcome
from resonance.bench.plan import Load, Scheme

__all__ = ["Wire", "WireError", "wire_factory"]

_MODULES: Final[dict[Scheme, str]] = {
    "http": "http1",
    "https": "http1",
    "h2": "http2",
    "h2c": "http2",
    "grpc": "grpc",
    "grpcs": "grpc",
    "frames": "frames",
}


class WireError(Exception):
    """What came is not of the protocol, or the peer says that we broke it.

    Parameters
    ----------
    reason : str
        What came, and what was expected.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class Wire(Protocol):
    """What one connection speaks.

    Attributes
    ----------
    capacity : int
        Calls that may be under way at once; it may change while the connection lives.
    is_reusable : bool
        Whether another call may begin, now or later; ``False`` for good once the peer said that
        it will close.
    """

    capacity: int
    is_reusable: bool

    def begin(self) -> bytes:
        """Return what is sent first, before any call.

        Returns
        -------
        bytes
        """
        ...

    def send(self, number: int, request: int) -> bytes:
        """Begin a call, and return what is sent for it.

        Parameters
        ----------
        number : int
            Of the call, in the whole run.
        request : int
            Its kind: the place in `Load.requests`.

        Returns
        -------
        bytes
        """
        ...

    def receive(self, data: bytes) -> Sequence[tuple[int, Outcome]]:
        """Take in what came, and return the calls that ended with it.

        ``NONE`` is a call that the peer says it has not begun with; it may be sent again.

        Parameters
        ----------
        data : bytes

        Returns
        -------
        sequence of (int, Outcome)

        Raises
        ------
        WireError
            It is not of the protocol; the connection is of no further use.
        """
        ...

    def reply(self) -> bytes:
        """Return what the protocol itself must answer to what was received; mostly nothing.

        Returns
        -------
        bytes
        """
        ...

    def end(self) -> Sequence[tuple[int, Outcome]]:
        """Return the calls under way, now that the connection is over; the last that is asked.

        ``RESET`` is a call of whose answer nothing came, ``CUT`` one with a part of it; one whose
        answer ends with the connection is ``OK``.

        Returns
        -------
        sequence of (int, Outcome)
        """
        ...


def wire_factory(load: Load) -> Callable[[], Wire]:
    """Return what makes the wire of a new connection.

    Parameters
    ----------
    load : Load

    Returns
    -------
    callable
        Without arguments; each wire it returns is of one connection.

    Raises
    ------
    MissingExtraError
        The library that speaks the protocol is not installed.
    PlanError
        A request that the protocol cannot carry.
    """
    module = import_module(f"{__name__}.{_MODULES[load.target.scheme]}")
    return cast("Callable[[], Wire]", module.wires(load))
