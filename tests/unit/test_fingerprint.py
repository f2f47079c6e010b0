# SPDX-License-Identifier: MIT
"""Would the privileged tests notice what they leave behind? The watchman, watched."""

from __future__ import annotations

from pathlib import Path

import pytest

import fingerprint
from fingerprint import difference

SHARES = "/sys/fs/cgroup/cpu/a/cpu.shares"


def test_nothing_done_is_no_difference() -> None:
    assert difference({"/knob": "1"}, {"/knob": "1"}) == []


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ({"/knob": "1"}, {"/knob": "2"}, "/knob: 1 -> 2"),
        ({}, {"mount /x": "bpf"}, "mount /x: absent -> bpf"),
        ({"/run/netns/a": "exists"}, {}, "/run/netns/a: exists -> absent"),
        ({}, {"BPF program 7": "run (tracing)"}, "BPF program 7: absent -> run (tracing)"),
        ({}, {"cgroup /c/resonance-x": "exists"}, "cgroup /c/resonance-x: absent -> exists"),
        ({SHARES: "1"}, {SHARES: "2"}, f"{SHARES}: 1 -> 2"),
        ({}, {"process 7": "resonanced run"}, "process 7: absent -> resonanced run"),
    ],
)
def test_what_is_changed_left_or_removed_is_told(
    before: dict[str, str], after: dict[str, str], line: str
) -> None:
    assert difference(before, after) == [line]


def test_what_others_began_meanwhile_is_not_ours() -> None:
    assert difference({}, {SHARES: "1024"}) == []


@pytest.mark.parametrize("what", ["BPF program 7", "process 7", "cgroup /c/resonance-x", SHARES])
def test_what_others_ended_meanwhile_is_not_ours(what: str) -> None:
    assert difference({what: "theirs"}, {}) == []


def test_it_looks_at_real_knobs() -> None:
    swappiness = Path("/proc/sys/vm/swappiness")
    assert fingerprint.take()[str(swappiness)] == swappiness.read_text(encoding="ascii").strip()
