# SPDX-License-Identifier: MIT
"""The phase scene on this kernel, shortened: what must hold however fast it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from resonance.bench.records import Scene
from resonance.bench.reference import phase

pytestmark = [pytest.mark.privileged, pytest.mark.timeout(90)]


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    told: list[tuple[str, int, int]] = []
    measured = phase.measure(1, lambda *each: told.append(each), phase.SMOKE)
    assert [(done, whole) for _, done, whole in told] == [(0, 1)]
    return measured


def test_the_same_slots_are_told_beside_aligned_and_beside_random_phases(
    scenes: list[Scene],
) -> None:
    aligned, random = scenes
    assert (aligned.baseline, aligned.placebo) == ("aligned phases", "aligned again")
    assert (random.baseline, random.placebo) == ("random phases", None)
    of = {run.name: run for run in aligned.runs}
    assert set(of) == {"aligned phases", "aligned again", "random phases", "phase control"}
    assert [run.name for run in random.runs] == ["random phases", "phase control"]
    assert all(of[run.name] is run for run in random.runs)


def test_every_request_is_accounted_for_and_every_arm_did_its_work(scenes: list[Scene]) -> None:
    for run in scenes[0].runs:
        (slot,) = run.slots
        assert slot.planned == pytest.approx(1_000 * slot.seconds, rel=0.05)
        assert slot.answered == slot.planned == slot.sent
        assert slot.generator.is_realtime
        assert slot.costs["job_p50_seconds"] >= 0.013
        assert 0.0 < slot.costs["job_rate_per_second"] <= 100.0
        assert 0.0 < slot.costs["daemon_cores"] < 2.0


def test_nothing_is_left(scenes: list[Scene]) -> None:
    assert scenes
    assert list(Path("/sys/fs/cgroup").glob(f"**/resonance-bench-{os.getpid()}*/")) == []
    assert list(Path("/run").glob(f"resonance-bench-{os.getpid()}-*")) == []
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    names = [Path(f"/proc/{child}/cmdline").read_bytes() for child in children]
    assert not any(b"flusher" in name or b"requests" in name for name in names)
