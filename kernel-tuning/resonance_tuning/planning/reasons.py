# SPDX-License-Identifier: MIT
"""Why is a knob turned? A sentence of each for the operator, with the rung it stands on."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from resonance_tuning.knob import Knob
from resonance_tuning.records import Setting

__all__ = ["SENTENCES", "reason_of"]

_CRITICAL_WEIGHT: Final = (
    "on a contended CPU {target} goes before its neighbours, and nothing is lost while it sleeps"
)
_BATCH_WEIGHT: Final = "{target} gets less of a contended CPU than its neighbours"
_IDLE: Final = (
    "{target} gives way to everybody else at once, and still gets every cycle nobody wants"
)
_CRITICAL_CPUS: Final = "{target} runs on CPUs {value} only, where no batch work is"
_BATCH_CPUS: Final = "{target} keeps to CPUs {value}, off those of the latency-critical"

SENTENCES: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        ("task_idle", "batch"): _IDLE,
        ("cpu_idle", "batch"): _IDLE,
        ("cpu_weight", "latency_critical"): _CRITICAL_WEIGHT,
        ("cpu_weight", "batch"): _BATCH_WEIGHT,
        ("unit_cpu_weight", "latency_critical"): _CRITICAL_WEIGHT,
        ("unit_cpu_weight", "batch"): _BATCH_WEIGHT,
        ("nice", "latency_critical"): _CRITICAL_WEIGHT,
        ("nice", "batch"): _BATCH_WEIGHT,
        ("autogroup", "latency_critical"): "the session of {target} goes before other sessions",
        ("autogroup", "batch"): "the session of {target} gives way to other sessions",
        ("cpu_bandwidth", "latency_critical"): (
            "{target} has no CPU quota; with one, its tail would be the quota's"
        ),
        ("cpuset", "latency_critical"): _CRITICAL_CPUS,
        ("cpuset", "batch"): _BATCH_CPUS,
        ("unit_allowed_cpus", "latency_critical"): _CRITICAL_CPUS,
        ("unit_allowed_cpus", "batch"): _BATCH_CPUS,
        ("cpuset_partition", "latency_critical"): (
            "nobody else runs on the CPUs of {target}, not even who is in no group"
        ),
        ("realtime", "latency_critical"): (
            "{target} runs before everything that is not real-time, watched and throttled"
        ),
        ("irq_affinity", "host"): (
            "{target} is served on CPUs {value}, and does not interrupt the latency-critical"
        ),
        ("rps_affinity", "host"): (
            "packets of {target} are handled away from the latency-critical (CPU mask {value})"
        ),
        ("workqueue_affinity", "host"): (
            "the kernel's own work leaves the CPUs of the latency-critical (CPU mask {value})"
        ),
        ("cpu_dma_latency", "host"): (
            "CPUs wake from sleep within {value} µs, at the price of power"
        ),
        ("congestion_control", "network"): (
            "new connections of {target} use {value}, which keeps the queue on the path short; "
            "those that are open stay as they are"
        ),
        ("notsent_lowat", "network"): (
            "{target} hands the kernel no more than {value} bytes ahead, so that what is sent "
            "is fresh"
        ),
        ("route_congestion", "network"): "new connections by {target} use {value}",
        ("pacing", "network"): "{target} sends evenly instead of in bursts",
        ("qdisc", "network"): "{target} queues with {value}, fair between its flows",
    }
)
"""By knob and role; the others are told by their knob's summary."""


def reason_of(knob: Knob, setting: Setting) -> str:
    """Return why a setting is made: what it is good for, and how invasive it is."""
    if setting.knob == "unit_cpu_weight" and setting.value == "idle":
        sentence = _IDLE
    else:
        sentence = SENTENCES.get((setting.knob, setting.role), "")
    text = sentence.format(target=setting.target, value=setting.value)
    if not text:
        text = f"{setting.target} gets {setting.value}: {knob.summary.rstrip('.')}"
    return f"{text} (rung {knob.rung} of 5)"
