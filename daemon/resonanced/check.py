# SPDX-License-Identifier: MIT
"""``resonanced check``: what is there, what is not, which tier that makes, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from resonance_bpf.features import Feature, best_tier, survey
from resonance_bpf.hierarchy import find_hierarchy
from resonance_bpf.report import BackendName, Tier
from resonanced.config import Settings

__all__ = ["DEGRADED", "report"]

DEGRADED: Final = 3
"""Exit status when the service would start, in a lower tier than the best or not as asked."""
_WIDTH: Final = 79
_WANTED: Final[dict[BackendName, tuple[Tier, ...]]] = {
    "core": ("core",),
    "bcc": ("bcc", "bcc-tracefs"),
    "none": ("procfs",),
}


def report(settings: Settings, output: str) -> tuple[str, int]:
    """Return the report as text or JSON, and the exit status.

    The status is 0 where the wanted backend (``auto``: the best one) would be taken, and
    `DEGRADED` where another or none would. Nothing is loaded and nothing is written.
    """
    features = survey(Path(settings.probes.bpffs_directory))
    tier, passed = best_tier(features)
    hierarchy = find_hierarchy()
    wanted = settings.probes.backend
    if wanted != "auto":
        is_wanted = tier in _WANTED[wanted] or _is_possible(wanted, features)
        tier = _WANTED[wanted][0] if is_wanted else tier
    else:
        is_wanted = tier == "core"
    status = 0 if is_wanted else DEGRADED
    if output == "json":
        return _json(features, tier, passed, hierarchy.name, status), status
    lines = [_row(feature) for feature in features]
    lines += ["", f"cgroups by {hierarchy.name}, mounted at {hierarchy.mount}"]
    lines += [f"not {reason}" for reason in passed]
    if is_wanted:
        lines.append(f"tier {tier}: resonanced run would measure with it")
    elif wanted == "auto":
        lines.append(f"tier {tier}: resonanced run would fall back to it")
    else:
        lines.append(f"backend {wanted} is not possible here; auto would take tier {tier}")
    return "\n".join(lines) + "\n", status


def _is_possible(backend: BackendName, features: list[Feature]) -> bool:
    tiers = _WANTED[backend]
    return backend == "none" or any(
        all(feature.is_there or tier not in feature.needed_by for feature in features)
        for tier in tiers
    )


def _row(feature: Feature) -> str:
    mark = "yes" if feature.is_there else "no "
    return f"{mark} {feature.name:<36} {feature.detail}"[:_WIDTH]


def _json(
    features: list[Feature], tier: str, passed: list[str], hierarchy: str, status: int
) -> str:
    rows = [
        {
            "name": feature.name,
            "is_there": feature.is_there,
            "detail": feature.detail,
            "needed_by": sorted(feature.needed_by),
        }
        for feature in features
    ]
    document = {"tier": tier, "passed_over": passed, "hierarchy": hierarchy, "features": rows}
    return json.dumps(document | {"exit_status": status}, indent=2) + "\n"
