# SPDX-License-Identifier: MIT
from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import resonance
from fakes.phase_daemon import PATIENCE, PhaseDaemon, serve
from resonance.embedded import MissingExtraError
from resonance.periodic import Tick, Ticks
from resonance.periodic import _attendant as attendants
from resonance_core.control.records import Command
from resonance_core.errors import InvalidSampleError

PERIOD = 0.01


@pytest.fixture(autouse=True)
def socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    socket = tmp_path / "hints.sock"
    monkeypatch.setenv("RESONANCE_HINTS_SOCKET", str(socket))
    monkeypatch.setattr(attendants, "_LOOK_NS", 5_000_000)
    return socket


@pytest.fixture
def core() -> Iterator[resonance.Core]:
    with resonance.Core() as core:
        yield core


def flush(core: resonance.Core, **declared: Any) -> Ticks:
    return iter(core.every(PERIOD, **({"name": "flush", "phase_free": True} | declared)))


def ticking(ticks: Ticks, holds: Callable[[], object]) -> list[Tick]:
    given = []
    deadline = time.monotonic() + PATIENCE
    while not holds():
        given.append(next(ticks))
        assert time.monotonic() < deadline, ticks.status
    return given


def is_attended(ticks: Ticks) -> bool:
    return ticks.status.attended_by == "core"


class Director:
    """Stands in front of a controller and adds commands to what it decides."""

    def __init__(self, core: resonance.Core) -> None:
        self._controller = core._controller
        self.commands: list[Command] = []
        core._controller = core._placing._controller = self  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._controller, name)

    def tick(self, now_seconds: float) -> Any:
        import dataclasses

        decision = self._controller.tick(now_seconds)
        commands, self.commands = tuple(self.commands), []
        return dataclasses.replace(decision, commands=commands)


def test_the_shipped_controller_sees_a_timer_as_declared(core: resonance.Core) -> None:
    with flush(core, slack=0.001, importance="high", work=0.002) as ticks:
        ticking(ticks, lambda: is_attended(ticks))
        ((key, _),) = core._placing.placed()
        ticking(ticks, lambda: core._controller.source(key).work_seconds > 0.0)
        state = core._controller.source(key)
        declared = state.source
        assert (declared.name, declared.period_seconds) == ("flush", PERIOD)
        assert (declared.phase_free, declared.slack_seconds) == (True, 0.001)
        assert declared.importance == "high"
        assert state.work_seconds == pytest.approx(0.002)


def test_its_commands_are_obeyed(core: resonance.Core) -> None:
    director = Director(core)
    with flush(core) as ticks:
        ticking(ticks, lambda: is_attended(ticks))
        director.commands = [
            Command(key=1, kind="slew", offset_seconds=0.002, max_step_seconds=1.0, reason="so")
        ]
        ticking(ticks, lambda: abs(ticks.status.offset_seconds - 0.002) < 1e-8)
        assert (ticks.status.reason, ticks.status.mode) == ("so", "observe")
        core.stop()
        ticking(ticks, lambda: ticks.status.target_seconds == 0.0)


def test_the_daemon_wins_while_it_is_there(core: resonance.Core, socket: Path) -> None:
    daemon = PhaseDaemon()
    daemon.valid_for_seconds = 0.2
    with flush(core) as ticks:
        ticking(ticks, lambda: is_attended(ticks))
        with serve(socket, daemon):
            ticking(ticks, lambda: ticks.status.attended_by == "daemon")
            ticking(ticks, lambda: (daemon.order(), not core._placing.placed())[1])
        ticking(ticks, lambda: is_attended(ticks))
        ticking(ticks, core._placing.placed)


def test_what_the_controller_refuses_ticks_on_and_is_told_why(core: resonance.Core) -> None:
    ticks = iter(core.every(0.001, name="too short", phase_free=True))
    with ticks:
        ticking(ticks, lambda: "period" in ticks.status.reason)
        assert ticks.status.attended_by == "nobody"
        assert next(ticks).offset_seconds == 0.0


def test_where_no_thread_starts_timers_tick_at_their_own_phase_and_later_ones_try_again(
    core: resonance.Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as limited:
        limited.setattr(threading.Thread, "start", refuse)
        with flush(core) as ticks:
            assert next(ticks).offset_seconds == 0.0
            assert ticks.status.attended_by == "nobody"
    with flush(core) as ticks:
        ticking(ticks, lambda: is_attended(ticks))


def test_a_timer_that_leaves_departs(core: resonance.Core) -> None:
    with flush(core) as ticks:
        ticking(ticks, lambda: len(core._placing.placed()) == 1)
    deadline = time.monotonic() + PATIENCE
    while len(core._controller.sources()) > 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_latencies_of_requests_reach_the_controller(core: resonance.Core) -> None:
    heard: list[float] = []
    director = Director(core)
    director.observe_waits = (  # type: ignore[attr-defined]
        lambda now, seconds, counts: heard.extend(seconds.tolist())
    )
    core.record(0.125)
    with core.arrived():
        time.sleep(0.002)
    with pytest.raises(ZeroDivisionError), core.arrived():
        raise ZeroDivisionError
    core.tick()
    assert heard[0] == 0.125
    assert heard[1] >= 0.002
    assert 0.0 <= heard[2] < 1.0


def test_the_mode_is_set_and_shown(core: resonance.Core) -> None:
    assert core.mode == "observe"
    core.set_mode("active")
    core.tick()
    assert core.decision is not None
    assert (core.mode, core.decision.mode) == ("active", "active")
    core.stop()
    core.tick()
    assert (core.mode, core.decision.mode) == ("observe", "observe")
    assert core.decision.trips["kill_switch"] == 1


def test_a_mode_that_is_none_is_refused(core: resonance.Core) -> None:
    with pytest.raises(ValueError, match="mode must be one of observe, shadow, adaptive, active"):
        core.set_mode("on")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"r_band": (0.65, 0.35)},
        {"k_min": 0.0},
        {"k_max": 2.0},
        {"max_micro_delay": 0.0},
        {"max_micro_delay": float("nan")},
        {"default_batch_latency": -1.0},
    ],
)
def test_a_parameter_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidSampleError):
        resonance.Core(**wrong)


def test_it_says_in_sentences_why_a_timer_is_where_it_is(core: resonance.Core) -> None:
    with flush(core) as ticks:
        ticking(ticks, lambda: is_attended(ticks))
        ticking(ticks, lambda: "flush" in core.explain())
        assert core.explain("flush")["flush"]
        assert core.explain("other") == {}


def test_before_anything_is_known_there_is_no_valley(core: resonance.Core) -> None:
    assert core.next_valley() == 0.0
    assert core.next_valley(within=1.0) == 0.0


def test_a_core_that_is_closed_leaves_its_timers_alone(core: resonance.Core) -> None:
    core.close()
    with flush(core) as ticks:
        for _ in range(3):
            next(ticks)
        assert ticks.status.attended_by == "nobody"
    assert "resonance-core" not in {thread.name for thread in threading.enumerate()}


def _use_a_core() -> resonance.Core:
    core = resonance.Core()
    with flush(core) as ticks:
        ticking(ticks, lambda: is_attended(ticks))
    return core


def test_a_core_nobody_has_is_given_back() -> None:
    gone = weakref.ref(_use_a_core())
    deadline = time.monotonic() + PATIENCE
    while gone() is not None:
        gc.collect()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_forked_child_has_a_core_of_its_own() -> None:
    program = """
import os, resonance
core = resonance.Core()
core.set_mode("shadow")
ticks = iter(core.every(0.005, name="both", phase_free=True))
while ticks.status.attended_by != "core":
    next(ticks)
child = os.fork()
if not child:
    assert ticks.status.attended_by == "nobody"
    while ticks.status.attended_by != "core":
        next(ticks)
    assert (core.mode, len(core._controller.sources())) == ("shadow", 1)
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, env=os.environ)


def test_without_numpy_one_line_says_what_to_install() -> None:
    program = """
import sys
sys.modules["numpy"] = None
import resonance
for tick in resonance.every(0.001, name="it"):
    break
try:
    resonance.Core()
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout == (
        "resonance.Core needs numpy, which is not installed: "
        "pip install 'resonance-runtime[core]'\n"
    )


def test_the_error_survives_a_pickle() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(MissingExtraError("resonance.Core", "numpy", "core")))
    assert (error.what, error.extra) == ("resonance.Core", "core")
