# SPDX-License-Identifier: MIT
"""Would the privileged tests notice what they leave behind? The watchman, watched."""

from __future__ import annotations

from pathlib import Path

import pytest

import fingerprint
from fingerprint import difference


def test_nothing_done_is_no_difference() -> None:
    assert difference({"/knob": "1"}, {"/knob": "1"}) == []


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ({"/knob": "1"}, {"/knob": "2"}, "/knob: 1 -> 2"),
        ({}, {"mount /x": "bpf"}, "mount /x: absent -> bpf"),
        ({"/run/netns/a": "exists"}, {}, "/run/netns/a: exists -> absent"),
        ({}, {"BPF program 7": "run (tracing)"}, "BPF program 7: absent -> run (tracing)"),
        ({}, {"process 7": "resonanced run"}, "process 7: absent -> resonanced run"),
    ],
)
def test_what_is_changed_left_or_removed_is_told(
    before: dict[str, str], after: dict[str, str], line: str
) -> None:
    assert difference(before, after) == [line]


@pytest.mark.parametrize("what", ["BPF program 7", "process 7"])
def test_what_others_ended_meanwhile_is_not_ours(what: str) -> None:
    assert difference({what: "theirs"}, {}) == []


def test_it_looks_at_real_knobs_and_mounts() -> None:
    taken = fingerprint.take()
    assert taken["/proc/sys/vm/swappiness"] == Path("/proc/sys/vm/swappiness").read_text().strip()
    assert taken["mount /proc"] == "proc"
