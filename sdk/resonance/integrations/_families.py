# SPDX-License-Identifier: MIT
"""Which metrics are there of a client's policies, and what is in each? One table for all exporters.

Everything is read from the plain integers a client keeps anyway, when somebody asks; calls
cost nothing more. Labels come from small fixed sets, and so many services at most; the rest
are added up as ``other``. Services of the same name, of several clients, are added up too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from resonance.client._report import ServiceReport
from resonance.policies import Reason

__all__ = ["FAMILIES", "MOST_SERVICES", "OTHER", "Family", "Reporting", "Sources"]

MOST_SERVICES: Final = 64
"""*Chosen*: as many as the daemon measures cgroups; with all labels some 2,000 series."""
OTHER: Final = "other"

_REFUSALS: Final = (
    Reason.NOT_IDEMPOTENT,
    Reason.TOO_FEW_SAMPLES,
    Reason.TAIL_TOO_SHORT,
    Reason.BUDGET_EMPTY,
    Reason.INFLIGHT_SHARE,
    Reason.SATURATED_BY_PRESSURE,
    Reason.SATURATED_BY_INFLIGHT,
    Reason.DEADLINE_TOO_NEAR,
    Reason.PUSHED_BACK,
    Reason.NO_OTHER_REPLICA,
    Reason.NO_WORKER,
    Reason.NOT_RETRIABLE,
    Reason.ATTEMPTS_USED,
    Reason.TOLD_TO_STOP,
    Reason.RETRIED_ABOVE,
    Reason.THROTTLED,
    Reason.LIMITED,
)
"""Why something is not done; there at zero from the start."""


class Reporting(Protocol):
    """A client, as an exporter sees it."""

    def report(self) -> Sequence[ServiceReport]:
        """Return what each service has done so far."""
        ...


_Rows = Iterable[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric.

    Attributes
    ----------
    name : str
        Without the prefix of ours and without what an exporter appends.
    kind : {"counter", "gauge", "info", "quantiles"}
        Values of one service add up over clients, but for the last two: there the largest is
        taken, which for a latency is the worst.
    help : str
    unit : str
        In the words of UCUM, as OpenTelemetry wants it.
    label : str
        Besides the service; empty for none.
    rows : callable
        Returns the values of a report, each with that label's.
    """

    name: str
    kind: Literal["counter", "gauge", "info", "quantiles"]
    help: str
    unit: str
    label: str
    rows: Callable[[ServiceReport], _Rows]


def _refusals(report: ServiceReport) -> _Rows:
    zeros = dict.fromkeys(map(str, _REFUSALS), 0)
    return (zeros | {str(reason): count for reason, count in report.refused.items()}).items()


FAMILIES: Final = (
    Family(
        "calls",
        "counter",
        "Calls that have ended, by how.",
        "{call}",
        "outcome",
        lambda report: (
            ("success", report.successes),
            ("failure", report.failures - report.deadlines),
            ("deadline", report.deadlines),
        ),
    ),
    Family(
        "attempts",
        "counter",
        "Attempts begun; what is no first one is extra load.",
        "{attempt}",
        "kind",
        lambda report: (
            ("first", report.calls),
            ("hedge", report.hedges),
            ("retry", report.retries),
        ),
    ),
    Family(
        "hedges",
        "counter",
        "Copies sent.",
        "{attempt}",
        "",
        lambda report: (("", report.hedges),),
    ),
    Family(
        "hedges_won",
        "counter",
        "Copies that answered first; the others were sent for nothing.",
        "{attempt}",
        "",
        lambda report: (("", report.hedges_won),),
    ),
    Family(
        "attempts_cancelled",
        "counter",
        "Attempts cancelled, because another one had answered or nobody waited any more.",
        "{attempt}",
        "",
        lambda report: (("", report.cancelled),),
    ),
    Family(
        "retries",
        "counter",
        "Attempts begun because another one had failed.",
        "{attempt}",
        "",
        lambda report: (("", report.retries),),
    ),
    Family(
        "policy_refusals",
        "counter",
        "What was not done, by the reason.",
        "{decision}",
        "reason",
        _refusals,
    ),
    Family(
        "policy_withheld",
        "counter",
        "What was not done because of the mode alone.",
        "{decision}",
        "what",
        lambda report: (("hedge", report.would_hedge), ("retry", report.would_retry)),
    ),
    Family(
        "policy_withheld_wins",
        "counter",
        "How many of the withheld copies would have answered first, at most.",
        "{attempt}",
        "",
        lambda report: (("", report.would_win),),
    ),
    Family(
        "policy_mode",
        "info",
        "The mode in force: the lower of the client's and the operator's.",
        "1",
        "mode",
        lambda report: ((report.mode, 1),),
    ),
    Family(
        "budget_tokens",
        "gauge",
        "Extra attempts that successes have paid for and nobody has spent.",
        "{attempt}",
        "",
        lambda report: (("", report.budget_tokens),),
    ),
    Family(
        "inflight_attempts",
        "gauge",
        "Attempts that have begun and not ended.",
        "{attempt}",
        "",
        lambda report: (("", report.inflight),),
    ),
    Family(
        "inflight_calls",
        "gauge",
        "Calls that have begun and not ended.",
        "{call}",
        "",
        lambda report: (("", report.calls_inflight),),
    ),
    Family(
        "inflight_limit",
        "gauge",
        "Calls that may be in flight; absent without a limit.",
        "{call}",
        "",
        lambda report: () if report.limit is None else (("", report.limit),),
    ),
    Family(
        "replicas",
        "gauge",
        "Replicas that calls are sent to.",
        "{replica}",
        "",
        lambda report: (("", len(report.replicas)),),
    ),
    Family(
        "attempt_latency_seconds",
        "quantiles",
        "What attempts took over the last seconds, those included that were overtaken.",
        "s",
        "quantile",
        lambda report: ((f"{share:g}", value) for share, value in report.latency_seconds.items()),
    ),
)


class Sources:
    """The clients an exporter reads, and which of their services have a name of their own.

    Parameters
    ----------
    clients : iterable of Reporting
    most_services : int
        Services with series of their own, 1 or more.

    Raises
    ------
    ValueError
        There is no client, or room for no service.
    """

    def __init__(self, clients: Iterable[Reporting], most_services: int) -> None:
        self._clients = tuple(clients)
        if not self._clients:
            raise ValueError("name at least one client")
        if most_services < 1:
            raise ValueError(f"most_services must be 1 or more, not {most_services}")
        self._most_services = most_services
        self._names: dict[str, str] = {}

    def reports(self) -> list[ServiceReport]:
        """Return what all clients have done so far."""
        return [report for client in self._clients for report in client.report()]

    def values(
        self, family: Family, reports: Iterable[ServiceReport]
    ) -> dict[tuple[str, str], float]:
        """Return the values of one metric by service and label.

        Parameters
        ----------
        family : Family
        reports : iterable of ServiceReport

        Returns
        -------
        dict of (str, str) to float
            By service and label, in the unit of the metric.
        """
        is_largest = family.kind in {"info", "quantiles"}
        values: dict[tuple[str, str], float] = {}
        for report in reports:
            service = self._service(report.name)
            for label, value in family.rows(report):
                before = values.get((service, label))
                if before is None:
                    values[service, label] = value
                else:
                    values[service, label] = max(before, value) if is_largest else before + value
        return values

    def _service(self, name: str) -> str:
        """Return what a service is called; those that came first keep their names."""
        if name not in self._names and len(self._names) < self._most_services:
            self._names[name] = name
        return self._names.get(name, OTHER)
