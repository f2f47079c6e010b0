# SPDX-License-Identifier: MIT
"""How are the kernel's buckets shown as classic Prometheus histograms, exactly.

The kernel counts in log-linear buckets closed above, and each power of two is an upper edge
of one of them; so a cumulative count at a power of two is a true ``le``, nothing is
interpolated. 24 edges from 1.024 us to 8.6 s keep a scrape small; what lies beyond the last
is only in ``+Inf``.

The text is written here and not through the library's families: 64 slots with all kinds are
7,000 samples, which cost 28 ms of CPU through it and 3 ms here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from resonance_bpf.layouts import BUCKET_UPPER_NS
from resonanced.model import Distribution, Slot, Snapshot

__all__ = ["EDGES_NS", "histogram_text"]

EDGES_NS: Final = tuple(2**power for power in range(10, 34))
"""Upper edges exported as ``le``, inclusive, ns; *chosen*: a wait below 1 us is no wait."""

_EDGE_BUCKETS: Final = np.searchsorted(BUCKET_UPPER_NS, np.array(EDGES_NS, dtype=np.uint64))
_LE: Final = (*(repr(edge / 1e9) for edge in EDGES_NS), "+Inf")

_RTT: Final = (
    "resonance_tcp_rtt_seconds",
    "Smoothed TCP round-trip time, weighted by received segment: one observation each.",
)
_RUNQUEUE: Final = (
    "resonance_runqueue_latency_seconds",
    "Time from runnable to running on a CPU, one observation per switch to a task.",
)
_SOCKET: Final = (
    "resonance_socket_latency_seconds",
    "Time sockets wait: connect, from SYN to established; receive, from data ready to read.",
)


def histogram_text(snapshot: Snapshot) -> str:
    """Return the three histograms of a snapshot in the Prometheus text format 0.0.4."""
    slots, sockets = snapshot.slots, snapshot.sockets
    runqueue = _series(_RUNQUEUE[0], slots, snapshot.runqueue)
    rtt = _series(_RTT[0], slots, sockets.get("srtt"))
    connect = _series(_SOCKET[0], slots, sockets.get("connect"), ',kind="connect"')
    receive = _series(_SOCKET[0], slots, sockets.get("receive"), ',kind="receive"')
    return "".join(
        (
            *_header(_RUNQUEUE),
            *runqueue,
            *_header(_RTT),
            *rtt,
            *_header(_SOCKET),
            *connect,
            *receive,
        )
    )


def _header(family: tuple[str, str]) -> tuple[str, str]:
    name, help_text = family
    return f"# HELP {name} {help_text}\n", f"# TYPE {name} histogram\n"


def _series(
    name: str, slots: Iterable[Slot], waits: Distribution | None, labels: str = ""
) -> Iterable[str]:
    if waits is None or waits.buckets is None:
        return
    shown = [slot.index for slot in slots if slot.index == 0 or waits.count[slot.index]]
    cumulative = np.cumsum(waits.buckets[shown], axis=1)
    edges = cumulative[:, _EDGE_BUCKETS].tolist()
    totals = cumulative[:, -1].tolist()
    for index, counts, total in zip(shown, edges, totals, strict=True):
        template = _template(name, f'slot="{index}"{labels}')
        yield template % (*counts, total, total, int(waits.sum_ns[index]) / 1e9)


def _template(name: str, labels: str) -> str:
    buckets = "".join(f'{name}_bucket{{{labels},le="{le}"}} %d\n' for le in _LE)
    return f"{buckets}{name}_count{{{labels}}} %d\n{name}_sum{{{labels}}} %r\n"
