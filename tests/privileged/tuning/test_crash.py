# SPDX-License-Identifier: MIT
"""SIGKILL at every point of an apply, at every point of the recovery, and everything is back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from privileged.tuning.conftest import Groups
from privileged.tuning.crashing import deaths
from resonance_tuning.host import Host
from resonance_tuning.journal import Journal, read
from resonance_tuning.knob import Knob
from resonance_tuning.knobs import make_knobs
from resonance_tuning.records import Setting, Target
from resonance_tuning.rollback import roll_back
from resonance_tuning.tuner import Tuner

BACK = {"restored", "already"}


@pytest.fixture
def knobs(host: Host) -> dict[str, Knob]:
    return make_knobs(host)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def apply(host: Host, directory: Path, knobs: dict[str, Knob], settings: list[Setting]) -> None:
    with Journal(directory, host.boot_id) as journal:
        tuner = Tuner(host, journal, knobs)
        tuner.apply("balanced", [tuner.preview(each, "to be quick") for each in settings], "test")


def recover_wholly(host: Host, directory: Path) -> None:
    receipts, damage = roll_back(directory, host)
    assert damage == ""
    assert {receipt.outcome for receipt in receipts} <= BACK
    assert read(directory, host.boot_id).live() == []


@pytest.fixture
def profile(groups: Groups, knobs: dict[str, Knob]) -> list[Setting]:
    """A server's weight; hogs made light and then idle, one upon the other."""

    def weight(target: Target, value: int) -> Setting:
        return Setting("cpu_weight", target, knobs["cpu_weight"].parse(value), "batch")

    server, hogs = groups.make("server", shares="700"), groups.make("hogs", shares="333")
    idle = Setting("cpu_idle", hogs, "1", "batch")
    return [weight(server, 1000), weight(hogs, 10), idle]


@pytest.mark.timeout(600)
def test_killed_at_every_point_and_again_at_every_point_of_the_recovery(
    host: Host, groups: Groups, directory: Path, knobs: dict[str, Knob], profile: list[Setting]
) -> None:
    before = groups.snapshot()
    combinations = 0
    for _ in deaths(lambda: apply(host, directory, knobs, profile)):
        left, journal = groups.snapshot(), _files(directory)
        for _ in deaths(lambda: roll_back(directory, host)):
            recover_wholly(host, directory)
            assert groups.snapshot() == before
            combinations += 1
            _put_journal(directory, journal)
            _put_groups(groups, left)
            assert groups.snapshot() == left
        recover_wholly(host, directory)
        assert groups.snapshot() == before
        combinations += 1
        shutil.rmtree(directory, ignore_errors=True)
    assert combinations >= 55
    recover_wholly(host, directory)  # the last apply came to its end
    assert groups.snapshot() == before


def _files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.glob("*")}


def _put_journal(directory: Path, files: dict[str, bytes]) -> None:
    for path in directory.glob("*"):
        path.unlink()
    for name, content in files.items():
        (directory / name).write_bytes(content)
        (directory / name).chmod(0o600)


def _put_groups(groups: Groups, wanted: dict[str, bytes]) -> None:
    """Bring the groups to where a killed apply had left them; an idle one takes no weight."""
    for directory in groups.parent.glob("*/"):
        idle = directory / "cpu.idle"
        weight = directory / ("cpu.shares" if groups.version == 1 else "cpu.weight")
        for path in (idle, weight):
            content = wanted[str(path.relative_to(groups.mount))]
            if path.read_bytes() != content:
                path.write_bytes(content)


@pytest.mark.timeout(300)
def test_killed_at_every_point_of_an_undo_by_the_process_that_applied(
    host: Host, groups: Groups, directory: Path, knobs: dict[str, Knob], profile: list[Setting]
) -> None:
    before = groups.snapshot()

    def apply_and_undo_some() -> None:
        with Journal(directory, host.boot_id) as journal:
            tuner = Tuner(host, journal, knobs)
            changes = [tuner.preview(each, "to be quick") for each in profile]
            tuner.apply("balanced", changes, "test")
            tuner.undo([2], "no gain")
            tuner.undo()

    for _ in deaths(apply_and_undo_some):
        recover_wholly(host, directory)
        assert groups.snapshot() == before
        shutil.rmtree(directory, ignore_errors=True)
    assert groups.snapshot() == before


@pytest.mark.timeout(300)
def test_killed_at_every_point_of_a_compaction(
    host: Host,
    groups: Groups,
    directory: Path,
    knobs: dict[str, Knob],
    profile: list[Setting],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("resonance_tuning.journal._COMPACT_BYTES", 2048)
    monkeypatch.setattr("resonance_tuning.journal._KEPT_RECORDS", 3)
    before = groups.snapshot()

    def apply_and_compact() -> None:
        apply(host, directory, knobs, profile)
        with Journal(directory, host.boot_id) as journal:
            for number in range(9):
                journal.note("verdict", {"number": number, "padding": "x" * 500})

    for _ in deaths(apply_and_compact):
        recover_wholly(host, directory)
        assert groups.snapshot() == before
        shutil.rmtree(directory, ignore_errors=True)
    assert directory.exists()
    recover_wholly(host, directory)
    assert groups.snapshot() == before
