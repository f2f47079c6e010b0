# SPDX-License-Identifier: MIT
"""The records the rooms of the daemon speak in.

``signals`` makes a `Snapshot` at each tick, ``service`` hands it to ``telemetry`` and
``hints``. Arrays are read-only and never reused: a record, once handed out, stays true.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

__all__ = [
    "OBSERVING",
    "Distribution",
    "Endpoint",
    "Neighbour",
    "Overhead",
    "Resolution",
    "ResolveSubject",
    "Rhythm",
    "Slot",
    "Snapshot",
    "Tuning",
    "UInts",
    "shown_path",
]

UInts = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Slot:
    """Who owns a slot now.

    Attributes
    ----------
    index : int
        Row in every per-slot array; 0 is what no other slot covers.
    generation : int
        Counts the owners of this slot since the daemon started, from 1.
    cgroup : str
        Path below the hierarchy's root, ``/`` for the root itself, ``other`` for slot 0. As
        the file system has it; `shown_path` is for readers.
    cgroup_id : int
        Inode of the cgroup's directory; 0 for slot 0.
    is_configured : bool
        Chosen by a pattern of the operator, so never given to a busier cgroup.
    """

    index: int
    generation: int
    cgroup: str
    cgroup_id: int
    is_configured: bool = False


def shown_path(cgroup: str) -> str:
    r"""Return a cgroup's path as every reader can take it: what is no UTF-8 is written out.

    >>> shown_path("/web\udcff")
    '/web\\xff'
    """
    if cgroup.isascii():
        return cgroup
    return cgroup.encode(errors="surrogateescape").decode(errors="backslashreplace")


@dataclass(frozen=True, slots=True)
class Distribution:
    """Waits of one kind per slot.

    Attributes
    ----------
    count, sum_ns : (SLOTS,) uint64
        Events and their waits in ns since the slot's present owner took it.
    buckets : (SLOTS, BUCKETS) uint64 or None
        Events per bucket of ``resonance_bpf.layouts.BUCKET_UPPER_NS`` over the same time;
        ``None`` in the tier without BPF, which knows sums only.
    recent : (SLOTS, BUCKETS) uint64 or None
        The same over the last ``percentile_window_seconds``.
    """

    count: UInts
    sum_ns: UInts
    buckets: UInts | None
    recent: UInts | None


@dataclass(frozen=True, slots=True)
class Overhead:
    """What we cost, and what we could not see, since the probes were attached.

    Attributes
    ----------
    runs, run_seconds : dict of str to int, float
        Per program: executions, and their time scaled up from the sampled ones.
    missed : dict of str to int
        Per program: executions the kernel skipped (recursion).
    unassigned_events, baseline_collisions, negative_waits, saturations : int
        Events of cgroups without a slot; waits measured from the last segment only because
        two tasks share a baseline cell; waits a clock step made negative (counted as 0);
        waits beyond the last bucket.
    map_bytes : dict of str to int
        Per map, in the kernel.
    slot_refusals : int
        Slot assignments the kernel's table had no cell for.
    unplaced_configured : int
        Cgroups matched by a pattern that have no slot now.
    skipped_cgroups : int
        Directories the last walk of the cgroup tree left out.
    hidden : int
        In the tier without BPF: tasks and surfaces that could not be read.
    """

    runs: dict[str, int]
    run_seconds: dict[str, float]
    missed: dict[str, int]
    unassigned_events: int
    baseline_collisions: int
    negative_waits: int
    saturations: int
    map_bytes: dict[str, int]
    slot_refusals: int = 0
    unplaced_configured: int = 0
    skipped_cgroups: int = 0
    hidden: int = 0


@dataclass(frozen=True, slots=True)
class Tuning:
    """What is changed on this host, and what came of it since the service started.

    Attributes
    ----------
    mode : str
        In force: observe, shadow, adaptive or active.
    requested_mode : str
        What the configuration asks for.
    reason : str
        Why the two differ, or what else is wrong; empty where nothing is.
    profile : str
        Whose settings they are; empty where there is none.
    applied : dict of str to int
        Settings in force, by knob.
    writes : dict of (str, str) to int
        By knob and outcome.
    drifts : dict of str to int
        Settings that somebody else has changed, and that were let go; by knob.
    verdicts : dict of (str, str) to int
        Changes that were judged, by knob and verdict.
    grants : dict of str to tuple of int
        CPUs on which nobody else runs, by path of the cgroup they were given to.
    """

    mode: str = "observe"
    requested_mode: str = "observe"
    reason: str = ""
    profile: str = ""
    applied: dict[str, int] = field(default_factory=dict[str, int])
    writes: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    drifts: dict[str, int] = field(default_factory=dict[str, int])
    verdicts: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    grants: dict[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])


OBSERVING: Final = Tuning()
"""What is changed where nothing is."""

PolicyMode = Literal["observe", "advise", "active"]
"""What the SDK's policies do: count what they would do, say it, do it."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A cgroup whose rhythm the queue of the others follows.

    Attributes
    ----------
    slot : Slot
    score : float
        Magnitude-squared coherence, weighted by the spectrum of the queue, 0 to 1.
    period_seconds, lag_seconds : float
        Of its strongest common line, and how long after its bursts the queue follows.
    is_named : bool
        Far enough ahead of the next one to be acted on.
    """

    slot: Slot
    score: float
    period_seconds: float
    lag_seconds: float
    is_named: bool


@dataclass(frozen=True, slots=True)
class Rhythm:
    """What is periodic on this node, and what is done about it.

    What is not known is NaN. Everything from `guard_state` to `profile_seconds`, but for the
    dominant period and the entropy, is of the group of sources with the most work.

    Attributes
    ----------
    mode, configured_mode : str
        Of phase control: observe, shadow, adaptive, active; in force, and asked for.
    guard_state, reason : str
        shadow, acquire, active, rollback or lockout, and why; empty without a group.
    dominant_period_seconds : float
        Of the node's queue.
    entropy_excess : float
        How much less random than white noise it is, 0 to 1.
    order_parameter, mean_phase_rad, coupling : float
    discrepancy_seconds, planned_discrepancy_seconds : float
    predicted_ratio : float
    predicted_peak_ns : int
        CLOCK_MONOTONIC; 0 where not known.
    delay_bound_seconds : float
    delay_bound_checks, delay_bound_violations : int
    profile_seconds : (64,) float64, or empty
    profile_origin_ns : int
    profile_period_seconds : float
    neighbours : tuple of Neighbour
        Most coherent first.
    sources : dict of str to int
        ``registered``, ``eligible``, ``held``.
    trips, commands : dict of str to int
        Times each guard acted; commands by kind, and ``shadowed``.
    missed_bins : int
        1 ms bins nobody read in time.
    """

    mode: str = "observe"
    configured_mode: str = "observe"
    guard_state: str = ""
    reason: str = ""
    dominant_period_seconds: float = math.nan
    entropy_excess: float = math.nan
    order_parameter: float = math.nan
    mean_phase_rad: float = math.nan
    coupling: float = math.nan
    discrepancy_seconds: float = math.nan
    planned_discrepancy_seconds: float = math.nan
    predicted_ratio: float = math.nan
    predicted_peak_ns: int = 0
    delay_bound_seconds: float = math.nan
    delay_bound_checks: int = 0
    delay_bound_violations: int = 0
    profile_seconds: tuple[float, ...] = field(default=(), repr=False)
    profile_origin_ns: int = 0
    profile_period_seconds: float = math.nan
    neighbours: tuple[Neighbour, ...] = ()
    sources: dict[str, int] = field(default_factory=dict[str, int])
    trips: dict[str, int] = field(default_factory=dict[str, int])
    commands: dict[str, int] = field(default_factory=dict[str, int])
    missed_bins: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that is known at one tick.

    Attributes
    ----------
    monotonic_ns : int
        CLOCK_MONOTONIC when the maps were read.
    unix_seconds : float
        The same instant for people.
    sequence : int
        Counts snapshots since the daemon started, from 1.
    slots : tuple of Slot
        Assigned slots in order of index, slot 0 first.
    pressure : (SLOTS,) float64
        Mean number of a cgroup's tasks that are runnable but waiting for a CPU, cut at 1:
        the share of time somebody waits, while waits do not overlap. NaN where not known.
    runqueue, sockets
        Waits for a CPU; waits of sockets by kind (srtt, connect, receive), empty where the
        socket programs are not attached.
    retransmits : (SLOTS,) uint64
        TCP segments sent again, per slot.
    cpu_count, cpu_sum_ns : (cpus,) uint64
        Run-queue waits per CPU over all slots, since the probes were attached.
    class_count, class_sum_ns : (classes,) uint64
        The same per scheduling class, in the order of ``SCHEDULING_CLASSES``.
    overhead : Overhead
        Refreshed once a second.
    tuning : Tuning
    rhythm : Rhythm, or None
        ``None`` where the tier has no time bins and no source is registered.
    policy_ceiling : {"observe", "advise", "active"}
        How far the SDK's policies may go on this host.
    """

    monotonic_ns: int
    unix_seconds: float
    sequence: int
    slots: tuple[Slot, ...]
    pressure: Floats
    runqueue: Distribution
    sockets: dict[Literal["srtt", "connect", "receive"], Distribution]
    retransmits: UInts
    cpu_count: UInts
    cpu_sum_ns: UInts
    class_count: UInts
    class_sum_ns: UInts
    overhead: Overhead = field(repr=False)
    tuning: Tuning = field(default=OBSERVING, repr=False)
    rhythm: Rhythm | None = field(default=None, repr=False)
    policy_ceiling: PolicyMode = "active"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A TCP endpoint of this host; an empty `host` means any of its addresses."""

    host: str
    port: int


ResolveSubject = Endpoint | int
"""What can be resolved: an endpoint, or the id of a process."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """Where an endpoint or process belongs; `reason` says why when it is not known."""

    is_known: bool
    reason: str = ""
    slot: Slot | None = None
    cgroup: str = ""
    cgroup_id: int = 0
