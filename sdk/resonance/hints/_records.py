# SPDX-License-Identifier: MIT
"""What comes back: the wire's messages as plain records.

Seconds are floats, counts are ints; ``None`` means not known, or no events.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Literal, get_args

import msgspec

from resonance.hints._cgroup import cgroup_id
from resonance.hints._layout import PolicyCeiling
from resonance.hints._rhythm import Rhythm, rhythm_from_wire

if TYPE_CHECKING:
    from resonance_api.hints.v1 import hints_pb2

__all__ = [
    "CgroupState",
    "Histogram",
    "Kind",
    "Latency",
    "Reading",
    "Resolution",
    "State",
    "Status",
    "resolution_from_wire",
    "state_from_wire",
]

Kind = Literal["runqueue", "srtt", "connect", "receive"]
"""Waits for a CPU; smoothed round trips, connection set-up and receive waits of TCP sockets."""


_CEILINGS: Final[dict[str, PolicyCeiling]] = {word: word for word in get_args(PolicyCeiling)}


class Reading(msgspec.Struct, frozen=True):
    """The pressure of a cgroup, and how old it is.

    Attributes
    ----------
    pressure : float
        Share of time runnable but waiting for a CPU, 0 to 1.
    age_seconds : float
        Since it was measured; 0 or more.
    """

    pressure: float
    age_seconds: float


class Histogram(msgspec.Struct, frozen=True):
    """Filled buckets of a histogram.

    Attributes
    ----------
    upper_ns : tuple of int
        Inclusive upper edges, ns, ascending.
    counts : tuple of int
        Events per bucket.
    """

    upper_ns: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()


class Latency(msgspec.Struct, frozen=True):
    """Waits of one kind in one cgroup.

    Attributes
    ----------
    count, sum_seconds
        Since the slot's present owner took it.
    recent_count, p50_seconds, p90_seconds, p99_seconds, p999_seconds
        Over the last ``percentile_window_seconds`` of the state.
    histogram
        Only when asked for.
    """

    count: int = 0
    sum_seconds: float = 0.0
    recent_count: int | None = None
    p50_seconds: float | None = None
    p90_seconds: float | None = None
    p99_seconds: float | None = None
    p999_seconds: float | None = None
    histogram: Histogram | None = None


class CgroupState(msgspec.Struct, frozen=True):
    """What is known of one cgroup.

    Attributes
    ----------
    slot, slot_generation
        Where it is counted; another generation means that the counters began anew.
    cgroup : str
        Path below the hierarchy's root; ``other`` is all that has no slot of its own.
    cgroup_id : int
        Inode of its directory; 0 for ``other``.
    pressure : float or None
        Share of time runnable but waiting for a CPU, 0 to 1.
    runqueue, srtt, connect, receive : Latency or None
        ``None`` where the daemon's tier cannot measure it.
    retransmits : int
        TCP segments sent again.
    exclusive_cpus : tuple of int
        CPUs on which nobody else runs; empty where it has none of its own.
    """

    slot: int
    slot_generation: int
    cgroup: str
    cgroup_id: int
    pressure: float | None
    runqueue: Latency | None
    srtt: Latency | None
    connect: Latency | None
    receive: Latency | None
    retransmits: int
    exclusive_cpus: tuple[int, ...] = ()

    def latency(self, kind: Kind) -> Latency | None:
        """Return the waits of one kind."""
        return {
            "runqueue": self.runqueue,
            "srtt": self.srtt,
            "connect": self.connect,
            "receive": self.receive,
        }[kind]


class State(msgspec.Struct, frozen=True):
    """All the daemon said at one moment.

    Attributes
    ----------
    instance : int
        Random number of the daemon's run; another one means that counters began anew.
    sequence : int
        Counts readings of one run.
    monotonic_ns : int
        CLOCK_MONOTONIC of the reading.
    unix_seconds : float
        The same instant for people.
    valid_for_seconds : float
        Age at which the state is worth no more than "unknown".
    backend, tier, hierarchy, mode : str
        How the daemon measures, and what it may change.
    percentile_window_seconds : float
    cgroups : tuple of CgroupState
    is_heartbeat : bool
        Nothing but the time changed since the last state of this subscription.
    rhythm : Rhythm or None
        ``None`` where the daemon's tier has no time bins and no source is registered.
    policy_ceiling : {"observe", "advise", "active"} or None
        How far the SDK's policies may go on this host; ``None`` where the daemon does not say.
    """

    instance: int
    sequence: int
    monotonic_ns: int
    unix_seconds: float
    valid_for_seconds: float
    backend: str
    tier: str
    hierarchy: str
    mode: str
    percentile_window_seconds: float
    cgroups: tuple[CgroupState, ...]
    is_heartbeat: bool = False
    rhythm: Rhythm | None = None
    policy_ceiling: PolicyCeiling | None = None

    @property
    def age_seconds(self) -> float:
        """How old the state is now."""
        return (time.monotonic_ns() - self.monotonic_ns) / 1e9

    @property
    def is_fresh(self) -> bool:
        """Whether the state still means something."""
        return 0.0 <= self.age_seconds <= self.valid_for_seconds

    def find(self, cgroup: str | None = None) -> CgroupState | None:
        """Return what is known of a cgroup; by default of the one this process is in."""
        if cgroup is not None:
            return next((each for each in self.cgroups if each.cgroup == cgroup), None)
        number = cgroup_id(self.hierarchy, None)
        return next((each for each in self.cgroups if each.cgroup_id == number), None)


class Resolution(msgspec.Struct, frozen=True):
    """Which cgroup an endpoint or process belongs to; `reason` says why when not known."""

    is_known: bool
    reason: str = ""
    cgroup: str = ""
    cgroup_id: int = 0
    slot: int = 0
    slot_generation: int = 0


class Status(msgspec.Struct, frozen=True):
    """Why hints are unknown.

    Attributes
    ----------
    page : str
        Why `pressure` returned ``None`` last; empty when it did not.
    service : str
        Why the daemon did not answer last; empty when it did.
    """

    page: str
    service: str


def state_from_wire(message: hints_pb2.State, *, is_heartbeat: bool = False) -> State:
    """Return the record of a state."""
    return State(
        instance=message.instance,
        sequence=message.sequence,
        monotonic_ns=message.monotonic_ns,
        unix_seconds=message.unix_seconds,
        valid_for_seconds=message.valid_for_seconds,
        backend=message.backend,
        tier=message.tier,
        hierarchy=message.hierarchy,
        mode=message.mode,
        percentile_window_seconds=message.percentile_window_seconds,
        cgroups=tuple([_cgroup_from_wire(each) for each in message.cgroups]),
        is_heartbeat=is_heartbeat,
        rhythm=rhythm_from_wire(message.rhythm) if message.HasField("rhythm") else None,
        policy_ceiling=_CEILINGS.get(message.policy_ceiling),
    )


def _cgroup_from_wire(message: hints_pb2.CgroupState) -> CgroupState:
    has = message.HasField
    return CgroupState(
        slot=message.slot,
        slot_generation=message.slot_generation,
        cgroup=message.cgroup,
        cgroup_id=message.cgroup_id,
        pressure=message.pressure if has("pressure") else None,
        runqueue=_latency_from_wire(message.runqueue) if has("runqueue") else None,
        srtt=_latency_from_wire(message.srtt) if has("srtt") else None,
        connect=_latency_from_wire(message.connect) if has("connect") else None,
        receive=_latency_from_wire(message.receive) if has("receive") else None,
        retransmits=message.retransmits,
        exclusive_cpus=tuple(message.exclusive_cpus),
    )


def _latency_from_wire(message: hints_pb2.Latency) -> Latency:
    has_recent = message.HasField("recent_count")
    return Latency(
        message.count,
        message.sum_seconds,
        message.recent_count if has_recent else None,
        message.p50_seconds if has_recent else None,
        message.p90_seconds if has_recent else None,
        message.p99_seconds if has_recent else None,
        message.p999_seconds if has_recent else None,
        _histogram_from_wire(message.histogram) if message.HasField("histogram") else None,
    )


def _histogram_from_wire(message: hints_pb2.Histogram) -> Histogram:
    return Histogram(tuple(message.upper_ns), tuple(message.counts))


def resolution_from_wire(message: hints_pb2.ResolveResponse) -> Resolution:
    """Return the record of a resolution."""
    return Resolution(
        is_known=message.is_known,
        reason=message.reason,
        cgroup=message.cgroup,
        cgroup_id=message.cgroup_id,
        slot=message.slot,
        slot_generation=message.slot_generation,
    )
