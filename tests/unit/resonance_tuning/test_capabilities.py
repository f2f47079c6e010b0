# SPDX-License-Identifier: MIT
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from resonance_tuning import capabilities


def test_names_stand_at_the_bits_of_the_kernels_header() -> None:
    header = Path("/usr/include/linux/capability.h").read_text(encoding="utf-8")
    defined = {
        words[1]: int(words[2])
        for words in (line.split() for line in header.splitlines())
        if len(words) == 3 and words[1].startswith("CAP_") and words[2].isdigit()
    }
    ours = {name: bit for bit, name in enumerate(capabilities.ALL) if name in defined}
    assert ours.items() <= defined.items()
    assert len(ours) > 30


def test_the_sets_of_a_process_are_read_by_name(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text(
        "Name:\tx\nCapInh:\t0000000000000000\nCapPrm:\t0000000000801002\nCapEff:\t0000000000800000\n"
    )
    assert capabilities.current(status) == {
        "CapInh": frozenset(),
        "CapPrm": {"CAP_DAC_OVERRIDE", "CAP_NET_ADMIN", "CAP_SYS_NICE"},
        "CapEff": {"CAP_SYS_NICE"},
    }


def _after(code: str) -> list[str]:
    """Return what a process of its own prints after some calls."""
    program = f"from resonance_tuning import capabilities\n{code}\n"
    program += (
        "for line in open('/proc/self/status'):\n"
        "    if line.startswith(('Cap', 'NoNewPrivs')): print(line.split()[1])\n"
    )
    command = [sys.executable, "-c", program]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def test_whoever_gives_up_all_has_nothing_and_gains_nothing() -> None:
    inheritable, permitted, effective, _, ambient, no_new_privs = _after(
        "assert capabilities.drop_all_but(()) == frozenset()"
    )
    assert {inheritable, permitted, effective, ambient} == {"0" * 16}
    assert no_new_privs == "1"


def test_what_was_not_there_is_not_asked_for() -> None:
    sets = _after(
        "capabilities.restrict(())\nassert not capabilities.drop_all_but({'CAP_SYS_NICE'})"
    )
    assert sets[1] == sets[2] == "0" * 16


def test_sigterm_comes_with_the_parents_end() -> None:
    program = """
import os, signal
from resonance_tuning import capabilities

listening, ready = os.pipe()
if os.fork() == 0:
    signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b"told"), os._exit(0)))
    capabilities.end_with_parent()
    os.write(ready, b"x")
    signal.pause()
os.read(listening, 1)
os._exit(0)
"""
    command = [sys.executable, "-c", program]
    # The output ends when the last of the two has ended.
    assert subprocess.run(command, check=True, capture_output=True, timeout=20).stdout == b"told"
