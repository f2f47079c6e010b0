# SPDX-License-Identifier: MIT
"""Who is there, and which stream does a command of the controller belong to?

The one owner of the controller: the loop feeds it what the node sees, the streams what the
sources did, the operator the mode. It reads no clock; all three pass CLOCK_MONOTONIC in.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Final

from resonance_core.control.controller import Controller
from resonance_core.control.parameters import Parameters
from resonance_core.control.records import (
    Command,
    Decision,
    Floats,
    Mode,
    Releases,
    SourceState,
)
from resonance_core.errors import InvalidSampleError, SourceRefusedError
from resonanced.phase.attendance import MOST_SOURCES, Attendance, Attended
from resonanced.phase.pace import report_interval_seconds

__all__ = ["Registry"]

_KINDS: Final = ("grant", "slew", "home")


class Registry:
    """The sources of all streams, and the controller that places them.

    Parameters
    ----------
    parameters : Parameters
    mode : {"observe", "shadow", "adaptive", "active"}
        As configured; `set_mode` changes what is in force.
    seed : int
        Of the controller's choices.

    Attributes
    ----------
    configured_mode : str
    most_streams : int
        One more is refused: a stream without a source is of no use.
    commands : dict of str to int
        Carried to sources so far: ``grant``, ``slew``, ``home``; and ``shadowed``, withheld.
    decision : Decision or None
        Of the last tick.
    is_quiet : bool
        As of the last tick, nothing is about to be decided.
    """

    def __init__(self, parameters: Parameters, mode: Mode = "observe", *, seed: int = 0) -> None:
        self.configured_mode: Mode = mode
        self.most_streams = parameters.max_sources
        self.commands = dict.fromkeys((*_KINDS, "shadowed"), 0)
        self.decision: Decision | None = None
        self.is_quiet = True
        self._controller = Controller(parameters, mode, seed=seed)
        self._keys = itertools.count(1)
        self._owners: dict[int, tuple[Attendance, Attended]] = {}
        self._streams: set[Attendance] = set()

    @property
    def mode(self) -> Mode:
        """The mode in force."""
        return self._controller.mode

    @property
    def streams(self) -> int:
        """Streams open now."""
        return len(self._streams)

    def __len__(self) -> int:
        """Return the number of sources."""
        return len(self._owners)

    @property
    def report_interval_seconds(self) -> float:
        """How often each stream is to report now."""
        return report_interval_seconds(self.streams, len(self), is_quiet=self.is_quiet)

    @property
    def due_seconds(self) -> float:
        """When the next tick comes to something; see `Controller.due_seconds`."""
        return self._controller.due_seconds

    def tick(self, now_seconds: float) -> Decision:
        """Decide, and hand the commands to the streams they belong to."""
        decision = self._controller.tick(now_seconds)
        self.decision = decision
        self.commands["shadowed"] = decision.shadowed
        self._hand_out(decision.commands)
        self._set_pace()
        return decision

    def observe_waits(self, now_seconds: float, seconds: Floats, counts: Floats) -> None:
        """Take in how long others waited; see `Controller.observe_waits`."""
        self._controller.observe_waits(now_seconds, seconds, counts)

    def observe_bins(
        self, start_seconds: float, bin_seconds: float, events: Floats, wait_seconds: Floats
    ) -> None:
        """Take in the same in bins; see `Controller.observe_bins`."""
        self._controller.observe_bins(start_seconds, bin_seconds, events, wait_seconds)

    def observe_load(self, busy_ratio: float) -> None:
        """Take in how busy the CPUs are, 0 to 1."""
        self._controller.observe_load(busy_ratio)

    def cgroup_ids(self) -> set[int]:
        """Return the cgroups that host a source, as their processes name them."""
        return {attended.cgroup_id for _, attended in self._owners.values() if attended.cgroup_id}

    def counts(self) -> dict[str, int]:
        """Return how many sources are ``registered``, ``eligible``, ``held``."""
        groups = self.decision.groups if self.decision else ()
        eligible = sum(group.eligible for group in groups)
        held = sum(attended.held_seconds > 0.0 for _, attended in self._owners.values())
        return {"registered": len(self._owners), "eligible": eligible, "held": held}

    def set_mode(self, mode: Mode, now_seconds: float) -> None:
        """Put another mode into force, decide anew, and have all streams told."""
        self._controller.set_mode(mode, now_seconds)
        self.tick(now_seconds)
        self._tell_all()

    def stop(self, now_seconds: float) -> None:
        """Send every source to its own phase at once; the mode is observe until another is set."""
        homes = self._controller.stop(now_seconds)
        self.tick(now_seconds)
        self._hand_out(homes)
        self._tell_all()

    def open(self, wake: Callable[[], None]) -> Attendance:
        """Return the attendance of a new stream; `wake` is called when it is to be told."""
        attendance = Attendance(wake)
        self._streams.add(attendance)
        return attendance

    def close(self, attendance: Attendance) -> None:
        """Forget a stream and its sources."""
        self.depart(attendance, [each.client_key for each in attendance])
        self._streams.discard(attendance)

    def register(self, attendance: Attendance, attended: Attended, now_seconds: float) -> None:
        """Look after a source; where that cannot be, its client is told why.

        Parameters
        ----------
        attendance : Attendance
        attended : Attended
            The key of its source is replaced by one of the controller's.
        now_seconds : float
        """
        client_key = attended.client_key
        if attendance.find(client_key):
            # Two sources under one key cannot be told apart.
            self.refuse(attendance, client_key, f"key {client_key} is registered already")
            return
        if len(attendance) >= MOST_SOURCES:
            reason = f"{MOST_SOURCES} sources of this stream are registered; no more fit"
            attendance.refuse(client_key, reason)
            return
        source = replace(attended.source, key=next(self._keys))
        try:
            command = self._controller.register(source, now_seconds)
        except SourceRefusedError as refused:
            attendance.refuse(client_key, refused.reason)
            return
        attended.source = source
        attendance.add(attended)
        self._owners[source.key] = attendance, attended
        # Told even where it is not moved, so that it knows it is attended.
        attendance.tell()
        if command:
            self._hand_out((command,))

    def observe(self, attendance: Attendance, releases: Releases) -> None:
        """Take in what a source did; one whose report makes no sense is no longer attended.

        Parameters
        ----------
        attendance : Attendance
        releases : Releases
            With the client's key. Of a source that is not attended they are let go: what
            was under way when it was refused is no fault.
        """
        client_key = releases.key
        attended = attendance.find(client_key)
        if attended is None:
            return
        attended.held_seconds = releases.offset_seconds
        if not releases.at_seconds.size:
            return
        try:
            self._controller.observe(replace(releases, key=attended.source.key))
        except InvalidSampleError as error:
            self.refuse(attendance, client_key, str(error))

    def refuse(self, attendance: Attendance, client_key: int, reason: str) -> None:
        """Look after a source no longer, and have its client told why."""
        self.depart(attendance, [client_key])
        attendance.refuse(client_key, reason)

    def depart(self, attendance: Attendance, client_keys: Iterable[int]) -> None:
        """Look after these sources no longer; those that are not attended are passed over."""
        for client_key in client_keys:
            attended = attendance.find(client_key)
            if attended:
                attendance.remove(client_key)
                del self._owners[attended.source.key]
                self._controller.depart(attended.source.key)

    def find(self, pattern: str) -> Iterator[tuple[Attended, SourceState]]:
        """Iterate over the sources whose name matches a shell pattern; an empty one does all."""
        for _, attended in self._owners.values():
            if not pattern or fnmatchcase(attended.source.name, pattern):
                yield attended, self._controller.source(attended.source.key)

    def explain(self, attended: Attended) -> tuple[str, ...]:
        """Say in sentences why a source is where it is."""
        return self._controller.explain(attended.source.key)

    def numbers(self, attended: Attended) -> dict[str, float]:
        """Return the numbers behind them, by name with the unit as suffix."""
        numbers = dict(self._controller.numbers(attended.source.key))
        return numbers | {"reported_offset_seconds": attended.held_seconds}

    def _hand_out(self, commands: Iterable[Command]) -> None:
        for command in commands:
            owner = self._owners.get(command.key)
            if owner:
                attendance, attended = owner
                attendance.place(attended.client_key, command)
                self.commands[command.kind] += 1

    def _set_pace(self) -> None:
        """Have everybody told at once who is to report more often; the other way can wait."""
        before = self.report_interval_seconds
        self.is_quiet = self._controller.is_quiet
        interval = self.report_interval_seconds
        self._controller.expect_reports(interval)
        if interval < before:
            self._tell_all()

    def _tell_all(self) -> None:
        for attendance in self._streams:
            attendance.tell()
