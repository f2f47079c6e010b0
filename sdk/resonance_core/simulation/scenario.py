# SPDX-License-Identifier: MIT
"""What is simulated: a node, its requests, its sources, and for how long.

Sources that release a burst of jobs once per period share a node with requests that arrive at
random and that nobody ever delays. Everything is given in seconds and CPUs; nothing is scaled
behind the reader's back. `reference_scenario` builds the family that the ratios of the phase
control were judged on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

from resonance_core.errors import InvalidSampleError

__all__ = ["Discipline", "Requests", "Scenario", "Service", "SourceBlock", "reference_scenario"]

Discipline = Literal["fifo", "sharing"]
Service = Literal["exponential", "constant", "lognormal", "bimodal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Requests that arrive as a Poisson process and are never delayed on purpose.

    Attributes
    ----------
    utilisation_ratio : float
        CPU time they ask for, by what the node has, 0 to 1.
    service_seconds : float
        Mean CPU time of one.
    service : {"exponential", "constant", "lognormal", "bimodal"}
        ``bimodal``: nine in ten short, one ten times as long.
    service_variation : float
        Standard deviation by mean; of ``lognormal`` only.
    """

    utilisation_ratio: float = 0.375
    service_seconds: float = 0.001
    service: Service = "exponential"
    service_variation: float = 1.5

    def __post_init__(self) -> None:
        _require(0.0 <= self.utilisation_ratio < 1.0, "requests.utilisation_ratio", "0 to 1")
        _require_positive("requests.service_seconds", self.service_seconds)
        _require_positive("requests.service_variation", self.service_variation)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceBlock:
    """Sources of one kind.

    Attributes
    ----------
    name : str
        A source is called by it and a number.
    count : int
    period_seconds : float
        Declared by each.
    work_seconds : float
        CPU time of one burst, mean over the sources.
    work_spread : float
        Standard deviation of the logarithm of a source's work; the mean over the sources
        stays exactly `work_seconds`.
    job_seconds : float
        Mean CPU time of the jobs a burst is made of, which may run at the same time; at
        least `work_seconds` means one job.
    service : {"exponential", "constant", "lognormal", "bimodal"}
        How the jobs vary around their mean.
    start : {"aligned", "random"}
        Phases drawn around one, with `spread_seconds`, or anywhere in the period.
    spread_seconds, jitter_seconds : float
        Standard deviations: of the sources' phases when aligned, and of each release.
    drift_seconds : float
        Standard deviation by which a source's phase moves on from cycle to cycle.
    detuning_ratio : float
        Standard deviation of a source's true period around the declared one, by it.
    is_periodic : bool
        False: bursts come at random at the same rate; the declared period is a lie.
    phase_free : bool
    slack_seconds : float
        As declared to the controller.
    """

    name: str = "source"
    count: int = 1
    period_seconds: float = 0.1
    work_seconds: float = 0.01
    work_spread: float = 0.0
    job_seconds: float = 0.001
    service: Service = "exponential"
    start: Literal["aligned", "random"] = "aligned"
    spread_seconds: float = 0.002
    jitter_seconds: float = 0.001
    drift_seconds: float = 0.0
    detuning_ratio: float = 0.0
    is_periodic: bool = True
    phase_free: bool = True
    slack_seconds: float = 0.0

    def __post_init__(self) -> None:
        _require(self.count >= 1, f"sources {self.name!r}: count", "at least 1")
        for name in ("period_seconds", "work_seconds", "job_seconds"):
            _require_positive(f"sources {self.name!r}: {name}", getattr(self, name))
        for name in (
            "work_spread",
            "spread_seconds",
            "jitter_seconds",
            "drift_seconds",
            "slack_seconds",
        ):
            value: float = getattr(self, name)
            is_fine = math.isfinite(value) and value >= 0.0
            _require(is_fine, f"sources {self.name!r}: {name}", "a number, not negative")
        is_fine = 0.0 <= self.detuning_ratio <= 0.1
        _require(is_fine, f"sources {self.name!r}: detuning_ratio", "0 to 0.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One node and its work.

    Attributes
    ----------
    name, summary : str
    sources : tuple of SourceBlock
        In the order in which they register.
    requests : Requests
    cores : int
    discipline : {"fifo", "sharing"}
        One queue in the order of arrival, or equal shares for all who are there.
    setup_seconds, warm_seconds : float
        A burst that begins more than `warm_seconds` after the last one needs `setup_seconds`
        of CPU first, as caches and connections do: alignment is then of use.
    restart_seconds : float or None
        When all sources restart at once, with new aligned phases.
    duration_seconds, warmup_seconds : float
        How long, and how much of it is not judged.
    hold_anchored : bool
        Let the controller hold anchored sources that declare slack.
    """

    name: str
    sources: tuple[SourceBlock, ...]
    summary: str = ""
    requests: Requests = field(default_factory=Requests)
    cores: int = 4
    discipline: Discipline = "fifo"
    setup_seconds: float = 0.0
    warm_seconds: float = 0.002
    restart_seconds: float | None = None
    duration_seconds: float = 30.0
    warmup_seconds: float = 8.0
    hold_anchored: bool = False

    def __post_init__(self) -> None:
        _require(bool(self.sources), "sources", "at least one block")
        _require(self.cores >= 1, "cores", "at least 1")
        _require_positive("duration_seconds", self.duration_seconds)
        is_fine = 0.0 <= self.warmup_seconds < self.duration_seconds
        _require(is_fine, "warmup_seconds", "less than duration_seconds, not negative")
        _require(self.setup_seconds >= 0.0, "setup_seconds", "not negative")
        _require(self.warm_seconds >= 0.0, "warm_seconds", "not negative")
        if self.restart_seconds is not None:
            is_fine = 0.0 < self.restart_seconds < self.duration_seconds
            _require(is_fine, "restart_seconds", "within the duration")
        _require(
            self.utilisation_ratio < 1.0, "work of sources and requests", "less than the cores"
        )

    @property
    def utilisation_ratio(self) -> float:
        """CPU time asked for, by what the node has."""
        periodic = sum(
            each.count * each.work_seconds / each.period_seconds for each in self.sources
        )
        return periodic / self.cores + self.requests.utilisation_ratio

    @property
    def period_seconds(self) -> float:
        """The longest declared period."""
        return max(each.period_seconds for each in self.sources)


def reference_scenario(
    count: int,
    utilisation_ratio: float,
    *,
    periodic_ratio: float = 0.5,
    periods_seconds: tuple[float, ...] = (0.1,),
    cores: int = 4,
    service: Service = "exponential",
    cycles: int = 300,
    warmup_cycles: int = 80,
    **block: object,
) -> Scenario:
    """Return the scenario the ratios were judged on, or one near it.

    Half of the load in bursts of jobs of 1 ms (exponential), work of the sources lognormal
    (0.5), phases aligned within 2 ms, jitter 1 ms, four cores first come first served, 300
    cycles of which 80 are not judged.

    Parameters
    ----------
    count : int
        Sources in all; a multiple of the number of periods.
    utilisation_ratio : float
        Of sources and requests together.
    periodic_ratio : float
        Share of it that comes from the sources; equal for each period.
    periods_seconds : tuple of float
    cores : int
    service : {"exponential", "constant", "lognormal", "bimodal"}
    cycles, warmup_cycles : int
        Of the longest period.
    **block
        Further fields of `SourceBlock`.

    Returns
    -------
    Scenario

    Raises
    ------
    InvalidSampleError
        `count` is no multiple of the number of periods, or a field is out of its range.
    """
    if count % len(periods_seconds):
        raise InvalidSampleError("count", "must be a multiple of the number of periods")
    each = count // len(periods_seconds)
    rate = utilisation_ratio * periodic_ratio * cores / len(periods_seconds)
    base = SourceBlock(service=service, work_spread=0.5, count=each)
    blocks = tuple(
        replace(
            base,
            name=f"every-{period:g}s",
            period_seconds=period,
            work_seconds=rate * period / each,
            **block,  # type: ignore[arg-type] # the caller's keywords are checked by replace
        )
        for period in periods_seconds
    )
    longest = max(periods_seconds)
    return Scenario(
        name=f"reference-{count}",
        sources=blocks,
        requests=Requests(
            utilisation_ratio=utilisation_ratio * (1.0 - periodic_ratio), service=service
        ),
        cores=cores,
        duration_seconds=cycles * longest,
        warmup_seconds=warmup_cycles * longest,
    )


def _require_positive(name: str, value: float) -> None:
    _require(math.isfinite(value) and value > 0.0, name, "a positive number")


def _require(is_fine: bool, name: str, what: str) -> None:
    if not is_fine:
        raise InvalidSampleError(name, f"must be {what}")
