# SPDX-License-Identifier: MIT
"""A plan and a journal as the command line would meet them, the same each time."""

from __future__ import annotations

from resonance_tuning.guard import Guard
from resonance_tuning.journal import Entry
from resonance_tuning.planning.planner import Plan
from resonance_tuning.records import Change, Excluded, Setting, State, Target

WEB = Target("cgroup", "/web")
HOGS = Target("cgroup", "/hogs")
CPU = "/sys/fs/cgroup/cpu"
IDLE = Change(
    Setting("cpu_idle", HOGS, "1", "batch"),
    identity="1:2",
    prior=State("0", {"cpu.shares": "700"}),
    canonical="1",
    reason="batch work gives way at once, and keeps what nobody else wants",
    undo=(f"echo 0 > {CPU}/hogs/cpu.idle", f"echo 700 > {CPU}/hogs/cpu.shares"),
)
WEIGHT = Change(
    Setting("cpu_weight", WEB, "1000", "latency_critical"),
    identity="1:3",
    prior=State("1024"),
    canonical="26215",
    reason="the latency-critical group waits less wherever a CPU is contended",
    undo=(f"echo 1024 > {CPU}/web/cpu.shares",),
)
THERE = Change(
    Setting("nice", Target("process", "77"), "10", "batch"),
    identity="77",
    prior=State("10"),
    canonical="10",
    reason="already nice",
)
PLAN = Plan(
    profile="balanced",
    changes=(IDLE, WEIGHT, THERE),
    excluded=(
        Excluded(
            Setting("congestion_control", WEB, "bbr", "network"),
            "only a process that stays can hold it: resonanced run",
        ),
        Excluded(
            Setting("notsent_lowat", WEB, "16384", "network"),
            "only a process that stays can hold it: resonanced run",
        ),
        Excluded(Setting("cpuset", WEB, "0", "latency_critical"), "needs two online CPUs"),
    ),
    notes=("irqbalance runs (pid 12): interrupts are left to it",),
    latency_critical=("/web",),
    batch=("/hogs",),
    on_stop="restore",
    guard=Guard(),
)


def entry(step: int, change: Change, **fields: object) -> Entry:
    """Return a journal's step about a change, written at 2026-11-21 14:48:01 UTC."""
    known: dict[str, object] = {
        "transaction": 1,
        "profile": "balanced",
        "persistence": "boot",
        "pid": 4242,
        "at_unix_seconds": 1_795_272_481.0 + step,
        "at_boottime_seconds": 100.0 + step,
        "got": change.canonical,
        "outcome": "applied",
    }
    return Entry(
        step=step,
        setting=change.setting,
        identity=change.identity,
        prior=change.prior,
        canonical=change.canonical,
        reason=change.reason,
        undo=change.undo,
        **(known | fields),  # type: ignore[arg-type]
    )
