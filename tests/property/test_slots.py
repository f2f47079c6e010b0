# SPDX-License-Identifier: MIT
"""Laws of the slot policy, whatever cgroups come, go, work and are refused."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from resonanced.model import Slot
from resonanced.signals.slots import Assign, Look, Release, SlotPolicy

SLOTS = 4
QUARANTINE_SECONDS = 5.0
IDS = st.integers(min_value=2, max_value=12)


class SlotMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.policy = SlotPolicy(["/*[05]"], quarantine_seconds=QUARANTINE_SECONDS, slots=SLOTS)
        self.now = 0.0
        self.paths: dict[int, str] = {}
        self.votes: dict[int, int] = {}
        self.events = [0] * SLOTS
        self.owners: dict[int, Slot] = {}
        self.generations = [0] * SLOTS
        self.released_at: dict[int, float] = {}
        self.refusals = 0

    @rule(cgroup_id=IDS)
    def appear(self, cgroup_id: int) -> None:
        self.paths[cgroup_id] = f"/{cgroup_id}"

    @rule(cgroup_id=IDS)
    def vanish(self, cgroup_id: int) -> None:
        self.paths.pop(cgroup_id, None)

    @rule(cgroup_id=IDS, votes=st.integers(min_value=0, max_value=2**40))
    def vote(self, cgroup_id: int, votes: int) -> None:
        self.votes[cgroup_id] = votes

    @rule(slot=st.integers(min_value=0, max_value=SLOTS - 1), events=st.integers(0, 10_000))
    def work(self, slot: int, events: int) -> None:
        self.events[slot] += events

    @rule(slot=st.integers(min_value=1, max_value=SLOTS - 1))
    def refuse(self, slot: int) -> None:
        if owner := self.owners.pop(slot, None):
            self.policy.refuse(owner, self.now)
            self.refusals += 1

    @rule(seconds=st.floats(min_value=0.0, max_value=6.0))
    def look(self, seconds: float) -> None:
        self.now += seconds
        look = Look(self.now, dict(self.paths), list(self.events), dict(self.votes))
        for action in self.policy.look(look):
            if isinstance(action, Assign):
                self._assigned(action.slot)
            else:
                self._released(action)

    def _assigned(self, slot: Slot) -> None:
        assert slot.index not in self.owners
        assert slot.cgroup_id not in {owner.cgroup_id for owner in self.owners.values()}
        assert self.paths[slot.cgroup_id] == slot.cgroup
        assert slot.generation > self.generations[slot.index]
        rested = self.now - self.released_at.get(slot.index, float("-inf"))
        assert rested >= QUARANTINE_SECONDS
        self.generations[slot.index] = slot.generation
        self.owners[slot.index] = slot

    def _released(self, action: Release) -> None:
        assert self.owners.pop(action.slot.index) == action.slot
        assert not (action.slot.is_configured and action.reason == "evicted")
        self.released_at[action.slot.index] = self.now

    @invariant()
    def the_policy_and_the_kernel_agree(self) -> None:
        assert self.policy.slots[1:] == tuple(self.owners[index] for index in sorted(self.owners))
        assert self.policy.slots[0].index == 0
        assert len(self.policy.slots) <= SLOTS
        assert self.policy.refusals == self.refusals


TestSlots = SlotMachine.TestCase
