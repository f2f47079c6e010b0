# SPDX-License-Identifier: MIT
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fakes.snapshots import (
    OTHER,
    RHYTHM,
    TUNING,
    WEB,
    distribution,
    snapshot,
    without_histograms,
)
from resonance_api.hints.v1.hints_pb2 import CgroupState, GetResponse, State
from resonance_bpf.layouts import BUCKET_UPPER_NS, bucket_index
from resonanced.hints.messages import Header, Publication, Question, quantiles_ns
from resonanced.model import Rhythm, Snapshot

HEADER = Header(
    instance=7,
    valid_for_seconds=0.5,
    percentile_window_seconds=10.0,
    backend="core",
    tier="core",
    hierarchy="v2",
)


def answer(fresh: Snapshot, question: Question | None = None) -> State:
    publication = Publication(fresh, HEADER)
    head = GetResponse(state=publication.head()).SerializeToString()
    return GetResponse.FromString(publication.answer(question or Question()) + head).state


def web(state: State) -> CgroupState:
    return next(each for each in state.cgroups if each.slot == WEB.index)


def test_the_cgroups_and_the_head_are_one_message() -> None:
    state = answer(snapshot(sequence=5))
    assert (state.instance, state.sequence, state.mode) == (7, 5, "observe")
    assert [each.cgroup for each in state.cgroups] == [OTHER.cgroup, WEB.cgroup]


def test_a_state_says_how_old_it_is_when_it_is_sent() -> None:
    assert 0.0 <= answer(snapshot()).age_seconds < 60.0


def test_pressure_that_is_not_known_is_absent() -> None:
    assert web(answer(snapshot())).pressure == 0.25
    nothing = web(answer(snapshot(pressure=np.full(64, np.nan))))
    assert not nothing.HasField("pressure")


def test_a_kind_that_is_not_measured_is_absent() -> None:
    state = web(answer(snapshot(sockets={})))
    assert state.HasField("runqueue")
    assert not state.HasField("srtt")


def test_percentiles_are_absent_without_events() -> None:
    assert not web(answer(snapshot())).runqueue.HasField("p99_seconds")


def test_percentiles_are_absent_in_the_tier_without_histograms() -> None:
    waits = without_histograms(distribution({WEB.index: [1_000, 3_000]}))
    latency = web(answer(snapshot(runqueue=waits))).runqueue
    assert (latency.count, latency.sum_seconds) == (2, 4e-6)
    assert not latency.HasField("recent_count")


def test_a_percentile_lies_in_the_bucket_of_its_wait() -> None:
    waits = [1_000] * 98 + [50_000, 2_000_000]
    latency = web(answer(snapshot(runqueue=distribution({WEB.index: waits})))).runqueue
    assert latency.recent_count == 100
    for value, wait in ((latency.p50_seconds, 1_000), (latency.p999_seconds, 2_000_000)):
        edge = int(BUCKET_UPPER_NS[bucket_index(wait)])
        assert edge * 0.875 <= value * 1e9 <= edge


def test_the_mode_in_force_and_cpus_of_its_own_are_told() -> None:
    state = answer(snapshot(tuning=TUNING))
    assert state.mode == "adaptive"
    assert list(web(state).exclusive_cpus) == [1, 2, 3]
    assert [list(each.exclusive_cpus) for each in answer(snapshot()).cgroups] == [[], []]


def test_histograms_come_only_when_asked_for() -> None:
    fresh = snapshot(runqueue=distribution({WEB.index: [8, 8, 1_000]}))
    assert not web(answer(fresh)).runqueue.HasField("histogram")
    histogram = web(answer(fresh, Question(include_histograms=True))).runqueue.histogram
    assert list(histogram.counts) == [2, 1]
    assert list(histogram.upper_ns) == [8, int(BUCKET_UPPER_NS[bucket_index(1_000)])]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ((), ["other", WEB.cgroup]),
        (("other",), ["other"]),
        (("*.service", "nothing"), [WEB.cgroup]),
        (("/System*",), []),
    ],
)
def test_only_cgroups_that_match_are_answered(
    patterns: tuple[str, ...], expected: list[str]
) -> None:
    state = answer(snapshot(), Question(patterns))
    assert [each.cgroup for each in state.cgroups] == expected


def test_readers_of_one_snapshot_share_one_answer() -> None:
    publication = Publication(snapshot(), HEADER)
    assert not publication.asked
    assert publication.answer(Question()) is publication.answer(Question())
    assert publication.asked == {Question()}


def test_endless_different_questions_do_not_fill_the_memory() -> None:
    publication = Publication(snapshot(), HEADER)
    for number in range(1_000):
        publication.answer(Question((str(number),)))
    assert len(publication._answers) <= 256


def test_quantiles_interpolate_inside_the_bucket() -> None:
    buckets = np.zeros((2, len(BUCKET_UPPER_NS)), dtype=np.uint64)
    buckets[1, 8] = 100  # waits in (8, 9] ns
    p50, p90, _, _ = quantiles_ns(buckets)
    assert p50.tolist() == [0.0, 8.5]
    assert p90[1] == pytest.approx(8.9)


def test_quantiles_of_no_histograms_are_none() -> None:
    buckets = np.zeros((0, len(BUCKET_UPPER_NS)), dtype=np.uint64)
    assert quantiles_ns(buckets).shape == (4, 0)


def test_latencies_are_made_anew_only_when_the_waits_were_read_anew() -> None:
    first = Publication(snapshot(), HEADER)
    made = first.latencies()
    only_pressure_moved = replace(first.snapshot, sequence=2)
    assert first.followed_by(only_pressure_moved).latencies() is made
    waits_moved = replace(first.snapshot, runqueue=replace(first.snapshot.runqueue))
    assert first.followed_by(waits_moved).latencies() is not made


def test_the_rhythm_is_told_with_its_neighbours() -> None:
    rhythm = answer(snapshot(rhythm=RHYTHM)).rhythm
    assert (rhythm.mode, rhythm.guard_state) == ("active", "acquire")
    assert (rhythm.dominant_period_seconds, rhythm.order_parameter) == (0.1, 0.9)
    assert rhythm.predicted_peak_ns == 500_000_000_000
    assert list(rhythm.profile_seconds) == list(RHYTHM.profile_seconds)
    assert (rhythm.sources, rhythm.eligible_sources, rhythm.held_sources) == (8, 6, 4)
    (neighbour,) = rhythm.neighbours
    assert (neighbour.cgroup, neighbour.cgroup_id) == (WEB.cgroup, WEB.cgroup_id)
    assert (neighbour.score, neighbour.lag_seconds, neighbour.is_named) == (0.75, 0.025, True)


def test_what_is_not_known_of_the_rhythm_is_absent() -> None:
    rhythm = answer(snapshot(rhythm=Rhythm())).rhythm
    assert rhythm.mode == "observe"
    told = {field.name for field, _ in rhythm.ListFields()}
    assert told == {"mode"}
    assert not answer(snapshot()).HasField("rhythm")


def test_a_bound_that_is_infinite_is_told() -> None:
    rhythm = replace(RHYTHM, delay_bound_seconds=np.inf)
    assert answer(snapshot(rhythm=rhythm)).rhythm.delay_bound_seconds == np.inf


def test_another_rhythm_is_told_with_the_next_snapshot() -> None:
    first = snapshot(rhythm=RHYTHM)
    before = Publication(first, HEADER)
    before.answer(Question())
    rhythm = replace(RHYTHM, guard_state="active")
    after = before.followed_by(replace(first, rhythm=rhythm)).answer(Question())
    assert GetResponse.FromString(after).state.rhythm.guard_state == "active"
    same = before.followed_by(replace(first, sequence=2)).answer(Question())
    assert same == before.answer(Question())
