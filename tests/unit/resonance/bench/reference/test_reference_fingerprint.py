# SPDX-License-Identifier: MIT
"""What an experiment left behind is seen; what others did meanwhile is not ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from resonance.bench.reference import fingerprint
from resonance.bench.reference.fingerprint import differences, take


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(fingerprint, "_PATIENCE_SECONDS", 0.0)
    for name, text in {
        "proc/sys/net/ipv4/tcp_congestion_control": "cubic",
        "proc/self/mounts": "proc /proc proc rw 0 0\n",
        "sys/fs/cgroup/web/cpu.weight": "100",
        "sys/fs/cgroup/web/memory.max": "max",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "run/netns").mkdir(parents=True)
    return tmp_path


def test_nothing_done_is_no_difference(host: Path) -> None:
    assert differences(take(host), host) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("proc/sys/net/ipv4/tcp_congestion_control", "bbr"),
        ("sys/fs/cgroup/web/cpu.weight", "1000"),
        ("proc/self/mounts", "proc /proc proc rw 0 0\nbpf /sys/fs/bpf bpf rw 0 0\n"),
        ("run/netns/resonance-bench-7", ""),
        ("sys/fs/cgroup/resonance-bench-7/cpu.weight", "100"),
    ],
)
def test_a_change_is_told_with_both_values(host: Path, name: str, text: str) -> None:
    before = take(host)
    (host / name).parent.mkdir(exist_ok=True)
    (host / name).write_text(text)
    assert differences(before, host)


def test_what_we_do_not_turn_and_cgroups_of_others_are_left_out(host: Path) -> None:
    before = take(host)
    (host / "sys/fs/cgroup/web/memory.max").write_text("1")
    (host / "sys/fs/cgroup/somebody").mkdir()
    (host / "sys/fs/cgroup/somebody/cpu.weight").write_text("5")
    assert differences(before, host) == []
