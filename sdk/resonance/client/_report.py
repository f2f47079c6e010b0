# SPDX-License-Identifier: MIT
"""What has a client done so far, and what does it know?"""

from __future__ import annotations

from typing import Final

import msgspec

from resonance.policies import Mode, Service

__all__ = ["ReplicaReport", "ServiceReport", "report_of"]

_QUANTILES: Final = (0.5, 0.9, 0.95, 0.99, 0.999)


class ReplicaReport(msgspec.Struct, frozen=True):
    """One replica, as this client sees it.

    Attributes
    ----------
    target : str
    inflight : int
        Attempts of ours.
    pressure : float or None
        Share of time its tasks wait for a CPU, 0 to 1; ``None``: not known.
    is_ejected : bool
    utilization : float or None
        What it said of itself in its last load report, 0 to 1 and above when overloaded.
    """

    target: str
    inflight: int
    pressure: float | None
    is_ejected: bool
    utilization: float | None = None


class ServiceReport(msgspec.Struct, frozen=True):
    """One service under one policy; counters only grow.

    Attributes
    ----------
    name : str
    mode : {"observe", "advise", "active"}
        What is in force: the client's, or less when the operator said so.
    calls, successes, failures, attempts, hedges, hedges_won, cancelled, swept, retries, \
deadlines, would_hedge, would_retry, would_win
        As in `resonance.policies.Counts`.
    refused : dict of str to int
        What was not done, by the code of the reason.
    inflight, calls_inflight : int
    budget_tokens : float
        Extra attempts that are paid for.
    hedge_delay_seconds : float or None
        After which a copy would be sent now.
    limit : int or None
        Calls that may be in flight.
    latency_seconds : dict of float to float
        Quantiles of what attempts took in the last seconds, as far as they are known.
    replicas : tuple of ReplicaReport
    """

    name: str
    mode: Mode
    calls: int
    successes: int
    failures: int
    attempts: int
    hedges: int
    hedges_won: int
    cancelled: int
    swept: int
    retries: int
    deadlines: int
    would_hedge: int
    would_retry: int
    would_win: float
    refused: dict[str, int]
    inflight: int
    calls_inflight: int
    budget_tokens: float
    hedge_delay_seconds: float | None
    limit: int | None
    latency_seconds: dict[float, float]
    replicas: tuple[ReplicaReport, ...]


def report_of(service: Service, now: float) -> ServiceReport:
    """Return what a service has done and knows.

    Parameters
    ----------
    service : Service
        Its driver's lock is held.
    now : float
        On the client's clock in seconds.

    Returns
    -------
    ServiceReport
    """
    counts, window = service.counts, service.window
    service.refresh(now)
    quantiles = {each: window.quantile(each) for each in _QUANTILES}
    return ServiceReport(
        name=service.name,
        mode=service.mode,
        calls=service.calls,
        successes=service.successes,
        failures=counts.failures,
        attempts=service.attempts,
        hedges=counts.hedges,
        hedges_won=counts.hedges_won,
        cancelled=counts.cancelled,
        swept=counts.swept,
        retries=counts.retries,
        deadlines=counts.deadlines,
        would_hedge=counts.would_hedge,
        would_retry=counts.would_retry,
        would_win=counts.would_win,
        refused={reason.value: count for reason, count in sorted(counts.refused.items())},
        inflight=service.inflight,
        calls_inflight=service.calls_inflight,
        budget_tokens=service.budget.tokens,
        hedge_delay_seconds=service.hedge_delay if service.hedge_delay < 1e300 else None,
        limit=service.gate.limit if service.gate else None,
        latency_seconds={q: value for q, value in quantiles.items() if value is not None},
        replicas=tuple(
            ReplicaReport(
                str(each.target),
                each.inflight,
                each.known_pressure(now),
                each.ejected_until > now,
                each.utilization,
            )
            for each in service.cluster.candidates
        ),
    )
