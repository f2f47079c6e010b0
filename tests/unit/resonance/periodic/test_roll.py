# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest

from resonance.periodic._roll import Roll
from resonance.periodic._source import Source


class Spy:
    """A source as far as a roll knows it."""

    def __init__(self, offset_ns: int = 0) -> None:
        self.offset_ns = offset_ns
        self.stays: list[int] = []
        self.asked_ns = 0

    def asked(self, now_ns: int) -> None:
        self.asked_ns = now_ns

    def stay(self, offset_ns: int) -> None:
        self.stays.append(offset_ns)


@pytest.fixture
def roll() -> Roll:
    return Roll()


def sources(*spies: Spy) -> list[Source]:
    return list(spies)  # type: ignore[arg-type]


def test_who_comes_gets_a_key_and_who_goes_gives_up_its_key(roll: Roll) -> None:
    one, other = Spy(5), Spy()
    came = roll.update(sources(one, other), 7)
    assert {key: entry.offset_ns for key, entry in came.came.items()} == {1: 5, 2: 0}
    assert (one.asked_ns, other.asked_ns, came.went) == (7, 7, [])
    went = roll.update(sources(other), 8)
    assert (went.came, went.went, len(roll)) == ({}, [1], 1)


def test_who_comes_back_gets_a_new_key(roll: Roll) -> None:
    one = Spy()
    for _ in range(2):
        roll.update(sources(one), 1)
        roll.update(sources(), 1)
    assert list(roll.update(sources(one), 1).came) == [3]


def test_nothing_changes_while_nobody_comes_or_goes(roll: Roll) -> None:
    one = Spy()
    roll.update(sources(one), 1)
    changes = roll.update(sources(one), 2)
    assert (changes.came, changes.went) == ({}, [])


def test_who_is_heard_of_first_stays_where_it_was_registered(roll: Roll) -> None:
    one = Spy(5)
    roll.update(sources(one), 1)
    one.offset_ns = 4
    assert roll.confirm() == [one]
    assert roll.confirm() == [one]
    assert one.stays == [5]


def test_who_is_refused_is_found_no_more(roll: Roll) -> None:
    one, other = Spy(), Spy()
    roll.update(sources(one, other), 1)
    assert roll.refuse(1) is one  # type: ignore[comparison-overlap]
    assert roll.refuse(9) is None
    assert roll.find(1) is None
    assert roll.find(2) is other  # type: ignore[comparison-overlap]
    assert roll.items() == [(2, other)]
    assert roll.confirm() == [other]
    assert one.stays == []
    assert roll.update(sources(one, other), 2).came == {}
