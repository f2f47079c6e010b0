# SPDX-License-Identifier: MIT
"""Which metrics tell what is changed on this host, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)

from resonanced.model import Snapshot, Tuning

__all__ = ["tuning_families"]


def tuning_families(snapshot: Snapshot) -> Iterator[Metric]:
    """Yield the families of the tuning; without samples where nothing may be tuned."""
    tuning = snapshot.tuning
    yield _profile(tuning)
    yield _degraded(tuning)
    yield _rows(
        GaugeMetricFamily(
            "resonance_tuning_applied",
            "Settings in force through us, by knob.",
            labels=("knob",),
        ),
        (((knob,), count) for knob, count in tuning.applied.items()),
    )
    yield _rows(
        CounterMetricFamily(
            "resonance_tuning_writes",
            "What became of a setting that was to be made or taken back.",
            labels=("knob", "outcome"),
        ),
        tuning.writes.items(),
    )
    yield _rows(
        CounterMetricFamily(
            "resonance_tuning_drift",
            "Settings of ours that somebody else changed; they are theirs now.",
            labels=("knob",),
        ),
        (((knob,), count) for knob, count in tuning.drifts.items()),
    )
    yield _rows(
        CounterMetricFamily(
            "resonance_tuning_verdicts",
            "Changes that were judged by what the latency-critical cgroups waited.",
            labels=("knob", "verdict"),
        ),
        tuning.verdicts.items(),
    )
    yield _grants(snapshot.tuning.grants, snapshot)


def _profile(tuning: Tuning) -> Metric:
    family = InfoMetricFamily(
        "resonance_tuning_profile",
        "The profile and the mode in force.",
        labels=("profile", "mode"),
    )
    if tuning.profile:
        family.add_metric((tuning.profile, tuning.mode), {})
    return family


def _degraded(tuning: Tuning) -> Metric:
    family = GaugeMetricFamily(
        "resonance_tuning_degraded",
        "1 while less is tuned than was asked for; the log says why.",
        labels=(),
    )
    if tuning.requested_mode != "observe":
        family.add_metric((), int(bool(tuning.reason)))
    return family


def _grants(grants: Mapping[str, tuple[int, ...]], snapshot: Snapshot) -> Metric:
    return _rows(
        GaugeMetricFamily(
            "resonance_tuning_exclusive_cpus",
            "CPUs on which only the slot's cgroup runs.",
            labels=("slot",),
        ),
        (
            ((str(slot.index),), len(grants[slot.cgroup]))
            for slot in snapshot.slots
            if slot.cgroup in grants
        ),
    )


def _rows(
    family: GaugeMetricFamily | CounterMetricFamily, rows: Iterable[tuple[tuple[str, ...], float]]
) -> Metric:
    for labels, value in rows:
        family.add_metric(labels, value)
    return family
