# SPDX-License-Identifier: MIT
"""Only in a virtual machine that was made for it, as root; and each file leaves it as found."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import fingerprint
from vm import machine

GUARD = Path("/etc/resonance-vm")
"""Made by `vagrant/provision.sh`. These tests purge packages, kill services, set the clock."""
MODULES = ("tcp_bbr", "sch_fq", "sch_netem", "ifb", "veth", "dummy")
ANCHOR = "resonance-test-anchor.service"
SYSTEMDS_OWN = ("cgroup.subtree_control", "/proc/sys/kernel/random", "/run/resonance-tuning:")
"""systemd switches controllers as its units need them. The journal's directory is the package's:
`tmpfiles.d` makes it, and what is in it is compared by the tests that write it."""
HERE = Path(__file__).parent
AFTER_REBOOT = "after_reboot"
KTHREADD = "2"


def pytest_configure(config: pytest.Config) -> None:
    """Name what is for the other side of a reboot, which the driver of the machine makes."""
    config.addinivalue_line(
        "markers", f"{AFTER_REBOOT}: only after test_reboot_before.py and a reboot"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put what the reboot is to undo last, and leave out what comes after it, unless asked for.

    An emulated machine is fifteen times slower: be patient.
    """
    ours = [item for item in items if item.path.is_relative_to(HERE)]
    for item in ours:
        item.add_marker(pytest.mark.timeout(900))
    after = [item for item in ours if item.path.name == "test_reboot_after.py"]
    if AFTER_REBOOT not in config.option.markexpr:
        items[:] = [item for item in items if item not in after]
        config.hook.pytest_deselected(items=after)
    items.sort(key=lambda item: item.path == HERE / "test_reboot_before.py")


@pytest.fixture(scope="session", autouse=True)
def in_a_test_machine() -> None:
    """Refuse any other machine."""
    if not GUARD.exists():
        pytest.fail(f"this is no test machine: there is no {GUARD}", pytrace=False)
    if os.geteuid() != 0:
        pytest.fail("these tests run as root", pytrace=False)
    if not Path("/run/systemd/system").is_dir():
        pytest.fail("systemd is not the first process of this machine", pytrace=False)
    if not (machine.CGROUPS / "cgroup.controllers").exists():
        pytest.fail("cgroup v2 is not what is mounted at /sys/fs/cgroup", pytrace=False)


@pytest.fixture(scope="session", autouse=True)
def service_at_rest(in_a_test_machine: None) -> Iterator[None]:
    """Each test starts the service it wants; who ran before runs afterwards.

    An anchor keeps the controllers in the root group that tests need below it: systemd takes
    those away that none of its own units asks for.
    """
    was_active = machine.is_active()
    machine.run("systemctl", "stop", machine.UNIT)
    machine.run("systemctl", "reset-failed", machine.UNIT)
    for name in MODULES:
        machine.run("modprobe", name)
    machine.run(
        *("systemd-run", f"--unit={ANCHOR}", "--slice=-.slice", "--quiet"),
        *("--property=CPUWeight=100", "--property=AllowedCPUs=0", "sleep", "infinity"),
    )
    yield
    machine.run("systemctl", "stop", ANCHOR)
    if was_active:
        machine.run("systemctl", "start", machine.UNIT)


@pytest.fixture(scope="session")
def as_found(service_at_rest: None) -> dict[str, str]:
    """Everything that we could change, before the first test."""
    return fingerprint.take()


def _is_the_kernels_own(line: str) -> bool:
    """Tell whether a line is of a kernel thread, which moves as CPUs go and come."""
    thread = re.match(r"thread (\d+) since", line)
    if not thread:
        return False
    try:
        return machine.status_of(int(thread[1]))["PPid"] == KTHREADD
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module", autouse=True)
def left_as_found(request: pytest.FixtureRequest, as_found: dict[str, str]) -> Iterator[None]:
    """Compare it after each file; a difference fails the file's last test."""
    yield
    if request.path.name == "test_reboot_before.py":
        return  # what it applies is what the reboot is to undo
    found = fingerprint.settled_difference(as_found, patience_seconds=15.0)
    left = [
        line
        for line in found
        if not any(own in line for own in SYSTEMDS_OWN) and not _is_the_kernels_own(line)
    ]
    if left:
        pytest.fail("the machine was not left as found:\n" + "\n".join(left), pytrace=False)
