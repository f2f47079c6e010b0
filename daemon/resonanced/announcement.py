# SPDX-License-Identifier: MIT
"""What does a person who starts the service need to know? Mode, backend, places, user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # the keeper shows it, and holds no more than it must
    from resonance_bpf.report import LoadReport
    from resonance_tuning.actuator.wire import Begun
    from resonance_tuning.settings import TuningSettings
    from resonanced.config import Settings
    from resonanced.link import Ready
    from resonanced.privileges import Identity

__all__ = ["announcement"]

_NO_PROOF: Final = "this tier counts no histograms, so no gain can be proven"
_AT_THE_END: Final = {
    "restore": "at the end all of it is put back",
    "keep": "at the end it stays, until resonanced rollback",
}
_PHASES: Final = {
    "observe": "no periodic work is moved",
    "shadow": "says what moving periodic work would gain, moves none",
    "adaptive": "a share of the sources that allow it is moved; see resonanced phase",
    "active": "sources that allow it are moved; see resonanced phase",
}

_POLICIES: Final = {
    "observe": "clients of the SDK only count what they would do",
    "advise": "clients of the SDK say what they would do, and do not do it",
}


def announcement(
    report: LoadReport,
    ready: Ready,
    identity: Identity,
    settings: Settings,
    begun: Begun | None,
) -> list[str]:
    """Return the lines that are printed once the service serves.

    Parameters
    ----------
    begun : Begun or None
        What the actuator said; ``None`` where none runs.
    """
    attached = sum(program.attached for program in report.programs)
    what = f"{attached} of {len(report.programs)} programs"
    if report.backend == "none":
        what = "no BPF: sums and means, no histograms"
    nobody = (
        " (there is no user resonance here: run systemd-sysusers)" if identity.is_fallback else ""
    )
    return [
        *_mode_lines(report, settings.tuning, begun),
        f"  phases   {settings.phase.mode}: {_PHASES[settings.phase.mode]}",
        *_policy_lines(settings.policies.mode),
        f"  backend  {report.backend}, tier {report.tier}, cgroups by {report.hierarchy}; {what}",
        *(f"           not {refused.backend}: {refused.reason}" for refused in report.rejected),
        *(
            f"           without {program.name}: {program.reason}"
            for program in report.programs
            if not program.attached
        ),
        f"  metrics  {ready.metrics}",
        f"  hints    {ready.hints}",
        f"  user     {identity.user}, group {identity.group}{nobody}",
    ]


def _policy_lines(mode: str) -> list[str]:
    """Say what clients of the SDK may not do; nothing where they may do what they choose."""
    return [f"  policies {mode}: {_POLICIES[mode]}"] if mode in _POLICIES else []


def _mode_lines(report: LoadReport, tuning: TuningSettings, begun: Begun | None) -> list[str]:
    """Say which mode is in force, and why it is not the one that was asked for."""
    if begun is None:
        return ["resonanced: observe mode, nothing on this host is changed"]
    what = f"profile {tuning.profile}"
    reason = begun.reason or (_NO_PROOF if report.backend == "none" else "")
    if tuning.mode == "shadow" or begun.is_shadow or reason:
        lines = [f"resonanced: shadow mode, {what}: says what it would change, changes nothing"]
        is_lower = tuning.mode != "shadow" and reason
        return [*lines, f"           not {tuning.mode}: {reason}"] if is_lower else lines
    how_far = "rungs 1 and 2 of" if tuning.mode == "adaptive" else "all of"
    return [
        f"resonanced: {tuning.mode} mode, {how_far} {what}: one knob at a time,",
        "           and only what is proven to help stays; see resonanced explain",
        f"           {_AT_THE_END[tuning.on_stop]}, unless the profile says otherwise",
    ]
