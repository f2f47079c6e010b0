# SPDX-License-Identifier: MIT
"""Two units of these tests' own: where they stand, what systemd and the kernel hold of them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from vm import machine
from vm.machine import run

WEB, HOGS = "resonance-test-web.service", "resonance-test-hogs.service"
UNITS = (WEB, HOGS)
PROPERTIES = ("CPUWeight", "AllowedCPUs")
FILES = ("cpu.weight", "cpu.idle", "cpuset.cpus")
CONTROL = Path("/run/systemd/system.control")
"""Where systemd keeps what `set-property --runtime` was told; systemctl(1)."""
TEXT = """\
[Unit]
Description=A unit that the tests of Resonance turn
[Service]
ExecStart=/bin/sleep infinity
[Install]
WantedBy=multi-user.target
"""


@contextmanager
def two_units(directory: Path = Path("/run/systemd/system")) -> Generator[None]:
    """Make the units and start them; remove them and all that systemd was told of them."""
    make(directory)
    try:
        yield
    finally:
        remove(directory)


def make(directory: Path) -> None:
    """Make the units and start them."""
    for unit in UNITS:
        (directory / unit).write_text(TEXT, encoding="utf-8")
    run("systemctl", "daemon-reload")
    run("systemctl", "start", *UNITS)


def remove(directory: Path) -> None:
    """Remove them, with what systemd was told of them."""
    run("systemctl", "stop", *UNITS)
    run("systemctl", "revert", *UNITS)
    for unit in UNITS:
        (directory / unit).unlink(missing_ok=True)
    run("systemctl", "daemon-reload")


def directory_of(unit: str) -> Path:
    """Return the cgroup of a running unit."""
    return machine.CGROUPS / machine.show("ControlGroup", unit).lstrip("/")


def held() -> dict[str, dict[str, str]]:
    """Return what systemd says of each unit, and what its cgroup holds."""
    return {
        unit: {name: machine.show(name, unit) for name in PROPERTIES}
        | machine.values(directory_of(unit), FILES)
        for unit in UNITS
    }


def differences(before: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """Return what is not as before.

    A controller that systemd switched on for a change may stay on a while; a file that was not
    there must then hold what means nothing.
    """
    unset = {"cpu.weight": "100", "cpu.idle": "0", "cpuset.cpus": ""}
    return {
        unit: changed
        for unit, now in held().items()
        if (
            changed := {
                name: value
                for name, value in now.items()
                if value != before[unit].get(name, unset.get(name))
            }
        )
    }


def drop_ins() -> dict[str, str]:
    """Return what `set-property` has left of each unit: a line of each assignment in force."""
    found: dict[str, str] = {}
    for unit in UNITS:
        lines = [
            line
            for path in sorted((CONTROL / f"{unit}.d").glob("*.conf"))
            for line in path.read_text(encoding="utf-8").splitlines()
            if "=" in line and not line.endswith("=")
        ]
        found[unit] = "\n".join(lines)
    return found
