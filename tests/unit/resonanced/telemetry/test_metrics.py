# SPDX-License-Identifier: MIT
from __future__ import annotations

import dataclasses
import os
import subprocess

import msgspec
import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from fakes.snapshots import (
    OTHER,
    REPORT,
    RHYTHM,
    TUNING,
    WEB,
    distribution,
    overhead,
    snapshot,
    without_histograms,
)
from resonance_bpf.report import LoadReport, Rejection
from resonanced.model import Rhythm, Slot, Snapshot
from resonanced.telemetry.metrics import SnapshotCollector


def _registry(
    shown: Snapshot | None,
    report: LoadReport = REPORT,
    process_ids: dict[str, int] | None = None,
) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=True)
    collector = SnapshotCollector(report, process_ids or {})
    collector.snapshot = shown
    registry.register(collector)
    return registry


def test_before_the_first_snapshot_the_backend_in_force_is_told() -> None:
    labels = {"backend": "core", "tier": "core", "hierarchy": "v2", "mode": "observe"}
    registry = _registry(None)
    assert registry.get_sample_value("resonance_backend_info", labels) == 1
    assert registry.get_sample_value("resonance_last_tick_timestamp_seconds") is None


def test_how_far_policies_may_go_is_told() -> None:
    told = _registry(snapshot(policy_ceiling="observe")).get_sample_value(
        "resonance_policy_ceiling_info", {"mode": "observe"}
    )
    assert told == 1


def test_rejected_backends_and_unattached_programs_are_told() -> None:
    rejected = (Rejection(backend="core", reason="no BTF"),)
    report = msgspec.structs.replace(REPORT, backend="bcc", tier="bcc", rejected=rejected)
    registry = _registry(None, report)
    assert registry.get_sample_value("resonance_backend_rejected_info", {"backend": "core"}) == 1
    attached = {
        name: registry.get_sample_value("resonance_probe_attached", {"program": name})
        for name in ("runqueue_switch", "socket_ready")
    }
    assert attached == {"runqueue_switch": 1, "socket_ready": 0}


def test_a_slot_tells_its_waits_in_seconds() -> None:
    registry = _registry(snapshot(runqueue=distribution({3: [1_500_000_000, 500_000_000]})))
    wait = registry.get_sample_value("resonance_runqueue_wait_seconds_total", {"slot": "3"})
    switches = registry.get_sample_value("resonance_runqueue_switches_total", {"slot": "3"})
    assert (wait, switches) == (2.0, 2)


def test_sums_are_known_without_bpf() -> None:
    waits = without_histograms(distribution({3: [2_000_000_000]}))
    registry = _registry(snapshot(runqueue=waits, sockets={}))
    sample = registry.get_sample_value("resonance_runqueue_wait_seconds_total", {"slot": "3"})
    assert sample == 2.0


def test_retransmits_nobody_counts_are_not_exported_as_zero() -> None:
    registry = _registry(snapshot(sockets={}))
    assert registry.get_sample_value("resonance_tcp_retransmits_total", {"slot": "0"}) is None


def test_a_new_owner_starts_at_zero_under_a_new_generation() -> None:
    registry = _registry(snapshot(slots=(OTHER, dataclasses.replace(WEB, generation=3))))
    labels = {"slot": "3", "cgroup": WEB.cgroup, "generation": "3"}
    assert registry.get_sample_value("resonance_slot_info", labels) == 1
    switches = registry.get_sample_value("resonance_runqueue_switches_total", {"slot": "3"})
    assert switches == 0


def test_unknown_pressure_is_absent_and_known_pressure_is_not() -> None:
    pressure = np.full(64, np.nan)
    pressure[3] = 0.75
    registry = _registry(snapshot(pressure=pressure))
    assert registry.get_sample_value("resonance_pressure_ratio", {"slot": "3"}) == 0.75
    assert registry.get_sample_value("resonance_pressure_ratio", {"slot": "0"}) is None


def test_cpus_and_classes_are_told_over_all_slots() -> None:
    registry = _registry(snapshot())
    waited = registry.get_sample_value("resonance_cpu_runqueue_wait_seconds_total", {"cpu": "1"})
    assert waited == 2.5
    for name in ("deadline", "realtime", "fair", "idle"):
        switches = "resonance_class_runqueue_switches_total"
        assert registry.get_sample_value(switches, {"class": name}) == 0


def test_our_own_cost_is_told() -> None:
    cost = overhead(
        runs={"runqueue_switch": 9}, run_seconds={"runqueue_switch": 0.5},
        missed={"runqueue_switch": 2}, unassigned_events=4, saturations=1,
    )  # fmt: skip
    registry = _registry(snapshot(overhead=cost))
    program = {"program": "runqueue_switch"}
    assert registry.get_sample_value("resonance_probe_runs_total", program) == 9
    assert registry.get_sample_value("resonance_probe_run_seconds_total", program) == 0.5
    assert registry.get_sample_value("resonance_probe_lost_events_total", program) == 2
    assert registry.get_sample_value("resonance_unassigned_events_total") == 4
    assert registry.get_sample_value("resonance_saturations_total") == 1


def test_our_processes_are_read_at_the_scrape() -> None:
    registry = _registry(None, process_ids={"daemon": os.getpid()})
    labels = {"process": "daemon"}
    memory = registry.get_sample_value("resonance_process_resident_memory_bytes", labels)
    assert memory is not None
    assert memory > 1_000_000
    assert registry.get_sample_value("resonance_process_cpu_seconds_total", labels) is not None


def test_a_process_that_ended_is_left_out() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        registry = _registry(None, process_ids={"keeper": child.pid})
        child.kill()
    name = "resonance_process_resident_memory_bytes"
    assert registry.get_sample_value(name, {"process": "keeper"}) is None


def test_what_is_tuned_is_told() -> None:
    registry = _registry(snapshot(tuning=TUNING))

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"resonance_tuning_{name}", labels)

    assert value("profile_info", profile="balanced", mode="adaptive") == 1
    assert value("applied", knob="cpu_weight") == 1
    assert value("writes_total", knob="cpu_weight", outcome="applied") == 2
    assert value("drift_total", knob="cpu_weight") == 0
    assert value("verdicts_total", knob="cpu_weight", verdict="kept") == 1
    assert value("exclusive_cpus", slot="3") == 3
    assert value("degraded") == 0
    backend = {"backend": "core", "tier": "core", "hierarchy": "v2", "mode": "adaptive"}
    assert registry.get_sample_value("resonance_backend_info", backend) == 1


def test_less_than_was_asked_for_is_told() -> None:
    tuning = dataclasses.replace(TUNING, mode="shadow", reason="in a container")
    registry = _registry(snapshot(tuning=tuning))
    assert registry.get_sample_value("resonance_tuning_degraded") == 1
    labels = {"profile": "balanced", "mode": "shadow"}
    assert registry.get_sample_value("resonance_tuning_profile_info", labels) == 1


def test_where_nothing_may_be_tuned_there_are_no_series_of_it() -> None:
    text = generate_latest(_registry(snapshot())).decode()
    lines = [line for line in text.splitlines() if line.startswith("resonance_tuning_")]
    assert lines == []


def test_the_rhythm_is_told() -> None:
    registry = _registry(snapshot(rhythm=RHYTHM))

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"resonance_{name}", labels)

    assert value("phase_info", mode="active", state="acquire") == 1
    assert value("dominant_period_seconds") == 0.1
    assert value("entropy_excess_ratio") == 0.5
    assert value("neighbour_coherence_ratio", slot="3") == 0.75
    assert value("order_parameter_ratio") == 0.9
    assert value("coupling") == 1
    assert value("discrepancy_seconds", kind="now") == 0.02
    assert value("discrepancy_seconds", kind="planned") == 0.005
    assert value("predicted_tail_ratio") == 0.25
    assert value("delay_bound_seconds") == 0.03
    assert value("delay_bound_checks_total") == 100
    assert value("delay_bound_violations_total") == 1
    assert value("phase_sources", state="held") == 4
    assert value("phase_commands_total", kind="shadowed") == 3
    assert value("phase_trips_total", guard="rollback") == 1
    assert value("missed_bins_total") == 17


def test_what_is_not_known_of_the_rhythm_is_there_at_zero() -> None:
    for nothing in (None, Rhythm()):
        text = generate_latest(_registry(snapshot(rhythm=nothing))).decode()
        registry = _registry(snapshot(rhythm=nothing))
        for name in ("order_parameter_ratio", "coupling", "delay_bound_seconds"):
            assert registry.get_sample_value(f"resonance_{name}") == 0
        assert registry.get_sample_value("resonance_predicted_tail_ratio") == 1
        labels = {"mode": "observe", "state": "none"}
        assert registry.get_sample_value("resonance_phase_info", labels) == 1
        for guard in ("anti_herd", "anti_freeze", "kill_switch", "rollback"):
            name = "resonance_phase_trips_total"
            assert registry.get_sample_value(name, {"guard": guard}) == 0
        assert "NaN" not in text


@pytest.mark.parametrize("path", ["/a\udcff", '/a"b\\c\nd', "/größe"])
def test_a_cgroup_of_any_name_can_be_scraped(path: str) -> None:
    odd = Slot(index=5, generation=1, cgroup=path, cgroup_id=9)
    text = generate_latest(_registry(snapshot(slots=(OTHER, odd)))).decode()
    assert text.count('slot="5"') >= 3
