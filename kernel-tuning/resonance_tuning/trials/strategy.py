# SPDX-License-Identifier: MIT
"""What should be changed next, and when should it go back? A state machine without a clock.

Told a `Sample` each second or so, it answers with actions; whoever carries them out says how
it went. One knob at a time, in the order of the ladder, and each on probation::

    watching ── objective missed, windows in a row ──▶ apply ─▶ during ─▶ undo ─▶ after
        ▲                                                                           │
        ├──── no gain, or harm: rest, longer each time ◀────────────────────────────┤
        └──── batch work starves, or slack: undo ◀──── kept ◀──── gain: apply ──────┘

A change that works makes the slack it is seen by; so slack takes back only what reserves, the
CPUs that were set apart. What costs nobody anything while it is not needed stays.

In shadow it says what it would do. Pure: the same samples, the same actions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from resonance_tuning.knob import Knob
from resonance_tuning.planning.planner import Plan
from resonance_tuning.records import Setting
from resonance_tuning.trials.bands import Band, Starvation
from resonance_tuning.trials.evidence import Counts, Kind, Verdict, Word
from resonance_tuning.trials.ladder import Ladder, Mode, cpus_given
from resonance_tuning.trials.limits import Limits
from resonance_tuning.trials.trial import Gathering, Sample, Step, Trial
from resonance_tuning.trials.view import View, Viewer

__all__ = ["Action", "Apply", "HeldBack", "Judged", "Strategy", "Undo"]

_KINDS: Final[tuple[Kind, ...]] = ("runqueue", "srtt")
_MOST_DOUBLINGS: Final = 6
_CALLED: Final = {"runqueue": "the wait for a CPU", "srtt": "the round trip"}


@dataclass(frozen=True, slots=True)
class Apply:
    """Make these settings, and say how it went: `Strategy.done` or `Strategy.failed`."""

    settings: tuple[Setting, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Undo:
    """Take these settings back, and say how it went."""

    settings: tuple[Setting, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of a step; to be told, not to be done."""

    settings: tuple[Setting, ...]
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A step whose turn it was and that is the wrong choice here; to be told."""

    settings: tuple[Setting, ...]
    reason: str


Action = Apply | Undo | Judged | HeldBack


@dataclass(slots=True)
class _Kept:
    step: Step
    since_seconds: float


class Strategy:
    """The decisions of one run of the service.

    Parameters
    ----------
    plan : Plan
        What may be changed, in ladder order, and the guard.
    mode : {"shadow", "adaptive", "active"}
        ``adaptive`` stays on the lower rungs.
    kinds : dict of str to type of Knob
        Tells rung and evidence of each knob.
    upper_ns : (buckets,) uint64
        Inclusive upper edges of the buckets in samples.

    Attributes
    ----------
    holds_back : str
        Why nothing is tried though something should be; empty where there is no reason.
    """

    def __init__(
        self, plan: Plan, mode: Mode, kinds: Mapping[str, type[Knob]], upper_ns: Counts
    ) -> None:
        self._mode, self._guard, self._upper_ns = mode, plan.guard, upper_ns
        self._limits = Limits(plan.guard)
        self._ladder = Ladder(plan, mode, kinds, self._limits)
        self._viewer = Viewer(plan.guard, upper_ns)
        self._bands = {kind: Band(plan.guard) for kind in _KINDS}
        self._starvation = Starvation(plan.guard)
        self._gathering = Gathering(plan.guard.window_seconds)
        self._kept: list[_Kept] = []
        self._relapses: dict[str, int] = {}
        self._told_at: dict[str, float] = {}
        self._trial: Trial | None = None
        self._is_waiting = False
        self.holds_back = ""

    # ---- what is told ---------------------------------------------------------------------

    def observe(self, now_seconds: float, sample: Sample) -> list[Action]:
        """Take what was seen since the sample before; return what to do, in order."""
        starves = self._starvation.observe(sample.seconds, sample.batch_full_ratio)
        if self._is_waiting:
            return []
        if starves:
            return self._give_way(now_seconds)
        if self._trial:
            return self._go_on(now_seconds, self._trial, sample)
        self._gathering.add(sample)
        if not self._gathering.is_full:
            return []
        gathered, self._gathering = self._gathering, Gathering(self._guard.window_seconds)
        return self._decide(now_seconds, self._viewer.view(gathered))

    def done(self, now_seconds: float) -> list[Action]:
        """Learn that the last action was carried out."""
        self._is_waiting = False
        trial = self._trial
        if trial is None:
            return []
        if trial.spoilt:
            return self._spoil(now_seconds, trial)
        if trial.stage == "applying":
            trial.enter("during", now_seconds)
        elif trial.stage == "reapplying":
            return self._keep(now_seconds, trial)
        elif trial.verdict:
            return self._end(now_seconds, trial, trial.verdict)
        else:
            trial.enter("after", now_seconds)
        return []

    def failed(self, now_seconds: float, reason: str) -> None:
        """Learn that the last action was refused, and nothing of it is in force."""
        self._is_waiting = False
        self.holds_back = reason
        if trial := self._trial:
            self._limits.rest(now_seconds, trial.step.settings, self._guard.dwell_seconds)
        self._begin_anew()

    def lost(
        self, now_seconds: float, settings: Sequence[Setting], reason: str, *, word: Word = "undone"
    ) -> list[Action]:
        """Learn that these are no longer in force: somebody changed them, or they are gone.

        With the word ``harm`` they were taken back for what they did, which is a verdict.
        """
        self._limits.rest(now_seconds, settings, self._guard.cool_down_seconds)
        told = self._drop_lost(settings, Verdict(word, reason)) if self._kept else []
        trial = self._trial
        if trial is None or set(settings).isdisjoint(trial.step.settings):
            return told
        trial.spoilt, trial.spoilt_word = reason, word
        trial.lost = (*trial.lost, *settings)
        return told if self._is_waiting else [*told, *self._spoil(now_seconds, trial)]

    def _drop_lost(self, settings: Sequence[Setting], verdict: Verdict) -> list[Action]:
        gone = tuple(each for kept in self._kept for each in kept.step.settings if each in settings)
        for kept in self._kept:
            kept.step = kept.step.without(settings)
        self._kept = [kept for kept in self._kept if kept.step.settings]
        return [Judged(gone, verdict)] if gone and verdict.word == "harm" else []

    def replan(self, plan: Plan) -> None:
        """Choose from another plan from now on; what is in force stays."""
        self._ladder.plan = plan

    # ---- watching -------------------------------------------------------------------------

    def _decide(self, now_seconds: float, view: View) -> list[Action]:
        self.holds_back = ""
        if tight := self._too_tight(view):
            return self._step_down(now_seconds, tight, "the group fills the CPUs it was given")
        told: list[Action] = []
        for kind in _KINDS:
            focus, band = view.worst(kind), self._bands[kind]
            band.observe(view.loads[kind].get(focus))
            if band.breaches >= self._guard.enter_windows:
                told += self._climb(now_seconds, kind, focus, view)
            elif slack := self._slack(now_seconds, kind):
                told += self._leave(now_seconds, slack)
            if self._is_waiting:
                break
        return told

    def _climb(self, now_seconds: float, kind: Kind, focus: str, view: View) -> list[Action]:
        if why := self._limits.why_no_trial(now_seconds, len(self._kept)):
            self.holds_back = why
            return []
        live = {setting for kept in self._kept for setting in kept.step.settings}
        step = self._ladder.next_step(now_seconds, kind, view, live)
        told = self._tell_refusals(now_seconds)
        if step is None:
            self.holds_back = next(iter(self._ladder.refusals.values()), "no knob is left to try")
            return told
        load = view.loads[kind][focus]
        reason = f"{_CALLED[kind]} of {focus} is {load:.1f} times what it should be"
        if self._mode == "shadow":
            self._limits.rest(
                now_seconds, step.settings, self._guard.cool_down_seconds, doubles=False
            )
            return [*told, Judged(step.settings, Verdict("would", f"{reason}: would try this"))]
        self._trial = Trial(step, focus, view.windows, self._guard, self._upper_ns)
        return [*told, self._do(now_seconds, Apply(step.settings, f"{reason}: a trial"))]

    def _tell_refusals(self, now_seconds: float) -> list[Action]:
        told: list[Action] = []
        for settings, reason in self._ladder.refusals.items():
            knob = settings[0].knob
            if now_seconds >= self._told_at.get(knob, now_seconds):
                self._told_at[knob] = now_seconds + self._guard.cool_down_seconds
                told.append(HeldBack(settings, reason))
        return told

    # ---- a trial --------------------------------------------------------------------------

    def _go_on(self, now_seconds: float, trial: Trial, sample: Sample) -> list[Action]:
        trial.add(now_seconds, sample)
        if harm := trial.harm():
            trial.verdict = trial.cut_short(harm)
            return self._take_back(now_seconds, trial, harm)
        if not trial.is_full or not self._limits.is_time(now_seconds):
            return []
        if trial.stage == "during":
            return self._take_back(now_seconds, trial, "to see how it is without it")
        verdict = trial.judge()
        if not verdict.is_kept:
            return self._end(now_seconds, trial, verdict)
        trial.verdict = verdict
        trial.enter("reapplying", now_seconds)
        return [self._do(now_seconds, Apply(trial.step.settings, verdict.reason))]

    def _take_back(self, now_seconds: float, trial: Trial, reason: str) -> list[Action]:
        trial.enter("undoing", now_seconds)
        return [self._do(now_seconds, Undo(trial.step.settings, reason))]

    def _keep(self, now_seconds: float, trial: Trial) -> list[Action]:
        assert trial.verdict
        self._kept.append(_Kept(trial.step, now_seconds))
        self._begin_anew()
        return [Judged(trial.step.settings, trial.verdict)]

    def _end(self, now_seconds: float, trial: Trial, verdict: Verdict) -> list[Action]:
        settings = trial.step.settings
        self._limits.rest(now_seconds, settings, self._guard.cool_down_seconds)
        self._begin_anew()
        return [Judged(settings, verdict)]

    def _spoil(self, now_seconds: float, trial: Trial) -> list[Action]:
        """End a trial that can tell nothing any more; take back what of it is in force."""
        left = trial.step.without(trial.lost).settings
        is_applied = trial.stage in {"applying", "during", "reapplying"}
        ended = self._end(now_seconds, trial, Verdict(trial.spoilt_word, trial.spoilt))
        if left and is_applied:
            ended.append(self._do(now_seconds, Undo(left, trial.spoilt)))
        return ended

    # ---- going back -----------------------------------------------------------------------

    def _newest(self, kind: Kind) -> _Kept | None:
        return next((kept for kept in reversed(self._kept) if kept.step.kind == kind), None)

    def _slack(self, now_seconds: float, kind: Kind) -> _Kept | None:
        """Return the newest step that reserves what was not needed for long enough."""
        reserving = (
            kept
            for kept in reversed(self._kept)
            if kept.step.kind == kind and self._ladder.is_reserving(kept.step)
        )
        kept = next(reserving, None)
        if kept is None or now_seconds - kept.since_seconds < self._guard.dwell_seconds:
            return None
        # What was needed again soon after it went is given more time each time.
        patience = 2 ** min(self._relapses.get(kept.step.knob, 0), _MOST_DOUBLINGS)
        is_long = self._bands[kind].quiet >= patience * self._guard.leave_windows
        return kept if is_long and self._limits.is_time(now_seconds) else None

    def _leave(self, now_seconds: float, kept: _Kept) -> list[Action]:
        knob = kept.step.knob
        self._relapses[knob] = self._relapses.get(knob, 0) + 1
        self._limits.rest(now_seconds, kept.step.settings, self._guard.dwell_seconds, doubles=False)
        return self._drop(now_seconds, kept, "undone", f"{_CALLED[kept.step.kind]} leaves room")

    def _too_tight(self, view: View) -> _Kept | None:
        if view.busy_cpus is None:
            return None
        for kept in reversed(self._kept):
            given = cpus_given(kept.step.settings)
            if given and view.busy_cpus > self._guard.max_utilisation_ratio * given:
                return kept
        return None

    def _give_way(self, now_seconds: float) -> list[Action]:
        """Batch work starves: take back the newest thing that squeezes it."""
        reason = "batch work stood still for too long"
        trial = self._trial
        if trial and trial.stage == "during" and trial.step.kind == "runqueue":
            trial.verdict = trial.cut_short(reason)
            return self._take_back(now_seconds, trial, reason)
        kept = self._newest("runqueue")
        if trial or kept is None:
            return []
        return self._step_down(now_seconds, kept, reason)

    def _step_down(self, now_seconds: float, kept: _Kept, reason: str) -> list[Action]:
        self._limits.rest(now_seconds, kept.step.settings, self._guard.cool_down_seconds)
        return self._drop(now_seconds, kept, "harm", reason)

    def _drop(self, now_seconds: float, kept: _Kept, word: Word, reason: str) -> list[Action]:
        self._kept.remove(kept)
        self._begin_anew()
        settings = kept.step.settings
        return [
            self._do(now_seconds, Undo(settings, reason)),
            Judged(settings, Verdict(word, reason)),
        ]

    # ---- the common rest ------------------------------------------------------------------

    def _do(self, now_seconds: float, action: Apply | Undo) -> Apply | Undo:
        self._limits.count(now_seconds)
        self._is_waiting = True
        return action

    def _begin_anew(self) -> None:
        self._trial = None
        self._gathering = Gathering(self._guard.window_seconds)
        for band in self._bands.values():
            band.reset()
