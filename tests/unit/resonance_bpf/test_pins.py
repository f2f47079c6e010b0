# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from resonance_bpf import pins, syscalls
from resonance_bpf.errors import PinError

PINS = ("map_runqueue_histograms", "link_runqueue_switch", "prog_runqueue_switch")


def _pin(directory: Path, *names: str) -> None:
    for name in names:
        (directory / name).touch()


def _stale(bpffs: Path) -> Path:
    """Make the generation of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    directory = bpffs / "resonance" / f"{ended.pid}-1"
    directory.mkdir(parents=True)
    _pin(directory, *PINS)
    return directory


def test_a_generation_is_named_after_its_process_and_alive_while_that_runs(tmp_path: Path) -> None:
    generation = pins.create(tmp_path)
    assert generation.path.parent == tmp_path / "resonance"
    assert generation.path.name.startswith(f"{os.getpid()}-")
    assert generation.is_alive
    assert pins.generations(tmp_path) == [generation]


def test_only_root_may_look_into_a_generation(tmp_path: Path) -> None:
    generation = pins.create(tmp_path)
    modes = [path.stat().st_mode & 0o777 for path in (generation.path, generation.path.parent)]
    assert modes == [0o700, 0o700]


def test_a_pid_that_is_used_again_does_not_bring_a_generation_back_to_life(tmp_path: Path) -> None:
    generation = pins.create(tmp_path)
    earlier = pins.Generation(generation.path, generation.pid, generation.start_ticks - 1)
    assert not earlier.is_alive


def test_rollback_removes_the_dead_and_keeps_the_living(tmp_path: Path) -> None:
    generation = pins.create(tmp_path)
    _pin(generation.path, *PINS)
    stale = _stale(tmp_path)
    removed, alive = pins.rollback(tmp_path)
    assert [each.path for each in removed] == [stale]
    assert alive == [generation]
    assert not stale.exists()
    assert {path.name for path in generation.path.iterdir()} == set(PINS)


def test_nothing_is_left_when_the_last_generation_goes(tmp_path: Path) -> None:
    generation = pins.create(tmp_path)
    _pin(generation.path, *PINS)
    assert pins.remove(generation) == len(PINS)
    assert list(tmp_path.iterdir()) == []


def test_links_go_before_the_maps_that_their_programs_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pin(tmp_path, *PINS)
    gone: list[str] = []
    unlink = os.unlink

    def note(path: str) -> None:
        gone.append(Path(path).name)
        unlink(path)

    monkeypatch.setattr(os, "unlink", note)
    assert pins.clear(str(tmp_path)) == len(PINS)
    assert gone[0] == "link_runqueue_switch"


def test_where_nothing_was_ever_pinned_there_is_nothing_to_remove(tmp_path: Path) -> None:
    assert pins.rollback(tmp_path) == ([], [])


def test_a_directory_that_is_not_a_generation_is_left_alone(tmp_path: Path) -> None:
    foreign = tmp_path / "resonance" / "not-ours"
    foreign.mkdir(parents=True)
    assert pins.rollback(tmp_path) == ([], [])
    assert foreign.exists()


def test_a_generation_that_cannot_be_made_says_where_and_why(tmp_path: Path) -> None:
    with pytest.raises(PinError, match="No such file or directory") as caught:
        pins.create(tmp_path / "missing")
    assert str(tmp_path / "missing") in str(caught.value)


def test_a_mount_that_fails_says_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(syscalls, "unshare_mounts", refuse)
    with pytest.raises(PinError) as caught:
        pins.ensure_bpffs(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: no BPF file system is mounted here, and mounting one failed"
        f" (Operation not permitted); run: mount -t bpf bpf {tmp_path}"
    )


def test_a_pin_error_survives_pickling() -> None:
    error = PinError("/sys/fs/bpf", "only root can look here", "run as root")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.hint) == (str(error), "run as root")
