# SPDX-License-Identifier: MIT
"""Who makes the others wait is named, by the kernel's own account and nobody's report."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from privileged.phase.conftest import until
from privileged.phase.test_phase_service import rhythm
from privileged.running import Place
from resonance.bench.reference import phase
from resonance.bench.reference.programs import HERE
from resonance_bpf.hierarchy import find_hierarchy

pytestmark = pytest.mark.privileged

SOURCES = (
    Path(__file__).parents[2] / "bench" / "phase" / "periodic.c",
    Path(phase.__file__).with_name("requests.c"),
)
SECONDS = "60"
PERIOD_SECONDS = 0.09
WORK_NS = 15_000_000
DECOY_NS = 200_000


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Compile the programs of the benches that stand in for the load."""
    for source in SOURCES:
        command = ["clang", "-O2", "-I", HERE, "-o", tmp_path / source.stem, source]
        subprocess.run(command, check=True, timeout=60)
    return tmp_path


@pytest.fixture
def cgroups() -> Iterator[dict[str, Path]]:
    mount = find_hierarchy().mount
    made = {
        name: mount / f"resonance-test-{os.getpid()}-{name}" for name in ("web", "noisy", "decoy")
    }
    for directory in made.values():
        directory.mkdir()
    yield made
    for directory in made.values():
        assert until(lambda directory=directory: not (directory / "cgroup.procs").read_text())
        directory.rmdir()


@contextlib.contextmanager
def started(*command: str) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_the_noisy_neighbour_is_named_with_its_period_and_no_decoy_is(
    place: Place, programs: Path, cgroups: dict[str, Path]
) -> None:
    place.write_config(signals={"cgroups": [f"/{each.name}" for each in cgroups.values()]})
    place.start()
    noisy, period_ns = f"/{cgroups['noisy'].name}", str(round(PERIOD_SECONDS * 1e9))
    with contextlib.ExitStack() as stack:
        for _ in range(os.cpu_count() or 1):
            command = [str(programs / "periodic"), SECONDS, period_ns, str(WORK_NS)]
            stack.enter_context(started(*command, str(cgroups["noisy"])))
        decoy = [str(programs / "periodic"), SECONDS, "37000000", str(DECOY_NS)]
        stack.enter_context(started(*decoy, str(cgroups["decoy"])))
        web = [str(programs / "requests"), SECONDS, "500", "300000", str(cgroups["web"])]
        stack.enter_context(started(*web))

        def named() -> list[str]:
            neighbours = rhythm(place)["neighbours"]
            return [each["cgroup"] for each in neighbours if each["is_named"]]

        assert until(lambda: named() == [noisy]), rhythm(place)
        first = rhythm(place)["neighbours"][0]
        assert abs(first["period_seconds"] - PERIOD_SECONDS) < 0.2 * PERIOD_SECONDS, first
