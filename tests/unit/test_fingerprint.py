# SPDX-License-Identifier: MIT
"""Would the privileged tests notice what they leave behind? The watchman, watched."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

import fingerprint
from fingerprint import difference

SHARES = "/sys/fs/cgroup/cpu/a/cpu.shares"
THREAD = "thread 7 since 41"


def test_nothing_done_is_no_difference() -> None:
    assert difference({"/knob": "1"}, {"/knob": "1"}) == []


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ({"/knob": "1"}, {"/knob": "2"}, "/knob: 1 -> 2"),
        ({}, {"mount /x": "bpf"}, "mount /x: absent -> bpf"),
        ({"/run/netns/a": "exists"}, {}, "/run/netns/a: exists -> absent"),
        ({}, {"BPF program 7": "run (tracing)"}, "BPF program 7: absent -> run (tracing)"),
        ({}, {"cgroup /c/resonance-x": "exists"}, "cgroup /c/resonance-x: absent -> exists"),
        ({SHARES: "1"}, {SHARES: "2"}, f"{SHARES}: 1 -> 2"),
        ({}, {"process 7": "resonanced run"}, "process 7: absent -> resonanced run"),
        ({}, {"BPF link 7": "program 8"}, "BPF link 7: absent -> program 8"),
        ({THREAD: "nice 0"}, {THREAD: "nice 5"}, f"{THREAD}: nice 0 -> nice 5"),
        ({}, {"route 02": "exists"}, "route 02: absent -> exists"),
        ({"qdisc 00": "exists"}, {}, "qdisc 00: exists -> absent"),
    ],
)
def test_what_is_changed_left_or_removed_is_told(
    before: dict[str, str], after: dict[str, str], line: str
) -> None:
    assert difference(before, after) == [line]


@pytest.mark.parametrize("what", [SHARES, THREAD, "/proc/irq/41/smp_affinity_list"])
def test_what_others_began_meanwhile_is_not_ours(what: str) -> None:
    assert difference({}, {what: "1024"}) == []


@pytest.mark.parametrize(
    "what", ["BPF program 7", "BPF link 7", "process 7", "cgroup /c/resonance-x", SHARES, THREAD]
)
def test_what_others_ended_meanwhile_is_not_ours(what: str) -> None:
    assert difference({what: "theirs"}, {}) == []


def test_it_looks_at_real_knobs() -> None:
    swappiness = Path("/proc/sys/vm/swappiness")
    assert fingerprint.take()[str(swappiness)] == swappiness.read_text(encoding="ascii").strip()


def test_a_thread_that_is_turned_is_told_and_one_that_is_born_is_not() -> None:
    with subprocess.Popen(["sleep", "60"]) as turned:
        before = fingerprint.take()
        with subprocess.Popen(["sleep", "60"]) as born:
            os.setpriority(os.PRIO_PROCESS, turned.pid, 19)
            os.sched_setscheduler(turned.pid, os.SCHED_BATCH, os.sched_param(0))
            told = difference(before, fingerprint.take())
            born.kill()
        turned.kill()
    ours = [line for line in told if line.startswith(f"thread {turned.pid} since ")]
    assert len(ours) == 1
    assert "'nice': '0', 'priority': '0', 'policy': '0'" in ours[0]
    assert "'nice': '19', 'priority': '0', 'policy': '3'" in ours[0]
    assert [line for line in told if line.startswith(f"thread {born.pid} ")] == []


@pytest.mark.parametrize(
    "pattern",
    [
        r"/proc/sys/net/ipv4/tcp_congestion_control",
        r"/proc/sys/net/core/somaxconn",
        r"/proc/irq/default_smp_affinity",
        r"/sys/devices/virtual/workqueue/cpumask",
        r"/sys/class/net/lo/queues/rx-0/rps_cpus",
        r"qdisc [0-9a-f]+ .*",
        r"route 02[0-9a-f]+ .*'7f000001'.*",
        r"thread 1 since \d+",
    ],
)
def test_every_surface_is_looked_at(pattern: str) -> None:
    assert [what for what in fingerprint.take() if re.fullmatch(pattern, what)]


@pytest.mark.parametrize(
    "name",
    ["cpu.shares", "cpu.weight.nice", "cpu.cfs_burst_us", "cpu.max", "cpuset.cpus.partition"],
)
def test_every_file_of_a_group_that_a_knob_could_change_is_looked_at(name: str) -> None:
    assert fingerprint.CGROUP_FILES.fullmatch(name)


@pytest.mark.parametrize("name", ["cpu.stat", "cpu.pressure", "cpuset.memory_pressure"])
def test_what_only_counts_is_not(name: str) -> None:
    assert not fingerprint.CGROUP_FILES.fullmatch(name)
