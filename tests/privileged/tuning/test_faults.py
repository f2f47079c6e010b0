# SPDX-License-Identifier: MIT
"""Bad disks, damaged journals, other hands, other groups: nothing is lost, nobody overrun."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from privileged.tuning.conftest import Groups
from resonance_tuning.errors import JournalError
from resonance_tuning.host import Host
from resonance_tuning.journal import Journal, read
from resonance_tuning.knob import Knob
from resonance_tuning.knobs import make_knobs
from resonance_tuning.records import Receipt, Setting, Target
from resonance_tuning.rollback import roll_back
from resonance_tuning.tuner import Tuner

PACKAGE_ROOT = Path(__file__).parents[3] / "kernel-tuning"
BARE = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PACKAGE_ROOT)}
"""Neither a virtual environment nor site packages (-S): the standard library and our package."""


@pytest.fixture
def knobs(host: Host) -> dict[str, Knob]:
    return make_knobs(host)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def server(groups: Groups) -> Target:
    return groups.make("server", shares="700")


@pytest.fixture
def hogs(groups: Groups) -> Target:
    return groups.make("hogs", shares="333")


@pytest.fixture
def settings(knobs: dict[str, Knob], server: Target, hogs: Target) -> list[Setting]:
    weight = Setting("cpu_weight", server, knobs["cpu_weight"].parse(1000), "latency_critical")
    return [weight, Setting("cpu_idle", hogs, "1", "batch")]


def apply(
    host: Host, directory: Path, knobs: dict[str, Knob], settings: list[Setting], boot_id: str = ""
) -> list[Receipt]:
    with Journal(directory, boot_id or host.boot_id) as journal:
        tuner = Tuner(host, journal, knobs)
        changes = [tuner.preview(each, "to be quick") for each in settings]
        return tuner.apply("balanced", changes, "test")


def rollback(directory: Path, *options: str) -> tuple[int, str]:
    """Roll back as root would whose environment is broken; return exit status and output."""
    command = [sys.executable, "-S", "-m", "resonance_tuning", "--journal-directory", directory]
    ended = subprocess.run([*command, *options], capture_output=True, env=BARE, check=False)
    return ended.returncode, (ended.stdout + ended.stderr).decode(errors="surrogateescape")


def test_the_bare_interpreter_really_is_bare() -> None:
    command = [sys.executable, "-S", "-c", "import msgspec"]
    assert subprocess.run(command, env=BARE, stderr=subprocess.PIPE, check=False).returncode == 1


# ---- what the kernel does with a value -------------------------------------------------------


def test_shares_that_are_clamped_verify_and_come_back(
    host: Host, groups: Groups, directory: Path, knobs: dict[str, Knob], server: Target
) -> None:
    assert groups.version == 1, "a machine with version 2 alone needs this test for cpu.weight"
    before = groups.snapshot()
    (receipt,) = apply(host, directory, knobs, [Setting("cpu_weight", server, "1")])
    assert (receipt.outcome, receipt.found) == ("applied", "2")
    reader = Tuner(host, read(directory, host.boot_id), knobs)
    assert [each.outcome for each in reader.verify()] == ["ok"]
    roll_back(directory, host)
    assert groups.snapshot() == before


def test_the_weight_of_an_idle_group_comes_back(
    host: Host, groups: Groups, directory: Path, knobs: dict[str, Knob], hogs: Target
) -> None:
    before = groups.snapshot()
    apply(host, directory, knobs, [Setting("cpu_idle", hogs, "1", "batch")])
    assert (groups.directory(hogs) / "cpu.shares").read_text() == "3\n"
    assert rollback(directory)[0] == 0
    assert groups.snapshot() == before


def test_a_group_whose_name_is_no_utf8_is_tuned_and_comes_back(
    host: Host, groups: Groups, directory: Path, knobs: dict[str, Knob]
) -> None:
    target = groups.make(os.fsdecode(b"caf\xe9 \xff"), shares="700")
    before = groups.snapshot()
    apply(host, directory, knobs, [Setting("cpu_idle", target, "1", "batch")])
    (groups.directory(target) / "cpu.idle").write_text("0\n")
    (groups.directory(target) / "cpu.shares").write_text("555\n")
    status, output = rollback(directory)
    assert status == 3
    (paste,) = [line.strip() for line in output.splitlines() if "> " in line and "shares" in line]
    subprocess.run(["sh", "-c", os.fsencode(paste)], check=True)
    assert groups.snapshot() == before


# ---- the disk --------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 kB, seen by these tests alone."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=32k,mode=700", "tmpfs", disk]
    subprocess.run(command, check=True)
    yield disk
    subprocess.run(["umount", disk], check=True)


def fill(disk: Path) -> None:
    with (disk / "filler").open("ab", buffering=0) as filler, suppress(OSError):
        while filler.write(b"x" * 512):
            pass


def test_a_full_disk_keeps_the_kernel_from_being_written(
    host: Host, groups: Groups, small_disk: Path, knobs: dict[str, Knob], settings: list[Setting]
) -> None:
    before = groups.snapshot()
    fill(small_disk)
    with pytest.raises(JournalError, match="No space left") as caught:
        apply(host, small_disk / "journal", knobs, settings)
    assert caught.value.receipts == ()
    assert groups.snapshot() == before


def test_a_disk_that_fills_at_any_moment_leaves_nothing_changed(
    host: Host, groups: Groups, small_disk: Path, knobs: dict[str, Knob], settings: list[Setting]
) -> None:
    directory, before = small_disk / "journal", groups.snapshot()
    filler, moments = small_disk / "filler", set[int]()
    for padding in range(0, 4096, 256):  # the last page fills at another record each time
        filler.write_bytes(b"x" * 16384)
        with Journal(directory, host.boot_id) as journal:
            journal.note("padding", {"x": "x" * padding})
        with pytest.raises(JournalError, match="No space left"):
            _swing_for_ever(host, directory, knobs, settings)
        assert groups.snapshot() == before
        moments.add(len(read(directory, host.boot_id).entries()))
        filler.unlink()
        roll_back(directory, host)
        assert groups.snapshot() == before
        shutil.rmtree(directory)
    assert len(moments) > 1


def _swing_for_ever(
    host: Host, directory: Path, knobs: dict[str, Knob], settings: list[Setting]
) -> None:
    while True:
        apply(host, directory, knobs, settings)
        roll_back(directory, host)


def test_a_full_disk_does_not_keep_anything_from_being_put_back(
    host: Host, groups: Groups, small_disk: Path, knobs: dict[str, Knob], settings: list[Setting]
) -> None:
    directory, before = small_disk / "journal", groups.snapshot()
    apply(host, directory, knobs, settings)
    fill(small_disk)
    with Journal(directory, host.boot_id) as journal:
        for size in (512, 32, 0):  # what is left of its last page
            with pytest.raises(JournalError, match="No space left"):
                _note_for_ever(journal, size)
    status, output = rollback(directory)
    assert (status, output.count("restored")) == (0, 2)
    assert "not marked in the journal" in output
    assert groups.snapshot() == before
    (small_disk / "filler").unlink()
    assert rollback(directory)[0] == 0
    assert read(directory, host.boot_id).live() == []


def _note_for_ever(journal: Journal, size: int) -> None:
    while True:
        journal.note("padding", {"x": "x" * size})


def test_a_read_only_directory_is_refused_for_changes_but_not_for_the_way_back(
    host: Host, groups: Groups, small_disk: Path, knobs: dict[str, Knob], settings: list[Setting]
) -> None:
    directory, before = small_disk / "journal", groups.snapshot()
    apply(host, directory, knobs, settings)
    changed = groups.snapshot()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(JournalError, match="Read-only file system"):
        apply(host, directory, knobs, [Setting("cpu_weight", settings[0].target, "5")])
    with pytest.raises(JournalError, match="Read-only file system"):
        apply(host, small_disk / "another", knobs, settings)
    assert groups.snapshot() == changed
    status, output = rollback(directory)
    assert (status, output.count("restored")) == (0, 2)
    assert "not marked in the journal" in output
    assert groups.snapshot() == before


# ---- the journal -----------------------------------------------------------------------------


def test_a_torn_last_line_costs_nothing(
    host: Host, groups: Groups, directory: Path, knobs: dict[str, Knob], settings: list[Setting]
) -> None:
    before = groups.snapshot()
    for cut in (1, 20, 60, 100):
        apply(host, directory, knobs, settings)
        (path,) = directory.glob("*.wal")
        os.truncate(path, path.stat().st_size - cut)
        assert rollback(directory)[0] == 0
        assert groups.snapshot() == before


def test_a_flipped_bit_is_told_and_everything_known_comes_back(
    host: Host, groups: Groups, directory: Path, knobs: dict[str, Knob], settings: list[Setting]
) -> None:
    before = groups.snapshot()
    receipts = apply(host, directory, knobs, settings)
    (path,) = directory.glob("*.wal")
    lines = path.read_bytes().splitlines(keepends=True)
    (done,) = [number for number, line in enumerate(lines) if b'"step":1,"type":"done"' in line]
    lines[done] = lines[done].replace(b"done", b"dome")
    path.write_bytes(b"".join(lines))
    status, output = rollback(directory)
    assert status == 3
    assert f"{path}:{done + 1}: this line is damaged" in output
    assert groups.snapshot() == before
    with pytest.raises(JournalError, match="damaged"):
        apply(host, directory, knobs, settings)
    assert groups.snapshot() == before
    assert len(receipts) == 2


def test_a_journal_of_another_boot_is_put_aside_and_nothing_is_written(
    host: Host, groups: Groups, directory: Path, knobs: dict[str, Knob], settings: list[Setting]
) -> None:
    before = groups.snapshot()
    apply(host, directory, knobs, settings, boot_id="another-boot")
    changed = groups.snapshot()
    assert rollback(directory) == (0, "nothing to put back\n")
    assert groups.snapshot() == changed
    with Journal(directory, "another-boot") as journal:
        Tuner(host, journal, knobs).recover()
    assert groups.snapshot() == before


def test_a_rollback_where_nothing_was_ever_done_makes_nothing(directory: Path) -> None:
    assert rollback(directory) == (0, "nothing to put back\n")
    assert not directory.exists()


def test_a_running_process_keeps_its_changes_and_is_named(
    host: Host, groups: Groups, directory: Path, knobs: dict[str, Knob], settings: list[Setting]
) -> None:
    before = groups.snapshot()
    apply(host, directory, knobs, settings)
    changed = groups.snapshot()
    with Journal(directory, host.boot_id):
        status, output = rollback(directory)
    assert status == 1
    assert f"held by pid {os.getpid()}; stop that process first" in output
    assert groups.snapshot() == changed
    assert rollback(directory)[0] == 0
    assert groups.snapshot() == before


def test_as_told_no_module_is_taken_from_where_root_stands_or_from_the_environment(
    directory: Path, public_directory: Path
) -> None:
    helped = subprocess.run(
        [sys.executable, "-I", "-m", "resonance_tuning", "--help"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert "  python3 -I -m resonance_tuning\n" in helped.stdout
    for name in ("argparse", "contextlib", "json", "resonance_tuning", "usercustomize"):
        (public_directory / f"{name}.py").write_text("raise SystemExit(66)\n")
    ended = subprocess.run(
        [sys.executable, "-I", "-m", "resonance_tuning", "--journal-directory", directory],
        cwd=public_directory,
        env={"PYTHONPATH": str(public_directory), "PYTHONSTARTUP": "x", "PYTHONHOME": "/nowhere"},
        check=False,
    )
    assert ended.returncode == 0


def test_without_root_nothing_is_tried(directory: Path, public_directory: Path) -> None:
    shutil.copytree(PACKAGE_ROOT, public_directory / "package")  # ours may be its owner's alone
    command = ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-S", "-m"]
    command += ["resonance_tuning", "--journal-directory", str(directory)]
    bare = BARE | {"PYTHONPATH": str(public_directory / "package")}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=bare)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "rollback: only root may put the kernel's settings back\n"


def test_output_as_json_says_what_became_of_each(
    host: Host, groups: Groups, directory: Path, knobs: dict[str, Knob], settings: list[Setting]
) -> None:
    apply(host, directory, knobs, settings)
    (groups.directory(settings[0].target) / "cpu.shares").write_text("555\n")
    status, output = rollback(directory, "--output", "json")
    told: dict[str, Any] = json.loads(output)
    idle, weight = told["receipts"]
    assert (status, idle["outcome"], weight["outcome"]) == (3, "restored", "conflict-left")
    assert weight["setting"]["target"] == {"kind": "cgroup", "name": settings[0].target.name}
    assert weight["found"] == "555"
    path = groups.directory(settings[0].target) / "cpu.shares"
    assert weight["commands"] == [f"echo 700 > {path}"]


def test_nobody_reading_the_report_is_no_reason_to_stop(
    host: Host, groups: Groups, directory: Path, knobs: dict[str, Knob], settings: list[Setting]
) -> None:
    before = groups.snapshot()
    for redirection in (">&-", "2>&- >&- <&-", ">/dev/full", "| true"):
        apply(host, directory, knobs, settings)
        module = f"{sys.executable} -S -m resonance_tuning --journal-directory {directory}"
        ended = subprocess.run(
            ["bash", "-c", f"{module} {redirection}; exit ${{PIPESTATUS[0]}}"],
            env=BARE,
            check=False,
        )
        assert ended.returncode == 0, redirection
        assert groups.snapshot() == before


# ---- other hands -----------------------------------------------------------------------------


def test_an_administrators_edit_stays_and_is_named_and_the_rest_comes_back(
    host: Host, groups: Groups, directory: Path, knobs: dict[str, Knob], settings: list[Setting]
) -> None:
    before = groups.snapshot()
    apply(host, directory, knobs, settings)
    server = groups.directory(settings[0].target) / "cpu.shares"
    server.write_text("555\n")
    status, output = rollback(directory)
    assert status == 3
    assert f"conflict-left cpu_weight of {settings[0].target}: '555'; it was '700'\n" in output
    assert f"    echo 700 > {server}\n" in output
    assert groups.snapshot() == before | {str(server.relative_to(groups.mount)): b"555\n"}
    assert rollback(directory) == (0, "nothing to put back\n")


def test_a_group_made_anew_is_not_touched(
    host: Host, groups: Groups, directory: Path, knobs: dict[str, Knob], settings: list[Setting]
) -> None:
    before = groups.snapshot()
    apply(host, directory, knobs, settings)
    server = settings[0].target
    groups.remove(server)
    groups.make("server", shares=settings[0].value)  # even at the value that we wrote
    status, output = rollback(directory)
    assert status == 0
    assert f"vanished      cpu_weight of {server}: another stands in its place\n" in output
    path = str((groups.directory(server) / "cpu.shares").relative_to(groups.mount))
    assert groups.snapshot() == before | {path: f"{settings[0].value}\n".encode()}


def test_a_group_that_goes_while_it_is_tuned_takes_the_profile_back(
    host: Host, groups: Groups, directory: Path, knobs: dict[str, Knob], settings: list[Setting]
) -> None:
    with Journal(directory, host.boot_id) as journal:
        tuner = Tuner(host, journal, knobs)
        changes = [tuner.preview(each, "") for each in settings]
        groups.remove(settings[1].target)
        before = groups.snapshot()
        with pytest.raises(Exception, match="it is gone"):
            tuner.apply("balanced", changes, "test")
        assert tuner.live() == []
    assert groups.snapshot() == before


# ---- kill -9 -----------------------------------------------------------------------------------

SWING = """
import sys
from pathlib import Path
from resonance_tuning.host import Host
from resonance_tuning.journal import Journal
from resonance_tuning.knobs import make_knobs
from resonance_tuning.records import Setting, Target
from resonance_tuning.tuner import Tuner

host = Host()
knobs = make_knobs(host)
server, hogs = (Target("cgroup", name) for name in sys.argv[2:])
with Journal(Path(sys.argv[1]), host.boot_id) as journal:
    tuner = Tuner(host, journal, knobs)
    print("ready", flush=True)
    while True:
        wanted = (Setting("cpu_weight", server, "9999"), Setting("cpu_idle", hogs, "1"))
        tuner.apply("balanced", [tuner.preview(each, "") for each in wanted], "swing")
        tuner.undo()
"""


def test_killed_at_any_time_the_groups_come_back(
    host: Host, groups: Groups, directory: Path, server: Target, hogs: Target
) -> None:
    before = groups.snapshot()
    dice = random.Random(23)
    command = [sys.executable, "-S", "-c", SWING, str(directory), server.name, hogs.name]
    for _ in range(23):
        with subprocess.Popen(command, env=BARE, stdout=subprocess.PIPE) as swinging:
            assert swinging.stdout
            assert swinging.stdout.readline() == b"ready\n"
            time.sleep(dice.uniform(0, 0.02))
            swinging.send_signal(signal.SIGKILL)
        receipts, damage = roll_back(directory, host)
        assert damage == ""
        assert {receipt.outcome for receipt in receipts} <= {"restored", "already"}
        assert groups.snapshot() == before


def test_of_two_writers_at_once_one_is_refused(
    host: Host, groups: Groups, directory: Path, knobs: dict[str, Knob], settings: list[Setting]
) -> None:
    before = groups.snapshot()
    server, hogs = (each.target.name for each in settings)
    command = [sys.executable, "-S", "-c", SWING, str(directory), server, hogs]
    with subprocess.Popen(command, env=BARE, stdout=subprocess.PIPE) as swinging:
        assert swinging.stdout
        assert swinging.stdout.readline() == b"ready\n"
        for _ in range(100):
            with pytest.raises(JournalError, match=f"held by pid {swinging.pid}"):
                apply(host, directory, knobs, settings)
        swinging.kill()
    roll_back(directory, host)
    assert groups.snapshot() == before
