# SPDX-License-Identifier: MIT
"""What the probes are, and how large their maps are: the names every other file uses.

The C side of the same facts is ``programs/layout.h``; a test holds the two together.
This file imports nothing but the standard library, because the privileged loader reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

__all__ = [
    "BIN_HZ",
    "BUCKETS",
    "CANDIDATES",
    "COST_SAMPLE_INTERVAL",
    "LISTENERS",
    "MAPS",
    "OTHER_SLOT",
    "PROGRAMS",
    "SCHEDULING_CLASSES",
    "SLOTS",
    "SLOT_PROBES",
    "SLOT_TABLE",
    "SOCKET_KINDS",
    "SUB_BUCKETS",
    "Family",
    "MapSpec",
    "Program",
    "bins_per_cpu",
    "map_bytes",
    "map_entries",
    "slot_table_position",
]

Family = Literal["runqueue", "socket"]

SLOTS: Final = 64
"""Cgroups measured apart; the rest share slot 0."""
OTHER_SLOT: Final = 0
SUB_BUCKETS: Final = 8
"""Linear buckets per octave: relative error at most 1/8."""
BUCKETS: Final = 304
"""8 exact ones, then 8 per octave up to 2**40 ns (18 minutes); longer waits go to the last."""
SCHEDULING_CLASSES: Final = ("deadline", "realtime", "fair", "idle")
SOCKET_KINDS: Final = ("srtt", "connect", "receive")
BIN_HZ: Final = 1_000
SLOT_TABLE: Final = 1_024
"""Cells of the hash from cgroup id to slot."""
SLOT_PROBES: Final = 4
"""Cells looked at before a cgroup counts as unassigned."""
CANDIDATES: Final = 1_024
LISTENERS: Final = 4_096
COST_SAMPLE_INTERVAL: Final = 1_024
"""One run in this many is timed; *chosen*: two clock reads (about 120 ns) per 1,024 runs vanish."""


@dataclass(frozen=True, slots=True)
class Program:
    """One BPF program: its name, the family whose object holds it, its kernel tracepoint."""

    name: str
    family: Family
    tracepoint: str
    optional: bool = False


PROGRAMS: Final = (
    Program("runqueue_switch", "runqueue", "sched_switch"),
    Program("socket_srtt", "socket", "tcp_probe"),
    Program("socket_connect", "socket", "inet_sock_set_state"),
    Program("socket_ready", "socket", "sk_data_ready", optional=True),
    Program("socket_receive", "socket", "tcp_rcv_space_adjust"),
    Program("socket_retransmit", "socket", "tcp_retransmit_skb"),
)
"""In the order of their rows in the ``probe_costs`` map."""


@dataclass(frozen=True, slots=True)
class MapSpec:
    """Size and protection of one map.

    Attributes
    ----------
    value_bytes : int
        Size of one value.
    per_cpu_entries, entries : int
        Values per possible CPU, or in all; one of them is zero. ``runqueue_bins`` and
        ``socket_bins`` take their per-CPU count from `bins_per_cpu`.
    is_output : bool
        Frozen after load, and handed to the daemon for reading.
    """

    family: Family
    value_bytes: int
    per_cpu_entries: int = 0
    entries: int = 0
    is_output: bool = True
    is_binned: bool = False


HISTOGRAM_BYTES: Final = 2 * 8 * len(SCHEDULING_CLASSES) + 4 * BUCKETS
MAPS: Final[Mapping[str, MapSpec]] = MappingProxyType(
    {
        "runqueue_histograms": MapSpec("runqueue", HISTOGRAM_BYTES, per_cpu_entries=SLOTS),
        "runqueue_bins": MapSpec("runqueue", 16, per_cpu_entries=SLOTS, is_binned=True),
        "runqueue_clock": MapSpec("runqueue", 64, per_cpu_entries=1),
        "runqueue_baseline": MapSpec("runqueue", 16, entries=65_536, is_output=False),
        "cgroup_slots": MapSpec("runqueue", 16, entries=SLOT_TABLE, is_output=False),
        "cgroup_candidates": MapSpec("runqueue", 16, entries=CANDIDATES),
        "probe_costs": MapSpec("runqueue", 64, per_cpu_entries=len(PROGRAMS)),
        "socket_histograms": MapSpec(
            "socket", HISTOGRAM_BYTES, per_cpu_entries=len(SOCKET_KINDS) * SLOTS
        ),
        "socket_bins": MapSpec("socket", 16, per_cpu_entries=SLOTS, is_binned=True),
        "socket_counters": MapSpec("socket", 8, per_cpu_entries=SLOTS),
        "socket_listeners": MapSpec("socket", 16, entries=LISTENERS),
    }
)


def bins_per_cpu(possible_cpus: int) -> int:
    """Return how many 1 ms bins each CPU keeps: 1,024, or 256 on large hosts to bound memory."""
    return 1_024 if possible_cpus <= 16 else 256


def map_entries(name: str, possible_cpus: int) -> int:
    """Return ``max_entries`` of a map on a host with so many possible CPUs."""
    spec = MAPS[name]
    if spec.entries:
        return spec.entries
    bins = bins_per_cpu(possible_cpus) if spec.is_binned else 1
    return spec.per_cpu_entries * bins * possible_cpus


def map_bytes(name: str, possible_cpus: int) -> int:
    """Return the bytes of values a map holds on a host with so many possible CPUs."""
    return MAPS[name].value_bytes * map_entries(name, possible_cpus)


def slot_table_position(cgroup_id: int) -> int:
    """Return the first cell a cgroup id hashes to (Knuth's multiplicative hash, high bits).

    References
    ----------
    Knuth, The Art of Computer Programming, vol. 3, section 6.4; 0x9E3779B97F4A7C15 is
    2**64 divided by the golden ratio.
    """
    return ((cgroup_id * 0x9E3779B97F4A7C15) & 0xFFFF_FFFF_FFFF_FFFF) >> 54
