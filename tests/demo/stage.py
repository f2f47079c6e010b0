# SPDX-License-Identifier: MIT
"""What do the demos share? Cgroups, programs and a service that end with them; and how to talk."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Generator
from pathlib import Path
from typing import IO, Final

from resonance_bpf.hierarchy import find_hierarchy

ORPHAN_SECONDS: Final = 300.0
"""By then whatever was started ends by itself, should we not be there to end it."""
BUSY_RATIO: Final = 0.2
"""A machine as busy as that before anything is started will not show what a quiet one does."""
HERE: Final = Path(__file__).parent
BIN: Final = Path(sys.executable).parent
COLUMNS: Final = 79
CPUS: Final = 2


def prepare() -> None:
    """Make every run look alike: as root, on two CPUs, in so many columns."""
    if os.geteuid():
        sys.exit("the demo measures this kernel: run it as root")
    # Pictures and tables as wide as what they stand in, wherever this is shown.
    os.environ |= {"COLUMNS": str(COLUMNS), "LINES": "32"}
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CPUS])


def say(text: str) -> None:
    """Print a paragraph."""
    print(f"\n{textwrap.fill(text, COLUMNS)}", flush=True)


def show(command: str, *arguments: str, part: int | None = None) -> None:
    """Print a command as one would type it, and its answer, or one paragraph of it."""
    typed = [each for each in arguments if each != "--config" and not each.endswith(".toml")]
    print("$", command, *typed)
    answer = run(command, *arguments).rstrip()
    print(answer if part is None else answer.split("\n\n")[part], flush=True)


def run(command: str, *arguments: str) -> str:
    """Return what one of our commands prints."""
    # Whoever looks is not to be what the users of the server feel.
    done = subprocess.run(
        ["nice", "-n", "19", BIN / command, *arguments],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{command} {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def warn_if_busy() -> None:
    """Say so where other work will disturb what is shown."""
    before = _cpu_times()
    time.sleep(1.0)
    idle, total = (now - then for now, then in zip(_cpu_times(), before, strict=True))
    busy = 1.0 - idle / total
    if busy > BUSY_RATIO:
        print(
            f"\nthis machine is {busy:.0%} busy with other things: expect less of a gain, or none"
        )


def _cpu_times() -> tuple[int, int]:
    """Return the idle and the whole time of all CPUs, in ticks."""
    times = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return times[3] + times[4], sum(times)


@contextlib.contextmanager
def own_cgroup(name: str = "") -> Generator[Path]:
    """Make a cgroup of the demo's; one whose last task has just ended may be busy for a moment."""
    directory = find_hierarchy().mount / f"resonance-demo-{os.getpid()}{name}"
    directory.mkdir()
    try:
        yield directory
    finally:
        for _ in range(100):
            with contextlib.suppress(OSError):
                directory.rmdir()
                break
            time.sleep(0.02)
        else:
            directory.rmdir()


@contextlib.contextmanager
def serving(config: Path) -> Generator[None]:
    """Run a service of the demo's own."""
    command = [str(BIN / "resonanced"), "run", "--no-view", "--config", str(config)]
    service = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert service.stdout
        for line in service.stdout:
            if line.startswith("  backend"):
                print(line.strip())
            if line.startswith("  user"):
                break
        else:
            sys.exit(f"resonanced ended with status {service.wait()}")
        yield
    finally:
        service.terminate()
        service.wait()


@contextlib.contextmanager
def started(
    place: Path, script: str, *arguments: str, output: int | IO[str] = subprocess.PIPE
) -> Generator[subprocess.Popen[str]]:
    """Run a script of this folder in a cgroup."""
    command = [sys.executable, str(HERE / script), *arguments]
    process = subprocess.Popen(command, stdout=output, text=True)
    try:
        (place / "cgroup.procs").write_text(str(process.pid))
        yield process
    finally:
        process.kill()
        process.communicate()
