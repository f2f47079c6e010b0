# SPDX-License-Identifier: MIT
"""The shared memory as numpy sees it, and the bucket arithmetic of the histograms.

The C side is ``programs/layout.h``. This file only describes; `reader` maps the memory.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from resonance_bpf.catalogue import BUCKETS, SCHEDULING_CLASSES, SUB_BUCKETS

__all__ = [
    "BIN",
    "BUCKET_UPPER_NS",
    "CANDIDATE",
    "CLOCK_PAIR",
    "COST",
    "HISTOGRAM",
    "LISTENER",
    "bucket_index",
]

_CLASSES: Final = len(SCHEDULING_CLASSES)

HISTOGRAM: Final = np.dtype(
    [("n", "<u8", _CLASSES), ("sum_ns", "<u8", _CLASSES), ("buckets", "<u4", BUCKETS)]
)
BIN: Final = np.dtype([("epoch", "<u4"), ("n", "<u4"), ("sum_ns", "<u8")])
CLOCK_PAIR: Final = np.dtype(
    [
        ("runqueue_ns", "<u8"),
        ("monotonic_ns", "<u8"),
        ("baseline_collisions", "<u8"),
        ("unassigned_events", "<u8"),
        ("saturations", "<u8"),
        ("negative_waits", "<u8"),
        ("pad", "<u8", 2),
    ]
)
CANDIDATE: Final = np.dtype([("cgroup_id", "<u8"), ("votes", "<u8")])
LISTENER: Final = np.dtype([("cgroup_id", "<u8"), ("network_namespace", "<u4"), ("port", "<u4")])
COST: Final = np.dtype(
    [("runs", "<u8"), ("sampled_runs", "<u8"), ("sampled_ns", "<u8"), ("pad", "<u8", 5)]
)


def bucket_index(value_ns: int) -> int:
    """Return the bucket a wait falls into; the model of ``bucket_of`` in ``common.h``.

    Buckets are closed above: bucket *i* holds ``BUCKET_UPPER_NS[i-1] < value <=
    BUCKET_UPPER_NS[i]`` (the first also holds 0), so an upper edge is exactly a
    Prometheus ``le``.

    Parameters
    ----------
    value_ns : int
        Wait in nanoseconds, not negative.
    """
    below = max(value_ns, 1) - 1
    if below < SUB_BUCKETS:
        return below
    octave = below.bit_length() - 1
    index = (octave - 2) * SUB_BUCKETS + ((below >> (octave - 3)) & (SUB_BUCKETS - 1))
    return min(index, BUCKETS - 1)


def _upper_edges() -> npt.NDArray[np.uint64]:
    index = np.arange(BUCKETS, dtype=np.uint64)
    octave, sub = index // SUB_BUCKETS, index % SUB_BUCKETS
    shift = np.maximum(octave, 1) - np.uint64(1)
    edges = np.where(octave == 0, sub + 1, (np.uint64(SUB_BUCKETS) + sub + 1) << shift)
    return edges.astype(np.uint64)


BUCKET_UPPER_NS: Final[npt.NDArray[np.uint64]] = _upper_edges()
"""Inclusive upper edge of each bucket, (BUCKETS,) uint64, ns; the last bucket also overflows."""
