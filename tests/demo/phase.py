# SPDX-License-Identifier: MIT
"""Eight flushers in step beside a small HTTP service: what phase control says, and does.

``make demo-phase`` takes two minutes, on two CPUs. It starts a service of its own, eight flushers
that all begin on the same full second, a web server and its users; then it asks for the mode
``shadow``, which says what it would gain and changes nothing, for ``active``, which does it, and
for ``observe``, which gives every flusher its own phase back. The pictures are in
``build/demo-phase``.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FLUSHERS: Final = 8
CPUS: Final = 2
SETTLE_SECONDS: Final = 10.0
"""Six chunks of baseline, sixteen cycles to see a phase, fifteen to move, and some rest."""
MEASURED_SECONDS: Final = 10.0
MODES: Final = ("shadow", "active", "observe")
WHOLE_SECONDS: Final = len(MODES) * (SETTLE_SECONDS + MEASURED_SECONDS) + 15.0
HERE: Final = Path(__file__).parent
PICTURES: Final = HERE.parents[1] / "build" / "demo-phase"
BIN: Final = Path(sys.executable).parent
PORT: Final = 19_759


@dataclass(frozen=True)
class Window:
    """When a mode was in force, what it predicted, and how its end looked."""

    mode: str
    begin: float
    end: float
    predicted_ratio: float
    held: int


def main() -> None:
    """Show it."""
    if os.geteuid():
        sys.exit("the demo loads probes into this kernel: run it as root")
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CPUS])
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="resonance-demo-", dir="/run") as parent:
        os.chmod(parent, 0o755)
        directory = Path(parent) / "resonance"
        config = Path(parent) / "resonanced.toml"
        config.write_text(
            f'[service]\nruntime_directory = "{directory}"\n[telemetry]\nport = {PORT}\n'
            '[phase]\nmode = "shadow"\nprotect = ["*"]\n'
        )
        os.environ["RESONANCE_HINTS_SOCKET"] = str(directory / "hints.sock")
        with contextlib.ExitStack() as stack:
            stack.enter_context(_serving(config))
            windows, took = _play(stack, config)
        _tell(windows, took)


def _play(stack: contextlib.ExitStack, config: Path) -> tuple[list[Window], list[list[float]]]:
    python, seconds = sys.executable, str(WHOLE_SECONDS)
    web = stack.enter_context(_started(python, str(HERE / "web.py"), "serve", seconds))
    assert web.stdout
    port = web.stdout.readline().strip()
    users = stack.enter_context(
        _started(python, str(HERE / "web.py"), "ask", port, str(WHOLE_SECONDS - 2.0))
    )
    for number in range(FLUSHERS):
        stack.enter_context(
            _started(python, str(HERE / "flusher.py"), f"flusher-{number}", seconds)
        )
    print(f"{FLUSHERS} flushers in step, a web server, {CPUS} CPUs")
    windows = [_window(config, mode) for mode in MODES]
    text, _ = users.communicate(timeout=WHOLE_SECONDS)
    return windows, [[float(word) for word in line.split()] for line in text.splitlines()]


def _window(config: Path, mode: str) -> Window:
    print(f"\n$ resonanced phase {mode}", flush=True)
    print(_run("resonanced", "phase", mode, "--config", str(config)).rstrip(), flush=True)
    time.sleep(SETTLE_SECONDS)
    begin = time.monotonic()
    time.sleep(MEASURED_SECONDS)
    end = time.monotonic()
    rhythm = json.loads(_run("resonance", "hints", "get", "--output", "json"))["rhythm"]
    for kind in ("png", "html"):
        _run("resonance", "spectrum", f"--{kind}", str(PICTURES / f"{mode}.{kind}"))
    if mode != "observe":
        print("\n$ resonance explain flusher-3")
        print(_run("resonance", "explain", "flusher-3").rstrip(), flush=True)
    predicted = rhythm["predicted_ratio"]
    return Window(
        mode, begin, end, math.nan if predicted is None else predicted, rhythm["held_sources"]
    )


def _tell(windows: list[Window], took: list[list[float]]) -> None:
    p99 = {window.mode: _p99(window, took) for window in windows}
    shadow, active, observe = windows
    print(f"\n{'':22} p99 of the web server")
    print(f"shadow, in step        {p99['shadow'] * 1e3:6.1f} ms")
    print(
        f"active, predicted      {p99['shadow'] * shadow.predicted_ratio * 1e3:6.1f} ms"
        f"   {shadow.predicted_ratio:.2f} of shadow"
    )
    print(
        f"active, measured       {p99['active'] * 1e3:6.1f} ms"
        f"   {p99['active'] / p99['shadow']:.2f} of shadow; {active.held} flushers held"
    )
    print(
        f"observe, given back    {p99['observe'] * 1e3:6.1f} ms"
        f"   {p99['observe'] / p99['shadow']:.2f} of shadow; {observe.held} flushers held"
    )
    print(f"\npictures: {PICTURES}/{{{','.join(MODES)}}}.{{png,html}}")


def _p99(window: Window, took: list[list[float]]) -> float:
    inside = sorted(each for due, each in took if window.begin <= due < window.end)
    return inside[math.ceil(0.99 * len(inside)) - 1]


def _run(command: str, *arguments: str) -> str:
    done = subprocess.run(
        [BIN / command, *arguments], capture_output=True, text=True, timeout=30, check=False
    )
    if done.returncode:
        sys.exit(f"{command} {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


@contextlib.contextmanager
def _serving(config: Path) -> Iterator[None]:
    command = [str(BIN / "resonanced"), "run", "--config", str(config)]
    service = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert service.stdout
        for line in service.stdout:
            if line.startswith("  user"):
                break
        else:
            sys.exit(f"resonanced ended with status {service.wait()}")
        yield
    finally:
        service.terminate()
        service.wait()


@contextlib.contextmanager
def _started(*command: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    main()
