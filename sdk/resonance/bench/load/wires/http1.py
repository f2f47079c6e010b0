# SPDX-License-Identifier: MIT
"""How is a call written in HTTP/1.1, and where does its answer end?

One call at a time on a connection: what waits behind another call measures that other call.
Requests are bytes that were made before the start; answers are parsed by httptools, in C.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from resonance.bench.digest import Outcome
from resonance.bench.errors import PlanError
from resonance.bench.load.wires import Wire, WireError
from resonance.bench.plan import Load, Request, Target
from resonance.errors import MissingExtraError

if TYPE_CHECKING:
    from httptools import HttpResponseParser

__all__ = ["wires"]

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_PATH: Final = re.compile(r"(/|https?://)[!-~]*|\*")
"""RFC 9110, sections 5.5 and 5.6.2; RFC 9112, section 3.2."""
_WITH_BODY: Final = {"POST", "PUT", "PATCH"}
_OURS: Final = {"content-length", "transfer-encoding"}
_PORTS: Final = {"http": 80, "https": 443}
_END_OF_HEAD: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(
    rb"^(content-length|transfer-encoding)[ \t]*:", re.IGNORECASE | re.MULTILINE
)
_INTERIM: Final = re.compile(rb"HTTP/1\.[01] 1\d\d")
_SUCCESS: Final = 400
_FINAL: Final = 200
_SWITCHING: Final = 101
_OK: Final = Outcome.OK
_NONE: Final = -1
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
    MissingExtraError
        httptools is not installed.
    PlanError
        A method, path or header that HTTP/1.1 does not allow.
    """
    try:
        from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
    except ImportError:
        raise MissingExtraError("resonance bench on HTTP/1.1", "httptools", "bench") from None
    messages = [_message(request, load.target) for request in load.requests]
    are_bodiless = [request.method == "HEAD" for request in load.requests]
    return partial(
        _Http1, messages, are_bodiless, HttpResponseParser, (HttpParserError, HttpParserUpgrade)
    )


class _Http1:
    """One connection."""

    def __init__(
        self,
        messages: Sequence[bytes],
        are_bodiless: Sequence[bool],
        parser: type[HttpResponseParser],
        errors: tuple[type[Exception], ...],
    ) -> None:
        self.capacity = 1
        self.is_reusable = True
        self._messages = messages
        self._are_bodiless = are_bodiless
        self._make, self._errors = parser, errors
        self._parser = parser(self)
        self._number = _NONE
        self._is_bodiless = False
        self._head = b""  # of an answer that did not come all at once
        self._ended: _Ended = ()

    def begin(self) -> bytes:
        return b""

    def send(self, number: int, request: int) -> bytes:
        self._number = number
        self._is_bodiless = self._are_bodiless[request]
        return self._messages[request]

    def receive(self, data: bytes) -> _Ended:
        try:
            self._parser.feed_data(data)
        except self._errors as error:
            self.is_reusable = False
            if not self._ended:
                raise WireError(f"no HTTP/1.1: {error}") from None
        ended = self._ended
        if ended:
            self._ended = ()
            self._head = b""
        elif _END_OF_HEAD not in self._head:
            self._take_head(data)
            ended, self._ended = self._ended, ()
        return ended

    def _take_head(self, data: bytes) -> None:
        """Note the head of an answer that is not whole, and end what has no more than a head."""
        self._head += data
        while _END_OF_HEAD in self._head and _INTERIM.match(self._head):
            _, _, self._head = self._head.partition(_END_OF_HEAD)
        if self._number == _NONE:
            self.is_reusable = False  # a word before it closes, 408 mostly
        elif (
            self._is_bodiless
            and _END_OF_HEAD in self._head
            and self._parser.get_status_code() >= _FINAL
        ):
            self._finish()
            self._parser = self._make(self)  # the old one waits for a body
            self._head = b""

    def on_message_complete(self) -> None:
        """Take the end of an answer; the parser calls this."""
        status = self._parser.get_status_code()
        if self._number != _NONE and status >= _FINAL:
            self._finish()
        elif self._number == _NONE or status == _SWITCHING:
            self.is_reusable = False

    def _finish(self) -> None:
        is_ok = self._parser.get_status_code() < _SUCCESS
        if not self._parser.should_keep_alive():
            self.is_reusable = False
        self._ended = ((self._number, _OK if is_ok else Outcome.STATUS),)
        self._number = _NONE

    def reply(self) -> bytes:
        return b""

    def end(self) -> _Ended:
        parser = self._parser
        del self._parser  # it holds this object, and nobody collects such circles
        if self._number == _NONE:
            return ()
        head, rest, _ = self._head.partition(_END_OF_HEAD)
        if not head:
            outcome = Outcome.RESET
        elif not rest or _LENGTH.search(head):
            outcome = Outcome.CUT
        else:  # as long as the connection
            outcome = _OK if parser.get_status_code() < _SUCCESS else Outcome.STATUS
        number, self._number = self._number, _NONE
        return ((number, outcome),)


def _message(request: Request, target: Target) -> bytes:
    where = f"request {request.name}"
    path = request.path or target.path
    if not _TOKEN.fullmatch(request.method):
        raise PlanError(where, f"{request.method!r} is no method of HTTP")
    if not _PATH.fullmatch(path):
        raise PlanError(where, f"the path {path!r} must begin with / and be percent-encoded")
    headers = {"host": _host(target), "user-agent": "resonance-bench", "accept": "*/*"}
    own: list[tuple[str, str]] = []
    for name, value in request.headers:
        if not (_TOKEN.fullmatch(name) and _VALUE.fullmatch(value)):
            raise PlanError(where, f"the header {name!r}: {value!r} is not one of HTTP")
        if name.lower() in _OURS:
            raise PlanError(where, f"the header {name} follows from the body; leave it out")
        headers.pop(name.lower(), None)
        own.append((name, value))
    if request.body or request.method in _WITH_BODY:
        own.append(("Content-Length", str(len(request.body))))
    lines = [f"{name.title()}: {value}" for name, value in headers.items()]
    lines += [f"{name}: {value}" for name, value in own]
    head = "\r\n".join([f"{request.method} {path} HTTP/1.1", *lines, "", ""])
    return head.encode("latin-1") + request.body


def _host(target: Target) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    if target.unix_socket or target.port == _PORTS[target.scheme]:
        return host
    return f"{host}:{target.port}"
