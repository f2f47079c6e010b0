# SPDX-License-Identifier: MIT
"""Does the fake kernel of the unit tests answer as this one? Both are told the same story."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.cgroup_tree import CgroupTree
from resonance_tuning.host import Host, format_cpus

GROUP = f"resonance-test-model-{os.getpid()}"
# By version: the files that are read after each write, and the writes. CPUs 0 and 1 there are
# everywhere, 99999 nowhere.
CPU = {
    1: (
        ["cpu.shares", "cpu.idle"],
        (
            "cpu.shares=1 cpu.shares=999999999 cpu.shares=0 cpu.shares=abc cpu.shares=700 "
            "cpu.idle=1 cpu.shares=5 cpu.idle=1 cpu.idle=2 cpu.idle=0 cpu.shares=700 cpu.idle=0"
        ),
    ),
    2: (
        ["cpu.weight", "cpu.idle"],
        (
            "cpu.weight=1 cpu.weight=10001 cpu.weight=0 cpu.weight=abc cpu.weight=700 cpu.idle=1 "
            "cpu.weight=5 cpu.idle=1 cpu.idle=2 cpu.idle=0 cpu.weight=700 cpu.idle=0"
        ),
    ),
}
CPUSET = {
    1: (
        ["cpuset.cpus", "cpuset.mems", "child/cpuset.cpus", "child/cpuset.mems"],
        (
            "cpuset.cpus=99999 cpuset.cpus=x cpuset.mems=0 cpuset.cpus=1,0 child/cpuset.cpus=0-1 "
            "cpuset.cpus=0 child/cpuset.cpus= cpuset.cpus=0 child/cpuset.cpus=1 "
            "child/cpuset.cpus=0 child/cpuset.cpu_exclusive=1 cpuset.cpus= "
            "child/cpuset.cpus= cpuset.cpus= cpuset.mems="
        ),
    ),
    2: (
        ["cpuset.cpus", "cpuset.cpus.effective", "cpuset.cpus.partition"],
        (
            "cpuset.cpus=99999 cpuset.cpus=x cpuset.cpus=1,0 cpuset.cpus= cpuset.cpus=1 "
            "cpuset.cpus.partition=nonsense cpuset.cpus.partition=member cpuset.cpus="
        ),
    ),
}


@contextlib.contextmanager
def real_group(controller: str) -> Iterator[Path]:
    mount = Host().controller(controller)
    assert mount
    directory = mount.directory / GROUP
    try:
        (directory / "child").mkdir(parents=True)
        yield directory
    finally:
        (directory / "child").rmdir()
        directory.rmdir()


def tell(host: Host, directory: Path, story: tuple[list[str], str]) -> list[tuple[object, ...]]:
    """Return what each write was answered, and what every file read after it."""
    files, writes = story
    told: list[tuple[object, ...]] = []
    for write in writes.split(" "):
        name, _, text = write.partition("=")
        try:
            host.write(directory / name, text)
            answer: int | None = 0
        except OSError as error:
            answer = error.errno
        told.append((write, answer, *(host.read(directory / file) for file in files)))
    return told


@pytest.mark.parametrize(("controller", "stories"), [("cpu", CPU), ("cpuset", CPUSET)])
def test_the_fake_kernel_answers_as_this_one(
    tmp_path: Path, controller: str, stories: dict[int, tuple[list[str], str]]
) -> None:
    host = Host()
    mount = host.controller(controller)
    assert mount
    story = stories[mount.version]
    with real_group(controller) as directory:
        real = tell(host, directory, story)
    tree = CgroupTree(tmp_path, "v2" if mount.version == 2 else "hybrid")
    tree.set_online(host.online_cpus())
    possible = host.read(host.path("/sys/devices/system/cpu/possible"))
    tree.put("/sys/devices/system/cpu/possible", f"{possible}\n")
    for name in ("cpuset.cpus", "cpuset.effective_cpus", "cpuset.cpus.effective"):
        if tree.file("/", name).exists():
            tree.file("/", name).write_text(f"{format_cpus(host.online_cpus())}\n")
    tree.make_group(f"/{GROUP}/child")
    assert tell(tree.host, tree.hierarchy(controller) / GROUP, story) == real
