# SPDX-License-Identifier: MIT
"""The unprivileged daemon: joins the rooms and states their order, once.

Signals make a snapshot at each tick, tuning and phase add what they know and decide, and it
goes to telemetry and to hints; while somebody reads the shared page, it is written between
ticks too. One event loop does it all; metrics are served by threads that only read the last
snapshot.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import importlib
import logging
import resource
import secrets
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from prometheus_client import Counter

from resonance_bpf.backends.none import Sampler
from resonance_bpf.reader import Maps, open_maps
from resonanced import link, logs, privileges
from resonanced.errors import DaemonError, StartError
from resonanced.hints.page import PageWriter
from resonanced.hints.policies import PolicySwitch
from resonanced.hints.server import HintServer
from resonanced.keeper import Inheritance
from resonanced.model import Resolution, ResolveSubject, Snapshot
from resonanced.notify import notify, watchdog_seconds
from resonanced.phase.admin import AdminServer, PhaseSwitch
from resonanced.phase.loop import PhaseLoop, parameters_of
from resonanced.phase.registry import Registry
from resonanced.phase.server import PhaseServer
from resonanced.signals.reading import Signals, Source
from resonanced.signals.resolve import Resolver
from resonanced.telemetry.server import Telemetry
from resonanced.tuning.patterns import patterns_of_settings

if TYPE_CHECKING:
    from resonanced.tuning.loop import TuningLoop

__all__ = ["run"]

_log = logging.getLogger(__name__)
_MAX_BYTES: Final = 1 << 16
_OTHER_DESCRIPTORS: Final = 512
"""Beside those of streams: maps, scrapes, single calls, directories that are walked."""
_LATE_MODULES: Final = ("numpy.fft",)
"""What numpy reads at first use; by then the daemon may read no code any more."""
_RELOADS = Counter("resonance_reloads", "Reloads of the configuration, by outcome", ["outcome"])
for _outcome in ("applied", "refused", "needs_restart"):
    _RELOADS.labels(_outcome)


def run(inheritance: Inheritance) -> int:
    """Become the daemon; everything it needs has been imported as root, nothing is served yet.

    Returns
    -------
    int
        Exit status.
    """
    for name in _LATE_MODULES:
        importlib.import_module(name)
    if inheritance.actuator is not None:
        # Where nothing is tuned none of it takes memory; and as root, like all else, because
        # the code may lie where the daemon's user cannot read it.
        importlib.import_module("resonanced.tuning.loop")
    settings = inheritance.settings
    streams = 2 * settings.hints.max_streams + settings.phase.max_sources
    keeper = link.KeeperLink(inheritance.requests)
    try:
        privileges.drop(inheritance.identity)
        _allow_descriptors(streams + _OTHER_DESCRIPTORS)
        asyncio.run(_serve(inheritance, keeper))
    except DaemonError as error:
        # The keeper says it to the operator, in its one line.
        with contextlib.suppress(DaemonError):  # it has gone, or wants us gone
            keeper.tell(link.Failed(reason=str(error), exit_code=error.exit_code))
        return error.exit_code
    return 0


def _allow_descriptors(wanted: int) -> None:
    """Let every stream have a connection; a service gets 1024 in all unless it asks for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


async def _serve(inheritance: Inheritance, keeper: link.KeeperLink) -> None:
    await _Daemon(inheritance, keeper).serve()


class _Daemon:
    """The rooms, and the loop that turns them."""

    def __init__(self, inheritance: Inheritance, keeper: link.KeeperLink) -> None:
        settings = inheritance.settings
        self._keeper = keeper
        self._orders = inheritance.orders
        report = inheritance.report
        directory = Path(settings.service.runtime_directory)
        maps, source = _measurements(inheritance, keeper)
        self._signals = Signals(
            settings.signals, maps, inheritance.hierarchy, source, report.map_bytes
        )
        self._resolver = Resolver(inheritance.hierarchy, maps.listeners)
        actuator = inheritance.actuator
        self._telemetry = Telemetry(
            settings.telemetry,
            report,
            settings.signals.interval_seconds,
            actuator.process.pid if actuator else 0,
        )
        self._page = PageWriter(
            (directory / settings.hints.socket).with_suffix(".page"),
            settings.hints,
            report.hierarchy,
            settings.policies.mode,
        )
        self._policies = PolicySwitch(settings.policies.mode, self._page.say_policy_ceiling)
        # Nodes that start together must not draw the same blocks and grants.
        seed = secrets.randbits(32)
        registry = Registry(parameters_of(settings.phase), settings.phase.mode, seed=seed)
        self._phase = PhaseLoop(settings.phase, maps, registry)
        self._hints = HintServer(
            settings.hints,
            directory,
            report,
            self._resolve,
            settings.signals.percentile_window_seconds,
            guests=[PhaseServer(registry, self._phase.spectrum)],
        )
        self._admin = AdminServer(directory, [PhaseSwitch(registry), self._policies])
        self._measured = settings.signals
        self._named = (*settings.phase.protect, *patterns_of_settings(settings.tuning))
        self._followed: tuple[str, ...] = ()
        self._configure_signals()
        self._tuning = _tuning(inheritance, self._follow)
        self._tick_seconds = settings.signals.interval_seconds
        self._page_seconds = 1.0 / settings.hints.page_hz
        self._next_tick = 0.0
        self._has_readers = False
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        watchdog = watchdog_seconds()
        # Often enough that a wait for the keeper ends before the watchdog does.
        self._watchdog_seconds = watchdog / 8 if watchdog else None
        self._fed_at = 0.0

    async def serve(self) -> None:
        """Serve until a signal or the keeper's end.

        Raises
        ------
        DaemonError
            A port or socket cannot be had, or the keeper is gone.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._end)
        self._loop.add_reader(self._orders, self._take_order)
        try:
            self._telemetry.start()
            await self._hints.start()
            await self._admin.start()
            self._publish(self._tick())
            self._keeper.ask(
                link.Ready(metrics=self._telemetry.url, hints=f"unix://{self._hints.path}")
            )
            notify("READY=1")
            # What exists now lives as long as we do: no need to trace it ever again.
            gc.collect()
            gc.freeze()
            self._next_tick = time.monotonic() + self._tick_seconds
            self._turn()
            await self._ended
        finally:
            with contextlib.suppress(StartError):  # there is nobody to tell
                notify("STOPPING=1")
            self._page.close()
            if self._tuning:
                await self._tuning.stop()
            await self._admin.stop()
            await self._hints.stop()
            self._telemetry.stop()

    def _turn(self) -> None:
        """Do what is due and come back in time for the next; a failure ends `serve`.

        A chain of timers, not a task that sleeps: waking a task costs as much again as what
        is done here two hundred times a second.
        """
        if self._ended.done():
            return  # the page says so already
        try:
            seconds = self._do_what_is_due()
        except Exception as error:  # noqa: BLE001 - passed on to serve(), not swallowed
            self._end(error)
        else:
            self._loop.call_later(seconds, self._turn)

    def _do_what_is_due(self) -> float:
        """Tick at the set interval; between ticks, write the page while somebody reads it.

        Returns
        -------
        float
            Seconds until something is due again.
        """
        now = time.monotonic()
        if now >= self._next_tick:
            self._publish(self._tick())
            self._has_readers = self._page.has_readers()
            # A late tick is not made up for: the next one reads all there is.
            self._next_tick = max(self._next_tick + self._tick_seconds, now)
        elif self._has_readers:
            monotonic_ns = time.monotonic_ns()
            pressure = self._signals.pressure(monotonic_ns)
            self._page.write(monotonic_ns, self._signals.slots, pressure)
        until_tick = max(self._next_tick - time.monotonic(), 0.0)
        return min(until_tick, self._page_seconds) if self._has_readers else until_tick

    def _end(self, error: Exception | None = None) -> None:
        if self._ended.done():
            return
        if error:
            self._ended.set_exception(error)
        else:
            self._ended.set_result(None)

    def _tick(self) -> Snapshot:
        started = time.monotonic()
        snapshot = self._signals.tick(time.monotonic_ns())
        tuning = snapshot.tuning
        if self._tuning:
            self._tuning.observe(snapshot)
            tuning = self._tuning.tuning
        rhythm = self._phase.observe(snapshot)
        snapshot = dataclasses.replace(
            snapshot, tuning=tuning, rhythm=rhythm, policy_ceiling=self._policies.mode
        )
        self._telemetry.tick_finished(time.monotonic() - started)
        return snapshot

    def _publish(self, snapshot: Snapshot) -> None:
        self._telemetry.publish(snapshot)
        self._hints.publish(snapshot)
        self._page.write(snapshot.monotonic_ns, snapshot.slots, snapshot.pressure)
        self._feed_watchdog(snapshot.monotonic_ns / 1e9)

    def _feed_watchdog(self, now: float) -> None:
        if self._watchdog_seconds and now - self._fed_at >= self._watchdog_seconds:
            self._fed_at = now
            notify("WATCHDOG=1")

    def _follow(self, patterns: tuple[str, ...]) -> None:
        """Measure the cgroups apart that are tuned, besides those the configuration names."""
        if patterns != self._followed:
            self._followed = patterns
            self._configure_signals()

    def _configure_signals(self) -> None:
        cgroups = (*self._measured.cgroups, *self._named, *self._followed)
        self._signals.configure(msgspec.structs.replace(self._measured, cgroups=cgroups))

    def _resolve(self, subject: ResolveSubject) -> Resolution:
        return self._resolver.resolve(subject, self._signals.slots)

    def _take_order(self) -> None:
        raw = self._orders.recv(_MAX_BYTES)
        if not raw:
            # Nobody is left to take our pins back; the next start does.
            self._loop.remove_reader(self._orders)
            _log.error("keeper_gone")
            self._end()
            return
        order = msgspec.json.decode(raw, type=link.Reload)
        if order.refused:
            _RELOADS.labels("refused").inc()
            _log.warning("reload_refused reason=%r", order.refused)
            return
        self._measured = order.settings.signals
        self._configure_signals()
        logs.set_level(order.settings.service.log_level)
        _RELOADS.labels("needs_restart" if order.needs_restart else "applied").inc()
        _log.warning("reloaded needs_restart=%s", ",".join(order.needs_restart) or "none")


def _tuning(
    inheritance: Inheritance, follow: Callable[[tuple[str, ...]], None]
) -> TuningLoop | None:
    """Return the loop that tunes, where there is something to tune with."""
    if inheritance.actuator is None:
        return None
    from resonanced.tuning.loop import TuningLoop  # `run` has read it

    connection, begun = inheritance.actuator.connection, inheritance.actuator.begun
    return TuningLoop(inheritance.settings.tuning, connection, begun, follow)


def _measurements(inheritance: Inheritance, keeper: link.KeeperLink) -> tuple[Maps, Source]:
    """Return the memory that is measured into, and who changes slots in it."""
    if inheritance.report.backend == "none":
        sampler = Sampler(inheritance.hierarchy)
        for surface, reason in sampler.unavailable.items():
            _log.warning("surface_unavailable surface=%s reason=%r", surface, reason)
        return sampler.maps, Source(
            assign=sampler.assign,
            release=sampler.release,
            refresh=sampler.refresh,
            pressure=lambda _monotonic_ns: sampler.pressure,
            hidden=lambda: sampler.hidden_tasks + len(sampler.unavailable),
        )
    return open_maps(inheritance.descriptors, inheritance.cpus), Source(
        assign=lambda slot, cgroup_id: keeper.ask(link.Assign(slot, cgroup_id)).is_done,
        release=lambda cgroup_id: keeper.tell(link.Release(cgroup_id)),
        misses=lambda: keeper.ask(link.Misses()).misses,
    )
