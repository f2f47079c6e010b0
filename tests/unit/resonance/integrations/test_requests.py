# SPDX-License-Identifier: MIT
"""Tests of what is peculiar to requests, and to urllib3 below it."""

from __future__ import annotations

import pickle

import pytest
import requests
import urllib3
from urllib3.exceptions import (
    LocationParseError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)
from urllib3.util import Retry

import resonance
from fakes.http_clients import HEDGE, NAME
from fakes.http_replicas import Replica, answer, hang_up, replicas, stall, stall_unless_copied
from resonance import Client, RetryPolicy
from resonance.integrations.requests import Adapter, outcome_of
from resonance.integrations.urllib3 import PoolManager

ONCE = RetryPolicy(max_attempts=1)


def session(adapter: Adapter) -> requests.Session:
    made = requests.Session()
    made.mount(NAME, adapter)
    return made


def test_only_what_is_mounted_goes_through_the_adapter() -> None:
    with Replica() as replica, session(Adapter(replicas={NAME: [replica.url]})) as http:
        assert outcome_of(http.get(NAME)) is not None
        assert outcome_of(http.get(replica.url)) is None


def test_a_body_is_read_where_it_is_wanted() -> None:
    with (
        Replica(answer(body=b"0123456789")) as replica,
        session(Adapter(replicas={NAME: [replica.url]})) as http,
        http.get(NAME, stream=True) as response,
    ):
        assert response.url == f"{NAME}/"
        assert b"".join(response.iter_content(3)) == b"0123456789"


def test_a_proxy_of_the_session_is_not_asked(free_port: int) -> None:
    with Replica() as replica, session(Adapter(replicas={NAME: [replica.url]})) as http:
        http.proxies = {"http": f"http://127.0.0.1:{free_port}"}
        assert http.get(NAME).status_code == 200


def test_an_adapter_says_that_it_cannot_be_pickled() -> None:
    adapter = Adapter()
    with pytest.raises(TypeError, match="mount anew"):
        pickle.dumps(adapter)
    adapter.close()


def test_requests_keeps_its_own_timeouts() -> None:
    with (
        Replica(stall) as replica,
        session(Adapter(policy=ONCE, replicas={NAME: [replica.url]})) as http,
        pytest.raises(requests.ReadTimeout),
    ):
        http.get(NAME, timeout=0.1)


def test_the_errors_of_connecting_are_requests_own(free_port: int) -> None:
    adapter = Adapter(policy=ONCE, replicas={NAME: [f"http://127.0.0.1:{free_port}"]})
    with session(adapter) as http, pytest.raises(requests.ConnectionError):
        http.get(NAME)


def test_a_client_that_was_made_here_is_closed_here() -> None:
    adapter = Adapter()
    adapter.close()
    with session(adapter) as http, pytest.raises(requests.ConnectionError):
        http.get(NAME)


def test_losers_give_their_place_in_a_pool_back() -> None:
    with replicas(*[stall_unless_copied()] * 2) as both:
        adapter = Adapter(
            policy=HEDGE,
            replicas={NAME: [each.url for each in both]},
            pool_maxsize=1,
            pool_block=True,
        )
        with session(adapter) as http:
            for _ in range(20):
                assert http.get(NAME).status_code == 200


def test_an_answer_that_is_not_wanted_gives_its_place_in_a_pool_back() -> None:
    retry = RetryPolicy(base_delay=0.0)
    with Replica() as replica:
        replica.will(answer(503), answer(503))
        adapter = Adapter(
            policy=retry, replicas={NAME: [replica.url]}, pool_maxsize=1, pool_block=True
        )
        with session(adapter) as http:
            assert http.get(NAME).status_code == 200


# ---- urllib3 -------------------------------------------------------------------------------


def test_urllib3_may_leave_the_body_for_later() -> None:
    with (
        Replica(answer(body=b"0123456789")) as replica,
        PoolManager(replicas={NAME: [replica.url]}) as http,
    ):
        response = http.request("GET", NAME, preload_content=False)
        assert b"".join(response.stream(3)) == b"0123456789"


def test_only_redirects_count_of_what_urllib3_would_retry() -> None:
    retries = Retry(3, status_forcelist=[500], redirect=0, raise_on_redirect=False)
    with (
        Replica(answer(500)) as replica,
        PoolManager(policy=ONCE, replicas={NAME: [replica.url]}, retries=retries) as http,
    ):
        assert http.request("GET", NAME).status == 500
        assert len(replica.requests) == 1
        replica.always = answer(302, Location="/")
        assert http.request("GET", NAME).status == 302


def test_too_many_redirects_are_an_error_as_ever() -> None:
    with (
        Replica(answer(302, Location="/")) as replica,
        PoolManager(replicas={NAME: [replica.url]}) as http,
    ):
        with pytest.raises(MaxRetryError, match="too many redirects"):
            http.request("GET", NAME)
        assert len(replica.requests) == 4


def test_redirects_can_be_left_alone() -> None:
    with (
        Replica(answer(302, Location="/")) as replica,
        PoolManager(replicas={NAME: [replica.url]}) as http,
    ):
        assert http.request("GET", NAME, redirect=False).status == 302
        assert http.request("GET", NAME, retries=False).status == 302


def test_a_body_of_the_librarys_own_headers_comes_through() -> None:
    headers = urllib3.HTTPHeaderDict({"X": "1"})
    headers.add("X", "2")
    with Replica() as replica, PoolManager(replicas={NAME: [replica.url]}) as http:
        http.request("GET", NAME, headers=headers)
        assert replica.requests[0].headers["x"] in {"1, 2", "2"}


def test_each_error_is_urllib3s_own(free_port: int) -> None:
    with Replica(hang_up) as replica:
        targets = {NAME: [replica.url], "http://down.test": [f"http://127.0.0.1:{free_port}"]}
        with PoolManager(policy=ONCE, replicas=targets) as http:
            with pytest.raises(ProtocolError):
                http.request("GET", NAME)
            with pytest.raises(MaxRetryError) as caught:
                http.request("GET", "http://down.test")
            assert isinstance(caught.value.reason, NewConnectionError)


def test_a_host_that_cannot_be_one_is_urllib3s_own_error() -> None:
    targets = {NAME: [f"http://{'a' * 64}"]}
    with PoolManager(policy=ONCE, replicas=targets) as http, pytest.raises(LocationParseError):
        http.request("GET", NAME)


def test_urllib3_keeps_its_own_timeouts() -> None:
    with (
        Replica(stall) as replica,
        PoolManager(policy=ONCE, replicas={NAME: [replica.url]}, timeout=0.1) as http,
        pytest.raises(ReadTimeoutError),
    ):
        http.request("GET", NAME)


def test_a_deadline_shortens_a_longer_timeout() -> None:
    with Replica(stall) as replica, Client(ONCE) as client:
        http = PoolManager(client=client, replicas={NAME: [replica.url]}, timeout=60.0)
        with resonance.deadline(0.1), pytest.raises(ReadTimeoutError):
            http.request("GET", NAME)
        http.clear()
