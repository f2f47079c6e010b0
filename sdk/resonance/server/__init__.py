# SPDX-License-Identifier: MIT
"""What a server can do for its own tail: admit, refuse in time, and say how loaded it is.

::

    app = resonance.server.Middleware(app)  # ASGI; WSGIMiddleware for WSGI

The layers, top first::

    _asgi, _wsgi            middleware for what HTTP servers run
    _http                   what callers tell in headers, and how they are refused
    _reporter, _load        how loaded this server is, and how that is written (ORCA)
    _aio, _threads, _gate   the door for tasks and for threads: the clock and the waiting
    _cpu_wait               how long the server itself waited for a CPU
    _admission              which request is begun, waits or is refused: decisions only
    _queue, _line           in which order and for how long requests wait
"""

from __future__ import annotations

from resonance.server._aio import AsyncGate
from resonance.server._asgi import Middleware
from resonance.server._counts import Counts
from resonance.server._gate import GateReport
from resonance.server._http import IMPORTANCE_HEADER, REASON_HEADER
from resonance.server._line import Ticket
from resonance.server._load import LOAD_HEADER, LoadReport, parse_load
from resonance.server._policy import AdmissionPolicy
from resonance.server._refusals import SENTENCES, Refusal
from resonance.server._reporter import LoadReporter
from resonance.server._threads import ThreadGate
from resonance.server._wsgi import WSGIMiddleware

__all__ = [
    "IMPORTANCE_HEADER",
    "LOAD_HEADER",
    "REASON_HEADER",
    "SENTENCES",
    "AdmissionPolicy",
    "AsyncGate",
    "Counts",
    "GateReport",
    "LoadReport",
    "LoadReporter",
    "Middleware",
    "Refusal",
    "ThreadGate",
    "Ticket",
    "WSGIMiddleware",
    "parse_load",
]
