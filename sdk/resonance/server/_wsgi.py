# SPDX-License-Identifier: MIT
"""The same for WSGI: threads that wait at the door of an application.

References
----------
PEP 3333, "Python Web Server Gateway Interface".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from contextvars import copy_context
from functools import partial
from math import inf
from types import TracebackType
from typing import Any, Final, Protocol

from resonance.deadlines import inbound
from resonance.hints import Hints
from resonance.policies._records import Importance
from resonance.server._admission import Ending
from resonance.server._gate import GateReport
from resonance.server._http import INBOUND_HEADERS, NOTHING_TOLD, Told, refusal_reply, told
from resonance.server._line import Ticket
from resonance.server._load import LOAD_HEADER
from resonance.server._policy import AdmissionPolicy
from resonance.server._refusals import Refusal
from resonance.server._reporter import LoadReporter
from resonance.server._threads import ThreadGate

__all__ = ["Environ", "StartResponse", "WSGIApp", "WSGIMiddleware"]

Environ = dict[str, Any]
_ErrorInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


class StartResponse(Protocol):
    """What a server lets an application begin its reply with."""

    def __call__(
        self,
        status: str,
        headers: list[tuple[str, str]],
        exc_info: _ErrorInfo | None = None,
        /,
    ) -> Callable[[bytes], object]:
        """Begin the reply."""
        ...


WSGIApp = Callable[[Environ, StartResponse], Iterable[bytes]]

_INBOUND: Final = {f"HTTP_{name.upper().replace('-', '_')}": name for name in INBOUND_HEADERS}


class WSGIMiddleware:
    """Guards a WSGI application: admission, deadlines, load reports.

    As `Middleware`, for threads: one that waits at the door is a thread of the server that
    waits, so the server must have more of them than requests are let in.

    Parameters
    ----------
    app : callable
        The application.
    policy : AdmissionPolicy, optional
    importance : callable, optional
        Tells the importance of a request from its environment, where the header
        ``resonance-importance`` of a caller is not to be believed.
    load_reports, cpus, hints
        As in `Middleware`.

    Attributes
    ----------
    gate : ThreadGate
        The door.
    reporter : LoadReporter
    """

    def __init__(
        self,
        app: WSGIApp,
        policy: AdmissionPolicy | None = None,
        *,
        importance: Callable[[Environ], Importance] | None = None,
        load_reports: bool = True,
        cpus: float | None = None,
        hints: Hints | None = None,
    ) -> None:
        self.gate = ThreadGate(policy)
        self.reporter = LoadReporter(self.gate.admission, cpus=cpus, hints=hints)
        self._app = app
        self._importance = importance
        self._tells_load = load_reports

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Handle one request, as WSGI has it.

        Parameters
        ----------
        environ, start_response
            As in PEP 3333.

        Returns
        -------
        iterable of bytes
            The request is in service until it is closed.
        """
        tells = _read(environ)
        importance = self._importance(environ) if self._importance else tells.importance
        deadline = inf if tells.timeout is None else time.monotonic() + tells.timeout
        ticket = self.gate.enter(importance, deadline)
        start = self._starting(start_response, wants_text=tells.wants_text)
        if ticket.refusal is not None:
            return self._refuse(ticket.refusal, start)
        timeout = None if deadline == inf else max(0.0, deadline - time.monotonic())
        service = _Service(self.gate, ticket, deadline)
        service.begin(partial(self._app, environ, start), inbound(timeout, tells.attempts))
        return service

    def report(self) -> GateReport:
        """Return the state of the door and what it decided."""
        return self.gate.report()

    def _refuse(self, refusal: Refusal, start: StartResponse) -> list[bytes]:
        answer = refusal_reply(refusal, self.gate.retry_after_seconds())
        start(f"{answer.status.value} {answer.status.phrase}", answer.headers)
        return [answer.body]

    def _starting(self, start: StartResponse, *, wants_text: bool) -> StartResponse:
        """Return one that adds the load report."""
        if not self._tells_load:
            return start

        def starting(
            status: str,
            headers: list[tuple[str, str]],
            exc_info: _ErrorInfo | None = None,
            /,
        ) -> Callable[[bytes], object]:
            if all(name.lower() != LOAD_HEADER for name, _ in headers):
                load = self.reporter.header(is_text=wants_text).decode()
                headers = [*headers, (LOAD_HEADER, load)]
            return start(status, headers, exc_info) if exc_info else start(status, headers)

        return starting


class _Service:
    """A reply that is being made; its request leaves when the server closes it.

    Parameters
    ----------
    gate : ThreadGate
    ticket : Ticket
    deadline : float
        On the clock of `time.monotonic`.
    """

    def __init__(self, gate: ThreadGate, ticket: Ticket, deadline: float) -> None:
        self._gate = gate
        self._ticket = ticket
        self._deadline = deadline
        self._has_failed = False
        self._stack = ExitStack()
        self._body: Iterable[bytes] = ()
        # Servers may call an application, go through its reply and close it in any context.
        self._context = copy_context()

    def begin(
        self, call: Callable[[], Iterable[bytes]], told: AbstractContextManager[None]
    ) -> None:
        """Call the application under what its caller told.

        Parameters
        ----------
        call : callable
        told : context manager
        """
        self._stack.callback(self._leave)
        try:
            self._context.run(self._stack.enter_context, told)
            self._body = self._context.run(call)
            close = getattr(self._body, "close", None)
            if close is not None:
                self._stack.callback(close)
        except BaseException:
            self._has_failed = True
            self.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        parts = self._context.run(iter, self._body)
        try:
            while (part := self._context.run(next, parts, None)) is not None:
                yield part
        except Exception:
            self._has_failed = True
            raise

    def close(self) -> None:
        """End the reply, as PEP 3333 has every server do."""
        self._context.run(self._stack.close)

    def _leave(self) -> None:
        self._gate.end(self._ticket, self._ending())

    def _ending(self) -> Ending:
        if self._has_failed:
            return "failed"
        is_late = self._deadline < inf and time.monotonic() >= self._deadline
        return "dropped" if is_late else "done"


def _read(environ: Environ) -> Told:
    ours = {name: environ[key] for key, name in _INBOUND.items() if key in environ}
    return told(ours) if ours else NOTHING_TOLD
