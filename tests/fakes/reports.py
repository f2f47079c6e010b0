# SPDX-License-Identifier: MIT
"""Clients that report what a test wants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resonance.client._report import ReplicaReport, ServiceReport

__all__ = ["FakeClient", "report"]


def report(name: str = "shop", **changes: Any) -> ServiceReport:
    """Return the report of a service that was not called yet, with these fields changed."""
    values: dict[str, Any] = {
        "mode": "active",
        "would_win": 0.0,
        "refused": {},
        "budget_tokens": 5.0,
        "hedge_delay_seconds": None,
        "limit": None,
        "latency_seconds": {},
        "replicas": (),
    }
    zeros = {field: 0 for field in ServiceReport.__struct_fields__ if field not in values}
    return ServiceReport(**(zeros | values | {"name": name} | changes))


BUSY = report(
    calls=100,
    successes=90,
    failures=8,
    deadlines=3,
    attempts=112,
    hedges=10,
    hedges_won=6,
    retries=2,
    cancelled=9,
    would_hedge=4,
    would_retry=1,
    would_win=2.5,
    refused={"budget_empty": 7, "throttled": 1},
    inflight=3,
    calls_inflight=2,
    budget_tokens=1.5,
    limit=20,
    latency_seconds={0.5: 0.01, 0.999: 0.2},
    replicas=(ReplicaReport("a:1", 1, None, False), ReplicaReport("b:1", 2, 0.5, True)),
)


class FakeClient:
    """A client of which a test says what it has done."""

    def __init__(self, *reports: ServiceReport) -> None:
        self.reports = reports
        self.times_asked = 0

    def report(self) -> Sequence[ServiceReport]:
        """Return what the test says."""
        self.times_asked += 1
        return self.reports
