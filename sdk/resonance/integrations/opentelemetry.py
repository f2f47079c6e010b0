# SPDX-License-Identifier: MIT
"""How do the policies of a client become metrics of OpenTelemetry?

::

    from resonance.integrations import opentelemetry

    opentelemetry.PolicyInstruments(client)  # once, with all clients of the process

Every instrument is observable: a collection reads the counters that the client keeps for
itself, and calls cost nothing more. What is ``resonance_hedges_total`` in docs/metrics.md is
``resonance.hedges`` here, and the label ``outcome`` the attribute ``resonance.outcome``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from resonance.errors import MissingExtraError
from resonance.integrations._families import FAMILIES, MOST_SERVICES, Family, Reporting, Sources

try:
    from opentelemetry.metrics import CallbackOptions, Meter, Observation, get_meter
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "opentelemetry":
        raise
    raise MissingExtraError(
        "resonance.integrations.opentelemetry", "opentelemetry-api", "opentelemetry"
    ) from None

__all__ = ["PolicyInstruments"]

_PREFIX: Final = "resonance."


class PolicyInstruments:
    """The instruments of some clients, made at once and read when metrics are collected.

    Parameters
    ----------
    *clients : resonance.Client or resonance.AsyncClient
        Services of the same name are added up.
    meter : opentelemetry.metrics.Meter, optional
        By default the one of the global provider, which may be set later.
    most_services : int
        Services with values of their own; later ones are added up as ``other``.

    Raises
    ------
    ValueError
        There is no client, or room for no service.
    """

    def __init__(
        self,
        *clients: Reporting,
        meter: Meter | None = None,
        most_services: int = MOST_SERVICES,
    ) -> None:
        self._sources: Sources | None = Sources(clients, most_services)
        meter = meter or get_meter("resonance")
        for family in FAMILIES:
            is_counter = family.kind == "counter"
            make = meter.create_observable_counter if is_counter else meter.create_observable_gauge
            name = f"{_PREFIX}{family.name.removesuffix('_seconds')}"
            make(name, [self._reader(family)], unit=family.unit, description=family.help)

    def close(self) -> None:
        """Let go of the clients; the instruments stay, as the API has it, and say nothing."""
        self._sources = None

    def _reader(self, family: Family) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def read(_options: CallbackOptions) -> Iterable[Observation]:
            sources = self._sources
            if sources is None:
                return
            for (service, label), value in sources.values(family, sources.reports()).items():
                attributes = {f"{_PREFIX}service": service}
                if family.label:
                    attributes[f"{_PREFIX}{family.label}"] = label
                yield Observation(value, attributes)

        return read
