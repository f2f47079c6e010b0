# SPDX-License-Identifier: MIT
"""Does the service try, judge, keep or leave on a real kernel as it should? From its outside.

What a test makes differ, it makes differ by far: neither how busy this machine is nor how long
a thing takes decides. The windows are as short as they may be.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from privileged.running import Place, Service
from privileged.tuning.groups import Groups
from privileged.tuning.paths import RECEIVER, WAKEUP, path, said_ready, traffic
from resonance.bench.reference.programs import program
from resonance_tuning.host import Host
from resonance_tuning.records import Target

GUARD = """
[guard]
window_seconds = 8.0
enter_windows = 1
min_change_interval_seconds = 1.0
"""
IDLE = f"[batch]\ncpu_idle = 1\n{GUARD}"
BBR = f'include = ["network-wan"]\n{GUARD}'
PATIENCE_SECONDS = 90.0
Notes = list[dict[str, Any]]


@pytest.fixture
def groups(tmp_path: Path) -> Iterator[Groups]:
    made = Groups(tmp_path)
    yield made
    made.close()


@pytest.fixture
def tuned(place: Place, groups: Groups) -> Callable[[str, str], Service]:
    """Start a service with a profile, in a mode."""

    def one(mode: str, profile: str) -> Service:
        groups.write_profile('description = "Of these tests."\n' + profile)
        place.write_config(tuning=groups.table(mode))
        return place.start()

    return one


@pytest.fixture
def wakeup() -> str:
    return program(WAKEUP)


def decided(groups: Groups, place: Place) -> Notes:
    """Wait until the service has noted what it decided; return the notes."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        # Not by the command: a process a second would be load on the node that is judged.
        texts = [each.read_text(encoding="utf-8") for each in groups.journal.glob("*.wal")]
        if any(kind in text for text in texts for kind in ('"verdict"', '"held-back"')):
            break
        time.sleep(0.5)
    done = place.run("journal", "--output", "json")
    assert done.returncode == 0, done.stderr
    notes: Notes = json.loads(done.stdout)["notes"]
    print(notes)
    return notes


@contextmanager
def started(cpu: int, command: list[str], inside: tuple[Path, ...], count: int) -> Iterator[None]:
    """Run as many processes on one CPU, in a cgroup."""
    pinned = ["taskset", "-c", str(cpu), *command, *map(str, inside)]
    running = [subprocess.Popen(pinned, stdout=subprocess.DEVNULL) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def last_cpu() -> int:
    return max(os.sched_getaffinity(0))


def make_heavy(groups: Groups, group: Target) -> None:
    """Put a group above all others by weight, whoever is busy here besides."""
    heavy = "8192" if groups.weight_file == "cpu.shares" else "800"
    groups.file(group, groups.weight_file).write_text(heavy, encoding="ascii")


# ---- CPU ------------------------------------------------------------------------------------


def test_what_helps_is_tried_proven_kept_told_and_taken_back_at_the_end(
    tuned: Callable[..., Service], groups: Groups, place: Place, wakeup: str
) -> None:
    make_heavy(groups, groups.hogs)
    before, cpu = groups.values(), last_cpu()
    service = tuned("active", IDLE)
    with (
        started(cpu, [wakeup, "serve", "120"], groups.directories(groups.web), 6),
        started(cpu, [wakeup, "spin", "120"], groups.directories(groups.hogs), 4),
    ):
        (note,) = decided(groups, place)
        assert (note["verdict"], note["cgroup"]) == ("kept", groups.web.name), note
        assert note["p99_during_seconds"] < 0.5 * note["p99_before_seconds"]
        assert note["p99_during_seconds"] < 0.5 * note["p99_after_seconds"]
        assert note["low"] <= note["ratio"] <= note["high"] < 1.0
    assert groups.file(groups.hogs, "cpu.idle").read_text(encoding="ascii") == "1\n"
    verdicts = service.metrics()["resonance_tuning_verdicts_total"]
    assert {dict(key)["verdict"]: count for key, count in verdicts.items() if count} == {"kept": 1}
    assert service.metric("resonance_tuning_applied", knob="cpu_idle") == 1
    told = " ".join(place.run("explain").stdout.split())
    assert f"ratio {note['ratio']:.2g} (95 % interval" in told
    assert "cpu_idle" in told
    assert service.stop() == 0
    assert groups.values() == before


def test_a_trial_that_starves_batch_work_is_broken_off(
    tuned: Callable[..., Service], groups: Groups, place: Place, wakeup: str
) -> None:
    make_heavy(groups, groups.hogs)
    before, cpu = groups.values(), last_cpu()
    service = tuned("active", f"{IDLE}batch_full_pressure_seconds = 4.0\n")
    with (
        started(cpu, [wakeup, "serve", "120"], groups.directories(groups.web), 6),
        # It leaves nothing to those who run only when nobody else wants to.
        started(cpu, [wakeup, "spin", "120"], groups.directories(groups.web), 1),
        started(cpu, [wakeup, "spin", "120"], groups.directories(groups.hogs), 2),
    ):
        *_, note = decided(groups, place)
        assert groups.values() == before
    # The actuator watches and so does the loop; whoever is first, the word is the same.
    assert note["verdict"] == "harm"
    assert "for too long" in note["reason"]
    assert service.stop() == 0


def test_cpus_are_not_set_apart_for_who_fills_more_of_them(
    tuned: Callable[..., Service], groups: Groups, place: Place, wakeup: str
) -> None:
    make_heavy(groups, groups.web)
    inside = groups.directories(groups.web)
    with own_cpuset(groups) as file, ExitStack() as stack:
        before = file.read_bytes()
        service = tuned("active", f'[latency_critical]\ncpuset = "{last_cpu()}"\n{GUARD}')
        for cpu in sorted(os.sched_getaffinity(0))[-2:]:
            stack.enter_context(started(cpu, [wakeup, "spin", "120"], inside, 4))
        (note,) = decided(groups, place)
        assert (note["kind"], note["knob"]) == ("held-back", "cpuset")
        assert note["reason"].endswith("they would get 1")
        assert file.read_bytes() == before
        assert service.stop() == 0


@contextmanager
def own_cpuset(groups: Groups) -> Iterator[Path]:
    """Have the latency-critical group in the cpuset hierarchy too; give its list of CPUs."""
    mount = Host().controller("cpuset")
    assert mount
    group = mount.directory / groups.web.name[1:]
    is_other_hierarchy = mount.directory not in groups.roots
    if is_other_hierarchy:
        group.mkdir()
        for name in ("cpuset.cpus", "cpuset.mems"):
            (group / name).write_bytes((mount.directory / name).read_bytes())
    try:
        yield group / "cpuset.cpus"
    finally:
        if is_other_hierarchy:
            group.rmdir()


# ---- the network ----------------------------------------------------------------------------


@contextmanager
def sending(groups: Groups, where: tuple[str, str], *, rivals: int = 0) -> Iterator[None]:
    """Fill the path from the latency-critical group, beside as many CUBIC flows of others."""
    with ExitStack() as stack:
        said_ready(stack.enter_context(traffic(where[1], "receive")))
        inside = groups.directories(groups.web)
        stack.enter_context(traffic(where[0], "send", RECEIVER, inside=inside))
        for _ in range(rivals):
            stack.enter_context(traffic(where[0], "rival", RECEIVER))
        yield


def test_bbr_drains_a_deep_buffer_and_is_kept(
    tuned: Callable[..., Service], groups: Groups, place: Place
) -> None:
    with path(buffer_bytes=1_000_000, delay_seconds=0.01, window_bytes=900_000) as where:
        service = tuned("adaptive", BBR)
        with sending(groups, where):
            note = decided(groups, place)[0]
    assert (note["knob"], note["verdict"]) == ("congestion_control", "kept"), note
    assert note["cgroup"] == groups.web.name
    assert note["ratio"] < 0.5
    assert note["high"] < 1.0
    told = " ".join(place.run("explain").stdout.split())
    assert f"ratio {note['ratio']:.2g} (95 % interval" in told
    assert service.metric("resonance_tuning_applied", knob="congestion_control") > 0
    assert service.stop() == 0


@pytest.mark.parametrize(
    ("delay_seconds", "buffer_bytes", "window_bytes", "rivals", "told"),
    [
        (0.0, 1_000_000, 900_000, 0, "there is nothing to gain"),
        (0.005, 12_000, 200_000, 6, "looks shallow and shared"),
    ],
    ids=["short", "shallow and shared"],
)
def test_where_bbr_is_the_wrong_choice_it_is_not_even_tried(
    delay_seconds: float,
    buffer_bytes: int,
    window_bytes: int,
    rivals: int,
    told: str,
    tuned: Callable[..., Service],
    groups: Groups,
    place: Place,
) -> None:
    with path(
        buffer_bytes=buffer_bytes, delay_seconds=delay_seconds, window_bytes=window_bytes
    ) as where:
        service = tuned("adaptive", BBR)
        with sending(groups, where, rivals=rivals):
            note = decided(groups, place)[0]
    assert (note["knob"], note["kind"]) == ("congestion_control", "held-back"), note
    assert told in note["reason"]
    writes = service.metrics()["resonance_tuning_writes_total"]
    assert not any(writes[key] for key in writes if dict(key)["knob"] == "congestion_control")
    assert service.stop() == 0
