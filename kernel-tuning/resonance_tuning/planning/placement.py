# SPDX-License-Identifier: MIT
"""Which CPUs for whom? Some are kept for the house, some for what is latency-critical.

A core is never split: two threads of one core share its pipeline, so that a hog on the one
delays the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from resonance_tuning.errors import RequirementError
from resonance_tuning.host import Host, format_cpus, parse_cpus

__all__ = ["Placement", "place"]

_HOUSEKEEPING_RATIO: Final = 0.1
_TOPOLOGY: Final = "/sys/devices/system/cpu/cpu{}/topology/{}"


@dataclass(frozen=True, slots=True)
class Placement:
    """Who runs where.

    Attributes
    ----------
    online : frozenset of int
    housekeeping : frozenset of int
        For the kernel's threads and everybody nobody named; always CPU 0.
    latency_critical : frozenset of int
    batch : frozenset of int
        What is left; the housekeeping ones where nothing is.
    """

    online: frozenset[int]
    housekeeping: frozenset[int]
    latency_critical: frozenset[int]
    batch: frozenset[int]

    @property
    def variables(self) -> dict[str, str]:
        """The lists of CPUs by their names in profiles."""
        return {
            "online_cpus": format_cpus(self.online),
            "housekeeping_cpus": format_cpus(self.housekeeping),
            "latency_critical_cpus": format_cpus(self.latency_critical),
            "batch_cpus": format_cpus(self.batch),
        }


def place(
    host: Host,
    *,
    latency_critical_cpus: int | None = None,
    min_housekeeping: int = 1,
    profile: str = "",
) -> Placement:
    """Divide the online CPUs.

    Housekeeping gets whole cores from the lowest number up: `min_housekeeping` CPUs, and a
    tenth of all. Latency-critical groups get whole cores from the other end, so that they
    share a package with each other rather than with the house.

    Parameters
    ----------
    host : Host
    latency_critical_cpus : int, optional
        How many at least; rounded up to whole cores. Half of what the house leaves when not
        given, one core at least.
    min_housekeeping : int
    profile : str
        Who asks, for the error.

    Raises
    ------
    RequirementError
        There are too few CPUs or cores.
    """
    online = host.online_cpus()
    if len(online) < 2:
        raise RequirementError(profile, "2 online CPUs", str(len(online)))
    cores = _cores(host, online)
    wanted = max(min_housekeeping, math.ceil(len(online) * _HOUSEKEEPING_RATIO))
    housekeeping = _take(cores, wanted)
    rest = [core for core in cores if not core <= housekeeping]
    left = len(online) - len(housekeeping)
    if not rest:
        asked = f"a core beside {wanted} CPUs for housekeeping"
        raise RequirementError(profile, asked, f"{len(cores)} cores in all")
    if latency_critical_cpus is not None and not 1 <= latency_critical_cpus <= left:
        asked = f"{latency_critical_cpus} CPUs for latency-critical groups"
        raise RequirementError(profile, asked, f"{left} beside housekeeping")
    critical = _take(reversed(rest), latency_critical_cpus or max(1, left // 2))
    return Placement(
        online=online,
        housekeeping=housekeeping,
        latency_critical=critical,
        batch=online - housekeeping - critical or housekeeping,
    )


def _take(cores: Iterable[frozenset[int]], wanted: int) -> frozenset[int]:
    """Return whole cores until there are as many CPUs as wanted."""
    taken: frozenset[int] = frozenset()
    for core in cores:
        if len(taken) >= wanted:
            break
        taken |= core
    return taken


def _cores(host: Host, online: frozenset[int]) -> list[frozenset[int]]:
    """Return the online CPUs of each core: CPU 0's first, then package by package."""
    found: dict[frozenset[int], tuple[int, int]] = {}
    for cpu in online:
        core = parse_cpus(_topology(host, cpu, "thread_siblings_list", str(cpu))) & online
        package = int(_topology(host, cpu, "physical_package_id", "0"))
        found[core or frozenset({cpu})] = package, min(core or {cpu})
    return sorted(found, key=lambda core: (min(core) != min(online), *found[core]))


def _topology(host: Host, cpu: int, name: str, otherwise: str) -> str:
    try:
        return host.read(host.path(_TOPOLOGY.format(cpu, name)))
    except FileNotFoundError:
        return otherwise  # some virtual machines tell no topology
