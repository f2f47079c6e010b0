# SPDX-License-Identifier: MIT
"""The reference experiment as its user runs it, shortened: what must hold however fast it is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from math import isfinite
from pathlib import Path

import pytest

from resonance.bench import reference
from resonance.bench.records import Experiment, Scene, Slot, read_result
from resonance.bench.reference.arms import ARMS
from resonance.bench.reference.scenes import SCENES
from resonance.histogram import read_log

pytestmark = [pytest.mark.privileged, pytest.mark.timeout(400)]
RESONANCE = Path(sys.executable).with_name("resonance")


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reference")


@pytest.fixture(scope="module")
def measured(output: Path) -> Experiment:
    command = [RESONANCE, "bench", "reference", "--smoke", "--output", output]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=380)
    assert done.returncode == 0, done.stdout + done.stderr
    found = read_result(output / "reference.json")
    assert isinstance(found, Experiment)
    return found


def slots(of: Experiment) -> Iterator[tuple[Scene, str, Slot]]:
    for scene in of.scenes:
        for run in scene.runs:
            for slot in run.slots:
                yield scene, run.name, slot


def test_every_scene_is_there_with_every_arm(measured: Experiment) -> None:
    names = [scene.name for scene in measured.scenes]
    assert names[: len(SCENES)] == list(SCENES)
    assert len(names) >= len(reference.DEFAULT)
    for name, spec in SCENES.items():
        assert [run.name for run in measured.scene(name).runs] == list(spec.arms)


def test_every_call_is_accounted_for(measured: Experiment) -> None:
    for _, arm, slot in slots(measured):
        assert slot.planned > 0, arm
        assert slot.planned == slot.sent == slot.answered, arm
        assert slot.failed == {}, arm
        for what in ("response", "service", "lateness"):
            assert slot.histogram(what).count == slot.planned, (arm, what)
        assert all(map(isfinite, slot.costs.values()))


def test_arms_of_a_repetition_meet_the_same_calls(measured: Experiment) -> None:
    for name in SCENES:
        assert len({run.slots[0].planned for run in measured.scene(name).runs}) == 1


def test_copies_are_within_their_budget(measured: Experiment) -> None:
    for scene, arm, slot in slots(measured):
        if scene.name in SCENES and slot.costs["extra_ratio"]:
            budget = ARMS[arm].policy.budget
            whole = SCENES[scene.name].demand.clients * budget.cap
            assert (
                slot.costs["extra_ratio"] * slot.planned <= budget.ratio * slot.planned * 2 + whole
            )


def test_the_host_is_as_it_was(measured: Experiment) -> None:
    assert measured.differences == []
    assert measured.notes == []
    assert not list(Path("/sys/fs/cgroup").glob("**/resonance-bench-*"))


def test_there_is_a_report_and_a_log_of_each_scene(measured: Experiment, output: Path) -> None:
    page = (output / "reference.html").read_text()
    for scene in measured.scenes:
        assert scene.name in page
    for name in SCENES:
        log = output / f"{name.replace(',', '').replace(' ', '-')}.hlog"
        with log.open(encoding="ascii") as lines:
            tags = {interval.tag for interval in read_log(lines)}
        assert len(tags) == len(SCENES[name].arms)
