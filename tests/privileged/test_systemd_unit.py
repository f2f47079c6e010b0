# SPDX-License-Identifier: MIT
"""Are the capabilities the unit leaves us enough to start, measure and clean up?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

UNIT = Path(__file__).parents[2] / "systemd" / "resonanced.service"
RESONANCED = Path(sys.executable).with_name("resonanced")


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
