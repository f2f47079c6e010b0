# SPDX-License-Identifier: MIT
"""How do the policies of a client become metrics of Prometheus?

::

    from resonance.integrations import prometheus

    prometheus.register(client)  # once, with all clients of the process

Nothing is counted twice: a scrape reads the counters that the client keeps for itself. The
names and what they mean are in docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from resonance.errors import MissingExtraError
from resonance.integrations._families import FAMILIES, MOST_SERVICES, Family, Reporting, Sources

try:
    from prometheus_client import REGISTRY, CollectorRegistry
    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "prometheus_client":
        raise
    raise MissingExtraError(
        "resonance.integrations.prometheus", "prometheus-client", "prometheus"
    ) from None

__all__ = ["PolicyCollector", "register"]

_PREFIX: Final = "resonance_"
_KINDS: Final = {"counter": "counter", "gauge": "gauge", "info": "gauge", "quantiles": "summary"}
_ENDINGS: Final = {"counter": "_total", "info": "_info"}


class PolicyCollector(Collector):
    """The metrics of some clients, made when they are scraped.

    Parameters
    ----------
    *clients : resonance.Client or resonance.AsyncClient
        Services of the same name are added up.
    most_services : int
        Services with series of their own; later ones are added up as ``other``.

    Raises
    ------
    ValueError
        There is no client, or room for no service.
    """

    def __init__(self, *clients: Reporting, most_services: int = MOST_SERVICES) -> None:
        self._sources = Sources(clients, most_services)

    def describe(self) -> Iterator[Metric]:
        """Yield the names, without asking anybody for values."""
        return map(_metric, FAMILIES)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, with the values of all services that were called so far."""
        reports = self._sources.reports()
        for family in FAMILIES:
            metric = _metric(family)
            name = _sample_name(family)
            for (service, label), value in self._sources.values(family, reports).items():
                labels = {"service": service}
                if family.label:
                    labels[family.label] = label
                metric.add_sample(name, labels, value)
            yield metric


def _metric(family: Family) -> Metric:
    ending = "_info" if family.kind == "info" else ""
    return Metric(f"{_PREFIX}{family.name}{ending}", family.help, _KINDS[family.kind])


def _sample_name(family: Family) -> str:
    return f"{_PREFIX}{family.name}{_ENDINGS.get(family.kind, '')}"


def register(
    *clients: Reporting,
    registry: CollectorRegistry = REGISTRY,
    most_services: int = MOST_SERVICES,
) -> PolicyCollector:
    """Let a registry show what the policies of some clients do.

    Parameters
    ----------
    *clients : resonance.Client or resonance.AsyncClient
        All of the process: a registry takes their names once.
    registry : prometheus_client.CollectorRegistry
    most_services : int
        Services with series of their own; later ones are added up as ``other``.

    Returns
    -------
    PolicyCollector
        To hand to ``registry.unregister``.

    Raises
    ------
    ValueError
        There is no client, or the registry has these names already.
    """
    collector = PolicyCollector(*clients, most_services=most_services)
    registry.register(collector)
    return collector
