# SPDX-License-Identifier: MIT
"""Which cgroups must be measured apart because they are tuned?"""

from __future__ import annotations

import glob
from collections.abc import Iterable

from resonance_tuning.settings import TuningSettings

__all__ = ["patterns_of_cgroups", "patterns_of_settings"]


def patterns_of_settings(settings: TuningSettings) -> tuple[str, ...]:
    """Return the patterns of the cgroups and units that the configuration names."""
    groups = settings.latency_critical, settings.batch
    cgroups = [pattern for group in groups for pattern in group.cgroups]
    return (*cgroups, *(f"*/{glob.escape(unit)}" for group in groups for unit in group.units))


def patterns_of_cgroups(cgroups: Iterable[str]) -> tuple[str, ...]:
    """Return the patterns of these cgroups, and of those below them."""
    escaped = [glob.escape(cgroup) for cgroup in cgroups]
    return tuple(pattern for cgroup in escaped for pattern in (cgroup, f"{cgroup}/*"))
