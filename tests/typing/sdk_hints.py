# SPDX-License-Identifier: MIT
"""What users' type checkers say about the hints; checked by test_typing.py, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import assert_type

import resonance
from resonance.hints import (
    AsyncHints,
    CgroupState,
    Hints,
    Latency,
    Resolution,
    State,
    Status,
    Subscription,
    connect,
)


def threads() -> None:
    with resonance.hints.connect("/run/resonance/hints.sock") as hints:
        assert_type(hints, Hints)
        assert_type(hints.pressure(), float | None)
        assert_type(hints.pressure("/system.slice/web.service"), float | None)
        assert_type(hints.state(["/system.slice/*"], timeout=0.01), State | None)
        assert_type(hints.percentiles(kind="srtt"), Latency | None)
        assert_type(hints.resolve("127.0.0.1:80"), Resolution)
        assert_type(hints.resolve(4711), Resolution)
        assert_type(hints.subscribe(print), Subscription)
        assert_type(hints.status, Status)


async def coroutines() -> None:
    async with resonance.hints.aio.connect() as hints:
        assert_type(hints, AsyncHints)
        assert_type(hints.pressure(), float | None)
        assert_type(await hints.state(), State | None)
        assert_type(await hints.percentiles(), Latency | None)
        assert_type(await hints.resolve(1), Resolution)
        assert_type(hints.subscribe(), AsyncIterator[State | None])
        async for state in hints.subscribe(interval_seconds=1.0):
            assert_type(state, State | None)


def records(state: State) -> None:
    assert_type(state.find(), CgroupState | None)
    assert_type(state.cgroups, tuple[CgroupState, ...])
    assert_type(state.is_fresh, bool)


def mistakes() -> None:
    hints = connect()
    hints.pressure(3)  # type: ignore[arg-type]
    hints.percentiles(kind="cpu")  # type: ignore[arg-type]
    hints.resolve(1.5)  # type: ignore[arg-type]
    resonance.hunts  # type: ignore[attr-defined]  # noqa: B018
