# SPDX-License-Identifier: MIT
"""Snapshots and load reports without a kernel."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np

from resonance_bpf.catalogue import BUCKETS, PROGRAMS, SCHEDULING_CLASSES, SLOTS
from resonance_bpf.layouts import bucket_index
from resonance_bpf.report import LoadReport, ProgramReport
from resonanced.model import (
    Distribution,
    Neighbour,
    Overhead,
    Rhythm,
    Slot,
    Snapshot,
    Tuning,
)

OTHER = Slot(index=0, generation=1, cgroup="other", cgroup_id=0)
WEB = Slot(index=3, generation=2, cgroup="/system.slice/web.service", cgroup_id=4711)

REPORT = LoadReport(
    backend="core",
    tier="core",
    hierarchy="v2",
    programs=tuple(
        ProgramReport(name=program.name, attached=program.name != "socket_ready")
        for program in PROGRAMS
    ),
    map_bytes={"runqueue_histograms": 163_840},
)

TUNING = Tuning(
    mode="adaptive",
    requested_mode="adaptive",
    profile="balanced",
    applied={"cpu_weight": 1},
    writes={("cpu_weight", "applied"): 2, ("cpu_weight", "restored"): 1},
    drifts={"cpu_weight": 0},
    verdicts={("cpu_weight", "kept"): 1},
    grants={WEB.cgroup: (1, 2, 3)},
)

RHYTHM = Rhythm(
    mode="active",
    configured_mode="shadow",
    guard_state="acquire",
    reason="the plan has a quarter of the discrepancy",
    dominant_period_seconds=0.1,
    entropy_excess=0.5,
    order_parameter=0.9,
    mean_phase_rad=1.25,
    coupling=1.0,
    discrepancy_seconds=0.02,
    planned_discrepancy_seconds=0.005,
    predicted_ratio=0.25,
    predicted_peak_ns=500_000_000_000,
    delay_bound_seconds=0.03,
    delay_bound_checks=100,
    delay_bound_violations=1,
    profile_seconds=tuple(step / 64 for step in range(64)),
    profile_origin_ns=499_000_000_000,
    profile_period_seconds=0.1,
    neighbours=(Neighbour(WEB, 0.75, 0.1, 0.025, is_named=True),),
    sources={"registered": 8, "eligible": 6, "held": 4},
    trips={"anti_herd": 0, "rollback": 1},
    commands={"grant": 2, "slew": 4, "home": 0, "shadowed": 3},
    missed_bins=17,
)


def distribution(waits_ns: dict[int, list[int]] | None = None) -> Distribution:
    """Return what the kernel would have counted of these waits, per slot."""
    count = np.zeros(SLOTS, dtype=np.uint64)
    sum_ns = np.zeros(SLOTS, dtype=np.uint64)
    buckets = np.zeros((SLOTS, BUCKETS), dtype=np.uint64)
    for slot, waits in (waits_ns or {}).items():
        count[slot] = len(waits)
        sum_ns[slot] = sum(waits)
        for wait in waits:
            buckets[slot, bucket_index(wait)] += np.uint64(1)
    return Distribution(count=count, sum_ns=sum_ns, buckets=buckets, recent=buckets)


def without_histograms(waits: Distribution) -> Distribution:
    """Return the same as the tier without BPF would know it."""
    return dataclasses.replace(waits, buckets=None, recent=None)


def overhead(**changes: Any) -> Overhead:
    """Return an overhead with every program at zero."""
    zeros = {program.name: 0 for program in PROGRAMS}
    values: dict[str, Any] = {
        "runs": zeros,
        "run_seconds": dict.fromkeys(zeros, 0.0),
        "missed": zeros,
        "unassigned_events": 0,
        "baseline_collisions": 0,
        "negative_waits": 0,
        "saturations": 0,
        "map_bytes": {"runqueue_histograms": 163_840},
    }
    return Overhead(**(values | changes))


def snapshot(**changes: Any) -> Snapshot:
    """Return a quiet snapshot of two slots, read now, with these fields changed."""
    pressure = np.full(SLOTS, np.nan)
    pressure[[0, 3]] = 0.0, 0.25
    values: dict[str, Any] = {
        "monotonic_ns": time.monotonic_ns(),
        "unix_seconds": 1_790_000_000.5,
        "sequence": 1,
        "slots": (OTHER, WEB),
        "pressure": pressure,
        "runqueue": distribution(),
        "sockets": {kind: distribution() for kind in ("srtt", "connect", "receive")},
        "retransmits": np.zeros(SLOTS, dtype=np.uint64),
        "cpu_count": np.array([5, 7], dtype=np.uint64),
        "cpu_sum_ns": np.array([1_000, 2_500_000_000], dtype=np.uint64),
        "class_count": np.zeros(len(SCHEDULING_CLASSES), dtype=np.uint64),
        "class_sum_ns": np.zeros(len(SCHEDULING_CLASSES), dtype=np.uint64),
        "overhead": overhead(),
    }
    return Snapshot(**(values | changes))
