# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest

from fakes.programs import evaluate
from resonance_bpf import catalogue
from resonance_bpf.catalogue import MAPS, PROGRAMS, bins_per_cpu, map_bytes, map_entries

CONSTANTS = (
    "SLOTS",
    "OTHER_SLOT",
    "SUB_BUCKETS",
    "BUCKETS",
    "SLOT_TABLE",
    "SLOT_PROBES",
    "CANDIDATES",
    "LISTENERS",
    "COST_SAMPLE_INTERVAL",
)
VALUES = {
    "runqueue_histograms": "rs_histogram",
    "runqueue_bins": "rs_bin",
    "runqueue_clock": "rs_clock_pair",
    "runqueue_baseline": "rs_baseline",
    "cgroup_slots": "rs_slot_cell",
    "cgroup_candidates": "rs_candidate",
    "probe_costs": "rs_cost",
    "socket_histograms": "rs_histogram",
    "socket_bins": "rs_bin",
    "socket_listeners": "rs_listener",
}


def test_constants_are_those_of_the_programs() -> None:
    assert evaluate(list(CONSTANTS)) == {name: getattr(catalogue, name) for name in CONSTANTS}


def test_lists_are_as_long_as_the_programs_arrays() -> None:
    assert evaluate(["CLASSES", "KINDS", "PROGRAMS", "BASELINES"]) == {
        "CLASSES": len(catalogue.SCHEDULING_CLASSES),
        "KINDS": len(catalogue.SOCKET_KINDS),
        "PROGRAMS": len(PROGRAMS),
        "BASELINES": MAPS["runqueue_baseline"].entries,
    }


@pytest.mark.parametrize("kind", catalogue.SOCKET_KINDS)
def test_a_socket_kind_has_the_row_the_programs_write(kind: str) -> None:
    (row,) = evaluate([f"KIND_{kind.upper()}"]).values()
    assert row == catalogue.SOCKET_KINDS.index(kind)


@pytest.mark.parametrize("name", catalogue.SCHEDULING_CLASSES)
def test_a_scheduling_class_has_the_index_the_programs_write(name: str) -> None:
    (index,) = evaluate([f"CLASS_{name.upper()}"]).values()
    assert index == catalogue.SCHEDULING_CLASSES.index(name)


def test_a_bin_is_one_period_of_the_bin_rate() -> None:
    assert evaluate(["BIN_NS"]) == {"BIN_NS": 1_000_000_000 // catalogue.BIN_HZ}


@pytest.mark.parametrize("name", VALUES)
def test_a_map_value_is_as_large_as_its_struct(name: str) -> None:
    (size,) = evaluate([f"sizeof(struct {VALUES[name]})"]).values()
    assert MAPS[name].value_bytes == size


def test_every_map_has_a_size_that_is_checked() -> None:
    assert set(MAPS) == {*VALUES, "socket_counters"}


@pytest.mark.parametrize("cpus", [1, 2, 16, 17, 128])
def test_bins_are_a_power_of_two_and_hold_the_longest_pressure_window(cpus: int) -> None:
    bins = bins_per_cpu(cpus)
    assert bins & (bins - 1) == 0
    assert bins / catalogue.BIN_HZ > 0.2


def test_maps_per_cpu_grow_with_the_cpus_and_others_do_not() -> None:
    for name, spec in MAPS.items():
        one, four = map_entries(name, 1), map_entries(name, 4)
        assert four == (one if spec.entries else 4 * one)
        assert map_bytes(name, 4) == four * spec.value_bytes


def test_on_a_large_host_a_cpu_costs_less_than_a_megabyte() -> None:
    small, large = (sum(map_bytes(name, cpus) for name in MAPS) for cpus in (32, 128))
    assert (large - small) / 96 < 1_000_000


def test_only_what_someone_must_write_is_left_unfrozen() -> None:
    assert {name for name, spec in MAPS.items() if not spec.is_output} == {
        "runqueue_baseline",
        "cgroup_slots",
    }
