# SPDX-License-Identifier: MIT
"""A profile in force for a while: all of it, or an error; and taken back, or an error."""

from __future__ import annotations

import json
import shutil
import subprocess
import tomllib
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from resonance.bench.errors import ExperimentError
from resonance.bench.reference.daemon import running

__all__ = ["HOST_WIDE", "OPT_IN", "applied"]

HOST_WIDE: Final = ("irq_affinity", "rps_affinity", "workqueue_affinity")
"""Knobs that belong to the whole host; they are refused, whatever the profile says."""
OPT_IN: Final = ("realtime",)
"""Knobs that are only turned when the configuration names them, too."""
_ROLES: Final = ("latency_critical", "batch", "network", "host")
_VERB_SECONDS: Final = 60.0


@contextmanager
def applied(
    profile: str,
    *,
    latency_critical: Sequence[str] = (),
    batch: Sequence[str] = (),
    routes: Sequence[str] = (),
    network_namespace: str = "",
) -> Generator[None]:
    """Have a profile in force for a while; all of it, or an error.

    Knobs that belong to the whole host (`HOST_WIDE`) are refused; so is what no command can do
    because it lasts only as long as the process that does it.

    Parameters
    ----------
    profile : str
        Its TOML; it may include one that is shipped.
    latency_critical, batch : sequence of str
        Whom it is for: paths of cgroups, or ``process:NAME``.
    routes : sequence of str
        Destinations, for what it says of routes.
    network_namespace : str
        Below ``/run/netns``, where those routes are; empty for this one.

    Yields
    ------
    None

    Raises
    ------
    ExperimentError
        Something was left out, refused, or not put back; with the daemon's own reason.
    """
    enters = [_tool("nsenter"), f"--net=/run/netns/{network_namespace}"]
    prefix = enters if network_namespace else []
    with running.place() as parent:
        configuration = parent / "resonanced.toml"
        (parent / "profiles").mkdir()
        (parent / "profiles" / "bench.toml").write_text(profile, encoding="utf-8")
        configuration.write_text(
            _configuration(parent, profile, latency_critical, batch, routes), encoding="utf-8"
        )
        verb = [*prefix, running.command(), "apply", "bench"]
        options = ["--config", str(configuration), "--output", "json"]
        try:
            done = _told("applying a profile", [*verb, *options])
            _check_applied(done, profile, [*latency_critical, *batch])
            yield
        finally:
            back = [*prefix, running.command(), "rollback", *options]
            _check_restored(_told("taking a profile back", back))


def _configuration(
    parent: Path,
    profile: str,
    latency_critical: Sequence[str],
    batch: Sequence[str],
    routes: Sequence[str],
) -> str:
    """Return a configuration with places of its own; JSON's texts and lists are TOML's, too."""
    allow = [knob for knob in OPT_IN if knob in _knobs_of(profile)]
    groups = {"latency_critical": latency_critical, "batch": batch}
    tables: dict[str, dict[str, object]] = {
        "service": {"runtime_directory": str(parent / "resonance")},
        "probes": {"bpffs_directory": str(parent / "bpf")},
        "tuning": {
            "journal_directory": str(parent / "journal"),
            "profiles_directory": str(parent / "profiles"),
            "allow": allow,
            "refuse": list(HOST_WIDE),
        },
        "tuning.network": {"routes": list(routes)},
        **{f"tuning.{role}": _group(names) for role, names in groups.items()},
    }
    lines: list[str] = []
    for table, values in tables.items():
        lines.append(f"[{table}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(lines)


def _group(names: Sequence[str]) -> dict[str, object]:
    kind = "process:"
    return {
        "cgroups": [name for name in names if not name.startswith(kind)],
        "processes": [name.removeprefix(kind) for name in names if name.startswith(kind)],
    }


def _knobs_of(profile: str) -> set[str]:
    """Return the knobs a profile turns itself, those of what it includes left out."""
    tables = tomllib.loads(profile)
    return {knob for role in _ROLES for knob in tables.get(role, {})}


def _check_applied(done: Mapping[str, Any], profile: str, names: Sequence[str]) -> None:
    """Raise where not all of a profile that concerns the groups is in force now."""
    reasons = [
        f"{_setting(each)} was left out: {each['reason']}"
        for each in done["excluded"]
        if each["setting"]["knob"] not in HOST_WIDE
    ]
    reasons += [
        f"{_setting(each)} {each['outcome']}: {each['reason'] or each['found']}"
        for each in done["receipts"]
        if each["outcome"] != "applied"
    ]
    written = {each["setting"]["knob"] for each in done["receipts"]}
    unwritten = _knobs_of(profile) - written - set(HOST_WIDE)
    reasons += [f"{knob} was not turned anywhere" for knob in sorted(unwritten)]
    met = {*done["latency_critical"], *done["batch"]}
    for name in names:
        if not name.startswith("process:") and name not in met:
            reasons.append(f"{name} was not found, or may not be tuned")
    if reasons:
        notes = done["notes"]
        raise ExperimentError("applying a profile", "; ".join([*reasons, *notes]))


def _check_restored(done: Mapping[str, Any]) -> None:
    reasons = [
        f"{_setting(each)} {each['outcome']}: {each['reason'] or each['found']}"
        for each in done["receipts"]
        if each["outcome"] != "restored"
    ]
    reasons += [*done["failures"], *filter(None, [done["damage"]])]
    if reasons:
        raise ExperimentError("taking a profile back", "; ".join(reasons))


def _setting(of: Mapping[str, Any]) -> str:
    setting = of["setting"]
    target = setting["target"]
    return f"{setting['knob']} of {target['kind']} {target['name']}"


def _told(what: str, verb: Sequence[str]) -> dict[str, Any]:
    """Run a verb of the daemon; return what it says, also where it says it failed."""
    done = subprocess.run(verb, capture_output=True, text=True, check=False, timeout=_VERB_SECONDS)
    try:
        told: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        reason = done.stderr.strip() or f"resonanced ended with status {done.returncode}"
        raise ExperimentError(what, reason) from None
    return told


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise ExperimentError(f"running {name}", "it is not installed: apt-get install util-linux")
    return found
