# SPDX-License-Identifier: MIT
"""The kernel's maps as numpy arrays: read in place, without a system call.

The memory is shared and moves while it is read. Counters only grow; a bin is safe to read
once it is closed, which `signals` sees to.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from resonance_bpf.catalogue import (
    CANDIDATES,
    LISTENERS,
    PROGRAMS,
    SLOTS,
    SOCKET_KINDS,
    bins_per_cpu,
    map_bytes,
)
from resonance_bpf.layouts import BIN, CANDIDATE, CLOCK_PAIR, COST, HISTOGRAM, LISTENER

__all__ = ["Maps", "open_maps"]

Records = npt.NDArray[np.void]


@dataclass(frozen=True)
class Maps:
    """Everything the probes write.

    Bins are mapped when first asked for: the kernel counts every page of a mapping as
    resident, and they are most of them.

    Attributes
    ----------
    cpus : int
        Possible CPUs.
    has_buckets : bool
        False in the tier without BPF, where histograms hold ``n`` and ``sum_ns`` only.
    runqueue : (cpus, SLOTS) HISTOGRAM
    clock : (cpus,) CLOCK_PAIR
    candidates : (CANDIDATES,) CANDIDATE
    costs : (len(PROGRAMS), cpus) COST
    socket : (len(SOCKET_KINDS), cpus, SLOTS) HISTOGRAM, or None
    socket_counters : (cpus, SLOTS) uint64, or None
        Retransmitted segments.
    listeners : (LISTENERS,) LISTENER, or None
    open_bins : callable
        Maps ``runqueue_bins`` or ``socket_bins`` by name, or returns None.
    """

    cpus: int
    has_buckets: bool
    runqueue: Records
    clock: Records
    candidates: Records
    costs: Records
    socket: Records | None
    socket_counters: npt.NDArray[np.uint64] | None
    listeners: Records | None
    open_bins: Callable[[str], Records | None] = field(default=lambda _: None, repr=False)

    @cached_property
    def runqueue_bins(self) -> Records | None:
        """Return the bins of run-queue waits, (cpus, bins, SLOTS) BIN, or None without BPF."""
        return self.open_bins("runqueue_bins")

    @cached_property
    def socket_bins(self) -> Records | None:
        """Return the bins of receive waits, (cpus, bins, SLOTS) BIN, or None without them."""
        return self.open_bins("socket_bins")


def open_maps(descriptors: Mapping[str, int], cpus: int) -> Maps:
    """Map the output maps, read-only, from inherited file descriptors.

    Parameters
    ----------
    descriptors : mapping of str to int
        Map name to an open descriptor; the socket family may be absent.
    cpus : int
        Possible CPUs, as given to the loader.
    """
    bins = bins_per_cpu(cpus)

    def view(name: str, dtype: npt.DTypeLike, *shape: int) -> npt.NDArray[Any]:
        memory = mmap.mmap(
            descriptors[name], map_bytes(name, cpus), mmap.MAP_SHARED, mmap.PROT_READ
        )
        return np.frombuffer(memory, dtype=dtype).reshape(shape)

    has_sockets = "socket_histograms" in descriptors
    return Maps(
        cpus=cpus,
        has_buckets=True,
        runqueue=view("runqueue_histograms", HISTOGRAM, cpus, SLOTS),
        clock=view("runqueue_clock", CLOCK_PAIR, cpus),
        candidates=view("cgroup_candidates", CANDIDATE, CANDIDATES),
        costs=view("probe_costs", COST, len(PROGRAMS), cpus),
        socket=view("socket_histograms", HISTOGRAM, len(SOCKET_KINDS), cpus, SLOTS)
        if has_sockets
        else None,
        socket_counters=view("socket_counters", np.uint64, cpus, SLOTS) if has_sockets else None,
        listeners=view("socket_listeners", LISTENER, LISTENERS) if has_sockets else None,
        open_bins=lambda name: view(name, BIN, cpus, bins, SLOTS) if name in descriptors else None,
    )
