# SPDX-License-Identifier: MIT
"""Is the container gone with whoever booted it, however that went?"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nspawn.container import wait_until

BOOT = """
import sys
from pathlib import Path
from nspawn.container import Container
booted = Container.boot(Path(sys.argv[1]))
print(booted.pid, booted.owner.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.usefixtures("host_stays_as_it_is")
def test_nothing_of_a_container_is_left_when_its_run_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", BOOT, str(tmp_path / "console.log")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    ) as run:
        assert run.stdout
        first, owner = map(int, run.stdout.readline().split())
        inside = Path(f"/proc/{first}/mountinfo").read_text()
        assert " / / " in inside
        run.send_signal(signal.SIGKILL)
    wait_until(lambda: not any(Path("/proc", str(pid)).exists() for pid in (first, owner)), "gone")
    assert not list(Path("/sys/fs/cgroup").glob(f"**/resonance-test-nspawn-{owner}"))
    assert "nspawn" not in Path("/proc/self/mounts").read_text()
