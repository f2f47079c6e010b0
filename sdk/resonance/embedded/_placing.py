# SPDX-License-Identifier: MIT
"""The timers of an embedded core: who is there, what they did, and where they are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from resonance.periodic._roll import Entry, Roll
from resonance.periodic._source import Done, Source

if TYPE_CHECKING:
    from resonance_core.control.controller import Controller
    from resonance_core.control.records import Command

__all__ = ["Placing"]

_VALID_NS: Final = 5_000_000_000
"""What a core said holds this long; as a daemon's word."""


class Placing:
    """Carries what timers did to a controller, and its commands back to them.

    Parameters
    ----------
    controller : Controller
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        # Changed by whole additions and removals only, as in the daemon's attendant.
        self._sources: set[Source] = set()
        self._roll = Roll()

    def attend(self, source: Source) -> None:
        """Look after a source, until `depart`."""
        self._sources.add(source)

    def depart(self, source: Source) -> None:
        """Let it go; may be called by the garbage collector, at any point of any thread."""
        self._sources.discard(source)

    def sources(self) -> list[Source]:
        """Return those that are there now."""
        return list(self._sources)

    def placed(self) -> list[tuple[int, Source]]:
        """Return those that the controller places, by key."""
        return self._roll.items()

    def confirm(self, now_ns: int, mode: str) -> None:
        """Let what the timers were told hold for some seconds more."""
        for source in self._roll.confirm():
            source.mode = mode
            source.core_until_ns = now_ns + _VALID_NS

    def take_in(self, now_ns: int) -> None:
        """Take in who came and went, and what they did; those of a daemon are its own."""
        ours = [source for source in self.sources() if source.daemon_until_ns < now_ns]
        changes = self._roll.update(ours, now_ns)
        for key in changes.went:
            self._controller.depart(key)
        for key, entry in changes.came.items():
            self._register(key, entry, now_ns / 1e9)
        for key, source in self._roll.items():
            done = source.take()
            if done:
                self._observe(key, source, done)

    def _register(self, key: int, entry: Entry, now_seconds: float) -> None:
        from resonance_core.control import records
        from resonance_core.errors import SourceRefusedError

        source, spec = entry.source, entry.source.spec
        registered = records.Source(
            key=key,
            name=spec.name,
            period_seconds=source.period_seconds,
            origin_seconds=source.origin_ns / 1e9,
            phase_free=spec.phase_free,
            slack_seconds=spec.slack_seconds,
            importance=spec.importance,
            offset_seconds=entry.offset_ns / 1e9,
        )
        try:
            command = self._controller.register(registered, now_seconds)
        except SourceRefusedError as refused:
            self._roll.refuse(key)
            source.refusal = refused.reason
            return
        self._roll.confirm()
        source.core_until_ns = round(now_seconds * 1e9) + _VALID_NS
        if command is not None:
            self.obey((command,))

    def _observe(self, key: int, source: Source, done: list[Done]) -> None:
        from resonance_core.control.plain import releases
        from resonance_core.errors import InvalidSampleError

        natural = [each.natural_ns / 1e9 for each in done]
        work = [each.work_seconds for each in done]
        try:
            self._controller.observe(
                releases(key, natural, work, [each.completion_seconds for each in done])
            )
        except InvalidSampleError as error:
            self._controller.depart(key)
            self._roll.refuse(key)
            source.refusal = str(error)
            source.core_until_ns = 0

    def obey(self, commands: tuple[Command, ...]) -> None:
        """Send timers where the controller wants them."""
        for command in commands:
            source = self._roll.find(command.key)
            if source is not None:
                source.place(
                    command.kind, command.offset_seconds, command.max_step_seconds, command.reason
                )
