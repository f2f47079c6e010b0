# SPDX-License-Identifier: MIT
"""What is written down of a measurement, so that it can be compared and doubted later?

::

    Slot          one repetition: histograms, timeline, what went wrong, what the generator was like
    Run           the repetitions of one arm, with all that was asked for
    Scene         arms that met the same load, one of them the baseline and one the placebo
    Experiment    scenes measured in one go, and whether the host was left as it was

Histograms are text, of the format V2 of HdrHistogram, in nanoseconds. A result carries its rule:
which slots are not to be believed was decided before anything was measured.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

from resonance.bench.errors import ResultFormatError
from resonance.bench.files import write_whole
from resonance.bench.machine import Machine
from resonance.histogram import FormatError, Histogram, Quantiles

__all__ = [
    "FORMAT",
    "QUANTILES",
    "Experiment",
    "Generator",
    "Part",
    "Rule",
    "Run",
    "Scene",
    "Second",
    "Slot",
    "What",
    "read_result",
    "write_result",
]

FORMAT: Final = 1
"""Counted up when an old reader would misunderstand a new file."""
What = Literal["response", "service", "lateness"]
"""Which histogram of a slot."""
QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}
"""Those that are printed and compared, by the names gates know."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """When is a slot not to be believed? Set before it is measured.

    Attributes
    ----------
    min_achieved_ratio : float
        Calls sent within their slot by calls that were due.
    max_lateness_ratio : float
        p99 of the generator's lateness by the p99 of the response times.
    max_foreign_cores : float or None
        CPUs that neither generator nor target used; ``None`` where the target's are not known.
    """

    min_achieved_ratio: float = 0.99
    max_lateness_ratio: float = 0.05
    max_foreign_cores: float | None = None


class Second(msgspec.Struct, frozen=True, kw_only=True):
    """What was due in one interval of a slot.

    Attributes
    ----------
    at_seconds : float
        From the slot's beginning to the interval's; warm-up included.
    seconds : float
        How long the interval is.
    planned, answered, failed : int
    p50, p99, highest : float or None
        Seconds, of responses; ``None`` without any.
    """

    at_seconds: float
    seconds: float
    planned: int
    answered: int
    failed: int
    p50: float | None = None
    p99: float | None = None
    highest: float | None = None


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of request of a mix.

    Attributes
    ----------
    planned, answered, failed : int
    response : str
        Histogram.
    """

    planned: int
    answered: int
    failed: int
    response: str

    def histogram(self) -> Histogram:
        """Return its response times, decoded.

        Returns
        -------
        Histogram

        Raises
        ------
        ResultFormatError
            It is not a histogram.
        """
        return _decoded("response", self.response)


def _decoded(what: str, text: str) -> Histogram:
    try:
        return Histogram.decode(text)
    except FormatError as error:
        raise ResultFormatError(what, str(error)) from None


class Generator(msgspec.Struct, frozen=True, kw_only=True):
    """What was the generator like while it measured?

    Attributes
    ----------
    processes : int
    is_realtime : bool
        Whether all of them were in a real-time class.
    cpu_cores : float
        CPUs they used, all together.
    cpu_wait_seconds : float
        For which they were ready to run and did not, all together; the kernel's count.
    stalls : int
        Times one of them was kept from running for 10 ms or more.
    is_throttled : bool
        The kernel took the CPU from a real-time generator that wanted too much of it.
    waited : int
        Calls for which no connection had room when they were due.
    connections : int
        The most that were open at once.
    """

    processes: int = 1
    is_realtime: bool = False
    cpu_cores: float = 0.0
    cpu_wait_seconds: float = 0.0
    stalls: int = 0
    is_throttled: bool = False
    waited: int = 0
    connections: int = 0


class Slot(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One repetition, its warm-up left out of everything but the timeline.

    Attributes
    ----------
    started_at : float
        Unix time.
    repetition : int
        Slots of different runs with the same number were measured in the same round.
    seconds : float
        How long calls were due, without the warm-up.
    planned, sent, answered : int
        Calls: due, sent within the slot, answered with success at last.
    failed : dict of str to int
        Calls that were not, by why.
    response : str
        Histogram from when each call was due to its answer; of one that timed out, to then.
    service : str
        From when it was sent.
    lateness : str
        From when it was due to when the generator came to it: the generator's own error.
    timeline : list of Second
    parts : dict of str to Part
        Of a mix of several kinds of request, by name; empty otherwise.
    generator : Generator
    foreign_cores : float or None
        CPUs that neither generator nor target used; ``None`` where the target's are not known.
    costs : dict of str to float
        What else an arm cost, or was like, by a name that ends with its unit: of the reference
        experiment ``extra_ratio``, ``wasted_ratio``, ``hedge_win_ratio``, ``job_p50_seconds``,
        ``job_rate_per_second``.
    doubts : list of str
        Why it is not to be believed, by the rule; empty where it is.
    """

    started_at: float
    repetition: int = 0
    seconds: float
    planned: int
    sent: int
    answered: int
    failed: dict[str, int] = {}
    response: str
    service: str
    lateness: str
    timeline: list[Second] = []
    parts: dict[str, Part] = {}
    generator: Generator = Generator()
    foreign_cores: float | None = None
    costs: dict[str, float] = {}
    doubts: list[str] = []

    @property
    def achieved_ratio(self) -> float:
        """Calls that were sent by calls that were due."""
        return self.sent / self.planned if self.planned else 0.0

    def histogram(self, what: What) -> Histogram:
        """Return one of the three histograms, decoded.

        Parameters
        ----------
        what : {"response", "service", "lateness"}

        Returns
        -------
        Histogram

        Raises
        ------
        ResultFormatError
            It is not a histogram.
        """
        return _decoded(what, getattr(self, what))

    def answers(self, what: What = "response") -> int:
        """Return how many times were counted.

        Parameters
        ----------
        what : {"response", "service", "lateness"}

        Returns
        -------
        int

        Raises
        ------
        ResultFormatError
            It is not a histogram.
        """
        return self._quantiles(what).count

    def quantile(self, q: float, what: What = "response") -> float | None:
        """Return a time that a share of all do not exceed, as `Histogram.quantile` has it.

        Parameters
        ----------
        q : float
            The share, 0 to 1.
        what : {"response", "service", "lateness"}

        Returns
        -------
        float or None
            Seconds; ``None`` without answers.

        Raises
        ------
        ResultFormatError
            It is not a histogram.
        """
        return self._quantiles(what).at(q)

    def _quantiles(self, what: What) -> Quantiles:
        """Return what quantiles are read from; kept, as it is asked for again and again."""
        known: dict[str, Quantiles] = vars(self).setdefault("_known", {})
        if what not in known:
            known[what] = self.histogram(what).quantiles()
        return known[what]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """The repetitions of one arm.

    Attributes
    ----------
    format : int
        `FORMAT`.
    version : str
        The release that measured it.
    tool : {"resonance", "k6", "wrk2"}
        What measured it.
    name : str
        Of the arm.
    target : str
    arrival : {"poisson", "constant", "closed"}
        ``closed`` of an imported result whose calls waited for each other.
    rate_per_second : float
        Calls due, the mean where it changes.
    unit : {"ns"}
        Of the histograms.
    machine : Machine or None
        ``None`` where an imported result does not say.
    rule : Rule
    asked : dict of str to object
        The scenario as it was measured: seed, stages, mix, connections, timeout.
    slots : list of Slot
    """

    format: int = FORMAT
    version: str
    tool: Literal["resonance", "k6", "wrk2"] = "resonance"
    name: str
    target: str
    arrival: Literal["poisson", "constant", "closed"]
    rate_per_second: float
    unit: Literal["ns"] = "ns"
    machine: Machine | None
    rule: Rule = Rule()
    asked: dict[str, object] = {}
    slots: list[Slot]


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """Arms that met the same load.

    Attributes
    ----------
    name : str
    summary : str
        One sentence for a reader: what runs where, and how full it is.
    baseline : str
        The arm that all are compared with.
    placebo : str or None
        The arm that is the baseline once more.
    runs : list of Run
        In the order they are told in.
    """

    name: str
    summary: str = ""
    baseline: str
    placebo: str | None = None
    runs: list[Run]

    def run(self, name: str) -> Run:
        """Return an arm.

        Parameters
        ----------
        name : str

        Returns
        -------
        Run

        Raises
        ------
        KeyError
            There is none of that name.
        """
        for run in self.runs:
            if run.name == name:
                return run
        raise KeyError(name)


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """Scenes that were measured in one go.

    Attributes
    ----------
    format : int
        `FORMAT`.
    version : str
    title : str
    started_at : float
        Unix time.
    seconds : float
        How long all of it took.
    machine : Machine
    scenes : list of Scene
    differences : list of str or None
        What of the host was not afterwards as before; ``None`` where nobody looked.
    notes : list of str
        What a reader must know besides: arms that this host could not run, and why.
    """

    format: int = FORMAT
    version: str
    title: str
    started_at: float
    seconds: float
    machine: Machine
    scenes: list[Scene]
    differences: list[str] | None = None
    notes: list[str] = []

    def scene(self, name: str) -> Scene:
        """Return a scene.

        Parameters
        ----------
        name : str

        Returns
        -------
        Scene

        Raises
        ------
        KeyError
            There is none of that name.
        """
        for scene in self.scenes:
            if scene.name == name:
                return scene
        raise KeyError(name)

    def __iter__(self) -> Iterator[Scene]:
        return iter(self.scenes)


class _Kind(msgspec.Struct):
    """What tells one file from another."""

    format: int = 0
    scenes: msgspec.Raw = msgspec.Raw()
    slots: msgspec.Raw = msgspec.Raw()


def read_result(path: str | os.PathLike[str]) -> Run | Experiment:
    """Return what is written in a file.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    Run or Experiment

    Raises
    ------
    ResultFormatError
        It is neither, or of a version that this one does not understand.
    OSError
        It cannot be read.
    """
    data, where = Path(path).read_bytes(), os.fspath(path)
    try:
        kind = msgspec.json.decode(data, type=_Kind)
        if kind.format == FORMAT and bytes(kind.slots):
            return msgspec.json.decode(data, type=Run)
        if kind.format == FORMAT and bytes(kind.scenes):
            return msgspec.json.decode(data, type=Experiment)
    except msgspec.MsgspecError as error:
        raise ResultFormatError(where, f"not a result of `resonance bench`: {error}") from None
    if kind.format > FORMAT:
        raise ResultFormatError(
            where, f"format {kind.format} of a later release; this one reads {FORMAT}"
        )
    raise ResultFormatError(where, "not a result of `resonance bench`")


def write_result(path: str | os.PathLike[str], result: Run | Experiment) -> None:
    """Write a result; the file is whole or as it was before.

    Parameters
    ----------
    path : path-like
    result : Run or Experiment

    Raises
    ------
    OSError
        It cannot be written: no such directory, no room.
    """
    write_whole(Path(path), msgspec.json.encode(result) + b"\n")
