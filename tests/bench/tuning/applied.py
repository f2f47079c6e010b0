# SPDX-License-Identifier: MIT
"""A profile in force for a while: by a resident actuator, as the service has one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resonance_tuning.actuator.link import Actuator
from resonance_tuning.settings import Group, TuningSettings

__all__ = ["applied", "attached", "resident"]

_REASON = "a benchmark asked for it"
_NOT_OURS = ("irq_affinity", "rps_affinity", "workqueue_affinity")
"""A benchmark turns nothing that belongs to the whole host."""


@contextmanager
def resident(settings: TuningSettings, profile: str = "") -> Iterator[Actuator]:
    """Run an actuator with a journal, and if given a profile, of its own; what it did is undone."""
    with tempfile.TemporaryDirectory(prefix="resonance-bench-", dir="/run") as name:
        profiles = Path(name) / "profiles"
        profiles.mkdir()
        if profile:
            (profiles / f"{settings.profile}.toml").write_text(profile)
        begun = {"journal_directory": f"{name}/journal", "profiles_directory": str(profiles)}
        known = {field: getattr(settings, field) for field in settings.__struct_fields__}
        with Actuator(TuningSettings(**{**known, **begun}), is_resident=True) as actuator:
            yield actuator


@contextmanager
def applied(profile: str, latency_critical: str, batch: str) -> Iterator[None]:
    """Apply a shipped profile to two cgroups; everything it plans, or an error."""
    settings = TuningSettings(
        profile=profile,
        latency_critical=Group(cgroups=(latency_critical,)),
        batch=Group(cgroups=(batch,)),
        mode="active",
        refuse=_NOT_OURS,
    )
    with resident(settings) as actuator:
        changes = actuator.plan().changes
        if not changes:
            raise RuntimeError(f"the profile {profile} has nothing to change here")
        actuator.apply([change.setting for change in changes], _REASON)
        yield


@contextmanager
def attached(group: str, congestion_control: str) -> Iterator[None]:
    """Give a cgroup's new connections a congestion control."""
    text = f'[latency_critical]\ncongestion_control = "{congestion_control}"\n'
    settings = TuningSettings(
        profile="bench", latency_critical=Group(cgroups=(group,)), mode="active"
    )
    with resident(settings, text) as actuator:
        changes = actuator.plan().changes
        if [change.setting.knob for change in changes] != ["congestion_control"]:
            raise RuntimeError(f"not the one knob that was asked for: {changes}")
        actuator.apply([change.setting for change in changes], _REASON)
        yield
