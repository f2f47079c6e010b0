# SPDX-License-Identifier: MIT
"""Laws of the histogram's buckets, of the programs' hash, and of the wait they compute."""

from __future__ import annotations

import ctypes

import hypothesis.strategies as st
import numpy as np
from hypothesis import example, given

from fakes.programs import host_library
from resonance_bpf.catalogue import BUCKETS, SUB_BUCKETS
from resonance_bpf.layouts import BUCKET_UPPER_NS, HISTOGRAM, bucket_index

WAITS_NS = st.one_of(
    st.integers(min_value=0, max_value=2**40),
    st.builds(
        lambda power, near: max(0, 2**power + near),
        st.integers(min_value=0, max_value=40),
        st.integers(min_value=-2, max_value=2),
    ).filter(lambda wait_ns: wait_ns <= 2**40),
)


@given(WAITS_NS)
def test_a_wait_lies_within_its_bucket_which_is_at_most_an_eighth_wide(wait_ns: int) -> None:
    index = bucket_index(wait_ns)
    upper = int(BUCKET_UPPER_NS[index])
    lower = int(BUCKET_UPPER_NS[index - 1]) if index else 0
    assert lower < wait_ns <= upper or (wait_ns, index) == (0, 0)
    if wait_ns > SUB_BUCKETS:
        assert upper - wait_ns <= 0.125 * wait_ns
    else:
        assert upper == max(wait_ns, 1)


@given(WAITS_NS, WAITS_NS)
def test_a_longer_wait_is_never_in_a_lower_bucket(one: int, other: int) -> None:
    shorter, longer = sorted((one, other))
    assert bucket_index(shorter) <= bucket_index(longer)


@given(st.integers(min_value=0, max_value=2**64 - 1))
@example(2**40)
@example(2**40 + 1)
def test_the_programs_and_the_reader_agree_on_the_bucket_of_any_wait(wait_ns: int) -> None:
    memory = np.zeros(1, HISTOGRAM)
    host_library().host_record(memory.ctypes.data, 0, wait_ns)
    assert memory[0]["buckets"].nonzero()[0].tolist() == [bucket_index(wait_ns)]
    assert bucket_index(wait_ns) < BUCKETS


SEGMENTS_NS = st.lists(st.integers(min_value=0, max_value=2**35), min_size=1, max_size=4)


@given(st.lists(SEGMENTS_NS, min_size=1, max_size=20))
def test_the_waits_of_a_task_add_up_to_its_run_delay_however_often_it_is_moved(
    scheduled: list[list[int]],
) -> None:
    """Each inner list is one wait: what migrations cut off, and the segment that is left."""
    baseline = (ctypes.c_uint32 * 4)()
    collided = ctypes.c_int(0)
    run_delay_ns = 987_654_321
    pid = 4_711
    wait_of = host_library().host_wait_of
    wait_of(run_delay_ns, pid, 0, baseline, ctypes.byref(collided))
    for *cut_off, last in scheduled:
        run_delay_ns += sum(cut_off)
        wait_ns = wait_of(run_delay_ns, pid, last, baseline, ctypes.byref(collided))
        assert wait_ns == sum(cut_off) + last
        run_delay_ns += last
    assert collided.value == 0


@given(st.integers(min_value=0, max_value=2**40), st.integers(min_value=1, max_value=2**30))
def test_a_task_that_meets_anothers_baseline_counts_its_last_segment_only(
    run_delay_ns: int, segment_ns: int
) -> None:
    baseline = (ctypes.c_uint32 * 4)()
    collided = ctypes.c_int(0)
    wait_of = host_library().host_wait_of
    wait_of(5_000, 1, 0, baseline, ctypes.byref(collided))
    wait_ns = wait_of(run_delay_ns, 1 + 65_536, segment_ns, baseline, ctypes.byref(collided))
    assert (wait_ns, collided.value) == (segment_ns, 1)
