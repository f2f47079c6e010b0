# SPDX-License-Identifier: MIT
"""How much memory do the maps take, and what does reading them cost?

The last second of bins of all slots, once from the mapped memory into two series per slot,
and once as the same cells by ``BPF_MAP_LOOKUP_BATCH``, which has copied them and no more.
"""

from __future__ import annotations

import ctypes
import re
import struct
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from paired import Estimate, Result, compare, interleave, placebo
from resonance_bpf import syscalls
from resonance_bpf.catalogue import BIN_HZ, MAPS, SLOTS, map_bytes
from resonance_bpf.reader import Records, open_maps
from resonanced.keeper import possible_cpus
from variants import Backend

MEMORY_BAR: Final = 1.05
READ_BAR: Final = 0.1
_PLACEBO_BAR: Final = 1.25
"""*Chosen*: a read of a millisecond meets a tick or not."""
_LOOKUP_BATCH: Final = 24
_ENTRY_BYTES: Final = 16


def measure_memory(backend: Backend) -> list[Result]:
    """Compare what the kernel charges for the maps with what the service says they take."""
    charged = sum(_charged_bytes(descriptor) for descriptor in backend.maps.values())
    formula = sum(map_bytes(name, possible_cpus()) for name in MAPS)
    ratio = charged / formula
    print(f"\nmaps: {formula} bytes by the formula, {charged} charged")
    return [Result("map memory charged", "formula", Estimate(ratio, ratio, ratio), MEMORY_BAR)]


def _charged_bytes(descriptor: int) -> int:
    text = Path(f"/proc/self/fdinfo/{descriptor}").read_text()
    match = re.search(r"^memlock:\s*(\d+)", text, re.MULTILINE)
    if not match:
        raise RuntimeError("this kernel does not say what a map takes")
    return int(match[1])


def measure_reads(backend: Backend, rounds: int) -> list[Result]:
    """Compare reading one second of bins by memory and by system call."""
    maps = open_maps(backend.maps, possible_cpus())
    if maps.runqueue_bins is None:
        raise RuntimeError("the maps have no bins")
    mapped = partial(_timed, partial(_last_second, maps.runqueue_bins))
    batch = partial(_timed, _batch(backend.maps["runqueue_bins"]))
    cost = interleave({"mapped": mapped, "mapped again": mapped, "batch": batch}, rounds)
    again = placebo(cost["mapped again"], cost["mapped"])
    ratio = compare(cost["mapped"], cost["batch"])
    what = f"reading 1 s of bins, {SLOTS} cgroups"
    return [
        Result(f"A/A: {what}", "again", again, _PLACEBO_BAR, is_placebo=True),
        Result(f"{what}: mapped", "batch lookup", ratio, READ_BAR),
    ]


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter_ns()
    call()
    return float(time.perf_counter_ns() - started)


def _last_second(bins: Records) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Return count and sum of waits, each (BIN_HZ, SLOTS), of the last closed second."""
    size = bins.shape[1]
    epochs = np.arange(BIN_HZ, dtype=np.uint32) + np.uint32(bins["epoch"].max() - BIN_HZ - 1)
    cells = bins[:, epochs % size]
    is_current = cells["epoch"] == epochs[None, :, None]
    return (
        np.where(is_current, cells["n"], 0).sum(axis=0, dtype=np.uint64),
        np.where(is_current, cells["sum_ns"], 0).sum(axis=0, dtype=np.uint64),
    )


def _batch(descriptor: int) -> Callable[[], None]:
    """Return a call that copies the same cells out of the kernel."""
    count = BIN_HZ * SLOTS * possible_cpus()
    keys = ctypes.create_string_buffer(4 * count)
    values = ctypes.create_string_buffer(_ENTRY_BYTES * count)
    position = ctypes.create_string_buffer(4)
    addresses = (0, *map(ctypes.addressof, (position, keys, values)))
    attributes = struct.pack("=QQQQIIQQ", *addresses, count, descriptor, 0, 0)

    def look_up() -> None:
        syscalls._bpf(_LOOKUP_BATCH, attributes, "BPF_MAP_LOOKUP_BATCH")

    return look_up
