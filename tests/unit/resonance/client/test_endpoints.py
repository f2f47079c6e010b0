# SPDX-License-Identifier: MIT
from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Self
from urllib.parse import urlparse, urlsplit

import httpx
import pytest
import yarl
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url
from urllib3.util import parse_url

from resonance.client import _endpoints
from resonance.client._endpoints import host_and_port, local_endpoints, shares_network


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("[::1]:8080", ("::1", 8080)),
        ("db.internal:5432", ("db.internal", 5432)),
        ("http://127.0.0.1:8080/items?q=1", ("127.0.0.1", 8080)),
        ("HTTP://127.0.0.1", ("127.0.0.1", 80)),
        ("https://user:secret@[::1]/", ("::1", 443)),
        ("redis://127.0.0.1:6379/0", ("127.0.0.1", 6379)),
        ("dns:localhost:50051", ("localhost", 50051)),
        ("dns:///localhost:50051", ("localhost", 50051)),
        ("dns://8.8.8.8/localhost:50051", ("localhost", 50051)),
        ("ipv4:127.0.0.1:50051", ("127.0.0.1", 50051)),
        ("ipv6:[::1]:50051", ("::1", 50051)),
        (("127.0.0.1", 8080), ("127.0.0.1", 8080)),
        (("::1", 8080, 0, 0), ("::1", 8080)),
        (urlsplit("http://127.0.0.1:8080"), ("127.0.0.1", 8080)),
        (urlparse("http://127.0.0.1"), ("127.0.0.1", 80)),
        (httpx.URL("http://[::1]:8080/"), ("::1", 8080)),
        (httpx.URL("https://127.0.0.1"), ("127.0.0.1", 443)),
        (yarl.URL("http://127.0.0.1"), ("127.0.0.1", 80)),
        (parse_url("http://[::1]:8080"), ("::1", 8080)),
        (make_url("postgresql://127.0.0.1:5432/shop"), ("127.0.0.1", 5432)),
    ],
)
def test_what_names_a_host_and_a_port_is_understood(
    target: object, expected: tuple[str, int]
) -> None:
    assert host_and_port(target) == expected


class Curious:
    """An object whose attributes must not be asked for."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(name)


@pytest.mark.parametrize(
    "target",
    [
        None,
        7,
        b"127.0.0.1:8080",
        "",
        "localhost",
        ":8080",
        "::1:8080",
        "[::1]",
        "127.0.0.1:",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:http",
        "127.0.0.1:８０",  # noqa: RUF001 - digits, but not ASCII
        "unix:/run/db.sock",
        "unix:///run/db.sock",
        "dns:localhost",
        "ipv4:127.0.0.1:1,127.0.0.1:2",
        "redis://127.0.0.1:6379,127.0.0.1:6380",
        "postgresql://127.0.0.1/shop",
        "http://[::1",
        "http://127.0.0.1:99999",
        "http://",
        urlsplit("http://127.0.0.1:99999"),
        make_url("sqlite:///shop.db"),
        ("127.0.0.1",),
        ("127.0.0.1", "8080"),
        ("127.0.0.1", True),
        (7, 8080),
        ("127.0.0.1", 8080, 0),
        ["127.0.0.1", 8080],
    ],
)
def test_what_does_not_is_nothing(target: object) -> None:
    assert host_and_port(target) is None
    assert local_endpoints(target) == ()


def test_an_unknown_object_is_not_asked_for_attributes() -> None:
    assert host_and_port(Curious()) is None


@given(st.text() | st.text("[]:/0123456789.abcdns"))
def test_no_text_is_an_error(text: str) -> None:
    found = host_and_port(text)
    assert found is None or 0 < found[1] < 65_536


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("127.0.0.1:80", ("127.0.0.1:80",)),
        ("127.3.2.1:80", ("127.3.2.1:80",)),
        ("[::1]:80", ("[::1]:80",)),
        ("[0:0:0:0:0:0:0:1]:80", ("[::1]:80",)),
        ("[::ffff:127.0.0.1]:80", ("127.0.0.1:80",)),
        ("LocalHost.:80", ("127.0.0.1:80", "[::1]:80")),
    ],
)
def test_the_loopback_is_this_host(target: str, expected: tuple[str, ...]) -> None:
    assert local_endpoints(target) == expected


@pytest.mark.parametrize(
    "target",
    [
        "192.0.2.1:80",
        "[2001:db8::1]:80",
        "0.0.0.0:80",
        "[::]:80",
        "224.0.0.1:80",
        "169.254.1.1:80",
        "[fe80::1%lo]:80",
        "web.internal:80",
        "127.1:80",
    ],
)
def test_what_may_be_another_host_is_not_this_one(target: str) -> None:
    assert local_endpoints(target) == ()


class Probe:
    """A datagram socket of a host whose own address is 192.0.2.7."""

    def __init__(self, *_: object) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def connect(self, address: tuple[str, int]) -> None:
        assert address[1] == 9

    def getsockname(self) -> tuple[str, int]:
        return "192.0.2.7", 40_000


def test_an_address_of_this_host_is_one_it_speaks_as(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_endpoints.socket, "socket", Probe)
    assert local_endpoints("192.0.2.7:80") == ("192.0.2.7:80",)
    assert local_endpoints("192.0.2.8:80") == ()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "a socket.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield path


def test_a_daemon_of_this_network_namespace_is_told_by_its_socket(served: Path) -> None:
    assert shares_network(served)
    assert not shares_network(served.with_name("socket.sock"))


def test_where_sockets_are_not_listed_the_daemon_may_be_anywhere(tmp_path: Path) -> None:
    assert not shares_network(Path("/run/resonance/hints.sock"), tmp_path / "missing")
