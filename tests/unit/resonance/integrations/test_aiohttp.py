# SPDX-License-Identifier: MIT
"""Tests of what is peculiar to aiohttp."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from fakes.http_clients import HEDGE, NAME
from fakes.http_replicas import Replica, answer, hang_up, replicas, stall
from resonance import AsyncClient, RetryPolicy
from resonance.integrations.aiohttp import Middleware, outcome_of

ONCE = RetryPolicy(max_attempts=1)


async def test_the_total_timeout_of_aiohttp_ends_all_attempts() -> None:
    with replicas(stall, stall) as both:
        middleware = Middleware(policy=HEDGE, replicas={NAME: [each.url for each in both]})
        timeout = aiohttp.ClientTimeout(total=0.3)
        async with aiohttp.ClientSession(middlewares=[middleware], timeout=timeout) as session:
            with pytest.raises(asyncio.TimeoutError):
                await session.get(NAME)
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0
            for each in both:
                if each.requests:
                    await asyncio.to_thread(each.wait_until_left)
        await middleware.close()


async def test_a_task_that_is_cancelled_leaves_nothing_at_the_servers() -> None:
    with replicas(stall, stall) as both:
        async with AsyncClient(HEDGE) as client:
            middleware = Middleware(client=client, replicas={NAME: [each.url for each in both]})
            async with aiohttp.ClientSession(middlewares=[middleware]) as session:
                task = asyncio.create_task(session.get(NAME))
                for each in both:
                    await asyncio.to_thread(each.wait_for_request)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                for each in both:
                    await asyncio.to_thread(each.wait_until_left)
                await asyncio.sleep(0)
            (service,) = client._services.values()
            assert (service.inflight, service.calls_inflight) == (0, 0)


async def test_a_middleware_can_be_for_one_request() -> None:
    with Replica() as replica:
        middleware = Middleware(replicas={NAME: [replica.url]})
        async with aiohttp.ClientSession() as session:
            async with session.get(NAME, middlewares=[middleware]) as response:
                assert await response.text() == "done"
            async with session.get(replica.url) as response:
                assert outcome_of(response) is None
        await middleware.close()


async def test_another_middleware_may_change_the_request_before() -> None:
    async def sign(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        request.headers["Signature"] = "x"
        return await handler(request)

    with Replica() as replica:
        middleware = Middleware(replicas={NAME: [replica.url]})
        async with (
            aiohttp.ClientSession(middlewares=[sign, middleware]) as session,
            session.get(NAME) as response,
        ):
            assert response.url.host == "search.test"
        assert replica.requests[0].headers["signature"] == "x"
        await middleware.close()


async def test_many_requests_share_a_middleware() -> None:
    with replicas(answer(), answer()) as both:
        middleware = Middleware(policy=HEDGE, replicas={NAME: [each.url for each in both]})
        async with aiohttp.ClientSession(middlewares=[middleware]) as session:

            async def get() -> int:
                async with session.get(NAME) as response:
                    return response.status

            assert set(await asyncio.gather(*(get() for _ in range(50)))) == {200}
        await middleware.close()


@pytest.mark.parametrize("body", [b"bytes", "text"])
async def test_a_body_that_is_at_hand_is_repeated(body: bytes | str) -> None:
    with Replica() as replica:
        replica.will(hang_up)
        middleware = Middleware(policy=RetryPolicy(base_delay=0.0), replicas={NAME: [replica.url]})
        async with (
            aiohttp.ClientSession(middlewares=[middleware]) as session,
            session.put(NAME, data=body) as response,
        ):
            assert response.status == 200
        sent = body if isinstance(body, bytes) else body.encode()
        assert [seen.body for seen in replica.requests] == [sent, sent]
        await middleware.close()


async def test_forms_and_json_are_repeated_too() -> None:
    with Replica() as replica:
        middleware = Middleware(policy=RetryPolicy(base_delay=0.0), replicas={NAME: [replica.url]})
        async with aiohttp.ClientSession(middlewares=[middleware]) as session:
            replica.will(hang_up)
            async with session.put(NAME, json={"a": 1}):
                replica.will(hang_up)
            async with session.put(NAME, data={"a": "1"}):
                pass
        bodies = [seen.body for seen in replica.requests]
        assert bodies == [b'{"a": 1}', b'{"a": 1}', b"a=1", b"a=1"]
        await middleware.close()


async def test_the_errors_of_connecting_are_aiohttps_own(free_port: int) -> None:
    middleware = Middleware(policy=ONCE, replicas={NAME: [f"http://127.0.0.1:{free_port}"]})
    async with aiohttp.ClientSession(middlewares=[middleware]) as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(NAME)
    await middleware.close()


async def test_a_client_that_was_made_here_is_closed_here() -> None:
    middleware = Middleware()
    await middleware.close()
    async with aiohttp.ClientSession(middlewares=[middleware]) as session:
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(NAME)
