# SPDX-License-Identifier: MIT
"""Which metrics does the daemon export, apart from histograms: the latest snapshot as families.

Every label is from a small fixed set: a slot, a CPU, a class, a program. The one exception is
``resonance_slot_info``, which says whose a slot is; dashboards join on it by ``group_left``.
A slot's counters begin at zero with each owner, which Prometheus reads as a counter reset.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import psutil
from prometheus_client import Histogram
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from resonance_bpf.catalogue import SCHEDULING_CLASSES
from resonance_bpf.report import LoadReport
from resonanced.model import OBSERVING, Overhead, Snapshot, Tuning, UInts, shown_path
from resonanced.telemetry.rhythm import rhythm_families
from resonanced.telemetry.tuning import tuning_families

__all__ = ["TICK_DURATION", "SnapshotCollector"]

TICK_DURATION: Final = Histogram(
    "resonance_tick_duration_seconds",
    "Time one pass of the pipeline took: maps read, snapshot made and handed out.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0),
)

_DOUBTS: Final = {
    "unassigned_events": "Events of cgroups without a slot; they are in slot 0.",
    "baseline_collisions": "Waits of which the part before a migration could not be told.",
    "negative_waits": "Waits that a step of the clock made negative, counted as zero.",
    "saturations": "Waits longer than the last bucket can tell.",
    "slot_refusals": "Slots not given because the kernel's table had no cell left for the cgroup.",
}
"""What bounds the trust in the numbers: counters of `Overhead`."""
_OMISSIONS: Final = {
    "unplaced_configured": "Cgroups that a pattern matches and that have no slot now.",
    "skipped_cgroups": "Cgroups the last walk left out: too many, too deep or unreadable.",
    "hidden": "Tasks and surfaces that cannot be read in the tier without BPF.",
}
"""What is left out now: gauges of `Overhead`."""

Rows = Iterable[tuple[str, float]]


class SnapshotCollector(Collector):
    """Show the latest snapshot, and the processes that made it, at each scrape.

    Parameters
    ----------
    report : LoadReport
        What the loader attached.
    process_ids : mapping of str to int
        Our own processes: a name of a fixed set, and its pid.

    Attributes
    ----------
    snapshot : Snapshot or None
        Replaced whole at each tick; a scrape in another thread sees the old or the new one.
    """

    def __init__(self, report: LoadReport, process_ids: Mapping[str, int]) -> None:
        self.snapshot: Snapshot | None = None
        self._report = report
        self._constant = tuple(_load_families(report))
        self._processes = {
            name: psutil.Process(pid) for name, pid in process_ids.items() if psutil.pid_exists(pid)
        }

    def collect(self) -> Iterator[Metric]:
        """Yield every family that is known now."""
        yield from self._constant
        yield from _process_families(self._processes)
        snapshot = self.snapshot
        yield _backend(self._report, snapshot.tuning if snapshot else OBSERVING)
        if snapshot is not None:
            yield _policy_ceiling(snapshot)
            yield from _slot_families(snapshot)
            yield from _host_families(snapshot)
            yield from _overhead_families(snapshot.overhead)
            yield from tuning_families(snapshot)
            yield from rhythm_families(snapshot)


def _load_families(report: LoadReport) -> Iterator[Metric]:
    yield InfoMetricFamily(
        "resonance_build", "The release that runs.", value={"version": _release()}
    )
    yield _gauge(
        "resonance_backend_rejected_info",
        "Backends that were tried and not taken; the log and `resonanced check` say why.",
        "backend",
        ((rejection.backend, 1) for rejection in report.rejected),
    )
    yield _gauge(
        "resonance_probe_attached",
        "1 where a program is attached, 0 where it could not be.",
        "program",
        ((program.name, int(program.attached)) for program in report.programs),
    )


def _backend(report: LoadReport, tuning: Tuning) -> Metric:
    return InfoMetricFamily(
        "resonance_backend",
        "The backend and tier in force; mode observe changes nothing on the host.",
        value={
            "backend": report.backend,
            "tier": report.tier,
            "hierarchy": report.hierarchy,
            "mode": tuning.mode,
        },
    )


def _policy_ceiling(snapshot: Snapshot) -> Metric:
    return InfoMetricFamily(
        "resonance_policy_ceiling",
        "How far the policies of the SDK's clients may go on this host.",
        value={"mode": snapshot.policy_ceiling},
    )


def _release() -> str:
    try:
        return version("resonance-runtime")
    except PackageNotFoundError:
        return "source"


def _process_families(processes: Mapping[str, psutil.Process]) -> Iterator[Metric]:
    readings = [(name, *_read_process(process)) for name, process in processes.items()]
    yield _counter(
        "resonance_process_cpu_seconds",
        "CPU time, user and system, of our own processes.",
        "process",
        ((name, seconds) for name, seconds, _ in readings),
    )
    yield _gauge(
        "resonance_process_resident_memory_bytes",
        "Resident memory of our own processes.",
        "process",
        ((name, size) for name, _, size in readings),
    )


def _read_process(process: psutil.Process) -> tuple[float, float]:
    try:
        with process.oneshot():
            cpu = process.cpu_times()
            return cpu.user + cpu.system, process.memory_info().rss
    except psutil.Error:
        return math.nan, math.nan


def _slot_families(snapshot: Snapshot) -> Iterator[Metric]:
    yield _slot_info(snapshot)
    yield _gauge(
        "resonance_pressure_ratio",
        "Share of time somebody in the slot's cgroup was runnable but waiting for a CPU, 0-1.",
        "slot",
        _slot_rows(snapshot, snapshot.pressure.tolist()),
    )
    yield _counter(
        "resonance_runqueue_wait_seconds",
        "Time the slot's tasks waited for a CPU.",
        "slot",
        _slot_rows(snapshot, _seconds(snapshot.runqueue.sum_ns)),
    )
    yield _counter(
        "resonance_runqueue_switches",
        "Switches to a task of the slot, each the end of one wait.",
        "slot",
        _slot_rows(snapshot, snapshot.runqueue.count.tolist()),
    )
    yield _counter(
        "resonance_tcp_retransmits",
        "TCP segments the slot's sockets sent again.",
        "slot",
        _slot_rows(snapshot, snapshot.retransmits.tolist()) if snapshot.sockets else (),
    )


def _slot_info(snapshot: Snapshot) -> Metric:
    family = GaugeMetricFamily(
        "resonance_slot_info",
        "Whose a slot is now; slot 0 is everything without a slot of its own.",
        labels=("slot", "cgroup", "generation"),
    )
    for slot in snapshot.slots:
        labels = (str(slot.index), shown_path(slot.cgroup), str(slot.generation))
        family.add_metric(labels, 1)
    return family


def _host_families(snapshot: Snapshot) -> Iterator[Metric]:
    for label, names, counts, sums_ns in (
        ("cpu", None, snapshot.cpu_count, snapshot.cpu_sum_ns),
        ("class", SCHEDULING_CLASSES, snapshot.class_count, snapshot.class_sum_ns),
    ):
        keys = names or tuple(map(str, range(len(counts))))
        yield _counter(
            f"resonance_{label}_runqueue_wait_seconds",
            f"Time tasks waited for a CPU, per {label}, over all slots.",
            label,
            zip(keys, _seconds(sums_ns), strict=True),
        )
        yield _counter(
            f"resonance_{label}_runqueue_switches",
            f"Switches to a task, per {label}, over all slots.",
            label,
            zip(keys, counts.tolist(), strict=True),
        )
    yield GaugeMetricFamily(
        "resonance_last_tick_timestamp_seconds",
        "When the maps were last read, Unix time.",
        value=snapshot.unix_seconds,
    )


def _overhead_families(overhead: Overhead) -> Iterator[Metric]:
    yield _counter(
        "resonance_probe_run_seconds",
        "Time a program ran in the kernel, scaled up from the sampled runs.",
        "program",
        overhead.run_seconds.items(),
    )
    yield _counter(
        "resonance_probe_runs", "Executions of a program.", "program", overhead.runs.items()
    )
    yield _counter(
        "resonance_probe_lost_events",
        "Events a program missed because it was running on that CPU already (recursion).",
        "program",
        overhead.missed.items(),
    )
    for field, help_text in _DOUBTS.items():
        yield CounterMetricFamily(f"resonance_{field}", help_text, value=getattr(overhead, field))
    for field, help_text in _OMISSIONS.items():
        yield GaugeMetricFamily(f"resonance_{field}", help_text, value=getattr(overhead, field))
    yield _gauge(
        "resonance_map_bytes", "Kernel memory of a map.", "map", overhead.map_bytes.items()
    )


def _seconds(values_ns: UInts) -> list[float]:
    return [value / 1e9 for value in values_ns.tolist()]


def _slot_rows(snapshot: Snapshot, values: list[float]) -> Rows:
    return ((str(slot.index), values[slot.index]) for slot in snapshot.slots)


def _gauge(name: str, help_text: str, label: str, rows: Rows) -> Metric:
    return _filled(GaugeMetricFamily(name, help_text, labels=(label,)), rows)


def _counter(name: str, help_text: str, label: str, rows: Rows) -> Metric:
    return _filled(CounterMetricFamily(name, help_text, labels=(label,)), rows)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, rows: Rows) -> Metric:
    for key, value in rows:
        if not math.isnan(value):
            family.add_metric((key,), value)
    return family
