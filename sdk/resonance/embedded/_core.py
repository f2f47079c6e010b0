# SPDX-License-Identifier: MIT
"""The controller in the application: what it is fed with, and who obeys it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Generator
from typing import TYPE_CHECKING, Final, Self

from resonance.embedded._feed import Feed
from resonance.embedded._load import Load
from resonance.embedded._placing import Placing
from resonance.errors import MissingExtraError
from resonance.periodic import Importance, OnLate, Timer, every
from resonance.periodic._source import Source
from resonance.periodic._valley import Profile, forecast_here

if TYPE_CHECKING:
    from resonance_core.control.records import Decision, Mode

__all__ = ["Core"]

_TICK_SECONDS: Final = 0.1
_LOAD_TICKS: Final = 10
_MODES: Final = ("observe", "shadow", "adaptive", "active")


class Core:
    """Chooses the phases of this process's timers while no daemon does.

    Parameters
    ----------
    r_band : (float, float)
        De-biased order parameter below which alignment is called gone, and above which it is
        suspected; ascending, 0 to 1.
    k_min, k_max : float
        Share of a phase error that is removed per cycle, above 0 and below 2; ascending.
    max_micro_delay : float
        Longest change of a hold per cycle, seconds; above 0.007 the timers' own limit holds.
    default_batch_latency : float
        How long `next_valley` waits at most, seconds.

    Raises
    ------
    MissingExtraError
        numpy is not installed.
    ValueError
        A parameter is out of range.
    """

    def __init__(
        self,
        *,
        r_band: tuple[float, float] = (0.35, 0.65),
        k_min: float = 0.05,
        k_max: float = 1.0,
        max_micro_delay: float = 0.007,
        default_batch_latency: float = 0.025,
    ) -> None:
        try:
            from resonance_core.control.controller import Controller
            from resonance_core.control.parameters import Parameters
        except ModuleNotFoundError as error:
            if error.name != "numpy":
                raise
            raise MissingExtraError("resonance.Core", "numpy", "core") from None

        self._parameters = Parameters(
            r_band=r_band,
            k_min=k_min,
            k_max=k_max,
            max_slew_seconds=max_micro_delay,
            batch_latency_seconds=default_batch_latency,
            cores=float(len(os.sched_getaffinity(0))),
        )
        self._mode: Mode = "observe"
        self._make = Controller
        self._begin()
        _instances.add(self)

    def _begin(self) -> None:
        self._controller = self._make(self._parameters, self._mode)
        self._decision: Decision | None = None
        self._placing = Placing(self._controller)
        self._feed = Feed(time.monotonic())
        self._load = Load()
        self._ticks = 0
        self._guard = threading.RLock()
        self._is_running = False
        self._closed = threading.Event()

    # -- for the application

    def every(
        self,
        period: float,
        *,
        name: str,
        phase_free: bool = False,
        slack: float = 0.0,
        importance: Importance = "normal",
        on_late: OnLate = "skip",
        origin: float | None = None,
        work: float | None = None,
    ) -> Timer:
        """Return a timer that this core places while there is no daemon.

        Parameters, result and errors as `resonance.every`.
        """
        return every(
            period,
            name=name,
            phase_free=phase_free,
            slack=slack,
            importance=importance,
            on_late=on_late,
            origin=origin,
            work=work,
            core=self,
        )

    @contextlib.contextmanager
    def arrived(self) -> Generator[None]:
        """Time a request from its arrival to the end of the block, and `record` it."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._feed.record(time.monotonic() - began)

    def record(self, latency_seconds: float) -> None:
        """Take note of the latency of a request that is done now.

        By these the core judges whether what it does helps. Of requests that are not the
        timers' own work; from any thread, in a microsecond.

        Parameters
        ----------
        latency_seconds : float
            Zero or more.

        Raises
        ------
        ValueError
            If it is negative or not finite.
        """
        self._feed.record(latency_seconds)

    @property
    def mode(self) -> Mode:
        """The mode in force: observe, shadow, adaptive, active."""
        return self._mode

    def set_mode(self, mode: Mode) -> None:
        """Put another mode into force.

        Parameters
        ----------
        mode : {"observe", "shadow", "adaptive", "active"}

        Raises
        ------
        ValueError
            There is no such mode.
        """
        if mode not in _MODES:
            raise ValueError(f"mode must be one of {', '.join(_MODES)}, not {mode!r}")
        with self._guard:
            self._controller.set_mode(mode, time.monotonic())
            self._mode = mode

    def stop(self) -> None:
        """Send all timers to their own phases at once; the mode is observe from then on."""
        with self._guard:
            self._placing.obey(self._controller.stop(time.monotonic()))
            self._mode = self._controller.mode

    def next_valley(self, within: float | None = None) -> float:
        """Return how long to wait until periodic work is at its lowest.

        As `resonance.next_valley`; of this process's own timers where no daemon tells.

        Parameters
        ----------
        within : float, optional
            Longest wait, seconds; by default `default_batch_latency`.

        Returns
        -------
        float
            Seconds, 0 to `within`; 0 where nothing is known.
        """
        profile = forecast_here().profile() or self._profile()
        longest = self._parameters.batch_latency_seconds if within is None else within
        return profile.delay(time.monotonic(), longest) if profile else 0.0

    @property
    def decision(self) -> Decision | None:
        """What the last tick came to: groups, their states, guards; ``None`` before it."""
        return self._decision

    def explain(self, name: str = "") -> dict[str, tuple[str, ...]]:
        """Say in sentences why each timer is where it is.

        Parameters
        ----------
        name : str
            Of one timer; by default of all that this core places now.

        Returns
        -------
        dict of str to tuple of str
            Sentences by name.
        """
        with self._guard:
            return {
                source.spec.name: self._controller.explain(key)
                for key, source in self._placing.placed()
                if name in {"", source.spec.name}
            }

    def close(self) -> None:
        """End its thread; its timers go home in small steps, and tick on."""
        self._closed.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- for the timers

    def attend(self, source: Source) -> None:
        """Look after a source, until `depart`."""
        self._placing.attend(source)
        if self._is_running or self._closed.is_set():
            return
        with self._guard:
            if not self._is_running:
                arguments = weakref.ref(self), self._closed
                thread = threading.Thread(
                    target=_run, args=arguments, name="resonance-core", daemon=True
                )
                # No thread may be had, or none any more while the interpreter ends: the timer
                # ticks at its own phase, and the next one tries again.
                with contextlib.suppress(RuntimeError):
                    thread.start()
                    self._is_running = True

    def depart(self, source: Source) -> None:
        """Let it go; may be called by the garbage collector, at any point of any thread."""
        self._placing.depart(source)

    def tick(self) -> None:
        """Take in what happened, decide, and place; called by its thread."""
        with self._guard:
            now_ns = time.monotonic_ns()
            now_seconds = now_ns / 1e9
            self._placing.take_in(now_ns)
            self._feed.hand_over(self._controller, now_seconds)
            self._ticks += 1
            if self._ticks % _LOAD_TICKS == 0:
                busy_ratio = self._load.busy_ratio()
                if busy_ratio is not None:
                    self._controller.observe_load(busy_ratio)
            decision = self._decision = self._controller.tick(now_seconds)
            self._placing.confirm(now_ns, decision.mode)
            self._placing.obey(decision.commands)

    def _profile(self) -> Profile | None:
        decision = self._decision
        if decision is None or not decision.groups:
            return None
        group = decision.groups[0]
        return Profile(group.profile_seconds.tolist(), group.origin_seconds, group.period_seconds)

    def begin_in_child(self) -> None:
        """Begin anew in a forked child, where its thread does not run."""
        for source in self._placing.sources():
            source.begin_in_child()
        was_closed = self._closed.is_set()
        self._begin()
        if was_closed:
            self._closed.set()


def _run(reference: weakref.ref[Core], closed: threading.Event) -> None:
    """Tick until the core is closed, or nobody has it any more."""
    while not closed.wait(_TICK_SECONDS):
        core = reference()
        if core is None:
            return
        core.tick()
        del core


_instances: weakref.WeakSet[Core] = weakref.WeakSet()


def _begin_in_child() -> None:
    for core in _instances:
        core.begin_in_child()


os.register_at_fork(after_in_child=_begin_in_child)
