# SPDX-License-Identifier: MIT
"""How does an ASGI application shed load, keep deadlines and tell its load? By a middleware.

References
----------
ASGI specification 3.0, "HTTP & WebSocket ASGI Message Format".
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from functools import partial
from math import inf
from typing import Any, Final

from resonance.deadlines import inbound
from resonance.hints import Hints
from resonance.policies._records import Importance
from resonance.server._admission import Ending
from resonance.server._aio import AsyncGate
from resonance.server._gate import GateReport
from resonance.server._http import INBOUND_HEADERS, NOTHING_TOLD, Told, refusal_reply, told
from resonance.server._line import Ticket
from resonance.server._load import LOAD_HEADER
from resonance.server._policy import AdmissionPolicy
from resonance.server._refusals import Refusal
from resonance.server._reporter import LoadReporter

__all__ = ["ASGIApp", "Message", "Middleware", "Receive", "Scope", "Send"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_INBOUND: Final = frozenset(name.encode() for name in INBOUND_HEADERS)
_LOAD: Final = LOAD_HEADER.encode()
_SERVER_ERRORS: Final = 500


class Middleware:
    """Guards an ASGI application: admission, deadlines, load reports; for one event loop.

    Requests of HTTP pass the door of the server: at most so many are in service at once, others
    wait a little, by importance, and what would be late anyway is refused with 503, or with 504
    when its deadline is over. What the caller tells about its deadline and its attempts is known
    to `resonance.deadlines.remaining` and `resonance.deadlines.inbound_attempts` inside.
    Websockets and lifespan events pass untouched.

    Queueing inside the event loop itself is not seen here: a handler that keeps the loop busy
    keeps this middleware from running.

    Parameters
    ----------
    app : callable
        The application.
    policy : AdmissionPolicy, optional
    importance : callable, optional
        Tells the importance of a request from its scope, where the header
        ``resonance-importance`` of a caller is not to be believed.
    load_reports : bool
        Tell the load with each reply, in the header ``endpoint-load-metrics``. It tells
        strangers too, so a server at the edge may not want it.
    cpus, hints
        As in `LoadReporter`.

    Attributes
    ----------
    gate : AsyncGate
        The door.
    reporter : LoadReporter

    Examples
    --------
    >>> async def hello(scope, receive, send):
    ...     await send({"type": "http.response.start", "status": 200, "headers": []})
    ...     await send({"type": "http.response.body", "body": b"hello"})
    >>> app = Middleware(hello, AdmissionPolicy(limit=16))
    """

    def __init__(
        self,
        app: ASGIApp,
        policy: AdmissionPolicy | None = None,
        *,
        importance: Callable[[Scope], Importance] | None = None,
        load_reports: bool = True,
        cpus: float | None = None,
        hints: Hints | None = None,
    ) -> None:
        self.gate = AsyncGate(policy)
        self.reporter = LoadReporter(self.gate.admission, cpus=cpus, hints=hints)
        self._app = app
        self._importance = importance
        self._tells_load = load_reports

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI has it.

        Parameters
        ----------
        scope, receive, send
            As in the specification.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        tells = _read(scope["headers"])
        importance = self._importance(scope) if self._importance else tells.importance
        deadline = inf if tells.timeout is None else time.monotonic() + tells.timeout
        reply = _Replying(send, self.reporter if self._tells_load else None, tells.wants_text)
        ticket = self.gate.enter(importance, deadline)
        ending: Ending = "dropped"
        try:
            if ticket.stage == "queued":
                receive = await self._wait(ticket, receive)
            if ticket.stage == "running":
                ending = await self._serve(scope, receive, reply, tells, deadline)
            elif ticket.refusal is not None:
                await self._refuse(ticket.refusal, reply)
        except Exception:
            ending = "failed"
            raise
        finally:
            self.gate.end(ticket, ending)

    def report(self) -> GateReport:
        """Return the state of the door and what it decided."""
        return self.gate.report()

    async def _serve(
        self, scope: Scope, receive: Receive, reply: _Replying, tells: Told, deadline: float
    ) -> Ending:
        if tells.timeout is None and not tells.attempts:
            await self._app(scope, receive, reply)
        else:
            timeout = None if deadline == inf else max(0.0, deadline - time.monotonic())
            with inbound(timeout, tells.attempts):
                await self._app(scope, receive, reply)
        if reply.status >= _SERVER_ERRORS or not reply.status:
            return "failed"
        return "done" if deadline == inf or time.monotonic() < deadline else "dropped"

    async def _wait(self, ticket: Ticket, receive: Receive) -> Receive:
        """Wait for the decision, and leave the queue when the caller goes meanwhile."""
        early = _Early(receive)
        watch = asyncio.create_task(early.watch(partial(self.gate.end, ticket)))
        try:
            await self.gate.wait(ticket)
        finally:
            watch.cancel()
        # It must be over before anybody else receives.
        await asyncio.wait((watch,))
        if not watch.cancelled():
            watch.result()
        return early

    async def _refuse(self, refusal: Refusal, send: Send) -> None:
        answer = refusal_reply(refusal, self.gate.retry_after_seconds())
        headers = [(name.encode(), value.encode()) for name, value in answer.headers]
        status = answer.status.value
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})


class _Replying:
    """Passes on what the application sends, with the load report in its headers.

    Parameters
    ----------
    send : callable
        The server's.
    reporter : LoadReporter or None
    wants_text : bool
        The caller wants the report as text.

    Attributes
    ----------
    status : int
        Of the reply; 0 before there is one.
    """

    __slots__ = ("_reporter", "_send", "_wants_text", "status")

    def __init__(self, send: Send, reporter: LoadReporter | None, wants_text: bool) -> None:
        self._send = send
        self._reporter = reporter
        self._wants_text = wants_text
        self.status = 0

    def __call__(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._reporter is not None:
                message = self._with_load(message, self._reporter)
        return self._send(message)

    def _with_load(self, message: Message, reporter: LoadReporter) -> Message:
        headers = list(message.get("headers", ()))
        if all(name != _LOAD for name, _ in headers):
            headers.append((_LOAD, reporter.header(is_text=self._wants_text)))
        return {**message, "headers": headers}


class _Early:
    """What the caller sent while its request waited: kept for the application."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._kept: deque[Message] = deque()

    async def __call__(self) -> Message:
        return self._kept.popleft() if self._kept else await self._receive()

    async def watch(self, gone: Callable[[], object]) -> None:
        """Call back when the caller has gone.

        Of a body in parts only the first is taken in, since nobody asked for the rest yet; then
        it is not seen when the caller goes.

        Parameters
        ----------
        gone : callable
        """
        while True:
            message = await self._receive()
            self._kept.append(message)
            if message["type"] == "http.disconnect":
                gone()
                return
            if message.get("more_body", False):
                return


def _read(headers: Iterable[tuple[bytes, bytes]]) -> Told:
    ours = [pair for pair in headers if pair[0] in _INBOUND]
    if not ours:
        return NOTHING_TOLD
    return told({name.decode(): value.decode("latin-1") for name, value in ours})
