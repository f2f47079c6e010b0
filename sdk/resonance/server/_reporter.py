# SPDX-License-Identifier: MIT
"""How loaded is this server? Worked out ten times a second at most, told with every reply."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from math import exp, inf
from typing import Final

from resonance import hints as kernel_hints
from resonance.hints import Hints
from resonance.server._admission import Admission
from resonance.server._load import RUNQUEUE_PRESSURE, LoadReport

__all__ = ["LoadReporter"]

_PERIOD_SECONDS: Final = 0.1
_SMOOTHING_SECONDS: Final = 1.0
"""Time constant of the rates. *Chosen*: ten periods, so that one request more or less in a
period moves a rate by a tenth of what it would without."""


class LoadReporter:
    """What a server says of itself, for one event loop or for threads.

    Parameters
    ----------
    admission : Admission
        Whose requests are counted.
    cpus : float, optional
        CPUs that this process could use, above 0; by default those it may run on. A process of
        one Python thread at a time uses one of them, so where that is all it does, 1 tells more.
    hints : Hints, optional
        Where run-queue pressure is known from; by default the daemon of this host, if any.
    clock, cpu_clock : callable
        Seconds that never go back: of time, and of CPU time used by this process.

    Raises
    ------
    ValueError
        For CPUs that are not above 0.
    """

    def __init__(
        self,
        admission: Admission,
        *,
        cpus: float | None = None,
        hints: Hints | None = None,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        if cpus is not None and not 0 < cpus < inf:
            raise ValueError(f"cpus must be above 0, not {cpus!r}")
        self._admission = admission
        self._cpus = cpus or float(len(os.sched_getaffinity(0)))
        self._hints = hints or kernel_hints.connect()
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._begin()

    def _begin(self) -> None:
        """Begin, once in each process: CPU time and locks of a parent are not a child's."""
        self._guard = threading.Lock()
        self._due_at = -inf
        self._process = os.getpid()
        self._at = self._clock()
        self._cpu_seconds = self._cpu_clock()
        counts = self._admission.counts
        self._entered, self._errors = counts.entered, counts.errors
        self._cpu_utilization: float | None = None
        self._rps: float | None = None
        self._eps: float | None = None
        self._report = LoadReport()
        self._json = self._text = b""

    def report(self) -> LoadReport:
        """Return the load, at most 0.1 s old."""
        if self._clock() >= self._due_at:
            self._refresh()
        return self._report

    def header(self, *, is_text: bool = False) -> bytes:
        """Return the same as the value of the header ``endpoint-load-metrics``.

        Parameters
        ----------
        is_text : bool
            In the format ``TEXT``, else ``JSON``.

        Returns
        -------
        bytes
            ASCII.
        """
        if self._clock() >= self._due_at:
            self._refresh()
        return self._text if is_text else self._json

    def _refresh(self) -> None:
        if self._process != os.getpid():
            self._begin()
        if not self._guard.acquire(blocking=False):
            return  # another thread is at it, and what there is will do
        try:
            self._measure()
        finally:
            self._guard.release()

    def _measure(self) -> None:
        now = self._clock()
        elapsed_seconds = now - self._at
        if elapsed_seconds >= _PERIOD_SECONDS:
            self._advance(now, elapsed_seconds)
        self._due_at = now + _PERIOD_SECONDS
        admission = self._admission
        pressure = self._hints.pressure()
        self._report = LoadReport(
            cpu_utilization=_rounded(self._cpu_utilization),
            application_utilization=_rounded(
                (admission.inflight + admission.queued) / admission.limit
            ),
            rps_fractional=_rounded(self._rps),
            eps=_rounded(self._eps),
            named_metrics={} if pressure is None else {RUNQUEUE_PRESSURE: round(pressure, 4)},
        )
        self._json = self._report.to_json().encode()
        self._text = self._report.to_text().encode()

    def _advance(self, now: float, elapsed_seconds: float) -> None:
        """Bring the rates up to now."""
        cpu_seconds, counts = self._cpu_clock(), self._admission.counts
        entered, errors = counts.entered, counts.errors
        share = 1.0 - exp(-elapsed_seconds / _SMOOTHING_SECONDS)
        used = (cpu_seconds - self._cpu_seconds) / (elapsed_seconds * self._cpus)
        self._cpu_utilization = _moved(self._cpu_utilization, used, share)
        self._rps = _moved(self._rps, (entered - self._entered) / elapsed_seconds, share)
        self._eps = _moved(self._eps, (errors - self._errors) / elapsed_seconds, share)
        self._at, self._cpu_seconds = now, cpu_seconds
        self._entered, self._errors = entered, errors


def _moved(average: float | None, value: float, share: float) -> float:
    return value if average is None else average + share * (value - average)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
