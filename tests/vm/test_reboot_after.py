# SPDX-License-Identifier: MIT
"""After the reboot: is all of it gone, and is an old journal no trouble?"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from vm import machine, units
from vm.machine import UNIT, run

pytestmark = pytest.mark.after_reboot
STATE = Path("/var/lib/resonance-vm-test")
"""Written by `test_reboot_before.py`."""
JOURNAL = Path("/run/resonance-tuning")


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left_of_the_test() -> Iterator[None]:
    assert STATE.is_dir(), "test_reboot_before.py did not run"
    boot = machine.read(Path("/proc/sys/kernel/random/boot_id"))
    assert boot != (STATE / "boot").read_text(encoding="utf-8"), "there was no reboot"
    yield
    run("systemctl", "disable", *units.UNITS)
    units.remove(Path("/etc/systemd/system"))
    shutil.rmtree(STATE)


def test_every_value_is_as_before_and_systemd_knows_of_no_change() -> None:
    before = json.loads((STATE / "before.json").read_text(encoding="utf-8"))
    assert [machine.is_active(unit) for unit in units.UNITS] == [True, True]
    assert units.differences(before) == {}
    assert set(units.drop_ins().values()) == {""}


def test_nothing_is_in_force_and_nothing_is_to_be_taken_back() -> None:
    assert machine.asked("resonanced", "verify") == {"receipts": [], "drifted": 0}
    assert machine.asked("resonanced", "journal")["entries"] == []
    assert run("resonanced", "rollback").stdout == "nothing to put back, nothing to remove\n"


def test_a_journal_of_the_boot_before_is_not_replayed_and_does_not_trouble_the_service() -> None:
    """As on a host whose /run is kept over a reboot."""
    (old,) = STATE.glob("journal-*.wal")
    JOURNAL.mkdir(mode=0o700, exist_ok=True)
    shutil.copy(old, JOURNAL)
    before = units.held()
    rolled_back = machine.asked("resonanced", "rollback")
    assert rolled_back["receipts"] == []
    with machine.running('[tuning]\nmode = "shadow"\n'):
        assert machine.is_active()
        assert machine.asked("resonanced", "journal")["entries"] == []
    named = ("--latency-critical", f"unit:{units.WEB}")
    applied = machine.asked("resonanced", "apply", "balanced", *named)
    assert [receipt["outcome"] for receipt in applied["receipts"]] == ["applied"]
    run("resonanced", "rollback")
    assert units.differences(before) == {}


def test_the_service_starts_by_itself_or_not_as_its_package_decided() -> None:
    """The session stopped it; whether it had come up is in the journal of this boot."""
    enabled = run("systemctl", "is-enabled", UNIT, ok=(0, 1)).stdout.strip()
    started = run(
        "journalctl", "--boot", f"--unit={UNIT}", "--output=cat", "--grep=^Started", ok=(0, 1)
    )
    assert (enabled == "enabled") == bool(started.stdout.strip())
