# SPDX-License-Identifier: MIT
from __future__ import annotations

from collections.abc import Sequence

from resonanced.model import Slot
from resonanced.signals.slots import Assign, Look, Release, SlotPolicy

QUARANTINE_SECONDS = 30.0


class Node:
    """A host in a few numbers: who exists, who votes, and what the slots have counted."""

    def __init__(self, *patterns: str, slots: int = 4) -> None:
        self.policy = SlotPolicy(patterns, quarantine_seconds=QUARANTINE_SECONDS, slots=slots)
        self.paths = {1: "/"}
        self.rates: dict[int, int] = {}
        self.now = 1_000.0
        self._votes: dict[int, int] = {}
        self._events = [0] * slots

    def add(self, cgroup_id: int, rate: int = 0) -> None:
        self.paths[cgroup_id] = f"/cgroup-{cgroup_id}"
        self.rates[cgroup_id] = rate

    def remove(self, cgroup_id: int) -> None:
        for known in (self.paths, self.rates, self._votes):
            known.pop(cgroup_id, None)

    def pass_time(self, seconds: float = 1.0) -> tuple[Assign | Release, ...]:
        owners = {slot.cgroup_id: slot.index for slot in self.policy.slots}
        for cgroup_id, rate in self.rates.items():
            if cgroup_id in owners:
                self._events[owners[cgroup_id]] += int(rate * seconds)
            elif rate:
                self._votes[cgroup_id] = self._votes.get(cgroup_id, 0) + int(rate * seconds)
        self.now += seconds
        look = Look(self.now, dict(self.paths), list(self._events), dict(self._votes))
        return self.policy.look(look)

    def settle(self, looks: int = 3) -> None:
        for _ in range(looks):
            self.pass_time()

    def owners(self) -> set[int]:
        return {slot.cgroup_id for slot in self.policy.slots[1:]}


def _names(actions: Sequence[Assign | Release]) -> list[tuple[str, int, int]]:
    return [(type(action).__name__, action.slot.cgroup_id, action.slot.index) for action in actions]


def test_slot_zero_is_other_and_nobody_owns_it() -> None:
    node = Node()
    for cgroup_id in range(2, 20):
        node.add(cgroup_id, rate=cgroup_id)
    node.settle()
    assert node.policy.slots[0] == Slot(0, 1, "other", 0)
    assert [slot.index for slot in node.policy.slots] == [0, 1, 2, 3]


def test_a_configured_cgroup_has_a_slot_at_the_first_look() -> None:
    node = Node("/cgroup-5")
    node.add(5)
    assert _names(node.pass_time()) == [("Assign", 5, 1)]
    assert node.policy.slots[1] == Slot(1, 1, "/cgroup-5", 5, is_configured=True)


def test_patterns_are_shell_patterns_on_the_whole_path() -> None:
    node = Node("/cgroup-[23]")
    for cgroup_id in (2, 3, 4, 23):
        node.add(cgroup_id)
    node.pass_time()
    assert node.owners() == {2, 3}


def test_a_busy_cgroup_waits_for_its_second_look() -> None:
    node = Node()
    node.add(5, rate=100)
    assert node.pass_time() == ()
    assert _names(node.pass_time()) == [("Assign", 5, 1)]


def test_a_cgroup_that_lives_for_one_look_stays_in_other() -> None:
    node = Node()
    node.pass_time()
    for cgroup_id in range(2, 1_002):
        node.add(cgroup_id, rate=1_000)
        assert node.pass_time(0.5) == ()
        node.remove(cgroup_id)
    assert node.owners() == set()


def test_the_busiest_get_the_slots() -> None:
    node = Node()
    for cgroup_id, rate in ((2, 10), (3, 40), (4, 20), (5, 30)):
        node.add(cgroup_id, rate)
    node.settle()
    assert node.owners() == {3, 4, 5}


def test_a_candidate_must_be_more_than_twice_as_busy() -> None:
    node = Node(slots=2)
    node.add(2, rate=100)
    node.settle()
    node.add(3, rate=200)
    for _ in range(200):
        assert node.pass_time() == ()
    node.rates[3] = 300
    actions = [action for _ in range(60) for action in node.pass_time()]
    assert _names(actions)[:2] == [("Release", 2, 1), ("Assign", 3, 1)]


def test_a_slot_rests_between_two_owners_who_differ_in_generation() -> None:
    node = Node(slots=2)
    node.add(2, rate=1)
    node.settle()
    node.add(3, rate=1_000)
    times = {}
    for _ in range(100):
        for action in node.pass_time():
            times[type(action).__name__, action.slot.generation] = node.now
    assert times["Assign", 2] - times["Release", 1] >= QUARANTINE_SECONDS


def test_one_challenger_takes_one_slot_while_the_slot_rests() -> None:
    node = Node(slots=4)
    for cgroup_id in (2, 3, 4):
        node.add(cgroup_id, rate=1)
    node.settle()
    node.add(5, rate=1_000)
    released = [a for _ in range(20) for a in node.pass_time() if isinstance(a, Release)]
    assert len(released) == 1
    assert released[0].reason == "evicted"


def test_a_removed_cgroup_gives_its_slot_back_after_the_rest() -> None:
    node = Node(slots=2)
    node.add(2, rate=100)
    node.settle()
    node.remove(2)
    node.add(3, rate=100)
    (release,) = node.pass_time()
    assert isinstance(release, Release)
    assert (release.slot.cgroup_id, release.reason) == (2, "removed")
    looks = 0
    while not node.owners():
        node.pass_time()
        looks += 1
    assert looks == QUARANTINE_SECONDS
    assert node.policy.slots[1].generation == 2


def test_a_configured_cgroup_takes_the_slot_of_the_least_busy() -> None:
    node = Node("/cgroup-9")
    for cgroup_id, rate in ((2, 10), (3, 40), (4, 20)):
        node.add(cgroup_id, rate)
    node.settle()
    node.add(9)
    (release,) = node.pass_time()
    assert (release.slot.cgroup_id, node.policy.unplaced_configured) == (2, 1)
    actions = [action for _ in range(31) for action in node.pass_time()]
    assert ("Assign", 9, release.slot.index) in _names(actions)
    assert node.policy.unplaced_configured == 0


def test_a_configured_cgroup_is_never_evicted_and_the_surplus_is_counted() -> None:
    node = Node("/cgroup-*", slots=3)
    for cgroup_id in range(2, 7):
        node.add(cgroup_id)
    node.settle()
    kept = node.owners()
    node.paths[99] = "/busy"
    node.rates[99] = 1_000_000
    for _ in range(100):
        assert node.pass_time() == ()
    assert node.owners() == kept
    assert node.policy.unplaced_configured == 3


def test_a_nap_does_not_cost_the_slot() -> None:
    node = Node(slots=2)
    node.add(2, rate=100)
    node.settle(60)
    node.add(3, rate=30)
    node.rates[2] = 0
    assert [node.pass_time() for _ in range(5)] == [()] * 5


def test_a_refused_cgroup_stays_in_other_and_is_tried_again_later() -> None:
    node = Node(slots=2)
    node.add(2, rate=100)
    node.pass_time()
    (assign,) = node.pass_time()
    node.policy.refuse(assign.slot, node.now)
    assert (node.owners(), node.policy.refusals) == (set(), 1)
    assert [node.pass_time() for _ in range(29)] == [()] * 29
    (again,) = node.pass_time()
    assert again.slot.cgroup_id == 2
    assert again.slot.generation > assign.slot.generation


def test_the_slot_of_a_refused_cgroup_is_free_for_the_next() -> None:
    node = Node(slots=2)
    node.add(2, rate=100)
    node.add(3, rate=50)
    node.pass_time()
    (assign,) = node.pass_time()
    node.policy.refuse(assign.slot, node.now)
    assert _names(node.pass_time()) == [("Assign", 3, 1)]


def test_a_late_refusal_of_a_former_owner_is_ignored() -> None:
    node = Node(slots=2)
    node.add(2, rate=100)
    node.pass_time()
    (assign,) = node.pass_time()
    node.policy.refuse(assign.slot, node.now)
    node.policy.refuse(assign.slot, node.now)
    assert node.policy.refusals == 1


def test_other_patterns_make_owners_configured_without_moving_them() -> None:
    node = Node()
    node.add(2, rate=100)
    node.settle()
    node.policy.configure(["/cgroup-2"])
    assert node.policy.slots[1] == Slot(1, 1, "/cgroup-2", 2, is_configured=True)


def test_a_renamed_cgroup_begins_anew() -> None:
    node = Node(slots=3)
    node.add(2, rate=100)
    node.settle()
    node.paths[2] = "/renamed"
    assert _names(node.pass_time()) == [("Release", 2, 1), ("Assign", 2, 2)]
    assert node.policy.slots[1].cgroup == "/renamed"
