# SPDX-License-Identifier: MIT
"""How does a call go over HTTP/2, by prior knowledge or with TLS?

::

    connection    streams: what is sent for a call, and what ends it
    outbox        what is to be sent, as far as the peer's windows let it through
    headers       header blocks, by hpack, remembered
    requests      what a request of a load looks like
    frames        how frames are written

RFC 9113 as far as a client needs it that sends the same few requests again and again; no push, no
priorities. Frames and streams are kept here and not by h2, the library above hpack, for two
reasons. It takes 70 to 120 us of CPU for a call, with or without its checks, and this takes 6 to
13 (45 if each answer has fields of its own, as identities): a generator that is late by what its
own protocol costs measures itself. And h2 takes GOAWAY for the end of a connection
(python-hyper/h2#1181), while answers to what was sent before it still come. Tests have h2 as the
server.

Measured with the whole loop beside nginx, on two cores that others used too: 4,000 calls per
second took 0.37 of a core, 92 us for a call where HTTP/1.1 took 53, and were sent 100 to 150 us
late at p99. At 6,000 it was nginx that could no more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from resonance.bench.digest import Outcome
from resonance.bench.load.wires import Wire
from resonance.bench.load.wires.http2.requests import Prepared, prepared_requests
from resonance.bench.plan import Load
from resonance.errors import MissingExtraError

__all__ = ["Judge", "http2_wires", "wires"]

Judge = Callable[[Mapping[bytes, bytes]], Outcome | None]
"""What the fields of an answer, or its trailers, say of the call; ``None`` where nothing."""


def wires(load: Load) -> Callable[[], Wire]:
    """Return what makes the wire of a connection that speaks HTTP/2.

    Parameters
    ----------
    load : Load

    Returns
    -------
    callable

    Raises
    ------
    MissingExtraError
        hpack is not installed.
    PlanError
        A request that HTTP/2 cannot carry.
    """
    return http2_wires("HTTP/2", prepared_requests(load), _judge)


def http2_wires(
    what: str, requests: Sequence[Prepared], judge: Judge, *, least_bytes: int = 0
) -> Callable[[], Wire]:
    """Return what makes the wire of a connection.

    Parameters
    ----------
    what : str
        Which protocol, in words.
    requests : sequence of Prepared
    judge : Judge
    least_bytes : int
        Of the body of an answer that is ``OK``.

    Returns
    -------
    callable

    Raises
    ------
    MissingExtraError
        hpack is not installed.
    """
    try:
        from resonance.bench.load.wires.http2.connection import Block, Http2Wire
        from resonance.bench.load.wires.http2.headers import Reader, Writer
    except ModuleNotFoundError:
        raise MissingExtraError(what, "hpack", "bench") from None

    def meaning(fields: Mapping[bytes, bytes]) -> Block:
        return Block(
            _number(fields.get(b":status"), 0),
            _number(fields.get(b"content-length"), -1),
            judge(fields),
        )

    kinds = [request.fields for request in requests]

    def wire() -> Http2Wire:
        return Http2Wire(requests, Writer(kinds), Reader(meaning), least_bytes=least_bytes)

    return wire


def _judge(fields: Mapping[bytes, bytes]) -> Outcome | None:
    status = _number(fields.get(b":status"), 0)
    if not status:
        return None
    return Outcome.OK if status < 400 else Outcome.STATUS


def _number(text: bytes | None, otherwise: int) -> int:
    return int(text) if text is not None and text.isdigit() else otherwise
