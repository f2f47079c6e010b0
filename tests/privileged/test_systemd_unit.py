# SPDX-License-Identifier: MIT
"""Are the capabilities the unit leaves us enough to start, measure, tune and clean up?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from privileged.running import Place
from privileged.tuning.groups import Groups

UNIT = Path(__file__).parents[2] / "systemd" / "resonanced.service"
RESONANCED = Path(sys.executable).with_name("resonanced")
STUB = Path(__file__).parent / "tuning" / "stub_service.py"


def _capabilities() -> str:
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    bounding = next(line for line in lines if line.startswith("CapabilityBoundingSet="))
    names = bounding.partition("=")[2].split()
    return ",".join(["-all", *(f"+{name.removeprefix('CAP_').lower()}" for name in names)])


def _in_the_unit(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command with the unit's capabilities, where systemd has mounted the BPF file system."""
    confined = ["setpriv", "--no-new-privs", f"--bounding-set={_capabilities()}", *command]
    mounted = 'mount -t bpf bpf /sys/fs/bpf && "$@" && find /sys/fs/bpf -name "[lmp]*_*"'
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", mounted, "sh", *confined],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_service_starts_and_cleans_up_with_the_units_capabilities(
    public_directory: Path, free_port: int
) -> None:
    where = ("--runtime-directory", str(public_directory / "run"), "--port", str(free_port))
    done = _in_the_unit(
        str(RESONANCED), "run", "--backend", "core", "--no-view", "--for", "1", *where
    )
    assert done.returncode == 0, done.stderr
    assert "/sys/fs/bpf/" not in done.stdout, "pins were left behind"
    assert not list(public_directory.glob("run/*"))


@pytest.mark.parametrize("mode", ["active", "observe"])
def test_without_the_journals_directory_it_tunes_not_and_says_so_and_observes_as_ever(
    place: Place, tmp_path: Path, mode: str
) -> None:
    """As the unit has it: where all is read-only, what is not there at the start stays away."""
    missing = tmp_path / "tmpfiles" / "resonance-tuning"
    missing.parent.mkdir()
    with closing(Groups(tmp_path)) as groups:
        tuning = groups.table(mode) | {"journal_directory": str(missing)}
        place.write_config(probes={"backend": "none"}, tuning=tuning)
        read_only = 'mount -t tmpfs -o ro tmpfs "$0" && exec "$@"'
        command = place.command("run", "--no-view", "--for", "1")
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", read_only, str(missing.parent), *command],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
    if mode == "observe":
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode == 1
    said = (
        f"resonanced: tuning: {missing}: is not there, and cannot be made (Read-only file system)"
    )
    assert said in done.stderr
    assert "run: systemd-tmpfiles --create, and start again" in done.stderr


def test_with_the_units_capabilities_the_keeper_puts_back_what_a_killed_actuator_left(
    place: Place, tmp_path: Path
) -> None:
    """A task's class is among it, which takes a capability that the keeper does not use itself."""
    with closing(Groups(tmp_path)) as groups:
        hog = groups.start()
        before = groups.values()
        place.write_config(probes={"backend": "none"}, tuning=groups.table("active"))
        confined = ["setpriv", "--no-new-privs", f"--bounding-set={_capabilities()}"]
        command = [*confined, sys.executable, str(STUB), str(place.config)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service:
            assert service.stdout
            _, _, actuator = service.stdout.readline().split()
            assert os.sched_getscheduler(hog.pid) == os.SCHED_IDLE
            assert groups.values() != before
            os.kill(int(actuator), signal.SIGKILL)
            assert service.wait(timeout=20) == 1
        assert os.sched_getscheduler(hog.pid) == os.SCHED_OTHER
        assert groups.values() == before
