# SPDX-License-Identifier: MIT
"""Tests of what is peculiar to httpx."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import httpx
import pytest

import resonance
from fakes.http_clients import HEDGE, NAME
from fakes.http_replicas import PATIENCE_SECONDS, Replica, answer, stall
from resonance import Client, Reason, RetryPolicy
from resonance.errors import PolicyError
from resonance.integrations._httpx_wire import listen
from resonance.integrations.httpx import AsyncTransport, Transport, outcome_of


def test_one_layer_retries() -> None:
    with pytest.raises(PolicyError, match="retries=0"):
        Transport(transport=httpx.HTTPTransport(retries=1))
    with pytest.raises(PolicyError, match="retries=0"):
        AsyncTransport(transport=httpx.AsyncHTTPTransport(retries=1))


def test_httpx_has_what_is_needed_to_cut_a_connection() -> None:
    with httpx.HTTPTransport() as transport:
        assert listen(transport)


def test_a_connection_is_listened_to_once() -> None:
    with httpx.HTTPTransport() as transport:
        assert listen(transport)
        backend = vars(vars(transport)["_pool"])["_network_backend"]
        assert listen(transport)
        assert vars(vars(transport)["_pool"])["_network_backend"] is backend


@pytest.mark.parametrize("options", [{"uds": "/nowhere"}, {"proxy": "http://127.0.0.1:1"}])
def test_some_connections_cannot_be_cut(options: dict[str, str]) -> None:
    with httpx.HTTPTransport(**options) as transport:  # type: ignore[arg-type]
        assert not listen(transport)


def test_a_loser_that_cannot_be_cut_is_left() -> None:
    released = threading.Event()
    numbers: list[int] = []

    def respond(_: httpx.Request) -> httpx.Response:
        attempt = resonance.current_attempt()
        assert attempt is not None
        numbers.append(attempt.number)
        if attempt.number == 1:
            assert released.wait(PATIENCE_SECONDS)
        return httpx.Response(200)

    replicas = {NAME: ["http://a", "http://b"]}
    with Client(HEDGE) as client:
        transport = Transport(
            client=client, replicas=replicas, transport=httpx.MockTransport(respond)
        )
        with httpx.Client(transport=transport) as http:
            outcome = outcome_of(http.get(NAME))
            assert outcome is not None
            assert outcome.hedge_won
            released.set()
    assert numbers == [1, 2]


def test_a_body_is_read_where_it_is_wanted() -> None:
    with (
        Replica(answer(body=b"0123456789")) as replica,
        Transport(replicas={NAME: [replica.url]}) as transport,
        httpx.Client(transport=transport) as http,
        http.stream("GET", NAME) as response,
    ):
        assert not response.is_stream_consumed
        assert b"".join(response.iter_bytes(3)) == b"0123456789"


def test_a_socket_on_a_path_still_works(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        server = threading.Thread(target=serve)
        server.start()
        transport = Transport(transport=httpx.HTTPTransport(uds=str(path)))
        with httpx.Client(transport=transport) as http:
            assert http.get(NAME).status_code == 204
        server.join()


def test_httpx_keeps_its_own_timeouts() -> None:
    with (
        Replica(stall) as replica,
        Transport(policy=RetryPolicy(max_attempts=1), replicas={NAME: [replica.url]}) as transport,
        httpx.Client(transport=transport, timeout=0.1) as http,
        pytest.raises(httpx.ReadTimeout),
    ):
        http.get(NAME)


def test_the_errors_of_connecting_are_httpx_own(free_port: int) -> None:
    with (
        Transport(replicas={NAME: [f"http://127.0.0.1:{free_port}"]}) as transport,
        httpx.Client(transport=transport) as http,
        pytest.raises(httpx.ConnectError),
    ):
        http.get(NAME)


def test_what_the_application_does_wrong_is_not_repeated() -> None:
    with Transport() as transport, httpx.Client(transport=transport) as http:
        with pytest.raises(httpx.UnsupportedProtocol) as caught:
            http.get("ftp://a")
        assert any("1 attempt (" in note for note in caught.value.__notes__)


def test_a_client_that_was_made_here_is_closed_here() -> None:
    transport = Transport()
    transport.close()
    with httpx.Client(transport=transport) as http, pytest.raises(httpx.TransportError):
        http.get(NAME)


def test_a_profile_can_be_named() -> None:
    with (
        Replica() as replica,
        Transport(policy="aggressive", replicas={NAME: [replica.url]}) as transport,
        httpx.Client(transport=transport) as http,
    ):
        assert http.get(NAME).status_code == 200


async def test_the_asynchronous_client_is_closed_with_its_transport() -> None:
    async with AsyncTransport() as transport:
        pass
    async with httpx.AsyncClient(transport=transport) as http:
        with pytest.raises(httpx.TransportError):
            await http.get(NAME)


async def test_an_asynchronous_body_is_read_where_it_is_wanted() -> None:
    with Replica(answer(body=b"0123456789")) as replica:
        transport = AsyncTransport(replicas={NAME: [replica.url]})
        async with httpx.AsyncClient(transport=transport) as http:
            async with http.stream("GET", NAME) as response:
                read = [piece async for piece in response.aiter_bytes(3)]
            assert b"".join(read) == b"0123456789"
            outcome = outcome_of(response)
            assert outcome is not None
            assert Reason.ONLY_REPLICA in outcome.reasons
