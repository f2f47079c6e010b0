# SPDX-License-Identifier: MIT
"""The congestion control of new connections over one route (``ip route ... congctl``).

A route has no name: it is known by its destination, priority and next hop. So a target is
``DESTINATION metric N``, and a route with another next hop is another route. The whole message of
the route is journalled beside the algorithm; put back is only the algorithm and its lock, in the
route as it then is, because other metrics may have been changed by their owner since.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import ClassVar, Final, Literal, cast

from resonance_tuning.errors import KnobUnavailableError, TargetVanishedError
from resonance_tuning.knob import Knob
from resonance_tuning.records import State, Target, TargetKind
from resonance_tuning.surfaces import netlink, routes
from resonance_tuning.surfaces.congestion import not_loaded, parse_algorithm
from resonance_tuning.surfaces.netlink import Message

__all__ = ["RouteCongestion"]

_NAME: Final = re.compile(r"(\S+)(?: metric (\d+))?")


class RouteCongestion(Knob):
    """RTAX_CC_ALGO."""

    name: ClassVar[str] = "route_congestion"
    summary: ClassVar[str] = (
        "Congestion control of new connections over one route: BBR to distant peers while the "
        "near ones keep the default."
    )
    scope: ClassVar[TargetKind] = "route"
    rung: ClassVar[int] = 2
    evidence: ClassVar[Literal["runqueue", "srtt", "none"]] = "srtt"
    capabilities: ClassVar[frozenset[str]] = frozenset({"CAP_NET_ADMIN"})

    def targets(self, matched: Iterable[Target]) -> list[Target]:
        """Return the routes with their metric: a better one that comes later is another."""
        return [self._named(target) for target in super().targets(matched)]

    def unavailable(self, target: Target) -> str:
        """Return why there is no such route, or why it could not be put back."""
        missing = netlink.missing()
        if missing:
            return missing
        try:
            return routes.refusal(self._route(target))
        except (KnobUnavailableError, TargetVanishedError) as error:
            return error.reason

    def parse(self, value: object) -> str:
        """Return ``bbr`` or ``bbr lock``; a table has ``algorithm`` and ``lock``."""
        if isinstance(value, Mapping):
            table = dict(cast("Mapping[str, object]", value))
            algorithm, lock = table.pop("algorithm", None), table.pop("lock", False)
            if table or not isinstance(lock, bool):
                raise ValueError("expected algorithm, and lock = true or false")
            return parse_algorithm(algorithm) + (" lock" if lock else "")
        if not isinstance(value, str):
            return parse_algorithm(value)
        return parse_algorithm(value.removesuffix(" lock")) + (
            " lock" if value.endswith(" lock") else ""
        )

    def canonical(self, target: Target, value: str) -> str:
        """Return the value itself; raises KnobUnavailableError where the kernel has it not."""
        del target
        reason = not_loaded(self.host, value.partition(" ")[0])
        if value and reason:
            raise KnobUnavailableError(self.name, reason)
        return value

    def identity(self, target: Target) -> str:
        """Return all of the route's message but its metrics."""
        return routes.identity_text(self._route(target))

    def read(self, target: Target) -> State:
        """Return the algorithm, from a fresh dump; the whole route beside it."""
        route = self._route(target)
        value = routes.congestion_of(route)
        return State(value, {"route": routes.with_congestion(route, value).to_text()})

    def write(self, target: Target, value: str) -> None:
        """Put the same route with another algorithm in its place."""
        route = self._route(target)
        if routes.congestion_of(route) == value:
            return
        try:
            netlink.replace_route(self.host, routes.with_congestion(route, value))
        except (FileNotFoundError, ProcessLookupError) as error:
            raise TargetVanishedError(str(target)) from error

    def commands(self, target: Target, prior: State) -> tuple[str, ...]:
        """Return the ``ip route replace`` that makes the whole route as it was."""
        del target
        try:
            words = routes.replace_words(Message.from_text(prior.coupled.get("route", "{}")))
        except (OSError, ValueError):  # it has what cannot be said in words, or its device is gone
            return ("resonanced rollback",)
        family = "-6" if ":" in words[0] else "-4"
        return (shlex.join(["ip", family, "route", "replace", *words]),)

    def _named(self, target: Target) -> Target:
        try:
            metric = routes.priority_of(self._route(target))
        except (KnobUnavailableError, TargetVanishedError):
            return target
        return Target("route", f"{target.name.partition(' ')[0]} metric {metric}")

    def _route(self, target: Target) -> Message:
        destination, metric = _parse_name(target.name)
        found = [
            route
            for route in netlink.routes(self.host, destination.family)
            if destination.is_of(route) and metric in {None, routes.priority_of(route)}
        ]
        if not found:
            raise TargetVanishedError(str(target), "there is no such route")
        best = min(routes.priority_of(route) for route in found)
        found = [route for route in found if routes.priority_of(route) == best]
        if len(found) > 1:
            # A replacement goes by destination and metric, and would take any of them.
            raise KnobUnavailableError(self.name, f"{len(found)} routes lead to {target.name}")
        return found[0]


def _parse_name(name: str) -> tuple[routes.Destination, int | None]:
    match = _NAME.fullmatch(name)
    try:
        destination = routes.Destination.parse(match[1] if match else name)
    except ValueError as error:
        raise KnobUnavailableError(RouteCongestion.name, str(error)) from error
    return destination, int(match[2]) if match and match[2] else None
