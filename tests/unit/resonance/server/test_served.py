# SPDX-License-Identifier: MIT
"""The ASGI middleware in uvicorn on loopback, asked by httpx: what callers really see.

Where time decides, it is a clock that a test moves, and requests end when a test says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import uvicorn

from resonance.server import AdmissionPolicy, LoadReport, Middleware, parse_load
from resonance.server._asgi import ASGIApp, Receive, Scope, Send
from resonance.server._cpu_wait import ThreadWait

PATIENCE_SECONDS = 15.0


def _until(is_so: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < give_up_at
        time.sleep(0.001)


class Held:
    """An application whose requests end one by one, as a test lets them."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turns: asyncio.Semaphore | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._turns is None:
            self._loop, self._turns = asyncio.get_running_loop(), asyncio.Semaphore(0)
        self.order.append(scope["path"].strip("/"))
        await self._turns.acquire()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    def let_go(self, count: int = 1) -> None:
        assert self._loop is not None
        assert self._turns is not None
        for _ in range(count):
            self._loop.call_soon_threadsafe(self._turns.release)


class Site:
    """A guarded application that is served, and those who call it."""

    def __init__(self, middleware: Middleware, port: int, pool: ThreadPoolExecutor) -> None:
        self.middleware = middleware
        self.port = port
        self.now = 1_000.0
        self._pool = pool

    def hold_the_clocks(self) -> None:
        self.middleware.gate._clock = lambda: self.now
        self.middleware.gate._cpu_wait = ThreadWait(Path("/nowhere"))

    def get(self, path: str, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"http://127.0.0.1:{self.port}/{path}"
        return httpx.get(url, headers=named, timeout=PATIENCE_SECONDS, trust_env=False)

    def ask(self, path: str, **headers: str) -> Future[httpx.Response]:
        """Ask in a thread; return when the request runs, waits or is over."""
        counts = self.middleware.gate.admission.counts
        before = counts.entered
        future = self._pool.submit(self.get, path, **headers)
        _until(lambda: counts.entered > before)
        return future


@contextlib.contextmanager
def served(app: ASGIApp, **policy: object) -> Iterator[Site]:
    middleware = Middleware(app, AdmissionPolicy(**{"limit": 1, "interval": 30.0, **policy}))  # type: ignore[arg-type]
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(middleware, lifespan="on", log_level="critical", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    _until(lambda: server.started or not thread.is_alive())
    try:
        with ThreadPoolExecutor(32) as pool:
            yield Site(middleware, listener.getsockname()[1], pool)
    finally:
        server.should_exit = True
        thread.join(PATIENCE_SECONDS)
        listener.close()


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def held() -> tuple[Held, ASGIApp]:
    app = Held()

    async def with_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
        await (answer if scope["type"] == "lifespan" else app)(scope, receive, send)

    return app, with_lifespan


def test_a_reply_tells_the_load() -> None:
    with served(answer) as site:
        reply = site.get("")
    assert (reply.status_code, reply.text) == (200, "hello")
    load = parse_load(reply.headers["endpoint-load-metrics"])
    assert isinstance(load, LoadReport)
    assert load.application_utilization == 1.0


def test_an_overloaded_server_serves_what_it_can_and_sheds_the_rest() -> None:
    app, guarded = held()
    with served(guarded, limit=2, queue=3) as site:
        asked = [site.ask(str(number)) for number in range(10)]
        app.let_go(5)
        replies = [each.result() for each in asked]
        report = site.middleware.report()
    shed = [reply for reply in replies if reply.status_code == 503]
    assert [reply.status_code for reply in replies].count(200) == 5
    assert len(shed) == 5
    assert all(reply.headers["resonance-reason"] == "queue_full" for reply in shed)
    assert all(int(reply.headers["retry-after"]) >= 1 for reply in shed)
    assert all(parse_load(reply.headers["endpoint-load-metrics"]) for reply in shed)
    assert (report.entered, report.done, report.inflight, report.queued) == (10, 5, 0, 0)


def test_a_short_queue_is_served_in_order_and_by_importance() -> None:
    app, guarded = held()
    with served(guarded) as site:
        asked = [site.ask("first"), site.ask("older"), site.ask("newer")]
        asked += [site.ask(each, resonance_importance=each) for each in ("low", "high", "critical")]
        app.let_go(6)
        assert {each.result().status_code for each in asked} == {200}
    assert app.order == ["first", "critical", "high", "older", "newer", "low"]


def test_in_a_standing_queue_the_newest_is_served_and_the_oldest_shed() -> None:
    app, guarded = held()
    with served(guarded, interval=0.1, target=0.005) as site:
        site.hold_the_clocks()
        first, oldest = site.ask("first"), site.ask("oldest")
        site.now += 0.0990
        older = site.ask("older")
        site.now += 0.0015
        newer = site.ask("newer")
        site.now += 0.0005
        newest = site.ask("newest")
        app.let_go(4)
        assert [each.result().status_code for each in (first, older, newer, newest)] == [200] * 4
        shed = oldest.result()
    assert (shed.status_code, shed.headers["resonance-reason"]) == (503, "queued_too_long")
    assert app.order == ["first", "newest", "newer", "older"]


def test_in_a_standing_queue_nobody_but_the_next_waits_longer_than_the_target() -> None:
    app, guarded = held()
    with served(guarded, interval=0.1, target=0.005) as site:
        site.hold_the_clocks()
        first, oldest = site.ask("first"), site.ask("oldest")
        site.now += 0.095
        older, next_up = site.ask("older"), site.ask("next")
        site.now += 0.006
        assert {oldest.result().status_code, older.result().status_code} == {503}
        assert site.middleware.report().queued == 1
        app.let_go(2)
        assert (first.result().status_code, next_up.result().status_code) == (200, 200)


def test_in_a_full_queue_the_least_important_gives_way() -> None:
    app, guarded = held()
    with served(guarded, queue=1) as site:
        first, low = site.ask("first"), site.ask("low", resonance_importance="low")
        critical = site.ask("critical", resonance_importance="critical")
        assert low.result().headers["resonance-reason"] == "displaced"
        app.let_go(2)
        assert (first.result().status_code, critical.result().status_code) == (200, 200)


def test_a_deadline_that_passes_in_the_queue_gets_504_and_is_not_begun() -> None:
    app, guarded = held()
    with served(guarded) as site:
        first, late = site.ask("first"), site.ask("late", resonance_timeout="0.001")
        time.sleep(0.002)
        app.let_go()
        assert first.result().status_code == 200
        reply = late.result()
    assert (reply.status_code, reply.headers["resonance-reason"]) == (504, "deadline_over")
    assert app.order == ["first"]


def test_a_caller_that_hangs_up_while_it_waits_leaves_the_queue() -> None:
    app, guarded = held()
    with served(guarded) as site:
        first = site.ask("first")
        admission = site.middleware.gate.admission
        with socket.create_connection(("127.0.0.1", site.port)) as connection:
            connection.sendall(b"GET /gone HTTP/1.1\r\nhost: localhost\r\n\r\n")
            _until(lambda: admission.queued == 1)
        _until(lambda: admission.queued == 0)
        app.let_go()
        assert first.result().status_code == 200
        assert site.middleware.report().withdrawn == 1
    assert app.order == ["first"]


def test_a_caller_that_hangs_up_in_service_leaks_no_place() -> None:
    app, guarded = held()
    with served(guarded) as site:
        admission = site.middleware.gate.admission
        with socket.create_connection(("127.0.0.1", site.port)) as connection:
            connection.sendall(b"GET /gone HTTP/1.1\r\nhost: localhost\r\n\r\n")
            _until(lambda: admission.inflight == 1)
        app.let_go()
        _until(lambda: admission.inflight == 0)
        after = site.ask("after")
        app.let_go()
        assert after.result().status_code == 200


def test_a_body_sent_while_waiting_reaches_the_application() -> None:
    app = Held()

    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] == "/first":
            await (answer if scope["type"] == "lifespan" else app)(scope, receive, send)
            return
        body, is_more = b"", True
        while is_more:
            message = await receive()
            body, is_more = body + message.get("body", b""), message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    content = bytes(range(256)) * 4_096
    with served(echo) as site, ThreadPoolExecutor(1) as pool:
        first = site.ask("first")
        url = f"http://127.0.0.1:{site.port}/echo"
        echoed = pool.submit(
            httpx.post, url, content=content, timeout=PATIENCE_SECONDS, trust_env=False
        )
        _until(lambda: site.middleware.gate.admission.queued == 1)
        app.let_go()
        assert echoed.result().content == content
        assert first.result().status_code == 200


def test_an_application_that_raises_gets_its_500_from_the_server() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await answer(scope, receive, send)
        raise ZeroDivisionError

    with served(broken) as site:
        assert [site.get("").status_code for _ in range(3)] == [500] * 3
        assert (site.middleware.report().failed, site.middleware.report().inflight) == (3, 0)


@pytest.mark.parametrize("importance", ["low", "critical"])
def test_a_header_nobody_can_read_fails_no_request(importance: str) -> None:
    with served(answer) as site:
        reply = site.get("", resonance_timeout="soon", resonance_importance=f"{importance}!")
    assert reply.status_code == 200
