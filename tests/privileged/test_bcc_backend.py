# SPDX-License-Identifier: MIT
"""Does BCC's build of the programs measure what the CO-RE build does, and can it be fooled?"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from privileged.conftest import MakeCgroup, StartTask
from privileged.probes import Counted, Probes, Task, loaded
from resonance_bpf import headers, pins
from resonance_bpf.btf import Btf
from resonance_bpf.catalogue import PROGRAMS, SOCKET_KINDS
from resonance_bpf.hierarchy import CgroupHierarchy, find_hierarchy
from resonance_bpf.layouts import bucket_index
from resonance_bpf.report import LoadRequest
from resonanced.keeper import possible_cpus

SRTT, CONNECT, RECEIVE = (SOCKET_KINDS.index(kind) for kind in ("srtt", "connect", "receive"))
PORT = 7_927
LOADER = """
import pathlib, sys, msgspec
from resonance_bpf.backends import bcc
from resonance_bpf.errors import ProbeError
from resonance_bpf.report import LoadRequest
request = msgspec.json.decode(sys.stdin.buffer.read(), type=LoadRequest)
btf_file, *tree = map(pathlib.Path, sys.argv[1:])
try:
    report = bcc.load(request, btf_file=btf_file, header_directory=tree[0] if tree else None)
except ProbeError as error:
    sys.exit(f"{type(error).__name__}: {error}")
sys.stdout.buffer.write(msgspec.json.encode(report))
"""
KEEPER = """
import pathlib, re, sys, msgspec
from resonance_bpf import loader
from resonance_bpf.report import LoadRequest
def rss_kb():
    text = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"VmRSS:\\s+(\\d+)", text)[1])
request = msgspec.json.decode(sys.stdin.buffer.read(), type=LoadRequest)
before = rss_kb()
assert loader.choose("bcc", request).tier == "bcc"
assert "bcc" not in sys.modules
print(rss_kb() - before)
"""
BTF, NO_BTF = "/sys/kernel/btf/vmlinux", "/nonexistent"
Load = Callable[[str, str], Probes]


def _v2() -> CgroupHierarchy:
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    point = Path(next(line.split()[1] for line in mounts if line.split()[2] == "cgroup2"))
    return CgroupHierarchy("v2", point, point.stat().st_ino)


HIERARCHIES = {hierarchy.name: hierarchy for hierarchy in (find_hierarchy(), _v2())}


@pytest.fixture(scope="module")
def load(bpffs: Path) -> Iterator[Load]:
    """Load through BCC, once for each hierarchy and each BTF file."""
    cache: dict[tuple[str, str], Probes] = {}
    with ExitStack() as stack:

        def once(hierarchy: str, btf_file: str) -> Probes:
            key = (hierarchy, btf_file)
            if key not in cache:
                directory = bpffs / f"bcc{len(cache)}"
                program = (LOADER, btf_file)
                probes = loaded(directory, HIERARCHIES[hierarchy], program=program)
                cache[key] = stack.enter_context(probes)
            return cache[key]

        yield once


@pytest.fixture(params=sorted(HIERARCHIES))
def raw(request: pytest.FixtureRequest, load: Load) -> Probes:
    """Raw tracepoints, for each hierarchy that is mounted here."""
    return load(request.param, BTF)


@pytest.fixture
def directory(bpffs: Path) -> Iterator[Path]:
    """Where one loader may pin."""
    path = bpffs / "alone"
    path.mkdir()
    yield path
    pins.clear(str(path))
    path.rmdir()


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A cgroup for one loader."""
    path = find_hierarchy().mount / f"resonance-test-bcc-{os.getpid()}"
    path.mkdir()
    yield path
    path.rmdir()


@pytest.fixture
def traced(load: Load) -> Probes:
    """What a kernel without BTF is left with, on the hierarchy where that knows cgroups."""
    return load("v2", NO_BTF)


def _pair(start: StartTask) -> tuple[Task, Task]:
    server, client = start(), start()
    server.do("enter_new_network")
    client.do("enter_network_of", server.pid)
    return server, client


def _waits_of_a_workload(
    probes: Probes, make_cgroup: MakeCgroup, task: Task
) -> tuple[Counted, int, int]:
    """Return what was counted of 1,009 sleeps, and the kernel's own (runs, ns waited)."""
    cgroup = make_cgroup(probes)
    cgroup.add(task)
    runs_before, waited_before = task.account()
    before = probes.waits(cgroup.slot)
    task.do("burn_by_count", 1_009)
    runs, waited_ns = task.account()
    return probes.waits(cgroup.slot) - before, runs - runs_before, waited_ns - waited_before


def test_every_program_of_the_catalogue_is_attached_and_the_canary_was_asked(raw: Probes) -> None:
    assert (raw.report.backend, raw.report.tier) == ("bcc", "bcc")
    assert {p.name for p in raw.report.programs if p.attached} == {p.name for p in PROGRAMS}
    assert raw.report.canary
    assert raw.report.canary.switches_seen >= 23


def test_waits_equal_the_kernels_account_in_the_cgroup_of_the_task(
    raw: Probes, make_cgroup: MakeCgroup, start: StartTask
) -> None:
    seen, runs, waited_ns = _waits_of_a_workload(raw, make_cgroup, start())
    assert runs >= 1_009
    # Some virtual machines switch about once in a thousand without firing the tracepoint.
    assert seen.n == seen.buckets.sum() == pytest.approx(runs, rel=0.005, abs=5)
    assert seen.sum_ns == pytest.approx(waited_ns, rel=0.001)


def test_connects_and_segments_are_counted_in_the_cgroup_that_made_them(
    raw: Probes, make_cgroup: MakeCgroup, start: StartTask
) -> None:
    servers, clients, connects = make_cgroup(raw), make_cgroup(raw), 101
    server, client = _pair(start)
    servers.add(server)
    clients.add(client)
    server.do("listen", "127.0.0.1", PORT)
    server.order("accept_and_close", connects)
    client.do("connect", "127.0.0.1", PORT, connects)
    server.answer()
    server.order("echo")
    client.do("converse", "127.0.0.1", PORT, 211)
    server.answer()
    assert raw.sockets(CONNECT, clients.slot).n == connects + 1
    assert raw.sockets(CONNECT, servers.slot).n == 0
    assert raw.sockets(SRTT, clients.slot).n >= 211
    assert raw.sockets(SRTT, servers.slot).n >= 211


def test_an_accepted_socket_belongs_to_its_listeners_cgroup_before_it_is_first_read(
    raw: Probes, make_cgroup: MakeCgroup, start: StartTask
) -> None:
    servers = make_cgroup(raw)
    server, client = _pair(start)
    servers.add(server)
    server.do("listen", "127.0.0.1", PORT)
    client.do("send_unheard", "127.0.0.1", PORT, 7)
    assert raw.sockets(SRTT, servers.slot).n >= 7


def test_data_left_unread_waits_as_long_as_the_reader_stayed_away(
    raw: Probes, make_cgroup: MakeCgroup, start: StartTask
) -> None:
    cgroup, task = make_cgroup(raw), start()
    cgroup.add(task)
    lay_ns = task.do("read_late", 43, 0.005)
    counted = raw.sockets(RECEIVE, cgroup.slot)
    assert counted.n == 43
    assert counted.sum_ns == pytest.approx(sum(lay_ns), rel=0.1)


def test_the_programs_outlive_their_loader_and_end_with_their_pins(
    bpffs: Path, start: StartTask
) -> None:
    task, directory = start(), bpffs / "outlived"
    with loaded(directory, find_hierarchy(), program=(LOADER, BTF)) as probes:
        assert probes.report.loader_pid == 0
        costs = probes.maps.costs[0]["runs"]
        before = int(costs.sum())
        task.do("burn_by_count", 101)
        assert int(costs.sum()) - before >= 101
        pins.clear(str(directory))
        task.do("burn_by_count", 101)  # the kernel ends a program a little after its last holder
        before = int(costs.sum())
        task.do("burn_by_count", 101)
        assert int(costs.sum()) == before


def test_the_compiler_leaves_nothing_in_the_process_that_asked(
    directory: Path, cgroup: Path
) -> None:
    """Through the loader of the service: BCC is a library of 120 MB, forked off and gone."""
    done = _run(directory, cgroup, KEEPER)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 2_048


@pytest.mark.parametrize("member", ["pid", "last_queued", "run_delay", "clock", "prio", "id"])
def test_the_canary_rejects_another_kernels_offsets(
    member: str, directory: Path, cgroup: Path, tmp_path: Path
) -> None:
    """A tree that is right but for one member lies as another kernel's headers do."""
    headers.write_tree(Btf.from_file(), find_hierarchy().name, tmp_path)
    header = tmp_path / "include/resonance/kernel.h"
    text, skip = header.read_text(), f"skip_{member}"
    shifted = re.sub(rf"{skip}\[(\d+)]", lambda at: f"{skip}[{int(at[1]) + 256}]", text)
    assert shifted != text
    header.write_text(shifted)
    assert _refusal(directory, cgroup, tmp_path).startswith("CanaryError: bcc: the canary read")


def test_a_header_tree_that_is_not_ours_is_refused(
    directory: Path, cgroup: Path, tmp_path: Path
) -> None:
    """Distributions' headers do not hold the run queue, and an empty tree holds nothing."""
    for tree in (tmp_path, *Path("/usr/src").glob("linux-headers-*")):
        refusal = _refusal(directory, cgroup, tree)
        assert refusal.startswith("ToolchainError: bcc: compile:") or not refusal, tree


def test_without_btf_tracefs_tells_enough_to_count_every_wait_in_its_cgroup(
    traced: Probes, make_cgroup: MakeCgroup, start: StartTask
) -> None:
    assert (traced.report.backend, traced.report.tier) == ("bcc", "bcc-tracefs")
    assert "no kernel type information" in traced.report.rejected[0].reason
    seen, runs, _ = _waits_of_a_workload(traced, make_cgroup, start())
    assert seen.n == seen.buckets.sum() == pytest.approx(runs, rel=0.01)


def test_without_btf_a_wait_of_a_planned_length_is_measured_as_that_long(
    traced: Probes, make_cgroup: MakeCgroup, start: StartTask, wake_pipe: tuple[int, int]
) -> None:
    wakeups, planned_seconds, last_cpu = 53, 0.003, max(os.sched_getaffinity(0))
    cgroup = make_cgroup(traced)
    read, write = wake_pipe
    waiter, spinner = start(read), start(write)
    cgroup.add(waiter)
    waiter.run_realtime(10, last_cpu)
    spinner.run_realtime(20, last_cpu)
    waiter.do("ping")
    before = traced.waits(cgroup.slot)
    waiter.order("wait_for_bytes", read, wakeups)
    spinner.do("wake_and_spin", write, wakeups, planned_seconds, 0.004)
    waiter.answer()
    waits = traced.waits(cgroup.slot) - before
    planned = bucket_index(round(planned_seconds * 1e9))
    assert waits.buckets[planned - 1 : planned + 2].sum() >= 0.95 * wakeups


def test_without_btf_sockets_are_counted_where_a_process_was_seen_with_them(
    traced: Probes, make_cgroup: MakeCgroup, start: StartTask
) -> None:
    clients, connects = make_cgroup(traced), 101
    server, client = _pair(start)
    clients.add(client)
    server.do("listen", "127.0.0.1", PORT)
    server.order("echo")
    client.do("converse", "127.0.0.1", PORT, 211)
    server.answer()
    server.order("accept_and_close", connects)
    client.do("connect", "127.0.0.1", PORT, connects)
    server.answer()
    assert traced.sockets(CONNECT, clients.slot).n == connects + 1
    assert traced.sockets(RECEIVE, clients.slot).n >= 211
    assert traced.sockets(SRTT, clients.slot).n >= 211


def _refusal(directory: Path, cgroup: Path, tree: Path) -> str:
    """Return what the loader says of a header tree; nothing if BCC crashed on it."""
    done = _run(directory, cgroup, LOADER, BTF, str(tree))
    left = [path.name for path in directory.iterdir() if path.name.startswith("link_")]
    assert done.returncode != 0
    assert not left
    return done.stderr


def _run(
    directory: Path, cgroup: Path, program: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run a loader in a cgroup that only it is in."""
    hierarchy = find_hierarchy()
    request = LoadRequest(
        directory=str(directory),
        possible_cpus=possible_cpus(),
        hierarchy=hierarchy.name,
        root_cgroup_id=hierarchy.root_cgroup_id,
        own_cgroup_id=cgroup.stat().st_ino,
    )
    enter = 'echo $$ > "$0" && exec "$@"'
    python = (sys.executable, "-c", program)
    return subprocess.run(
        ["sh", "-c", enter, str(cgroup / "cgroup.procs"), *python, *arguments],
        check=False,
        input=msgspec.json.encode(request).decode(),
        capture_output=True,
        text=True,
    )
