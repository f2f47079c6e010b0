# SPDX-License-Identifier: MIT
"""Where is the daemon asked how it does: ``/metrics``, ``/healthz`` and ``/readyz`` over HTTP.

Serving happens in threads, never on the pipeline's loop; the two share one reference to an
immutable snapshot. The default registry is served, because each impure file declares its own
counters there, but without the library's own process, platform and garbage collectors: they
know one process where we are two, and their names are not ours.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterable
from functools import partial
from http import HTTPStatus
from socket import AF_INET, AF_INET6, SHUT_RDWR
from socketserver import TCPServer, ThreadingMixIn
from threading import Thread
from typing import Any, ClassVar, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import prometheus_client
from prometheus_client import REGISTRY

from resonance_bpf.report import LoadReport
from resonanced.errors import StalledError, StartError
from resonanced.model import Snapshot
from resonanced.telemetry.histograms import histogram_text
from resonanced.telemetry.metrics import TICK_DURATION, SnapshotCollector
from resonanced.telemetry.settings import TelemetrySettings

__all__ = ["STALL_SECONDS", "Telemetry"]

STALL_SECONDS: Final = 5.0
"""Age of the last tick from which the daemon is not healthy; *chosen*: fifty ticks of 0.1 s."""
STALL_TICKS: Final = 3
"""The same where ticks are far between."""
_MOST_REQUESTS: Final = 32
_REQUEST_SECONDS: Final = 5.0
_LONGEST_SECONDS: Final = 1.0
"""What one request may take while others wait for its thread."""
_PAUSE_SECONDS: Final = 0.02
_TEXT_FORMAT: Final = "text/plain; version=0.0.4; charset=utf-8"
_PLAIN: Final = "text/plain; charset=utf-8"


class Telemetry:
    """Serve the latest snapshot to monitoring.

    Parameters
    ----------
    settings : TelemetrySettings
        Where to listen.
    report : LoadReport
        What the loader attached; shown as it is while the daemon lives.
    interval_seconds : float
        Between two ticks, by which health is judged.
    actuator_pid : int
        The process that tunes; 0 where nothing does.
    """

    def __init__(
        self,
        settings: TelemetrySettings,
        report: LoadReport,
        interval_seconds: float,
        actuator_pid: int = 0,
    ) -> None:
        self._settings = settings
        self._stall_seconds = max(STALL_SECONDS, STALL_TICKS * interval_seconds)
        process_ids = {"daemon": os.getpid(), "keeper": os.getppid()}
        if report.loader_pid:
            process_ids["loader"] = report.loader_pid
        if actuator_pid:
            process_ids["actuator"] = actuator_pid
        self._collector = SnapshotCollector(report, process_ids)
        self._alive_ns = time.monotonic_ns()
        self._server: _Server | None = None
        self._thread: Thread | None = None

    @property
    def url(self) -> str:
        """Where metrics are, for people."""
        address = self._settings.address
        port = self._server.server_port if self._server else self._settings.port
        return f"http://{f'[{address}]' if ':' in address else address}:{port}/metrics"

    def start(self) -> None:
        """Bind and serve.

        Raises
        ------
        StartError
            When the address is taken or not ours.
        """
        where = self._settings.address, self._settings.port
        try:
            self._server = _Server(where, self._answer)
        except OSError as error:
            raise StartError(
                f"{where[0]}:{where[1]}",
                error.strerror or str(error),
                "choose another address or port in [telemetry], or stop what listens there",
            ) from error
        _forget_library_collectors()
        REGISTRY.register(self._collector)
        self._alive_ns = time.monotonic_ns()
        serve = partial(self._server.serve_forever, poll_interval=0.2)
        self._thread = Thread(target=serve, name="telemetry", daemon=True)
        self._thread.start()

    def publish(self, snapshot: Snapshot) -> None:
        """Show this snapshot from now on."""
        self._collector.snapshot = snapshot
        self._alive_ns = snapshot.monotonic_ns

    def tick_finished(self, duration_seconds: float) -> None:
        """Count one pass of the pipeline."""
        TICK_DURATION.observe(duration_seconds)

    def stop(self) -> None:
        """Stop serving and free the port; harmless when not started."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        REGISTRY.unregister(self._collector)
        self._server = self._thread = None

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        status, content_type, text = self._route(environ["REQUEST_METHOD"], environ["PATH_INFO"])
        body = text.encode()
        headers = [("Content-Type", content_type), ("Content-Length", str(len(body)))]
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            headers.append(("Allow", "GET"))
        start_response(f"{status.value} {status.phrase}", headers)
        return [body]

    def _route(self, method: str, path: str) -> tuple[HTTPStatus, str, str]:
        if method != "GET":
            return HTTPStatus.METHOD_NOT_ALLOWED, _PLAIN, "only GET is answered here\n"
        match path:
            case "/metrics":
                return HTTPStatus.OK, _TEXT_FORMAT, self._metrics()
            case "/healthz":
                return self._health()
            case "/readyz" if self._collector.snapshot is None:
                return HTTPStatus.SERVICE_UNAVAILABLE, _PLAIN, "no snapshot yet\n"
            case "/readyz":
                return HTTPStatus.OK, _PLAIN, "ready\n"
            case _:
                return HTTPStatus.NOT_FOUND, _PLAIN, "here are /metrics, /healthz and /readyz\n"

    def _metrics(self) -> str:
        snapshot = self._collector.snapshot
        histograms = histogram_text(snapshot) if snapshot else ""
        return prometheus_client.generate_latest(REGISTRY).decode() + histograms

    def _health(self) -> tuple[HTTPStatus, str, str]:
        age_seconds = (time.monotonic_ns() - self._alive_ns) / 1e9
        if age_seconds < self._stall_seconds:
            return HTTPStatus.OK, _PLAIN, "ok\n"
        return HTTPStatus.SERVICE_UNAVAILABLE, _PLAIN, f"{StalledError('signals', age_seconds)}\n"


def _forget_library_collectors() -> None:
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    for collector in (
        prometheus_client.PROCESS_COLLECTOR,
        prometheus_client.PLATFORM_COLLECTOR,
        prometheus_client.GC_COLLECTOR,
    ):
        with contextlib.suppress(KeyError):
            REGISTRY.unregister(collector)


class _Handler(WSGIRequestHandler):
    timeout: ClassVar[float | None] = 5.0

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Keep no access log: a scrape is not an event."""


class _Server(ThreadingMixIn, WSGIServer):
    """One thread per request, and no more than `_MOST_REQUESTS`: who is slow makes room.

    Anybody on the host may connect, and a scrape takes milliseconds.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, where: tuple[str, int], application: WSGIApplication) -> None:
        self.address_family = AF_INET6 if ":" in where[0] else AF_INET
        self._begun: dict[Any, float] = {}
        super().__init__(where, _Handler)
        self.set_app(application)

    def get_request(self) -> tuple[Any, Any]:
        """Accept; where descriptors have run out, do not ask again and again at full speed."""
        try:
            return super().get_request()
        except OSError:
            time.sleep(_PAUSE_SECONDS)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, once there is one to spare."""
        while len(self._begun) >= _MOST_REQUESTS:
            self._hang_up(_LONGEST_SECONDS)
            time.sleep(_PAUSE_SECONDS)
        self._begun[request] = time.monotonic()
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Hang up on those who take too long, however steadily they drip."""
        self._hang_up(_REQUEST_SECONDS)

    def _hang_up(self, seconds: float) -> None:
        """Let threads that have been busy so long find that their client has gone."""
        begun_before = time.monotonic() - seconds
        for request, begun in tuple(self._begun.items()):
            if begun < begun_before:
                with contextlib.suppress(OSError):
                    request.shutdown(SHUT_RDWR)

    def shutdown_request(self, request: Any) -> None:
        """Forget a request that is over."""
        self._begun.pop(request, None)
        super().shutdown_request(request)

    def server_bind(self) -> None:
        """Bind without the reverse look-up of the name, which can hang where DNS is broken."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "resonanced", self.socket.getsockname()[1]
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let a client that vanishes or dawdles go without a word."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)
