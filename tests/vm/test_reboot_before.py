# SPDX-License-Identifier: MIT
"""Before the reboot: apply what only a reboot is to take back, and write down what was there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from vm import machine, units
from vm.machine import run

STATE = Path("/var/lib/resonance-vm-test")
"""Read by `test_reboot_after.py`."""
JOURNAL = Path("/run/resonance-tuning")


def test_apply_balanced_turns_two_units_and_is_written_down() -> None:
    units.make(Path("/etc/systemd/system"))
    run("systemctl", "enable", *units.UNITS)
    before = units.held()
    named = ("--latency-critical", f"unit:{units.WEB}", "--batch", f"unit:{units.HOGS}")
    applied = machine.asked("resonanced", "apply", "balanced", *named)
    assert {receipt["outcome"] for receipt in applied["receipts"]} == {"applied"}
    assert {receipt["setting"]["target"]["name"] for receipt in applied["receipts"]} == set(
        units.UNITS
    )
    turned = units.held()
    assert turned[units.WEB]["cpu.weight"] == "1000"
    assert turned[units.HOGS]["cpu.idle"] == "1"
    assert all(units.drop_ins().values())
    assert machine.asked("resonanced", "verify")["drifted"] == 0

    STATE.mkdir()
    (STATE / "before.json").write_text(json.dumps(before), encoding="utf-8")
    boot = machine.read(Path("/proc/sys/kernel/random/boot_id"))
    (STATE / "boot").write_text(boot, encoding="utf-8")
    (journal,) = JOURNAL.glob(f"journal-{boot}.wal")
    shutil.copy(journal, STATE)
