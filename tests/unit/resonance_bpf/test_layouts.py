# SPDX-License-Identifier: MIT
from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from fakes.programs import evaluate, host_library
from resonance_bpf import canary, layouts, slot_table
from resonance_bpf.backends.core import pack_settings
from resonance_bpf.catalogue import BUCKETS, SCHEDULING_CLASSES, SUB_BUCKETS
from resonance_bpf.layouts import BUCKET_UPPER_NS, HISTOGRAM, bucket_index
from resonance_bpf.report import LoadRequest

SHARED = {
    "rs_histogram": layouts.HISTOGRAM,
    "rs_bin": layouts.BIN,
    "rs_clock_pair": layouts.CLOCK_PAIR,
    "rs_candidate": layouts.CANDIDATE,
    "rs_listener": layouts.LISTENER,
    "rs_cost": layouts.COST,
}


@pytest.mark.parametrize("struct", SHARED)
def test_an_array_type_has_the_size_and_offsets_of_its_struct(struct: str) -> None:
    dtype = SHARED[struct]
    assert dtype.names is not None
    assert dtype.fields is not None
    facts = evaluate(
        [f"sizeof(struct {struct})"]
        + [f"offsetof(struct {struct}, {name})" for name in dtype.names]
        + [f"sizeof(((struct {struct} *)0)->{name})" for name in dtype.names]
    )
    ours = {f"sizeof(struct {struct})": dtype.itemsize}
    for name in dtype.names:
        field, offset = dtype.fields[name][:2]
        ours[f"offsetof(struct {struct}, {name})"] = offset
        ours[f"sizeof(((struct {struct} *)0)->{name})"] = field.itemsize
    assert ours == facts


def test_records_packed_by_hand_have_the_size_of_their_structs() -> None:
    request = LoadRequest(directory="/x", possible_cpus=2, hierarchy="v1-cpu", root_cgroup_id=7)
    facts = evaluate([f"sizeof(struct rs_{name})" for name in ("settings", "canary", "slot_cell")])
    assert list(facts.values()) == [
        len(pack_settings(request, has_data_ready=True)),
        canary.RESULT_BYTES,
        slot_table._CELL.size,
    ]


def test_settings_are_packed_where_the_programs_look_for_them() -> None:
    request = LoadRequest(
        directory="/x", possible_cpus=2, hierarchy="v1-cpu", root_cgroup_id=0xABCDEF0123
    )
    raw = pack_settings(request, has_data_ready=True, canary_pid=4711)
    facts = evaluate(
        [
            f"offsetof(struct rs_settings, {name})"
            for name in ("possible_cpus", "bins_mask", "is_v1", "has_data_ready", "canary_pid")
        ]
    )
    values = [int.from_bytes(raw[offset : offset + 4], "little") for offset in facts.values()]
    assert values == [2, 1_023, 1, 1, 4711]
    (root,) = evaluate(["offsetof(struct rs_settings, root_cgroup_id)"]).values()
    assert int.from_bytes(raw[root : root + 8], "little") == 0xABCDEF0123


def test_edges_rise_and_every_one_from_the_ninth_on_is_at_most_an_eighth_above_the_last() -> None:
    edges = BUCKET_UPPER_NS.astype(np.float64)
    assert len(edges) == BUCKETS
    assert (np.diff(edges) > 0).all()
    widths = np.diff(edges)[SUB_BUCKETS:]
    assert (widths / edges[SUB_BUCKETS:-1]).max() <= 0.125
    assert edges[-1] == 2**40


@pytest.mark.parametrize("index", range(BUCKETS))
def test_an_upper_edge_is_the_last_value_of_its_bucket(index: int) -> None:
    edge = int(BUCKET_UPPER_NS[index])
    assert bucket_index(edge) == index
    assert bucket_index(edge + 1) == min(index + 1, BUCKETS - 1)


def test_nothing_waits_less_than_the_first_bucket_or_longer_than_the_last() -> None:
    assert bucket_index(0) == 0
    assert bucket_index(2**63) == BUCKETS - 1


def test_the_programs_put_each_edge_and_its_neighbours_where_the_reader_expects_them() -> None:
    edges = [int(edge) for edge in BUCKET_UPPER_NS]
    waits = sorted({0, 2**41, 2**63, *edges, *(edge + 1 for edge in edges)})
    for wait_ns in waits:
        histogram = _record(wait_ns, scheduling_class=2)
        assert histogram["buckets"].nonzero()[0].tolist() == [bucket_index(wait_ns)], wait_ns


@pytest.mark.parametrize("scheduling_class", range(len(SCHEDULING_CLASSES)))
def test_an_event_is_counted_once_in_its_class_with_its_wait(scheduling_class: int) -> None:
    histogram = _record(4_711, scheduling_class)
    assert histogram["n"].nonzero()[0].tolist() == [scheduling_class]
    assert histogram["sum_ns"].tolist()[scheduling_class] == histogram["sum_ns"].sum() == 4_711
    assert histogram["buckets"].sum() == 1


def _record(wait_ns: int, scheduling_class: int) -> npt.NDArray[np.void]:
    memory = np.zeros(1, HISTOGRAM)
    host_library().host_record(memory.ctypes.data, scheduling_class, wait_ns)
    histogram: npt.NDArray[np.void] = memory[0]
    return histogram
