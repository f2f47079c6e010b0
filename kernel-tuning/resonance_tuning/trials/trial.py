# SPDX-License-Identifier: MIT
"""One change on probation: time without it, with it, and without it again (A/B/A).

A trial only measures and judges; `strategy` says when it goes on, and counts the changes.
Pure, as `evidence`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from resonance_tuning.guard import Guard
from resonance_tuning.records import Setting
from resonance_tuning.trials import transport
from resonance_tuning.trials.evidence import (
    FEWEST_EVENTS,
    FEWEST_PARTS,
    Counts,
    Kind,
    Reading,
    Verdict,
    Window,
    Word,
    compare,
    quantile_ns,
)

__all__ = ["Gathering", "Sample", "Stage", "Step", "Trial", "Windows", "p99_seconds"]

_SETTLE_SECONDS: Final = 2.0
"""What follows a change of a run queue's rules at once is part of neither time."""
_HARM_RATIO: Final = 3.0
"""Of the p99, from which a change is not watched to its end. *Chosen*: of 200 placebos with
noise that remembers none came there, and 6 came to 2."""

Stage = Literal["applying", "during", "undoing", "after", "reapplying"]
Windows = Mapping[str, Window]
"""By path of the latency-critical cgroup."""


@dataclass(frozen=True, slots=True)
class Sample:
    """All that is seen of the node in a second or so.

    Attributes
    ----------
    seconds : float
        Since the sample before.
    groups : dict of str to Reading
        By path of the latency-critical cgroup.
    busy_cpus : float or None
        CPUs that the latency-critical cgroups kept busy, together.
    batch_full_ratio : float or None
        Share of time in which all tasks of the worst batch cgroup that could run had to wait.
    """

    seconds: float
    groups: Mapping[str, Reading]
    busy_cpus: float | None = None
    batch_full_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One knob on all its targets: what is tried, kept and taken back as one."""

    knob: str
    kind: Kind
    settings: tuple[Setting, ...]

    def without(self, lost: Sequence[Setting]) -> Step:
        """Return what remains of it."""
        return replace(self, settings=tuple(each for each in self.settings if each not in lost))


class Gathering:
    """Samples on their way to a window.

    Parameters
    ----------
    window_seconds : float
        How long a window is at least; it also has `FEWEST_PARTS` samples.
    """

    def __init__(self, window_seconds: float) -> None:
        self._window_seconds = window_seconds
        self._samples: list[Sample] = []
        self._seconds = 0.0

    def add(self, sample: Sample) -> None:
        """Take one more."""
        self._samples.append(sample)
        self._seconds += sample.seconds

    @property
    def is_telling(self) -> bool:
        """Whether there are samples enough to look at, if not to judge by."""
        return len(self._samples) >= FEWEST_PARTS

    @property
    def is_full(self) -> bool:
        """Whether they make a window."""
        return self.is_telling and self._seconds >= self._window_seconds

    def windows(self) -> Windows:
        """Return a window per cgroup that is there, and was for long enough."""
        windows: dict[str, Window] = {}
        for name in sorted(self._samples[-1].groups) if self._samples else ():
            there = [each for each in self._samples if name in each.groups]
            if len(there) >= FEWEST_PARTS:
                readings = [each.groups[name] for each in there]
                windows[name] = Window.of(readings, sum(each.seconds for each in there))
        return windows

    def busy_cpus(self) -> float | None:
        """Return the mean number of busy CPUs, where it is known."""
        known = [each.busy_cpus for each in self._samples if each.busy_cpus is not None]
        return sum(known) / len(known) if known else None


class Trial:
    """One step on probation.

    Parameters
    ----------
    step : Step
    focus : str
        The cgroup whose wait is to get shorter.
    before : Windows
        The time without it.
    guard : Guard
    upper_ns : (buckets,) uint64
        Inclusive upper edges of the buckets.

    Attributes
    ----------
    stage : Stage
    spoilt : str
        Why it must end without a judgement, once it can.
    spoilt_word : str
        What that counts as.
    lost : tuple of Setting
        What of the step is no longer in force because of that.
    verdict : Verdict or None
        Once there is one and something is still to be done for it.
    """

    def __init__(
        self, step: Step, focus: str, before: Windows, guard: Guard, upper_ns: Counts
    ) -> None:
        self.step = step
        self.focus = focus
        self.stage: Stage = "applying"
        self.spoilt = ""
        self.spoilt_word: Word = "undone"
        self.lost: tuple[Setting, ...] = ()
        self.verdict: Verdict | None = None
        self._before, self._guard, self._upper_ns = before, guard, upper_ns
        self._during: Windows = {}
        self._gathering = Gathering(guard.window_seconds)
        self._settles_at = 0.0

    def enter(self, stage: Stage, now_seconds: float) -> None:
        """Go on to the next stage; what was gathered was the stage's before."""
        if stage == "undoing":
            self._during = self._gathering.windows()
        # A connection keeps its congestion control: leave old ones time to end.
        drains = self._guard.window_seconds if self.step.kind == "srtt" else _SETTLE_SECONDS
        self.stage, self._settles_at = stage, now_seconds + drains
        self._gathering = Gathering(self._guard.window_seconds)

    def add(self, now_seconds: float, sample: Sample) -> None:
        """Take a sample of a stage that is watched."""
        if now_seconds > self._settles_at:
            self._gathering.add(sample)

    @property
    def is_full(self) -> bool:
        """Whether the stage has been watched for long enough."""
        return self._gathering.is_full

    def harm(self) -> str:
        """Return what is so bad already that it must not go on, or nothing."""
        if self.stage != "during" or not self._gathering.is_telling:
            return ""
        for name, window in self._gathering.windows().items():
            before = self._before.get(name)
            if before and (found := self._harm(before, window)):
                return f"{name}: {found}"
        return ""

    def _harm(self, before: Window, now: Window) -> str:
        kind = self.step.kind
        if kind == "srtt":
            paths = [transport.read_transport(each, self._upper_ns) for each in (before, now)]
            was, is_now = paths
            if was and is_now and (found := transport.harm(was, is_now, self._guard)):
                return found
        if min(before.events(kind), now.events(kind)) < FEWEST_EVENTS:
            return ""
        was_seconds, is_seconds = (
            p99_seconds(each, kind, self._upper_ns) for each in (before, now)
        )
        if is_seconds <= _HARM_RATIO * was_seconds:
            return ""
        return f"p99 went from {was_seconds * 1e3:.3g} to {is_seconds * 1e3:.3g} ms"

    def judge(self) -> Verdict:
        """Judge by the three windows: the focus must gain, and nobody else be harmed."""
        after = self._gathering.windows()
        if self.focus not in self._during or self.focus not in after:
            return Verdict("no-signal", f"{self.focus} went away", self.focus)
        verdict = self._compare(self.focus, after)
        if not verdict.is_kept:
            return verdict
        for name in sorted(self._before.keys() & self._during.keys() & after.keys()):
            other = self._compare(name, after)
            if other.word == "harm":
                return replace(other, reason=f"{name}: {other.reason}")
        return verdict

    def _compare(self, name: str, after: Windows) -> Verdict:
        verdict = compare(
            self._before[name],
            self._during[name],
            after[name],
            self._upper_ns,
            kind=self.step.kind,
            min_gain_ratio=self._guard.min_gain_ratio,
        )
        return replace(verdict, cgroup=name)

    def cut_short(self, reason: str) -> Verdict:
        """Return the verdict on harm that was not watched to its end."""
        kind, before = self.step.kind, self._before[self.focus]
        verdict = Verdict(
            "harm",
            reason,
            self.focus,
            p99_before_seconds=p99_seconds(before, kind, self._upper_ns),
            events_before=before.events(kind),
        )
        during = self._gathering.windows().get(self.focus)
        if during is None:
            return verdict
        return replace(
            verdict,
            p99_during_seconds=p99_seconds(during, kind, self._upper_ns),
            events_during=during.events(kind),
            window_seconds=during.seconds,
        )


def p99_seconds(window: Window, kind: Kind, upper_ns: Counts) -> float:
    """Return the p99 of all of a window."""
    return float(quantile_ns(window.waits(kind).sum(axis=0), upper_ns, 0.99)) / 1e9
