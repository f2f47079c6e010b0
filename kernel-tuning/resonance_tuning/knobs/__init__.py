# SPDX-License-Identifier: MIT
"""The knobs, one file per kernel surface, and the catalogue of them all.

Importing them is cheap, and brings the standard library only: what a knob needs besides, as a
D-Bus or a netlink library, it imports when it is used.
"""

from __future__ import annotations

from typing import Final

from resonance_tuning.host import Host
from resonance_tuning.knob import Knob
from resonance_tuning.knobs.autogroup import Autogroup
from resonance_tuning.knobs.cpu_bandwidth import CpuBandwidth
from resonance_tuning.knobs.cpu_dma_latency import CpuDmaLatency
from resonance_tuning.knobs.cpu_idle import CpuIdle
from resonance_tuning.knobs.cpu_weight import CpuWeight
from resonance_tuning.knobs.cpuset import Cpuset
from resonance_tuning.knobs.cpuset_partition import CpusetPartition
from resonance_tuning.knobs.irq_affinity import IrqAffinity
from resonance_tuning.knobs.namespace_sysctl import SYSCTL_KNOBS
from resonance_tuning.knobs.nice import Nice
from resonance_tuning.knobs.pacing import Pacing
from resonance_tuning.knobs.qdisc import Qdisc
from resonance_tuning.knobs.realtime import Realtime
from resonance_tuning.knobs.route_congestion import RouteCongestion
from resonance_tuning.knobs.rps_affinity import RpsAffinity
from resonance_tuning.knobs.socket_ops import CongestionControl, NotsentLowat
from resonance_tuning.knobs.systemd_unit import UnitAllowedCpus, UnitCpuWeight
from resonance_tuning.knobs.task_idle import TaskIdle
from resonance_tuning.knobs.workqueue_affinity import WorkqueueAffinity

__all__ = ["KNOBS", "make_knobs"]

_ALL: Final[tuple[type[Knob], ...]] = (
    Autogroup,
    CongestionControl,
    CpuBandwidth,
    CpuDmaLatency,
    CpuIdle,
    CpuWeight,
    Cpuset,
    CpusetPartition,
    IrqAffinity,
    Nice,
    NotsentLowat,
    Pacing,
    Qdisc,
    Realtime,
    RouteCongestion,
    RpsAffinity,
    TaskIdle,
    UnitAllowedCpus,
    UnitCpuWeight,
    WorkqueueAffinity,
    *SYSCTL_KNOBS,
)
KNOBS: Final = tuple(sorted(_ALL, key=lambda knob: (knob.rung, knob.name)))
"""Every knob in the order of the ladder: least invasive first, then by name."""


def make_knobs(host: Host) -> dict[str, Knob]:
    """Return one of each knob by its name, in the order of the ladder."""
    return {knob.name: knob(host) for knob in KNOBS}
