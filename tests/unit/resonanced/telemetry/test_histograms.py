# SPDX-License-Identifier: MIT
from __future__ import annotations

import re
from bisect import bisect_left

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from fakes.snapshots import distribution, snapshot, without_histograms
from resonance_bpf.layouts import BUCKET_UPPER_NS, bucket_index
from resonanced.telemetry.histograms import EDGES_NS, histogram_text


def _samples(text: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_each_exported_edge_is_the_upper_edge_of_a_bucket() -> None:
    assert set(EDGES_NS) <= set(BUCKET_UPPER_NS.tolist())


def test_edges_are_printed_exactly() -> None:
    printed = re.findall(r'slot="0",le="([^"]+)"', histogram_text(snapshot()))[: len(EDGES_NS)]
    assert [round(float(edge) * 1e9) for edge in printed] == list(EDGES_NS)
    assert printed[0] == "1.024e-06"
    assert printed[-1] == "8.589934592"


@pytest.mark.parametrize("edge_ns", EDGES_NS)
def test_a_wait_at_an_edge_is_within_it_and_one_ns_more_is_not(edge_ns: int) -> None:
    samples = _samples(histogram_text(snapshot(runqueue=distribution({3: [edge_ns, edge_ns + 1]}))))
    le = repr(edge_ns / 1e9)
    assert samples["resonance_runqueue_latency_seconds_bucket", "3", le] == 1


def test_every_edge_agrees_with_the_index_function_on_random_waits() -> None:
    waits = np.exp2(np.random.default_rng(20).uniform(0, 41, size=2_000)).astype(np.uint64).tolist()
    samples = _samples(histogram_text(snapshot(runqueue=distribution({0: waits}))))
    for edge_ns in EDGES_NS:
        exported = samples["resonance_runqueue_latency_seconds_bucket", "0", repr(edge_ns / 1e9)]
        assert exported == sum(wait <= edge_ns for wait in waits)
        assert exported == sum(bucket_index(wait) <= bucket_index(edge_ns) for wait in waits)


def test_count_is_the_inf_bucket_and_the_sum_is_exact() -> None:
    waits = [1, 3_000_000_000, 2**41]
    samples = _samples(histogram_text(snapshot(runqueue=distribution({3: waits}))))
    name = "resonance_runqueue_latency_seconds"
    assert samples[f"{name}_bucket", "3", "+Inf"] == samples[f"{name}_count", "3"] == 3
    assert samples[f"{name}_sum", "3"] == sum(waits) / 1e9


def test_slots_without_events_are_left_out_but_slot_zero_stands_at_zero() -> None:
    samples = _samples(histogram_text(snapshot()))
    counts = {key: value for key, value in samples.items() if key[0].endswith("_count")}
    assert counts == {
        ("resonance_runqueue_latency_seconds_count", "0"): 0,
        ("resonance_tcp_rtt_seconds_count", "0"): 0,
        ("resonance_socket_latency_seconds_count", "0", "connect"): 0,
        ("resonance_socket_latency_seconds_count", "0", "receive"): 0,
    }


def test_socket_kinds_keep_apart() -> None:
    kinds = {
        "srtt": distribution({3: [5_000]}),
        "connect": distribution({3: [6_000] * 2}),
        "receive": distribution({3: [7_000] * 3}),
    }
    samples = _samples(histogram_text(snapshot(sockets=kinds)))
    assert samples["resonance_tcp_rtt_seconds_count", "3"] == 1
    assert samples["resonance_socket_latency_seconds_count", "3", "connect"] == 2
    assert samples["resonance_socket_latency_seconds_count", "3", "receive"] == 3


def test_without_bpf_there_are_no_histograms() -> None:
    quiet = snapshot(runqueue=without_histograms(distribution({0: [1_000]})), sockets={})
    assert _samples(histogram_text(quiet)) == {}


def test_cumulative_counts_never_fall() -> None:
    waits = [10**power for power in range(13)]
    samples = _samples(histogram_text(snapshot(runqueue=distribution({0: waits}))))
    name = "resonance_runqueue_latency_seconds_bucket"
    counts = [samples[name, "0", repr(edge / 1e9)] for edge in EDGES_NS]
    assert counts == sorted(counts)
    assert counts[0] == bisect_left(waits, EDGES_NS[0])
