# SPDX-License-Identifier: MIT
"""The phase controller: sources and waits in, commands out.

Feed it what the sources did and what others waited, tick it at any cadence, and carry out what
it decides. It finds groups of sources with a common period, and each group runs the loop of
`group`. It reads no clock: the same calls give the same answers.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from resonance_core.control.draw import Draw
from resonance_core.control.explanation import (
    group_numbers,
    group_sentences,
    source_numbers,
    source_sentences,
)
from resonance_core.control.grants import Grants
from resonance_core.control.groups import Groups
from resonance_core.control.guard import Clock, Load
from resonance_core.control.holds import Holds
from resonance_core.control.parameters import Parameters
from resonance_core.control.pll import Tracker
from resonance_core.control.records import (
    Command,
    Decision,
    Floats,
    Mode,
    Releases,
    Source,
    SourceState,
)
from resonance_core.control.report import group_state, source_state
from resonance_core.control.roster import Roster
from resonance_core.control.scene import Scene
from resonance_core.control.tail import BUCKETS, histogram
from resonance_core.errors import InvalidSampleError

__all__ = ["Controller"]

MOST_DRIFT_RAD: Final = 2.0 * math.pi * 0.005
"""*Chosen*: per period; what drifts faster is no part of a plan that holds for a while."""
SILENT_SECONDS: Final = 5.0
SILENT_PERIODS: Final = 6.0
SILENT_REPORTS: Final = 3.0
"""*Chosen*: a source that was not heard of for the longest of these is not known any more. A
hold that is not renewed is given up by the source itself after 5 s as well."""
_MODES: Final = ("observe", "shadow", "adaptive", "active")


class Controller:
    """Places the phases of periodic sources, and takes it back where it does not help.

    Parameters
    ----------
    parameters : Parameters
    mode : {"observe", "shadow", "adaptive", "active"}
        In observe nothing is decided; in shadow everything is and nothing is commanded; in
        adaptive a share of the sources is moved that grows with each proven gain; in active
        all that may be moved are.
    seed : int
        Of its random choices: the order of the canaries, and blocks in shadow.
    """

    def __init__(self, parameters: Parameters, mode: Mode = "observe", *, seed: int = 0) -> None:
        self._scene = Scene(
            parameters=parameters,
            roster=Roster(parameters),
            mode=_checked(mode),
            in_force=Holds(),
            would=Holds(),
            random=Draw(seed),
            others=np.zeros(BUCKETS),
        )
        self._groups = Groups(self._scene)
        self._grants = Grants(self._scene)
        self._clock = Clock()
        self._load = Load()
        self._trackers: dict[int, Tracker] = {}

    # -- the operator

    @property
    def mode(self) -> Mode:
        """The mode in force."""
        return self._scene.mode

    def set_mode(self, mode: Mode, now_seconds: float) -> None:
        """Put another mode into force.

        The commands that follow from it come with the next tick.

        Parameters
        ----------
        mode : {"observe", "shadow", "adaptive", "active"}
        now_seconds : float
            On the clock of `tick`.

        Raises
        ------
        InvalidSampleError
            If it is no mode, or the time is not finite.
        """
        scene = self._scene
        mode = _checked(mode)
        _check_time(now_seconds)
        if mode == scene.mode:
            return
        was_live = scene.is_live
        scene.mode = mode
        if was_live and not scene.is_live:
            scene.in_force.forget_wishes()
            scene.slew_home(f"mode {mode}")
        scene.would.clear()
        for group in self._groups:
            group.change_mode()

    def stop(self, now_seconds: float) -> tuple[Command, ...]:
        """Let every source go home at once, and only observe from now on: the kill switch."""
        scene = self._scene
        scene.trip("kill_switch")
        scene.in_force.clear()
        scene.commands.clear()
        scene.command(scene.roster.rows, "home", "the kill switch")
        commands = tuple(scene.commands)
        scene.commands.clear()
        self.set_mode("observe", now_seconds)
        return commands

    # -- the sources

    def register(self, source: Source, now_seconds: float) -> Command | None:
        """Take in a source, and say where it is to begin.

        Parameters
        ----------
        source : Source
            Its key is free.
        now_seconds : float
            On the clock of `tick`.

        Returns
        -------
        Command or None
            A grant, or None where that is not for the controller to say.

        Raises
        ------
        SourceRefusedError
            If its key is taken, a time of it is not finite or absurd, or there are too many.
        InvalidSampleError
            If the time is not finite.
        """
        _check_time(now_seconds)
        scene, parameters = self._scene, self._scene.parameters
        scene.now_seconds = max(scene.now_seconds, now_seconds)
        row = scene.roster.add(source, now_seconds, scene.random.random())
        period, capacity = source.period_seconds, scene.roster.capacity
        step = min(parameters.max_slew_seconds, parameters.max_slew_ratio * period)
        scene.in_force.place(row, capacity, period, step, source.offset_seconds)
        scene.would.place(row, capacity, period, step, 0.0)
        group = self._groups.join(row)
        if not source.phase_free:
            self._trackers[row] = Tracker(period, group.origin_seconds)
        if source.offset_seconds <= 0.0:
            return self._grants.grant(row, group)
        if not scene.is_live:
            scene.slew_home(f"mode {scene.mode}")
        return None

    def depart(self, key: int) -> None:
        """Let a source go; one that is not there is gone already."""
        scene = self._scene
        row = scene.roster.row_of.get(key)
        if row is None:
            return
        self._grants.remember(row, self._groups.of(row))
        self._groups.leave(row)
        self._trackers.pop(row, None)
        scene.tracked_rad.pop(row, None)
        scene.commands = [command for command in scene.commands if command.key != key]
        scene.roster.remove(key)
        scene.in_force.vacate(row)
        scene.would.vacate(row)

    def observe(self, releases: Releases) -> None:
        """Take in what one source did since its last report.

        Parameters
        ----------
        releases : Releases
            Of a registered source, after those of the last report.

        Raises
        ------
        InvalidSampleError
            If the key is unknown, or a series is not ascending, not finite, or negative.
        """
        row = self._scene.roster.record(releases)
        if not len(releases.at_seconds):
            return
        self._groups.of(row).completed(row, releases)
        self._scene.in_force.correct(row, releases.offset_seconds)
        tracker = self._trackers.get(row)
        if tracker is not None:
            self._track(row, tracker, releases.at_seconds)

    def _track(self, row: int, tracker: Tracker, at_seconds: Floats) -> None:
        for at in at_seconds.tolist():
            tracker.update(at)
        if tracker.is_locked and abs(tracker.drift_rad) <= MOST_DRIFT_RAD:
            self._scene.tracked_rad[row] = tracker.phase_rad
        else:
            self._scene.tracked_rad.pop(row, None)

    def expect_reports(self, interval_seconds: float) -> None:
        """Take in how often each source reports from now on.

        Silence is judged by it.

        Parameters
        ----------
        interval_seconds : float
            Above 0.

        Raises
        ------
        InvalidSampleError
            If it is no positive number.
        """
        if not math.isfinite(interval_seconds) or interval_seconds <= 0.0:
            raise InvalidSampleError("interval_seconds", "must be a positive number")
        self._scene.report_interval_seconds = interval_seconds

    # -- the node

    def observe_waits(self, now_seconds: float, seconds: Floats, counts: Floats) -> None:
        """Take in how long others waited since the last call.

        Parameters
        ----------
        now_seconds : float
        seconds, counts : (n,) float64
            Waits, and how many there were of each.

        Raises
        ------
        InvalidSampleError
            If one is negative or not finite, or they differ in length.
        """
        del now_seconds  # waits count for the chunk they are reported in
        self._scene.others += histogram(seconds, counts)

    def observe_bins(
        self, start_seconds: float, bin_seconds: float, events: Floats, wait_seconds: Floats
    ) -> None:
        """Take in the same as a series, for what the plan is predicted to be worth.

        Parameters
        ----------
        start_seconds, bin_seconds : float
            When the first bin begins; their width.
        events, wait_seconds : (n,) float64
            Waits that ended in each bin, and their sum; NaN where nobody looked.

        Raises
        ------
        InvalidSampleError
            If a time is not finite, the width not positive, or the series differ in length.
        """
        if not math.isfinite(start_seconds):
            raise InvalidSampleError("start_seconds", "must be finite")
        if not math.isfinite(bin_seconds) or bin_seconds <= 0.0:
            raise InvalidSampleError("bin_seconds", "must be a positive number")
        if events.shape != wait_seconds.shape or events.ndim != 1:
            raise InvalidSampleError("events, wait_seconds", "must be of one length")
        self._scene.series.add(start_seconds, bin_seconds, events, wait_seconds)

    def observe_load(self, busy_ratio: float) -> None:
        """Take in how busy the CPUs are, 0 to 1.

        Parameters
        ----------
        busy_ratio : float
            Share of the CPUs' time in use since the last call.

        Raises
        ------
        InvalidSampleError
            If it is not finite or negative.
        """
        if not math.isfinite(busy_ratio) or busy_ratio < 0.0:
            raise InvalidSampleError("busy_ratio", "must be a number not below 0")
        scene = self._scene
        if self._load.update(busy_ratio):
            scene.trip("overload")
        scene.busy_ratio = self._load.busy_ratio
        scene.is_overloaded = self._load.is_overloaded

    # -- time

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is about to be decided, so that sources may report less often."""
        return self._groups.is_quiet

    @property
    def due_seconds(self) -> float:
        """When the next tick comes to something that an earlier one does not; inf without sources.

        What is told meanwhile may bring it forward. Ticks may be further apart than that, but
        no more than a second: a longer gap is taken for a jump of the clock.
        """
        return -math.inf if self._scene.commands else self._groups.due_seconds

    def tick(self, now_seconds: float) -> Decision:
        """Decide what is to be done now.

        Parameters
        ----------
        now_seconds : float
            On a clock that does not jump; where it does, estimates are thrown away and sources go
            home.

        Returns
        -------
        Decision

        Raises
        ------
        InvalidSampleError
            If the time is not finite.
        """
        _check_time(now_seconds)
        scene = self._scene
        elapsed, is_jump = self._clock.advance(now_seconds)
        scene.now_seconds, scene.elapsed_seconds = now_seconds, elapsed
        scene.in_force.advance(elapsed)
        scene.would.advance(elapsed)
        if is_jump:
            self._freeze()
        else:
            self._forget_silent()
            self._groups.run()
        commands = tuple(scene.commands)
        scene.commands.clear()
        return Decision(
            at_seconds=now_seconds,
            mode=scene.mode,
            commands=commands,
            shadowed=scene.shadowed,
            groups=self._groups.states(),
            trips=dict(scene.trips),
        )

    # -- what is known

    def sources(self) -> tuple[SourceState, ...]:
        """Return what is known of every source."""
        return tuple(self._source_state(row) for row in self._scene.roster.row_of.values())

    def source(self, key: int) -> SourceState:
        """Return what is known of one source.

        Parameters
        ----------
        key : int
            With which it registered.

        Returns
        -------
        SourceState

        Raises
        ------
        InvalidSampleError
            If the key is unknown.
        """
        return self._source_state(self._row(key))

    def explain(self, key: int) -> tuple[str, ...]:
        """Say in sentences why a source is where it is; errors as `source`."""
        row = self._row(key)
        group = group_state(self._scene, self._groups.of(row))
        return source_sentences(self._source_state(row), group, self.mode)

    def explain_group(self, key: int) -> tuple[str, ...]:
        """Say in sentences how the group of a source fares; errors as `source`."""
        group = group_state(self._scene, self._groups.of(self._row(key)))
        return group_sentences(group, self.mode)

    def numbers(self, key: int) -> dict[str, float]:
        """Return the numbers behind `explain`, by name with the unit; errors as `source`."""
        row = self._row(key)
        group = group_state(self._scene, self._groups.of(row))
        return source_numbers(self._source_state(row)) | group_numbers(group)

    def _source_state(self, row: int) -> SourceState:
        return source_state(self._scene, self._groups.of(row), row)

    def _row(self, key: int) -> int:
        row = self._scene.roster.row_of.get(key)
        if row is None:
            raise InvalidSampleError("key", f"no source has the key {key}")
        return row

    # -- what ends everything

    def _freeze(self) -> None:
        """Time jumped: nothing that was seen before is worth anything now."""
        scene = self._scene
        scene.trip("anti_freeze")
        scene.roster.forget_all()
        scene.tracked_rad.clear()
        for row in self._trackers:
            source = scene.roster.source(row)
            origin = self._groups.of(row).origin_seconds
            self._trackers[row] = Tracker(source.period_seconds, origin)
        scene.in_force.forget_wishes()
        scene.in_force.lose_track()
        scene.slew_home("the clock jumped")
        scene.would.clear()
        for group in self._groups:
            group.reset("the clock jumped")

    def _forget_silent(self) -> None:
        """Throw away the estimates of sources that have fallen silent."""
        scene = self._scene
        limit = np.maximum(
            SILENT_PERIODS * scene.in_force.periods_seconds,
            max(SILENT_SECONDS, SILENT_REPORTS * scene.report_interval_seconds),
        )
        for row in scene.roster.silent(scene.now_seconds - limit):
            scene.roster.forget(row)
            group = self._groups.of(row)
            if group.is_frozen():
                scene.trip("anti_freeze")
                group.go_home("most of its sources have fallen silent", "shadow")


def _checked(mode: Mode) -> Mode:
    if mode not in _MODES:
        raise InvalidSampleError("mode", f"must be one of {', '.join(_MODES)}")
    return mode


def _check_time(now_seconds: float) -> None:
    if not math.isfinite(now_seconds):
        raise InvalidSampleError("now_seconds", "must be finite")
