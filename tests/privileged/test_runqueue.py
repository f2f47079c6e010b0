# SPDX-License-Identifier: MIT
"""Are the waits at the run queue what the kernel, and physics, say they are?"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from privileged.conftest import MakeCgroup, StartTask
from privileged.probes import Probes, Task, loaded
from resonance_bpf.catalogue import BIN_HZ, SCHEDULING_CLASSES
from resonance_bpf.layouts import bucket_index

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / "bpf" / "resonance_bpf" / "programs"
OBJECTS = ROOT / "bpf" / "resonance_bpf" / "objects"
LAST_CPU = max(os.sched_getaffinity(0))
BUSY_TASKS = 6
RINGING_SECONDS = 1.3
MANY = 200
"""Events that a workload of several hundred sleeps has at the least."""
SEEN_RATIO = 0.9
"""Of a few hundred switches, how many fire the tracepoint at the least. In some sandboxes no
tracepoint fires while a task of the sandbox's own agent is current: the switch from it to ours is
then seen by no program, while the kernel's account goes on (up to 1 in 300 here). No wait is
lost by that: it is part of the next one that is seen."""


def _seen(n: int, runs: int) -> bool:
    return SEEN_RATIO * runs <= n <= runs


def _accounts(tasks: list[Task]) -> tuple[int, int]:
    """Return the sums of (runs, ns waited) by the kernel's account."""
    accounts = [task.account() for task in tasks]
    return sum(runs for runs, _ in accounts), sum(waited_ns for _, waited_ns in accounts)


@pytest.fixture
def probes_without_baseline(probes: Probes, bpffs: Path, tmp_path: Path) -> Probes:
    """The same programs, built to forget what a migration took out of a wait."""
    objects = tmp_path / "objects"
    shutil.copytree(OBJECTS, objects)
    build = ROOT / "build" / os.uname().release
    machine = os.uname().machine
    arch = {"x86_64": "x86", "aarch64": "arm64"}.get(machine, machine)
    command = f"clang -g -O2 -target bpf -mcpu=v3 -DWITHOUT_BASELINE -D__TARGET_ARCH_{arch}"
    include = [f"-I{build}", f"-I{PROGRAMS}", f"-I/usr/include/{machine}-linux-gnu"]
    source = str(PROGRAMS / "runqueue.bpf.c")
    output = str(objects / "runqueue.bpf.o")
    subprocess.run([*command.split(), *include, "-c", source, "-o", output], check=True)
    with loaded(bpffs / "without_baseline", probes.hierarchy, tmp_path) as crippled:
        yield crippled


def test_sums_of_waits_equal_the_kernels_account_through_migrations_of_waiting_tasks(
    probes: Probes,
    probes_without_baseline: Probes,
    make_cgroup: MakeCgroup,
    start: StartTask,
) -> None:
    crippled = probes_without_baseline
    cgroup = make_cgroup(probes)
    assert crippled.table.assign(1, cgroup.id)
    tasks = [start() for _ in range(BUSY_TASKS)]
    shaker = start()
    os.sched_setscheduler(shaker.pid, os.SCHED_FIFO, os.sched_param(1))
    cgroup.add(*tasks)
    runs_before, waited_before = _accounts(tasks)
    before, crippled_before = probes.waits(cgroup.slot), crippled.waits(1)

    for seed, task in enumerate(tasks):
        task.order("churn", 2.0, seed)
    moved_while_waiting = shaker.do("shake", [task.pid for task in tasks], 1.8)
    for task in tasks:
        task.answer()

        task.do("ping")
    runs, waited = _accounts(tasks)
    expected_runs, expected_ns = runs - runs_before, waited - waited_before
    seen = probes.waits(cgroup.slot) - before
    assert moved_while_waiting >= 20
    assert seen.n == pytest.approx(expected_runs, rel=0.005, abs=5)
    assert seen.sum_ns == pytest.approx(expected_ns, rel=0.001)
    # The check itself must be able to fail: without the baseline it does.
    without_baseline = crippled.waits(1) - crippled_before
    assert without_baseline.n == seen.n
    assert without_baseline.sum_ns < 0.99 * expected_ns


def test_the_sum_of_one_realtime_task_equals_the_kernels_account(
    probes: Probes, make_cgroup: MakeCgroup, start: StartTask
) -> None:
    cgroup = make_cgroup(probes)
    cgroup.allow_realtime()
    task = start()
    cgroup.add(task)
    task.run_realtime(1, LAST_CPU)
    task.do("ping")
    runs_before, waited_before = task.account()
    before = probes.waits(cgroup.slot)
    task.do("burn_by_count", 499)
    task.do("ping")
    runs, waited = task.account()
    seen = probes.waits(cgroup.slot) - before
    assert seen.n > MANY
    assert _seen(seen.n, runs - runs_before)
    assert seen.sum_ns == pytest.approx(waited - waited_before, rel=0.001)


@pytest.mark.parametrize("planned_ns", [700_000, 2_900_000, 9_300_000])
def test_waits_of_a_planned_length_land_in_its_bucket(
    planned_ns: int,
    probes: Probes,
    make_cgroup: MakeCgroup,
    start: StartTask,
    wake_pipe: tuple[int, int],
) -> None:
    wakeups = 101
    cgroup = make_cgroup(probes)
    cgroup.allow_realtime()
    read, write = wake_pipe
    waiter, spinner = start(read), start(write)
    cgroup.add(waiter)
    waiter.run_realtime(10, LAST_CPU)
    spinner.run_realtime(20, LAST_CPU)
    waiter.order("wait_for_bytes", read, wakeups + 1)
    os.write(write, b"!")
    while Path(f"/proc/{waiter.pid}/wchan").read_text(encoding="ascii") == "0":
        time.sleep(0.001)
    waiter.account()
    before = probes.waits(cgroup.slot)
    spinner.do("wake_and_spin", write, wakeups, planned_ns / 1e9, 0.004)
    waiter.answer()
    waits = probes.waits(cgroup.slot) - before
    planned = bucket_index(planned_ns)
    near = waits.buckets[planned - 1 : planned + 2].sum()
    assert _seen(waits.n, wakeups + 1)
    assert near >= 0.95 * waits.n


def test_buckets_counts_and_bins_agree_exactly_once_all_is_quiet(
    probes: Probes, make_cgroup: MakeCgroup, start: StartTask
) -> None:
    assert probes.maps.runqueue_bins is not None
    cgroup = make_cgroup(probes)
    cgroup.allow_realtime()
    tasks = [start() for _ in range(3)]
    runs_before, _ = _accounts(tasks)
    for task in tasks:
        (cgroup.directory / "cgroup.procs").write_text(str(task.pid), encoding="ascii")
        task.run_realtime(1, LAST_CPU)
    for task in tasks:
        task.order("burn_by_count", 293)
    for task in tasks:
        task.answer()
    runs, _ = _accounts(tasks)
    waits = probes.waits(cgroup.slot)
    bins = probes.maps.runqueue_bins[:, :, cgroup.slot]
    epochs = bins["epoch"][bins["n"] > 0].astype(np.int64)
    assert waits.n > MANY
    assert _seen(waits.n, runs - runs_before)
    assert waits.buckets.sum() == waits.n
    # Nothing of this slot was overwritten yet: all it ever did fits into the ring.
    assert epochs.max() - epochs.min() < bins.shape[1]
    assert (bins["n"].sum(dtype=np.int64), bins["sum_ns"].sum(dtype=np.int64)) == (
        waits.n,
        waits.sum_ns,
    )


def test_a_task_is_counted_in_its_own_cgroup_and_after_a_move_in_the_other(
    probes_of_each_hierarchy: Probes, make_cgroup: MakeCgroup, start: StartTask
) -> None:
    probes = probes_of_each_hierarchy
    first, second = make_cgroup(probes), make_cgroup(probes)
    task = start()
    first.add(task)
    runs_before, _ = task.account()
    before = probes.waits(first.slot).n
    task.do("burn_by_count", 307)
    runs_moved, _ = task.account()
    in_first = probes.waits(first.slot).n
    assert in_first - before > MANY
    assert _seen(in_first - before, runs_moved - runs_before)
    assert probes.waits(second.slot).n == 0

    (second.directory / "cgroup.procs").write_text(str(task.pid), encoding="ascii")
    task.do("burn_by_count", 311)
    runs_after, _ = task.account()
    assert probes.waits(first.slot).n == in_first
    assert probes.waits(second.slot).n > MANY
    assert _seen(probes.waits(second.slot).n, runs_after - runs_moved)


def test_a_busy_task_changes_slot_within_one_switch_of_its_move(
    probes_of_each_hierarchy: Probes, make_cgroup: MakeCgroup, start: StartTask
) -> None:
    probes = probes_of_each_hierarchy
    first, second = make_cgroup(probes), make_cgroup(probes)
    task = start()
    first.add(task)
    task.order("burn_by_count", 499)
    time.sleep(0.05)
    (second.directory / "cgroup.procs").write_text(str(task.pid), encoding="ascii")
    in_first = probes.waits(first.slot).n
    task.answer()
    task.account()
    assert probes.waits(first.slot).n == in_first
    assert probes.waits(second.slot).n > 0


def test_a_cgroup_without_a_slot_is_counted_as_other_and_named_as_a_candidate(
    probes: Probes, make_cgroup: MakeCgroup, start: StartTask
) -> None:
    cgroup = make_cgroup(probes)
    task = start()
    cgroup.add(task)
    probes.table.release(cgroup.id)
    in_slot, in_other = probes.waits(cgroup.slot).n, probes.waits(0).n
    unassigned = int(probes.maps.clock["unassigned_events"].sum())
    task.do("burn_by_count", 499)
    assert probes.waits(cgroup.slot).n == in_slot
    assert probes.waits(0).n - in_other > MANY
    assert int(probes.maps.clock["unassigned_events"].sum()) - unassigned > MANY
    assert cgroup.id in probes.maps.candidates["cgroup_id"].tolist()


def test_waits_are_counted_in_the_class_the_task_runs_in(
    probes: Probes, make_cgroup: MakeCgroup, start: StartTask
) -> None:
    cgroup = make_cgroup(probes)
    cgroup.allow_realtime()
    task = start()
    cgroup.add(task)
    policies = {"fair": os.SCHED_BATCH, "idle": os.SCHED_IDLE, "realtime": os.SCHED_RR}
    for name, policy in policies.items():
        priority = 1 if policy == os.SCHED_RR else 0
        os.sched_setscheduler(task.pid, policy, os.sched_param(priority))
        task.account()
        before = probes.maps.runqueue[:, cgroup.slot]["n"].sum(axis=0)
        runs_before, _ = task.account()
        task.do("burn_by_count", 307)
        runs, _ = task.account()
        grown = probes.maps.runqueue[:, cgroup.slot]["n"].sum(axis=0) - before
        counted = dict(zip(SCHEDULING_CLASSES, grown.tolist(), strict=True))
        assert _seen(counted.pop(name), runs - runs_before)
        assert set(counted.values()) == {0}


@pytest.mark.parametrize("hz", [7, 40, 180])
def test_contention_in_a_square_wave_is_the_highest_line_of_the_spectrum_of_the_bins(
    hz: int, probes: Probes, make_cgroup: MakeCgroup, start: StartTask
) -> None:
    cgroup = make_cgroup(probes)
    cgroup.allow_realtime()
    victim, rival = start(), start()
    cgroup.add(victim)
    victim.run_realtime(10, LAST_CPU)
    rival.run_realtime(20, LAST_CPU)
    rival.order("pulse", hz, RINGING_SECONDS)
    victim.do("tick", RINGING_SECONDS - 0.1)
    rival.answer()
    spectrum = np.abs(np.fft.rfft(_one_second_of_waits(probes, cgroup.slot)))
    spectrum[0] = 0.0
    assert int(spectrum.argmax()) == hz


def _one_second_of_waits(probes: Probes, slot: int) -> npt.NDArray[np.float64]:
    """Return the waits of the last full second, one sum per millisecond, less their mean."""
    assert probes.maps.runqueue_bins is not None
    cells = probes.maps.runqueue_bins[:, :, slot].copy()
    last = int(cells["epoch"].max())
    sums = np.zeros(BIN_HZ)
    for cell in cells.ravel():
        age = last - int(cell["epoch"])
        if 0 < age <= BIN_HZ:
            sums[BIN_HZ - age] += cell["sum_ns"]
    # What the machine itself stole at once would be a line at every frequency.
    sums = np.minimum(sums, 1e9 / BIN_HZ)
    return sums - sums.mean()


def test_the_clocks_of_all_cpus_map_to_the_monotonic_clock_alike(
    probes: Probes, make_cgroup: MakeCgroup, start: StartTask
) -> None:
    cgroup = make_cgroup(probes)
    task = start()
    cgroup.add(task)
    began_ns = time.monotonic_ns()
    offsets = []
    for _ in range(2):
        for cpu in sorted(os.sched_getaffinity(0)):
            os.sched_setaffinity(task.pid, {cpu})
            task.do("burn_by_count", 5)
            time.sleep(1.1)
            task.do("burn_by_count", 5)
        pairs = probes.maps.clock[sorted(os.sched_getaffinity(0))]
        offsets += (pairs["runqueue_ns"].astype(np.int64) - pairs["monotonic_ns"]).tolist()
        assert (pairs["monotonic_ns"] <= time.monotonic_ns()).all()
        assert (pairs["monotonic_ns"] >= began_ns - 1_100_000_000).all()
    assert max(offsets) - min(offsets) < 2_000_000


def test_the_probe_counts_its_own_runs_and_nothing_went_wrong(
    probes: Probes, make_cgroup: MakeCgroup, start: StartTask
) -> None:
    cgroup = make_cgroup(probes)
    task = start()
    cgroup.add(task)
    cost = probes.maps.costs[0]
    runs, sampled = int(cost["runs"].sum()), int(cost["sampled_runs"].sum())
    task.do("burn_by_count", 2_003)
    assert int(cost["runs"].sum()) - runs > MANY
    assert int(cost["sampled_runs"].sum()) > sampled
    assert int(cost["sampled_ns"].sum()) > 0
    assert int(probes.maps.clock["negative_waits"].sum()) == 0
    assert int(probes.maps.clock["saturations"].sum()) == 0
