# SPDX-License-Identifier: MIT
"""When are the sources of one rhythm moved, and when are they taken back?

::

    SHADOW ---- model and evidence ---> ACQUIRE <--- model asks again ---- ACTIVE
      ^  ^                                |  `--------- arrived ----------->  |
      |  `---------- block in shadow -----+-----------------------------------+
      |                                   v                                   v
    LOCKOUT <------ back at home ------ ROLLBACK <--- harm, herding, frozen --'

Decisions fall once per chunk, on the discrepancy and on realised waits; orders are followed up
at every tick while sources move. In ACTIVE nothing moves.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from resonance_core.control.backlog import Capacity
from resonance_core.control.band import Band
from resonance_core.control.canary import Canary
from resonance_core.control.chunk import Chunk, Kind
from resonance_core.control.estimate import Bools, estimate
from resonance_core.control.forecast import Forecast
from resonance_core.control.gate import Gate, Verdict
from resonance_core.control.guard import Herd, Workload
from resonance_core.control.jitter import Wildness, judge_jitter
from resonance_core.control.journey import Journey
from resonance_core.control.picture import Picture, may_be_held, take_picture
from resonance_core.control.planner import Planner, Proposal
from resonance_core.control.records import Releases, State
from resonance_core.control.roster import Rows
from resonance_core.control.scene import Scene
from resonance_core.control.switchback import BLOCK_CHUNKS, Switchback

__all__ = ["Group"]

QUIET_STRETCH: Final = 8.0
"""*Chosen*: chunks are so much longer where nothing is about to happen: as long as sources are
silent then at T = 100 ms, so that each decision is on something new."""
LOCKED_CHUNKS: Final = 6
MOST_DOUBLINGS: Final = 10
"""*Chosen*: chunks after a rollback before it is asked whether it was the cause at all; doubled
with every rollback."""
_HARM: Final[dict[Verdict, str]] = {
    "harm_to_others": "the waits of others are proven to be longer than in shadow",
    "harm_to_sources": "the sources themselves are proven to take longer than in shadow",
}


class Group:
    """Sources whose periods are a common one, or integer parts of it.

    Parameters
    ----------
    period_seconds, origin_seconds : float
        The common period; where phase 0 is.
    scene : Scene
        Of the controller; read at every tick.

    Attributes
    ----------
    multiples : dict of int to int
        Releases per period, by row of the roster.
    state, reason : str
    version : int
        Changes with whatever is told of the group.
    picture : Picture or None
        As of the last chunk; none where members have changed since.
    gate, band, canary, forecast, planner
        What it decides with.
    coupling : float
        K in force.
    tail_ratio : float
        As of the last chunk; see `Gate.tail_ratio`.
    is_confirmed : bool
        A gain is proven for all that take part.
    wildness : {"tame", "wild", "wild and in step"}
        Whether its sources are too jittered to be placed.
    empty_since_seconds : float
        When its last source left; of use while it has none.
    """

    def __init__(self, period_seconds: float, origin_seconds: float, scene: Scene) -> None:
        self._scene = scene
        self.period_seconds = period_seconds
        self.origin_seconds = origin_seconds
        self.multiples: dict[int, int] = {}
        self.state: State = "shadow"
        self.reason = ""
        self.version = 0
        self.picture: Picture | None = None
        self.gate = Gate(scene.parameters)
        self.band = Band(scene.parameters)
        self.canary = Canary(1.0)
        self.forecast = Forecast(
            period_seconds, origin_seconds, scene.series, scene.parameters.cores
        )
        self.planner = Planner(scene)
        self.coupling = scene.parameters.k_max
        self.tail_ratio = math.nan
        self.is_confirmed = False
        self.wildness: Wildness = "tame"
        self.empty_since_seconds = scene.now_seconds
        self._herd = Herd()
        self._workload = Workload()
        self._chunk = Chunk(scene.parameters.chunk_cycles * period_seconds)
        self._rows: Rows = np.empty(0, np.intp)
        self._counts: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._may_be_held: Bools = np.empty(0, np.bool_)
        self._journey = Journey(scene)
        self._switchback = Switchback(scene)
        self._left = self._lockouts = self._refusals = 0
        self._after: State = "shadow"
        self.change_mode()

    @property
    def chunk_end_seconds(self) -> float:
        """When the next decision is due."""
        return self._chunk.end_seconds

    @property
    def due_seconds(self) -> float:
        """When it has something to do: a decision, or at once while its sources are on the way."""
        is_on_the_way = self.state in {"acquire", "rollback"}
        return -math.inf if is_on_the_way else self.chunk_end_seconds

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is about to happen, so that looking less often will do."""
        scene = self._scene
        if scene.mode == "observe" or self.state == "lockout" or len(self._rows) < 2:
            return True
        if self.state == "shadow":
            return self._refusals >= scene.parameters.baseline_chunks
        is_decided = self.is_confirmed or not scene.is_live or self.gate.is_full
        calm = QUIET_STRETCH * self._chunk.length_seconds
        has_rested = scene.now_seconds - self._journey.arrived_seconds > calm
        return self.state == "active" and is_decided and has_rested

    @property
    def work_rate(self) -> float:
        """CPUs that the known sources keep busy."""
        return 0.0 if self.picture is None else self.picture.work_seconds / self.period_seconds

    # -- who is in it

    def join(self, row: int, multiple: int) -> None:
        """Take in a source."""
        self.multiples[row] = multiple
        self._members_changed()
        is_held = self._scene.in_force.now_seconds[row] > 0.0
        if (
            is_held
            and self._scene.is_live
            and self.state == "shadow"
            and not self.gate.has_baseline
        ):
            self._enter("active", "its sources were found in place")

    def leave(self, row: int) -> None:
        """Let a source go."""
        del self.multiples[row]
        self._members_changed()
        self.empty_since_seconds = self._scene.now_seconds

    def _members_changed(self) -> None:
        self._rows = np.fromiter(self.multiples, np.intp, len(self.multiples))
        self._counts = np.fromiter(self.multiples.values(), np.int64, len(self.multiples))
        sources = [self._scene.roster.source(row) for row in self.multiples]
        self._may_be_held = may_be_held(sources, self._scene.parameters)
        self._chunk.spoil(self._scene.now_seconds)  # one with two memberships proves nothing
        self.forecast.watch.pause(self._scene.now_seconds)
        self._refusals = 0
        self.picture = None
        self.version += 1

    # -- what it is told

    def completed(self, row: int, releases: Releases) -> None:
        """Take in what a source of it did."""
        self._chunk.completed(releases.at_seconds, releases.completion_seconds)
        self.forecast.watch.add(row, releases)

    def change_mode(self) -> None:
        """Begin anew in another mode; what is known of shadow stays."""
        scene = self._scene
        share = scene.parameters.canary_ratio if scene.mode == "adaptive" else 1.0
        if scene.is_live and self.state in {"active", "acquire"} and self._is_held():
            if not self.is_confirmed:
                self.canary = Canary(share)
            return
        self.canary = Canary(share)
        self.is_confirmed = False
        self.gate.forget_active()
        self.planner.forget()
        self._left = 0
        self._enter("shadow", f"mode {scene.mode}")

    def reset(self, reason: str) -> None:
        """Begin anew with nothing known."""
        self._workload_changed()
        self.band.reset()
        self._workload.reset()
        self._herd.reset()
        self.planner.forget()
        self.picture = None
        self._left = 0
        self._enter("shadow", reason)

    def _workload_changed(self) -> None:
        self.is_confirmed = False
        self._switchback.forget()
        self.gate.forget()
        self.forecast.forget(self._scene.now_seconds)

    # -- time

    def follow(self) -> None:
        """Follow up what moves; at every tick."""
        if self.state == "acquire":
            self._go_on()
        elif self.state == "rollback" and self._scene.holds.is_settled(self._rows):
            self._enter(self._after, self.reason)

    def decide(self) -> None:
        """Look at the chunk that has ended, and decide what is to be done."""
        scene = self._scene
        picture = self._look()
        self.picture = picture
        self.version += 1
        if len(self._rows) < 2:
            self.reason = "it is alone in its rhythm, so there is nothing to place"
            self._begin_chunk()
            return
        self.band.update(picture.order_parameter, picture.effective_sources)
        self._count_waits()
        is_changed = bool(picture.estimate.is_full.all()) and self._workload.update(
            picture.natural_seconds, picture.work_seconds, scene.parameters.floor_seconds
        )
        if scene.mode != "observe":
            self._decide(picture, is_changed)
        self._foresee(picture)
        if scene.now_seconds >= self._chunk.end_seconds:  # nobody has begun another one
            self._begin_chunk()

    def _decide(self, picture: Picture, is_changed: bool) -> None:
        if self.state == "shadow":
            self._decide_in_shadow(picture)
        elif self.state == "lockout":
            self._decide_in_lockout(is_changed)
        elif self.state == "active" and not self._scene.is_live:
            self._ask(picture)
        elif self.state == "active" or self._chunk.kind == "active":
            self._decide_in_active(picture, is_changed)

    def _enter(self, state: State, reason: str) -> None:
        self.state = state
        self.reason = reason
        self._refusals = 0
        self.version += 1
        self._begin_chunk()

    def _begin_chunk(self) -> None:
        stretch = QUIET_STRETCH if self.is_quiet else 1.0
        now, kind = self._scene.now_seconds, self._kind()
        self._chunk.begin(kind, now, self._scene.others, stretch)
        if kind == "shadow":
            self.forecast.watch.resume(now)
        else:
            self.forecast.watch.pause(now)

    def _kind(self) -> Kind:
        if self._is_held():
            return "active" if self.state == "active" else ""
        is_at_home = not self._scene.is_live or self.state in {"shadow", "lockout"}
        return "shadow" if is_at_home else ""

    def _is_held(self) -> bool:
        return bool(self._scene.in_force.is_held(self._rows).any())

    def _look(self) -> Picture:
        scene = self._scene
        times, works = scene.roster.newest(self._rows)
        periods = self.period_seconds / self._counts
        seen = estimate(times, works, periods, self.origin_seconds)
        picture = take_picture(
            rows=self._rows,
            estimate=seen,
            may_be_held=self._may_be_held,
            multiples=self._counts,
            period_seconds=self.period_seconds,
            holds_seconds=scene.in_force.now_seconds[self._rows],
            tracked_rad=scene.tracked(self._rows),
            cores=scene.parameters.cores,
        )
        wildness = judge_jitter(times, periods, self.origin_seconds, seen, self._may_be_held)
        if wildness == "wild and in step" and self.wildness != wildness:
            scene.trip("jitter_fallback")
        self.wildness = wildness
        return picture

    def _count_waits(self) -> None:
        others, completions = self._chunk.close(self._scene.others)
        self.forecast.check(completions)
        if self._chunk.kind == "shadow":
            self.gate.add_shadow(others, Chunk.counted(completions))
        elif self._chunk.kind == "active":
            self.gate.add_active(others, Chunk.counted(completions))
        self.tail_ratio = self.gate.tail_ratio()

    def _foresee(self, picture: Picture) -> None:
        scene = self._scene
        own = picture.work_seconds / self.period_seconds
        capacity = Capacity.left(scene.parameters.cores, scene.busy_ratio, own)
        holds = scene.in_force.now_seconds[picture.known_rows]
        known = float(scene.roster.last_seconds[self._rows].min())
        plan = self.planner.plan_of(picture)
        self.forecast.update(
            picture,
            holds,
            plan,
            capacity=capacity,
            busy_ratio=scene.busy_ratio,
            known_seconds=known,
        )

    # -- in shadow

    def _decide_in_shadow(self, picture: Picture) -> None:
        if self._chunk.kind == "shadow" and self._left:
            self._left -= 1
        if self._left:
            return
        if not self.gate.has_baseline:
            needed = self._scene.parameters.baseline_chunks
            self.reason = f"{self.gate.shadow_chunks} of {needed} chunks of its baseline are known"
            return
        self._ask(picture)
        if self.state == "shadow":
            self._refusals += 1

    def _ask(self, picture: Picture) -> None:
        """Set out if there is a plan that is worth it."""
        if self.wildness != "tame":
            if self.state == "shadow":
                self.reason = "its jitter exceeds a sixth of its period"
            return
        answer = self.planner.propose(picture, self.canary, in_force=self.state == "active")
        if isinstance(answer, Proposal):
            self._set_out(picture, answer)
        elif self.state == "shadow":
            self.reason = answer

    def _set_out(self, picture: Picture, proposal: Proposal) -> None:
        is_first = self.state == "shadow"
        is_new = is_first or proposal.is_far
        self.coupling = self._scene.parameters.k_max if is_new else self.band.coupling
        if is_first and not self._switchback.is_under_way:
            self.gate.forget_active()
        self._switchback.is_under_way = False
        self._herd.reset()
        self._journey.begin(picture, proposal, self.coupling, self._chunk.length_seconds)
        share = proposal.plan.discrepancy_seconds / proposal.present_seconds
        reason = f"the plan has {share:.2f} of the present discrepancy"
        if is_new:
            self._enter("acquire", reason)
        else:  # small corrections belong to the plan in force, and so do their chunks
            self.state, self.reason = "acquire", reason
        self._go_on()

    # -- on the way

    def _go_on(self) -> None:
        outcome = self._journey.go_on(self._rows, self.reason)
        if outcome == "late":
            self._scene.trip("anti_freeze")
            self.go_home("its sources did not arrive in time", "shadow")
            for row in self._rows.tolist():
                self._scene.roster.forget(row)
        elif outcome == "arrived" and self._chunk.kind == "active":
            self.state = "active"
            self.version += 1
        elif outcome == "arrived":
            self._enter("active", self.reason)

    def go_home(self, reason: str, after: State) -> None:
        """Slew every source back to its own phase, and be in a state when that is done."""
        self._journey.turn_back(self._rows, reason)
        self._after = after
        self._enter("rollback", reason)

    # -- in force

    def _decide_in_active(self, picture: Picture, is_changed: bool) -> None:
        scene = self._scene
        if not self._is_held() and not len(self._journey.targets(self._rows)):
            self._enter("shadow", "its sources have begun anew")
            return
        floor = scene.parameters.floor_seconds
        if self._herd.update(picture.present_seconds, picture.natural_seconds, floor):
            scene.trip("anti_herd")
            self._roll_back("the holds align what would not be aligned without them")
            return
        if is_changed:
            self._workload_changed()
        verdict = self.gate.verdict()
        if verdict in _HARM:
            self._roll_back(_HARM[verdict])
            return
        if verdict == "gain" and not self.is_confirmed:
            self._confirm()
        if self.state == "active":
            self._ask(picture)
        if self.state != "active" or self.is_confirmed:
            return
        arrived = self._journey.arrived_seconds
        if self._switchback.draw(self._rows, self.gate.active_chunks, arrived):
            self._left = BLOCK_CHUNKS
            self.go_home("a block in shadow, to compare", "shadow")

    def _confirm(self) -> None:
        if self.canary.is_everybody:
            self.is_confirmed = True
            self.reason = "the gain is proven"
            return
        self.canary.widen()
        self.gate.forget_active()
        self.planner.forget()
        self.reason = f"a gain is proven, {self.canary.share:.0%} of the sources take part now"

    def _roll_back(self, reason: str) -> None:
        self._scene.trip("rollback")
        self._workload.reset()
        self.gate.remember_shadow()
        self._left = LOCKED_CHUNKS * 2 ** min(self._lockouts, MOST_DOUBLINGS)
        self._lockouts += 1
        self.is_confirmed = False
        self.go_home(reason, "lockout")

    def is_frozen(self) -> bool:
        """Say whether most of the sources that are held have fallen silent."""
        if self.state not in {"acquire", "active"}:
            return False
        held = self._scene.in_force.ordered_seconds[self._rows] > 0.0
        silent = held & (self._scene.roster.counts[self._rows] == 0)
        return 2 * int(silent.sum()) > int(held.sum())

    # -- after harm

    def _decide_in_lockout(self, is_changed: bool) -> None:
        self._left = max(0, self._left - 1)
        if is_changed:
            self._lockouts = 0
            self.reset("the workload has changed")
        elif not self._left and self.gate.is_shadow_changed():
            self.reset("the waits have changed without us")
