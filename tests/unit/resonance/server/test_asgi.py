# SPDX-License-Identifier: MIT
"""The ASGI middleware, driven by hand: one connection is one coroutine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from resonance.deadlines import inbound_attempts, remaining
from resonance.errors import PolicyError
from resonance.policies import LimitPolicy
from resonance.server import AdmissionPolicy, LoadReport, Middleware, Refusal, parse_load
from resonance.server._asgi import ASGIApp, Message, Receive, Scope, Send


class Caller:
    """The server's side of one connection."""

    def __init__(self, middleware: Middleware, **headers: str) -> None:
        self.incoming: asyncio.Queue[Message] = asyncio.Queue()
        self.sent: list[Message] = []
        self._middleware = middleware
        named = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
        self._scope: Scope = {"type": "http", "path": "/", "headers": named}
        self.tell({"type": "http.request", "body": b"", "more_body": False})

    def tell(self, message: Message) -> None:
        self.incoming.put_nowait(message)

    def go(self) -> None:
        self.tell({"type": "http.disconnect"})

    async def call(self) -> Caller:
        await self._middleware(self._scope, self.incoming.get, self._send)
        return self

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def load(self) -> LoadReport | None:
        return parse_load(self.headers.get("endpoint-load-metrics", ""))


class Slow:
    """An application whose requests end when a test says so."""

    def __init__(self, status: int = 200) -> None:
        self.may_end = asyncio.Event()
        self.begun: list[str] = []
        self.received: list[Message] = []
        self._status = status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun.append(scope["path"])
        self.received.append(await receive())
        await self.may_end.wait()
        await send({"type": "http.response.start", "status": self._status, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})


def answering(*headers: tuple[bytes, bytes], status: int = 200) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": iter(headers)})
        await send({"type": "http.response.body", "body": b"done"})

    return app


def _guarded(app: ASGIApp, **changes: Any) -> Middleware:
    return Middleware(app, AdmissionPolicy(**{"limit": 1, "interval": 30.0, **changes}))


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110 - what is waited for is a number
            await asyncio.sleep(0)


async def test_a_reply_passes_with_the_load_in_its_headers() -> None:
    caller = await Caller(_guarded(answering((b"x-own", b"1")))).call()
    assert (caller.status, caller.headers["x-own"]) == (200, "1")
    assert caller.load == LoadReport(application_utilization=1.0)
    assert caller.sent[1]["body"] == b"done"


async def test_the_load_is_told_as_text_where_that_was_asked_for() -> None:
    caller = await Caller(_guarded(answering()), endpoint_load_metrics_format="text").call()
    assert caller.headers["endpoint-load-metrics"] == "TEXT application_utilization=1.0"


async def test_the_load_is_not_told_where_it_is_nobodys_business() -> None:
    middleware = Middleware(answering(), AdmissionPolicy(limit=1), load_reports=False)
    assert "endpoint-load-metrics" not in (await Caller(middleware).call()).headers


async def test_an_application_that_tells_its_load_itself_is_not_contradicted() -> None:
    own = (b"endpoint-load-metrics", b"TEXT cpu_utilization=0.5")
    caller = await Caller(_guarded(answering(own))).call()
    assert [name for name, _ in caller.sent[0]["headers"]] == [own[0]]
    assert caller.load == LoadReport(cpu_utilization=0.5)


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
async def test_what_is_not_http_passes_untouched(kind: str) -> None:
    seen: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend((scope, receive, send))

    async def receive() -> Message:
        return {}

    async def send(message: Message) -> None:
        pass

    middleware, scope = _guarded(app), {"type": kind}
    await middleware(scope, receive, send)
    assert seen == [scope, receive, send]
    assert middleware.report().entered == 0


async def test_what_finds_neither_room_nor_queue_is_shed() -> None:
    app = Slow()
    middleware = _guarded(app, queue=0)
    first, second = Caller(middleware), Caller(middleware)
    running = asyncio.create_task(first.call())
    await _until(lambda: bool(app.begun))
    await second.call()
    assert second.status == 503
    assert second.headers["resonance-reason"] == "queue_full"
    assert int(second.headers["retry-after"]) >= 1
    assert second.load is not None
    app.may_end.set()
    assert (await running).status == 200


async def test_what_waits_is_served_with_all_that_its_caller_sent() -> None:
    app = Slow()
    middleware = _guarded(app)
    callers = [Caller(middleware), Caller(middleware)]
    tasks = [asyncio.create_task(caller.call()) for caller in callers]
    await _until(lambda: bool(middleware.gate.admission.queued))
    app.may_end.set()
    await asyncio.gather(*tasks)
    assert [caller.status for caller in callers] == [200, 200]
    assert [message["type"] for message in app.received] == ["http.request", "http.request"]


async def test_a_body_in_parts_is_not_read_ahead() -> None:
    app = Slow()
    middleware = _guarded(app)
    running = asyncio.create_task(Caller(middleware).call())
    await _until(lambda: bool(app.begun))
    waiting = Caller(middleware)
    waiting.incoming.get_nowait()
    for part in (b"a", b"b", b"c"):
        waiting.tell({"type": "http.request", "body": part, "more_body": part != b"c"})
    task = asyncio.create_task(waiting.call())
    await _until(lambda: waiting.incoming.qsize() < 3)
    for _ in range(10):
        await asyncio.sleep(0)
    assert waiting.incoming.qsize() == 2
    app.may_end.set()
    await asyncio.gather(running, task)
    assert app.received[1]["body"] == b"a"


async def test_a_caller_that_goes_while_it_waits_leaves_the_queue() -> None:
    app = Slow()
    middleware = _guarded(app)
    running = asyncio.create_task(Caller(middleware).call())
    await _until(lambda: bool(app.begun))
    gone = Caller(middleware)
    task = asyncio.create_task(gone.call())
    await _until(lambda: bool(middleware.gate.admission.queued))
    gone.go()
    await task
    assert (gone.sent, middleware.gate.admission.queued) == ([], 0)
    app.may_end.set()
    await running
    assert len(app.begun) == 1
    assert middleware.report().withdrawn == 1


async def test_a_request_that_is_cancelled_while_it_waits_leaves_the_queue() -> None:
    app, tasks = Slow(), asyncio.all_tasks()
    middleware = _guarded(app)
    running = asyncio.create_task(Caller(middleware).call())
    await _until(lambda: bool(app.begun))
    waiting = asyncio.create_task(Caller(middleware).call())
    await _until(lambda: bool(middleware.gate.admission.queued))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert middleware.gate.admission.queued == 0
    app.may_end.set()
    await running
    assert asyncio.all_tasks() == tasks


async def test_a_request_that_is_cancelled_in_service_gives_its_place_back() -> None:
    app = Slow()
    middleware = _guarded(app)
    running = asyncio.create_task(Caller(middleware).call())
    await _until(lambda: bool(app.begun))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    report = middleware.report()
    assert (report.inflight, report.dropped) == (0, 1)


async def test_an_application_that_raises_gives_its_place_back_and_is_heard() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    middleware = _guarded(app)
    with pytest.raises(ZeroDivisionError):
        await Caller(middleware).call()
    report = middleware.report()
    assert (report.inflight, report.failed) == (0, 1)


async def test_a_server_that_cannot_receive_is_heard_and_nobody_leaks() -> None:
    app = Slow()
    middleware = _guarded(app)
    running = asyncio.create_task(Caller(middleware).call())
    await _until(lambda: bool(app.begun))
    broken = Caller(middleware)

    async def receive() -> Message:
        raise ConnectionError

    broken.incoming.get = receive  # type: ignore[method-assign]
    waiting = asyncio.create_task(broken.call())
    await _until(lambda: bool(middleware.gate.admission.queued))
    app.may_end.set()
    await running
    with pytest.raises(ConnectionError):
        await waiting
    assert middleware.report().inflight == 0


@pytest.mark.parametrize(("status", "done", "failed"), [(200, 1, 0), (404, 1, 0), (500, 0, 1)])
async def test_an_error_of_the_server_is_a_failure(status: int, done: int, failed: int) -> None:
    middleware = _guarded(answering(status=status))
    await Caller(middleware).call()
    report = middleware.report()
    assert (report.done, report.failed) == (done, failed)


async def test_the_callers_deadline_and_attempts_are_known_inside() -> None:
    seen: list[tuple[float | None, int]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((remaining(), inbound_attempts()))

    middleware = _guarded(app)
    await Caller(middleware, resonance_timeout="5", resonance_attempt="2").call()
    await Caller(middleware).call()
    (left, attempts), nothing = seen
    assert left is not None
    assert 0.0 < left <= 5.0
    assert (attempts, nothing) == (2, (None, 0))


async def test_a_request_without_time_left_gets_504() -> None:
    caller = await Caller(_guarded(answering()), resonance_timeout="0").call()
    assert (caller.status, caller.headers["resonance-reason"]) == (504, "deadline_over")


async def test_a_request_that_ends_after_its_deadline_was_too_slow() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while remaining():  # noqa: ASYNC110 - the deadline is a time, not an event
            await asyncio.sleep(0)
        await answering()(scope, receive, send)

    middleware = _guarded(app)
    await Caller(middleware, resonance_timeout="0.001").call()
    assert middleware.report().dropped == 1


async def test_the_header_says_who_is_begun_first() -> None:
    order: list[bytes] = []
    may_end = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        order.append(dict(scope["headers"]).get(b"resonance-importance", b"first"))
        await may_end.wait()

    middleware = _guarded(app)
    tasks = [asyncio.create_task(Caller(middleware).call())]
    await _until(lambda: bool(order))
    for importance in ("low", "normal", "critical", "high"):
        caller = Caller(middleware, resonance_importance=importance)
        tasks.append(asyncio.create_task(caller.call()))
    await _until(lambda: middleware.gate.admission.queued == 4)
    may_end.set()
    await asyncio.gather(*tasks)
    assert order == [b"first", b"critical", b"high", b"normal", b"low"]


async def test_the_application_may_judge_by_itself() -> None:
    app = Slow()
    policy = AdmissionPolicy(limit=1, queue=1, interval=30.0)
    middleware = Middleware(app, policy, importance=lambda scope: "low")
    tasks = [asyncio.create_task(Caller(middleware).call()) for _ in range(2)]
    await _until(lambda: bool(middleware.gate.admission.queued))
    boasting = await Caller(middleware, resonance_importance="critical").call()
    assert boasting.headers["resonance-reason"] == Refusal.QUEUE_FULL
    app.may_end.set()
    await asyncio.gather(*tasks)


async def test_a_judge_that_errs_is_heard_and_nobody_enters() -> None:
    middleware = Middleware(answering(), importance=lambda scope: "urgent")  # type: ignore[arg-type,return-value]
    with pytest.raises(PolicyError, match="urgent"):
        await Caller(middleware).call()
    assert middleware.report().entered == 0


async def test_a_thousand_at_once_are_all_served_or_refused() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0)
        await answering()(scope, receive, send)

    middleware = Middleware(app, AdmissionPolicy(limit=LimitPolicy(), queue=300))
    callers = [Caller(middleware) for _ in range(1_000)]
    await asyncio.gather(*(caller.call() for caller in callers))
    report = middleware.report()
    assert {caller.status for caller in callers} <= {200, 503}
    assert report.done == sum(caller.status == 200 for caller in callers)
    assert report.entered == report.done + sum(report.refused.values()) == 1_000
    assert (report.inflight, report.queued) == (0, 0)
