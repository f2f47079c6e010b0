# SPDX-License-Identifier: MIT
"""``resonanced check``: what can be measured and tuned here, what not, and why."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any, Final

from resonance_bpf.features import Feature, best_tier, survey
from resonance_bpf.hierarchy import find_hierarchy
from resonance_bpf.loader import Choice
from resonance_bpf.report import BackendName, Tier
from resonance_tuning import capabilities
from resonance_tuning.host import Host
from resonance_tuning.knobs import make_knobs
from resonance_tuning.settings import TuningSettings
from resonanced.config import Settings
from resonanced.privileges import UNIT_CAPABILITIES
from resonanced.tunable import Tunables
from resonanced.tunable import survey as survey_knobs
from resonanced.verbs.terminal import wrapped

__all__ = ["DEGRADED", "report"]

DEGRADED: Final = 3
"""Exit status when the service would start, in a lower tier than the best or not as asked."""
_NO_PROOF: Final = "this tier counts no histograms, so no gain can be proven"
_WANTED: Final[dict[BackendName, tuple[Tier, ...]]] = {
    "core": ("core",),
    "bcc": ("bcc", "bcc-tracefs"),
    "none": ("procfs",),
}


def report(settings: Settings, output: str) -> tuple[str, int]:
    """Return the report as text or JSON, and the exit status.

    The status is 0 where the wanted backend (``auto``: the best one) would be taken, and
    `DEGRADED` where another or none would, or where the mode of the tuning cannot be had.
    Nothing is loaded and nothing is written.
    """
    features = survey(Path(settings.probes.bpffs_directory))
    best, passed = best_tier(features)
    tier, is_wanted, verdict = _judge(settings.probes.backend, best, features)
    hierarchy = find_hierarchy()
    host = Host()
    tunables = survey_knobs(host, settings.tuning, make_knobs(host))
    lowered = _why_only_shadow(settings.tuning, tunables, tier)
    lacking = _caller_lacks()
    status = 0 if is_wanted and not lowered else DEGRADED
    if output == "json":
        document = {
            "tier": tier,
            "passed_over": passed,
            "hierarchy": hierarchy.name,
            "features": [_feature_data(feature) for feature in features],
            "tuning": _tuning_data(settings.tuning, tunables, lowered),
            "caller_lacks": lacking,
            "exit_status": status,
        }
        return json.dumps(document, indent=2) + "\n", status
    lines = [line for feature in features for line in _row(feature)]
    lines += ["", f"cgroups by {hierarchy.name}, mounted at {hierarchy.mount}"]
    lines += [line for reason in passed for line in wrapped(f"not {reason}", "    ", "")]
    lines += [verdict, *_speaks_for(lacking), ""]
    lines += _tuning_lines(settings.tuning, tunables, lowered)
    return "\n".join(lines) + "\n", status


def _judge(wanted: Choice, best: Tier, features: list[Feature]) -> tuple[Tier, bool, str]:
    """Return the tier that would be taken, whether it is what was wanted, and a sentence."""
    if wanted == "auto":
        is_best = best == "core"
        how = "measure with" if is_best else "fall back to"
        return best, is_best, f"tier {best}: resonanced run would {how} it"
    if best in _WANTED[wanted] or _is_possible(wanted, features):
        tier = _WANTED[wanted][0]
        return tier, True, f"tier {tier}: resonanced run would measure with it"
    return best, False, f"backend {wanted} is not possible here; auto would take tier {best}"


def _is_possible(backend: BackendName, features: list[Feature]) -> bool:
    tiers = _WANTED[backend]
    return backend == "none" or any(
        all(feature.is_there or tier not in feature.needed_by for feature in features)
        for tier in tiers
    )


def _row(feature: Feature) -> list[str]:
    mark = "yes" if feature.is_there else "no "
    return wrapped(feature.detail, " " * 41, f"{mark} {feature.name:<36} ")


def _feature_data(feature: Feature) -> dict[str, Any]:
    return {
        "name": feature.name,
        "is_there": feature.is_there,
        "detail": feature.detail,
        "needed_by": sorted(feature.needed_by),
    }


# ---- who asks --------------------------------------------------------------------------------


def _caller_lacks() -> list[str]:
    """Return what the unit has and the caller has not: ``root``, and capabilities."""
    held = capabilities.current()["CapEff"]
    lacking = [name for name in UNIT_CAPABILITIES if name not in held]
    return ["root", *lacking] if os.geteuid() else lacking


def _speaks_for(lacking: list[str]) -> list[str]:
    if not lacking:
        return []
    more = "runs as root: ask with sudo" if lacking[0] == "root" else f"has {', '.join(lacking)}"
    return wrapped(f"this holds for you; resonanced.service {more}", "    ", "")


# ---- tuning ----------------------------------------------------------------------------------


def _why_only_shadow(settings: TuningSettings, tunables: Tunables, tier: Tier) -> str:
    """Return why a mode that changes something would not be had, or nothing."""
    if settings.mode not in {"adaptive", "active"}:
        return ""
    return tunables.everywhere or tunables.unmet or (_NO_PROOF if tier == "procfs" else "")


def _tuning_lines(settings: TuningSettings, tunables: Tunables, lowered: str) -> list[str]:
    lines = [f"tuning: mode {settings.mode}, profile {settings.profile}"]
    lines += wrapped(f"it would be shadow: {lowered}", "    ", "  ") if lowered else []
    if tunables.everywhere:
        return lines if lowered else [*lines, *wrapped(tunables.everywhere, "    ", "  ")]
    if tunables.unmet and not lowered:
        lines += wrapped(tunables.unmet, "    ", "  ")
    there = sum(reach.is_there for reach in tunables.reaches)
    lines.append(f"  {there} of {len(tunables.reaches)} knobs can be turned here; left alone:")
    by_reason: dict[str, list[str]] = {}
    for reach in tunables.reaches:
        if reach.reason:
            by_reason.setdefault(reach.reason, []).append(reach.knob)
    for reason, names in by_reason.items():
        lines += wrapped(f"{', '.join(names)}: {reason}", "        ", "    ")
    for other in tunables.others:
        kept = ", ".join(sorted(other.knobs))
        lines += wrapped(f"{other} is at work and keeps {kept}: {other.advice}", "    ", "  ")
    return [*lines, "  resonanced plan says what would be turned, on whom, and why"]


def _tuning_data(settings: TuningSettings, tunables: Tunables, lowered: str) -> dict[str, Any]:
    return {
        "mode": "shadow" if lowered else settings.mode,
        "requested_mode": settings.mode,
        "reason": lowered or tunables.everywhere or tunables.unmet,
        "profile": settings.profile,
        "knobs": [dataclasses.asdict(reach) for reach in tunables.reaches],
        "others": [
            {
                "name": other.name,
                "pid": other.pid,
                "knobs": sorted(other.knobs),
                "advice": other.advice,
            }
            for other in tunables.others
        ],
    }
