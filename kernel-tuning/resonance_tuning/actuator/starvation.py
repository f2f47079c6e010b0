# SPDX-License-Identifier: MIT
"""Is batch work starved by what was done for others? Watched while the service runs."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from functools import partial

from resonance_tuning.actuator.poller import Poller
from resonance_tuning.actuator.pressure_trigger import Lasting, PressureTrigger, pressure_file
from resonance_tuning.errors import KnobUnavailableError
from resonance_tuning.guard import Guard
from resonance_tuning.host import Host

__all__ = ["StarvationWatch"]


class StarvationWatch:
    """A pressure trigger on each batch group.

    Parameters
    ----------
    host : Host
    poller : Poller
    starved : callable
        Told the group whose tasks have all waited for too long.
    log : callable
        Told once of a group that cannot be watched, and why.
    """

    def __init__(
        self,
        host: Host,
        poller: Poller,
        starved: Callable[[str], None],
        log: Callable[[str], None],
    ) -> None:
        self._host, self._poller = host, poller
        self._starved, self._log = starved, log
        self._triggers: dict[str, PressureTrigger] = {}
        self._told: set[str] = set()

    def follow(self, cgroups: tuple[str, ...], guard: Guard) -> None:
        """Watch these groups, and no others."""
        for cgroup in self._triggers.keys() - set(cgroups):
            self._drop(cgroup)
        for cgroup in cgroups:
            if cgroup not in self._triggers:
                self._add(cgroup, guard)

    def close(self) -> None:
        """Watch nothing."""
        for cgroup in list(self._triggers):
            self._drop(cgroup)

    def _add(self, cgroup: str, guard: Guard) -> None:
        try:
            path = pressure_file(self._host, cgroup)
            trigger = PressureTrigger(path, guard.batch_full_pressure_ratio)
        except KnobUnavailableError as error:
            if cgroup not in self._told:
                self._told.add(cgroup)
                self._log(f"pressure_unavailable cgroup={cgroup!r} reason={error.reason!r}")
            return
        lasting = Lasting(guard.batch_full_pressure_seconds, trigger.window_seconds)
        self._triggers[cgroup] = trigger
        self._poller.add(trigger, partial(self._fired, cgroup, lasting), select.POLLPRI)

    def _drop(self, cgroup: str) -> None:
        trigger = self._triggers.pop(cgroup)
        self._poller.remove(trigger)
        trigger.close()

    def _fired(self, cgroup: str, lasting: Lasting, mask: int) -> None:
        if mask & select.POLLERR:
            self._drop(cgroup)  # the group is gone
        elif lasting.fired(time.monotonic()):
            self._starved(cgroup)
