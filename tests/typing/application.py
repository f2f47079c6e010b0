# SPDX-License-Identifier: MIT
"""An application's code: what type checkers see of the SDK. It is checked, never run."""

from typing import assert_type

import resonance
from resonance.hints import Latency, Resolution, State, Status


def in_a_thread() -> None:
    with resonance.hints.connect() as hints:
        assert_type(hints.pressure(), float | None)
        assert_type(hints.pressure("/system.slice"), float | None)
        assert_type(hints.percentiles(kind="srtt"), Latency | None)
        assert_type(hints.resolve("127.0.0.1:80"), Resolution)
        assert_type(hints.state(), State | None)
        assert_type(hints.status, Status)
        hints.percentiles(kind="disk")  # expect: error


async def in_a_task() -> None:
    async with resonance.hints.aio.connect() as hints:
        assert_type(hints.pressure(), float | None)
        assert_type(await hints.percentiles(), Latency | None)
        assert_type(await hints.resolve(1), Resolution)
        async for state in hints.subscribe():
            assert_type(state, State | None)


def careless() -> float:
    with resonance.hints.connect() as hints:
        return hints.pressure()  # expect: error
