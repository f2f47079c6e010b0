# SPDX-License-Identifier: MIT
"""A world of its own for each privileged test: mounts, probes, cgroups and tasks."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from privileged.probes import Cgroup, Probes, Task, loaded, start_task
from privileged.running import Place, Service, free_port
from resonance_bpf import syscalls
from resonance_bpf.hierarchy import CgroupHierarchy, find_hierarchy

MakeCgroup = Callable[..., Cgroup]
StartTask = Callable[..., Task]


def _v2_hierarchy() -> CgroupHierarchy | None:
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, point, kind, *_ = line.split()
        if kind == "cgroup2":
            mount = Path(point)
            return CgroupHierarchy("v2", mount, mount.stat().st_ino)
    return None


def _hierarchies() -> dict[str, CgroupHierarchy]:
    found = [find_hierarchy(), _v2_hierarchy()]
    return {hierarchy.name: hierarchy for hierarchy in found if hierarchy}


@pytest.fixture(scope="session", autouse=True)
def private_mounts(host_left_as_found: None) -> None:
    """Whatever is mounted from here on is seen by these tests and their children only."""
    syscalls.unshare_mounts()


@pytest.fixture(scope="session")
def bpffs(private_mounts: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A BPF file system of these tests."""
    directory = tmp_path_factory.mktemp("bpffs")
    syscalls.mount("bpf", str(directory))
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


@pytest.fixture(scope="session")
def load_once(bpffs: Path) -> Iterator[Callable[[str], Probes]]:
    """Probes per cgroup hierarchy; loaded at the first use, shared by tests with own slots."""
    hierarchies, cache = _hierarchies(), dict[str, Probes]()
    with contextlib.ExitStack() as stack:

        def load(name: str) -> Probes:
            if name not in cache:
                cache[name] = stack.enter_context(loaded(bpffs / name, hierarchies[name]))
            return cache[name]

        yield load


@pytest.fixture
def probes(load_once: Callable[[str], Probes]) -> Probes:
    """Probes that attribute by the hierarchy the service would take here."""
    return load_once(find_hierarchy().name)


@pytest.fixture(params=sorted(_hierarchies()))
def probes_of_each_hierarchy(
    request: pytest.FixtureRequest, load_once: Callable[[str], Probes]
) -> Probes:
    """Probes that attribute by each of the hierarchies that are mounted here."""
    return load_once(request.param)


@pytest.fixture
def start() -> Iterator[StartTask]:
    """Start tasks that end with the test."""
    tasks: list[Task] = []

    def start_one(*descriptors: int) -> Task:
        tasks.append(start_task(*descriptors))
        return tasks[-1]

    yield start_one
    for task in tasks:
        task.end()


@pytest.fixture
def make_cgroup() -> Iterator[MakeCgroup]:
    """Make cgroups with a slot of their own, removed with the test; ask for it before `start`."""
    made: list[tuple[Probes, Cgroup]] = []

    def make(probes: Probes) -> Cgroup:
        slot = probes.next_slot()
        directory = probes.hierarchy.mount / f"resonance-test-{os.getpid()}-{slot}"
        directory.mkdir()
        cgroup = Cgroup(directory, slot)
        made.append((probes, cgroup))
        assert probes.table.assign(slot, cgroup.id)
        return cgroup

    yield make
    for probes, cgroup in made:
        probes.table.release(cgroup.id)
        cgroup.directory.rmdir()


@pytest.fixture
def wake_pipe() -> Iterator[tuple[int, int]]:
    """The two ends of a pipe, to read and to write."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def place(bpffs: Path, tmp_path: Path) -> Iterator[Place]:
    """Where services of one test run, cleared whatever happened."""
    place = Place(
        bpffs=bpffs,
        runtime_directory=Path(f"/run/resonance-test-{os.getpid()}"),
        config=tmp_path / "resonanced.toml",
        port=free_port(),
    )
    place.write_config()
    yield place
    place.clear()


@pytest.fixture
def service(place: Place) -> Iterator[Service]:
    """A running service, which must end well."""
    running = place.start()
    yield running
    if running.process.poll() is None:
        assert running.stop() == 0
        assert place.left_behind() == []
