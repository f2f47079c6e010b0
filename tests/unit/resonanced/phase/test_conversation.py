# SPDX-License-Identifier: MIT
"""The paces of a stream; what is said on it is tested on a socket, in tests/contract."""

from __future__ import annotations

import asyncio
import time
from typing import cast

import numpy as np
import pytest

from resonance_core.control.parameters import Parameters
from resonance_core.control.records import Source
from resonanced.phase.attendance import Attended
from resonanced.phase.conversation import (
    Context,
    Conversation,
)
from resonanced.phase.registry import Registry

pytestmark = pytest.mark.anyio


@pytest.fixture
def registry() -> Registry:
    return Registry(Parameters())


@pytest.fixture
async def conversation(registry: Registry) -> Conversation:
    return Conversation(registry, cast("Context", None), asyncio.Event(), asyncio.Lock())


async def test_a_burst_of_reports_is_taken_as_it_comes_and_no_more(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    conversation._credit_at = now
    pauses = [conversation._pause_seconds(0.0) for _ in range(40)]
    assert pauses[:32] == [0.0] * 32
    assert pauses[32:36] == [0.25, 0.5, 0.75, 1.0]
    now += 1_000.0
    assert [conversation._pause_seconds(0.0) for _ in range(33)][-2:] == [0.0, 0.25]


async def test_reports_that_cost_much_are_paid_for_with_a_share_of_the_core(
    conversation: Conversation, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(9):
        registry.open(lambda: None)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    conversation._credit_at = now
    paid = [conversation._pause_seconds(0.02) for _ in range(20)]
    # Ten streams that do nothing else take a tenth of a core: 0.02 s in 2 s for each.
    assert paid[:4] == [0.0] * 4
    assert np.diff(paid[9:]) == pytest.approx(2.0)


async def test_a_process_whose_timers_are_slow_may_be_silent_as_long(
    conversation: Conversation, registry: Registry
) -> None:
    assert conversation._patience_seconds() == 40.0
    source = Source(key=1, name="hourly", period_seconds=3_600.0, origin_seconds=0.0)
    attended = Attended(source=source, client_key=1, pid=1, cgroup_id=0, held_seconds=0.0)
    registry.register(conversation._attendance, attended, 1.0)
    assert conversation._patience_seconds() == 3 * 3_600.0
    for _ in range(1_000):
        registry.open(lambda: None)
    registry.depart(conversation._attendance, [1])
    assert conversation._patience_seconds() == pytest.approx(10 * 1_001 / 8)
