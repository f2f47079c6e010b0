# SPDX-License-Identifier: MIT
"""The phase controller in the service as it ships, and timers of the SDK in other processes."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from privileged.phase.conftest import StartTimers, Timers, until
from privileged.running import Place, Service

pytestmark = pytest.mark.privileged

EIGHT = ("free",) * 8
PERIOD_SECONDS = 0.05
STEP_SECONDS = 0.07 * PERIOD_SECONDS


def phase(place: Place, *words: str) -> dict[str, Any]:
    """Ask or tell the service as its operator."""
    done = place.run("phase", *words, "--output", "json")
    assert done.returncode == 0, done.stderr
    status: dict[str, Any] = json.loads(done.stdout)
    return status


def rhythm(place: Place) -> dict[str, Any]:
    """Return what applications are told."""
    told: dict[str, Any] = json.loads(resonance(place, "hints", "get", "--output", "json"))
    return told["rhythm"]  # type: ignore[no-any-return]


def resonance(place: Place, *words: str) -> str:
    """Ask as an application's developer."""
    command = [str(Path(sys.executable).with_name("resonance")), *words]
    socket = str(place.runtime_directory / "hints.sock")
    done = subprocess.run(
        [*command, "--socket", socket], capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout


def start(place: Place, mode: str = "shadow", **settings: Any) -> Service:
    # Everything here runs in one cgroup, whose waits are then those that judge.
    place.write_config(phase={"mode": mode, "protect": ["*"], **settings})
    return place.start()


def is_spread(timers: Timers) -> bool:
    """Whether most timers are held, at different points."""
    held = [offset for offset in timers.offsets.values() if offset > 0.002]
    return len(held) >= 6 and len({round(offset, 3) for offset in held}) >= 6


def are_home(timers: Timers) -> bool:
    return bool(timers.offsets) and not any(timers.offsets.values())


def test_shadow_sees_the_alignment_says_what_it_would_do_and_moves_nothing(
    place: Place, start_timers: StartTimers
) -> None:
    start(place, "shadow")
    timers = start_timers(*EIGHT)
    assert until(lambda: phase(place)["eligible"] == 8 and phase(place)["shadowed"] > 0)
    told = rhythm(place)
    assert told["order_parameter"] > 0.65
    assert told["planned_discrepancy_seconds"] < 0.5 * told["discrepancy_seconds"]
    assert are_home(timers)
    assert phase(place)["held"] == 0


def test_active_takes_the_alignment_out_in_small_steps(
    place: Place, start_timers: StartTimers
) -> None:
    start(place, "active")
    timers = start_timers(*EIGHT)
    assert until(lambda: is_spread(timers)), timers.offsets
    assert until(lambda: rhythm(place)["order_parameter"] < 0.35)
    assert timers.largest_step <= STEP_SECONDS + 1e-6


def test_observe_gives_every_source_its_own_phase_back(
    place: Place, start_timers: StartTimers
) -> None:
    start(place, "active")
    timers = start_timers(*EIGHT)
    assert until(lambda: is_spread(timers)), timers.offsets
    timers.largest_step = 0.0
    assert phase(place, "observe")["mode"] == "observe"
    assert until(lambda: are_home(timers)), timers.offsets
    assert timers.largest_step <= STEP_SECONDS + 1e-6


def test_the_kill_switch_brings_all_home_at_once_and_is_counted(
    place: Place, start_timers: StartTimers
) -> None:
    start(place, "active")
    timers = start_timers(*EIGHT)
    assert until(lambda: is_spread(timers)), timers.offsets
    status = phase(place, "stop")
    assert (status["mode"], status["trips"]["kill_switch"]) == ("observe", 1)
    assert until(lambda: are_home(timers), 5.0), timers.offsets
    assert timers.largest_step > STEP_SECONDS


def test_the_mode_can_be_changed_and_comes_into_force_while_sources_run(
    place: Place, start_timers: StartTimers
) -> None:
    service = start(place, "observe")
    timers = start_timers(*EIGHT)
    assert until(lambda: phase(place)["eligible"] == 8)
    assert are_home(timers)
    phase(place, "active")
    assert until(lambda: is_spread(timers)), timers.offsets
    assert until(lambda: service.metric("resonance_phase_sources", state="held") >= 6)


def test_sources_return_to_their_own_phases_when_the_service_dies(
    place: Place, start_timers: StartTimers
) -> None:
    service = start(place, "active")
    timers = start_timers(*EIGHT)
    assert until(lambda: is_spread(timers)), timers.offsets
    for process in (service.keeper, service.daemon):
        process.send_signal(signal.SIGKILL)
    assert until(lambda: are_home(timers)), timers.offsets
    before = timers.releases
    assert until(lambda: timers.releases > before + 80), "the timers go on"


def test_a_service_that_comes_back_finds_them_where_they_were(
    place: Place, start_timers: StartTimers
) -> None:
    service = start(place, "active")
    timers = start_timers(*EIGHT)
    assert until(lambda: is_spread(timers)), timers.offsets
    assert service.stop() == 0
    timers.largest_step = 0.0
    place.start()
    assert until(lambda: is_spread(timers) and phase(place)["held"] >= 6), timers.offsets
    assert timers.largest_step <= STEP_SECONDS + 1e-6


def test_sources_that_begin_without_a_daemon_are_found_by_one_that_comes_later(
    place: Place, start_timers: StartTimers
) -> None:
    timers = start_timers(*EIGHT)
    assert until(lambda: timers.releases > 100)
    assert are_home(timers)
    start(place, "active")
    assert until(lambda: is_spread(timers)), timers.offsets


def test_anchored_and_critical_sources_are_never_moved(
    place: Place, start_timers: StartTimers
) -> None:
    start(place, "active", hold_anchored=True)
    timers = start_timers(*EIGHT, "anchored", "critical", "slack")
    assert until(lambda: is_spread(timers)), timers.offsets
    assert timers.offsets["anchored-8"] == 0.0
    assert timers.offsets["critical-9"] == 0.0
    assert timers.offsets["slack-10"] <= 0.005


def test_the_admin_socket_is_for_its_owner_alone(place: Place) -> None:
    start(place, "shadow")
    socket = place.runtime_directory / "admin.sock"
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    program = (
        "import os, socket, sys; os.setgroups([]); os.setgid(12345); os.setuid(12345);"
        "socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(socket)], capture_output=True, text=True, check=False
    )
    assert "PermissionError" in done.stderr
    assert os.geteuid() == 0


def test_explain_says_why_a_source_was_moved(place: Place, start_timers: StartTimers) -> None:
    start(place, "active")
    timers = start_timers(*EIGHT)
    assert until(lambda: is_spread(timers)), timers.offsets
    said = resonance(place, "explain", "free-3")
    assert "free-3" in said
    assert "ms" in said
