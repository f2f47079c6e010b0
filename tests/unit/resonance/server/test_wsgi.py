# SPDX-License-Identifier: MIT
"""The WSGI middleware, driven by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest

from resonance.deadlines import inbound_attempts, remaining
from resonance.server import AdmissionPolicy, WSGIMiddleware, parse_load
from resonance.server._wsgi import Environ, StartResponse, WSGIApp


class Caller:
    """The server's side of one request."""

    def __init__(self, middleware: WSGIMiddleware, **headers: str) -> None:
        self._middleware = middleware
        self._environ: Environ = {f"HTTP_{name.upper()}": text for name, text in headers.items()}
        self.status = ""
        self.headers: dict[str, str] = {}
        self.body: Iterable[bytes] = ()

    def begin(self) -> Caller:
        self.body = self._middleware(self._environ, self._start)
        return self

    def end(self) -> bytes:
        body = b"".join(self.body)
        getattr(self.body, "close", bool)()
        return body

    def _start(
        self, status: str, headers: list[tuple[str, str]], exc_info: object = None, /
    ) -> Callable[[bytes], object]:
        self.status, self.headers = status, dict(headers)
        return bool


def hello(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    start("200 OK", [("x-own", "1")])
    return [b"he", b"llo"]


def _guarded(app: WSGIApp = hello, **changes: object) -> WSGIMiddleware:
    policy = {"limit": 1, "interval": 30.0, **changes}
    return WSGIMiddleware(app, AdmissionPolicy(**policy))  # type: ignore[arg-type]


def test_a_reply_passes_with_the_load_in_its_headers() -> None:
    caller = Caller(_guarded()).begin()
    assert caller.end() == b"hello"
    assert (caller.status, caller.headers["x-own"]) == ("200 OK", "1")
    assert parse_load(caller.headers["endpoint-load-metrics"]) is not None


def test_a_request_is_in_service_until_its_reply_is_closed() -> None:
    middleware = _guarded()
    caller = Caller(middleware).begin()
    assert middleware.report().inflight == 1
    caller.end()
    assert middleware.report().inflight == 0


def test_what_finds_neither_room_nor_queue_is_shed() -> None:
    middleware = _guarded(queue=0)
    first, second = Caller(middleware).begin(), Caller(middleware).begin()
    assert second.status == "503 Service Unavailable"
    assert second.headers["resonance-reason"] == "queue_full"
    assert int(second.headers["retry-after"]) >= 1
    assert second.end().startswith(b"refused: ")
    first.end()
    assert middleware.report().inflight == 0


def test_a_request_without_time_left_gets_504() -> None:
    assert Caller(_guarded(), resonance_timeout="0").begin().status == "504 Gateway Timeout"


def test_the_callers_deadline_is_known_where_the_reply_is_made() -> None:
    seen: list[tuple[bool, int]] = []

    def app(environ: Environ, start: StartResponse) -> Iterator[bytes]:
        seen.append((remaining() is not None, inbound_attempts()))
        yield b""
        seen.append((remaining() is not None, inbound_attempts()))

    Caller(_guarded(app), resonance_timeout="5", resonance_attempt="1").begin().end()
    assert seen == [(True, 1), (True, 1)]
    assert remaining() is None


def test_a_reply_may_be_closed_in_another_context() -> None:
    middleware = _guarded()
    caller = Caller(middleware, resonance_timeout="5").begin()
    assert copy_context().run(caller.end) == b"hello"
    assert middleware.report().done == 1


def test_an_application_that_raises_gives_its_place_back_and_is_heard() -> None:
    def app(environ: Environ, start: StartResponse) -> Iterable[bytes]:
        raise ZeroDivisionError

    middleware = _guarded(app)
    with pytest.raises(ZeroDivisionError):
        Caller(middleware).begin()
    assert (middleware.report().inflight, middleware.report().failed) == (0, 1)


def test_a_reply_that_raises_half_way_is_a_failure() -> None:
    def app(environ: Environ, start: StartResponse) -> Iterator[bytes]:
        yield b"he"
        raise ZeroDivisionError

    middleware = _guarded(app)
    caller = Caller(middleware).begin()
    with pytest.raises(ZeroDivisionError):
        b"".join(caller.body)
    caller.body.close()  # type: ignore[attr-defined]
    assert (middleware.report().inflight, middleware.report().failed) == (0, 1)


def test_a_reply_that_cannot_be_closed_gives_its_place_back() -> None:
    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"x"])

        def close(self) -> None:
            raise OSError

    middleware = _guarded(lambda environ, start: Body())
    caller = Caller(middleware).begin()
    with pytest.raises(OSError):
        caller.end()
    assert middleware.report().inflight == 0


def test_no_more_than_the_limit_are_in_service_in_any_threads() -> None:
    middleware = _guarded(limit=2)
    with ThreadPoolExecutor(8) as pool:
        bodies = list(pool.map(lambda _: Caller(middleware).begin().end(), range(500)))
    assert set(bodies) == {b"hello"}
    assert (middleware.report().done, middleware.report().inflight) == (500, 0)
