# SPDX-License-Identifier: MIT
"""Are the capabilities the unit leaves us enough to start, measure, tune and clean up?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from privileged.running import Place
from privileged.tuning.groups import Groups

UNIT = Path(__file__).parents[2] / "systemd" / "resonanced.service"
RESONANCED = Path(sys.executable).with_name("resonanced")
STUB = Path(__file__).parent / "tuning" / "stub_service.py"


def _capabilities(*without: str) -> str:
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    bounding = next(line for line in lines if line.startswith("CapabilityBoundingSet="))
    names = [name for name in bounding.partition("=")[2].split() if name not in without]
    return ",".join(["-all", *(f"+{name.removeprefix('CAP_').lower()}" for name in names)])


def _in_the_unit(*command: str, without: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run a command with the unit's capabilities, where systemd has mounted the BPF file system."""
    bounding = f"--bounding-set={_capabilities(*without)}"
    confined = ["setpriv", "--no-new-privs", bounding, *command]
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


@pytest.mark.parametrize(
    ("capability", "what_for"),
    [
        ("CAP_CHOWN", "give the daemon its directory"),
        ("CAP_DAC_OVERRIDE", "remove what the daemon made"),
        ("CAP_KILL", "end the daemon"),
        ("CAP_SETGID", "take the daemon's group"),
        ("CAP_SETUID", "become the daemon's user"),
    ],
)
def test_without_a_capability_it_could_not_end_or_begin_it_is_one_line_and_nothing_is_made(
    place: Place, capability: str, what_for: str
) -> None:
    place.write_config(probes={"backend": "none"})
    done = _in_the_unit(*place.command("run", "--no-view", "--for=1"), without=(capability,))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"resonanced: {capability}: missing, and needed to {what_for};"
        " grant it: CapabilityBoundingSet= of a unit, --cap-add of a container\n"
    )
    assert place.left_behind() == []


@pytest.mark.parametrize("backend", ["core", "bcc"])
@pytest.mark.parametrize("capability", ["CAP_BPF", "CAP_PERFMON"])
def test_a_backend_that_lacks_a_capability_names_it_and_not_a_limit(
    place: Place, capability: str, backend: str
) -> None:
    """libbpf's own words blame RLIMIT_MEMLOCK for it."""
    command = place.command("run", "--no-view", "--for=1", f"--backend={backend}")
    done = _in_the_unit(*command, without=(capability,))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"Operation not permitted: missing {capability}; grant {capability}: " in done.stderr
    assert "MEMLOCK" not in done.stderr
    assert "ulimit" not in done.stderr


@pytest.mark.parametrize("lock", ["left", "lost"])
def test_what_a_killed_service_left_is_taken_over_and_removed_with_the_units_capabilities(
    place: Place, lock: str
) -> None:
    """Its directory is the daemon's, and to set the mode of another's takes CAP_FOWNER."""
    place.write_config(probes={"backend": "none"})
    service = place.start("--no-view")
    daemon = service.daemon
    os.kill(daemon.pid, signal.SIGSTOP)
    service.keeper.kill()
    daemon.kill()
    service.process.communicate()
    psutil.wait_procs([daemon], timeout=10)
    left = place.runtime_directory
    assert left.stat().st_uid != 0
    if lock == "lost":
        # As if it had been killed between the two last steps of its end.
        for entry in left.iterdir():
            entry.unlink()
    done = _in_the_unit(*place.command("run", "--no-view", "--for=1"))
    assert done.returncode == 0, done.stderr
    assert place.left_behind() == []


def test_a_directory_that_an_operator_made_stays_however_often_it_is_used(place: Place) -> None:
    place.write_config(probes={"backend": "none"})
    place.runtime_directory.mkdir()
    for _ in range(2):
        done = _in_the_unit(*place.command("run", "--no-view", "--for=1"))
        assert done.returncode == 0, done.stderr
        assert list(place.runtime_directory.iterdir()) == []


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
