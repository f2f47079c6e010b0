# SPDX-License-Identifier: MIT
"""What do ten settings cost to make and to take back, and the actuator to keep?"""

from __future__ import annotations

import os
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from paired import Result, placebo, within
from resonance_tuning.actuator.link import Actuator
from resonance_tuning.host import Host
from resonance_tuning.records import Setting
from resonance_tuning.settings import Group, TuningSettings
from running import remove_cgroup
from tuning.applied import resident

SECONDS_BAR: Final = 0.200
MEMORY_BAR_BYTES: Final = 25e6
_PLACEBO_BAR: Final = 1.5
"""*Chosen*: a few milliseconds of work in another process."""
_SETTINGS: Final = 10
_IDLE_SECONDS: Final = 8.0
"""Three rounds of its looking whether all is as it was."""
_SYNCS: Final = 20


@dataclass(frozen=True, slots=True)
class Sample:
    """One profile made and taken back; seconds without those of the disk."""

    apply_seconds: float
    undo_seconds: float


@contextmanager
def _cgroups() -> Iterator[tuple[list[str], list[str]]]:
    """Make cgroups for ten settings: a weight each for some, the idle class for others."""
    mount = Host().controller("cpu")
    if not mount:
        raise RuntimeError("no cpu controller is mounted")
    names = [f"resonance-bench-{os.getpid()}-{number}" for number in range(_SETTINGS)]
    for name in names:
        (mount.directory / name).mkdir()
    try:
        paths = [f"/{name}" for name in names]
        yield paths[: _SETTINGS // 2], paths[_SETTINGS // 2 :]
    finally:
        for name in names:
            remove_cgroup(mount.directory / name)


def _sync_seconds(directory: Path) -> float:
    """Return what one write of the journal waits for the disk."""
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        started = time.perf_counter()
        for _ in range(_SYNCS):
            file.write(b"x" * 400)
            file.flush()
            os.fdatasync(file.fileno())
        return (time.perf_counter() - started) / _SYNCS


def _field(pid: int, file: str, name: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+)", Path(f"/proc/{pid}/{file}").read_text(), re.MULTILINE)
    assert match
    return int(match[1])


def _wanted(actuator: Actuator) -> list[Setting]:
    return [change.setting for change in actuator.plan().changes if change.is_needed]


def _once(actuator: Actuator) -> Sample:
    wanted = _wanted(actuator)
    if len(wanted) != _SETTINGS:
        raise RuntimeError(f"{len(wanted)} settings planned, not {_SETTINGS}")
    started = time.perf_counter()
    actuator.apply(wanted, "a benchmark asked for it")
    applied = time.perf_counter()
    actuator.undo([], "a benchmark asked for it")
    return Sample(applied - started, time.perf_counter() - applied)


def measure(rounds: int) -> list[Result]:
    """Measure ten settings through the actuator, its memory, and its writes while idle."""
    with _cgroups() as (critical, batch):
        settings = TuningSettings(
            profile="balanced",
            latency_critical=Group(cgroups=tuple(critical)),
            batch=Group(cgroups=tuple(batch)),
            mode="active",
        )
        with resident(settings) as actuator:
            # Where the journal is: /run, so what a disk would add is not in these numbers.
            sync = _sync_seconds(Path("/run"))
            samples = [_once(actuator) for _ in range(2 * rounds)]
            actuator.apply(_wanted(actuator), "a benchmark asked for it")
            memory = _field(actuator.pid, "status", "VmRSS") * 1024
            written = _field(actuator.pid, "io", "wchar")
            time.sleep(_IDLE_SECONDS)
            written = _field(actuator.pid, "io", "wchar") - written
    apply = [sample.apply_seconds for sample in samples]
    undo = [sample.undo_seconds for sample in samples]
    print(
        f"\n{_SETTINGS} settings: apply {statistics.median(apply) * 1e3:.1f} ms, undo"
        f" {statistics.median(undo) * 1e3:.1f} ms, one fdatasync {sync * 1e6:.0f} us;"
        f" actuator {memory / 1e6:.1f} MB, {written} bytes written in {_IDLE_SECONDS:.0f} s"
        " of nothing to do"
    )
    again = placebo(apply[::2], apply[1::2])
    what = f"{_SETTINGS} settings"
    return [
        Result(f"A/A: apply {what}", "again", again, _PLACEBO_BAR, is_placebo=True),
        Result(f"apply {what}", "200 ms", within(apply, SECONDS_BAR), 1.0),
        Result(f"undo {what}", "200 ms", within(undo, SECONDS_BAR), 1.0),
        Result("actuator, resident memory", "25 MB", within([memory], MEMORY_BAR_BYTES), 1.0),
        Result("bytes written while nothing changes", "1 byte", within([written], 1.0), 0.0),
    ]
