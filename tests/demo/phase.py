# SPDX-License-Identifier: MIT
"""Eight flushers in step beside a small HTTP service: what phase control says, and does.

``make demo-phase`` takes under two minutes, on two CPUs, and needs root, as it measures this
kernel. It makes a cgroup with eight flushers that all begin on the same full second, a web server
and its users, and starts a service of its own that judges by the waits of that cgroup. Then it
asks for the mode ``shadow``, which says what it would gain and changes nothing, for ``active``,
which does it, and for ``observe``, which gives every flusher its own phase back. The pictures are
in ``build/demo-phase``. Nothing of it is left, however it ends.

::

    flusher   one of the eight
    web       the server, and its users
    picture   how long each request took, drawn
    stage     cgroups, programs and the service
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flusher import PERIOD_SECONDS
from flusher import WORK_SECONDS as FLUSH_SECONDS
from picture import draw
from stage import (
    CPUS,
    HERE,
    ORPHAN_SECONDS,
    own_cgroup,
    prepare,
    run,
    say,
    serving,
    show,
    started,
    warn_if_busy,
)
from web import RATE_HZ
from web import WORK_SECONDS as ANSWER_SECONDS

FLUSHERS: Final = 8
BEGIN_SECONDS: Final = 3.0
"""Until all have started and registered."""
SETTLE_SECONDS: Final = 10.0
"""Six chunks of baseline, sixteen cycles to see a phase, fifteen to move, and some rest."""
MEASURED_SECONDS: Final = 10.0
STEPS: Final = {
    "shadow": "Shadow decides everything and moves nothing. What would there be to gain?",
    "active": "Active moves what may be moved, by 7 ms per cycle at most.",
    "observe": "Switched off: every flusher goes back to its own phase, as it came.",
}
"""The modes in the order they are asked for, and what is to be seen then."""
WHOLE_SECONDS: Final = len(STEPS) * (SETTLE_SECONDS + MEASURED_SECONDS)
PICTURES: Final = HERE.parents[1] / "build" / "demo-phase"
PORT: Final = 19_759


@dataclass(frozen=True)
class Window:
    """The quiet end of the time a mode was in force: what it took, and what was said of it.

    Attributes
    ----------
    mode : str
    begin, end : float
        CLOCK_MONOTONIC, seconds.
    predicted_ratio : float
        What the service foretells of others' p99; NaN where it does not.
    held : int
        Flushers that are not at their own phase.
    """

    mode: str
    begin: float
    end: float
    predicted_ratio: float
    held: int


def main() -> None:
    """Show it."""
    prepare()
    PICTURES.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        cgroup = stack.enter_context(own_cgroup())
        parent = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="resonance-demo-", dir="/run")
        )
        os.chmod(parent, 0o755)
        directory, config = Path(parent, "resonance"), Path(parent, "resonanced.toml")
        config.write_text(
            f'[service]\nruntime_directory = "{directory}"\nlog_level = "warning"\n'
            f"[telemetry]\nport = {PORT}\n"
            f'[phase]\nprotect = ["/{cgroup.name}"]\n'
        )
        os.environ["RESONANCE_HINTS_SOCKET"] = str(directory / "hints.sock")
        say(
            f"{FLUSHERS} flushers, each with {FLUSH_SECONDS * 1e3:g} ms of work every "
            f"{PERIOD_SECONDS * 1e3:g} ms, began on the same full second. Beside them a web server "
            f"answers {RATE_HZ:g} requests a second with {ANSWER_SECONDS * 1e3:g} ms of work each. "
            f"All have {CPUS} CPUs, which are half idle, and stand in the cgroup /{cgroup.name}. "
            f"A service of the demo's own looks on; it takes {WHOLE_SECONDS:.0f} seconds, and some."
        )
        warn_if_busy()
        stack.enter_context(serving(config))
        windows, took = _play(stack, cgroup, config)
    _tell(windows, took)
    draw(PICTURES / "latency.png", took, [(each.mode, each.begin, each.end) for each in windows])
    print("\npictures, in build/demo-phase: latency.png, and for each mode what `resonance")
    print(f"spectrum` shows: {{{','.join(STEPS)}}}.{{png,html}}")


def _play(
    stack: contextlib.ExitStack, cgroup: Path, config: Path
) -> tuple[list[Window], list[tuple[float, float]]]:
    """Start everybody, go through the modes; return what was seen, and what the users saw."""
    seconds = f"{ORPHAN_SECONDS}"
    web = stack.enter_context(started(cgroup, "web.py", "serve", seconds))
    assert web.stdout
    port = web.stdout.readline().strip()
    for number in range(FLUSHERS):
        stack.enter_context(started(cgroup, "flusher.py", f"flusher-{number}", seconds))
    with tempfile.TemporaryFile("w+") as answers:
        with started(cgroup, "web.py", "ask", port, seconds, output=answers):
            time.sleep(BEGIN_SECONDS)
            windows = [_window(config, number, mode) for number, mode in enumerate(STEPS, 1)]
        # They write where we read: only now that they have ended.
        answers.seek(0)
        # The last line may be half written.
        took = [line.split() for line in answers if line.endswith("\n")]
    return windows, [(float(due), float(elapsed)) for due, elapsed in took]


def _window(config: Path, number: int, mode: str) -> Window:
    say(f"{number}. {STEPS[mode]}")
    show("resonanced", "phase", mode, "--config", str(config))
    time.sleep(SETTLE_SECONDS)
    begin = time.monotonic()
    time.sleep(MEASURED_SECONDS)
    end = time.monotonic()
    rhythm = _rhythm()
    for kind in ("png", "html"):
        run("resonance", "spectrum", f"--{kind}", str(PICTURES / f"{mode}.{kind}"))
    print(f"\n{end - begin + SETTLE_SECONDS:.0f} seconds later:")
    show("resonance", "spectrum", part=-1)
    if mode == "active":
        print()
        show("resonance", "explain", "flusher-3", part=0)
    predicted = rhythm["predicted_ratio"]
    return Window(
        mode, begin, end, math.nan if predicted is None else predicted, rhythm["held_sources"]
    )


def _rhythm() -> Any:
    return json.loads(run("resonance", "hints", "get", "--output", "json"))["rhythm"]


def _tell(windows: Sequence[Window], took: Sequence[tuple[float, float]]) -> None:
    p99 = {window.mode: _p99(window, took) for window in windows}
    shadow, active, observe = windows
    predicted = shadow.predicted_ratio
    say("What it came to, for the users of the web server (from due to answered):")
    print(f"{'':25}    p99   of shadow")
    _row("shadow, in step", p99["shadow"], p99["shadow"])
    if math.isnan(predicted):
        print("active, predicted            -           -   (no prediction: see the lines above)")
    else:
        _row("active, predicted", predicted * p99["shadow"], p99["shadow"])
    _row("active, measured", p99["active"], p99["shadow"], f"{active.held} flushers held")
    _row("switched off", p99["observe"], p99["shadow"], f"{observe.held} flushers held")
    if not active.held:
        say("Nothing was moved; what `resonance explain` says above is why.")


def _row(what: str, p99_seconds: float, shadow_seconds: float, note: str = "") -> None:
    ratio = p99_seconds / shadow_seconds
    print(f"{what:25}{p99_seconds * 1e3:5.1f} ms {ratio:8.2f}   {note}".rstrip())


def _p99(window: Window, took: Sequence[tuple[float, float]]) -> float:
    inside = sorted(each for due, each in took if window.begin <= due < window.end)
    return inside[math.ceil(0.99 * len(inside)) - 1]


if __name__ == "__main__":
    main()
