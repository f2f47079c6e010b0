# SPDX-License-Identifier: MIT
"""How pressure enters a choice, in each form that is measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest

from resonance.policies import Replica
from resonance.policies.choice import Picker
from resonance.policies.choice.candidates import (
    ExpectedWait,
    Flipped,
    Headroom,
    PressureTimes,
    Shares,
)

NOW = 1_000.0
MANY = 4_000
KINDS = (ExpectedWait, Flipped, Headroom, PressureTimes)


def _replicas(*pressures: float | None) -> list[Replica]:
    replicas = [Replica(index) for index in range(len(pressures))]
    for replica, pressure in zip(replicas, pressures, strict=True):
        replica.pressure = pressure
        replica.pressure_until = NOW + 0.05
        replica.cost_seconds = 0.001
        replica.cost_at = NOW
    return replicas


def _shares(picker: Picker, replicas: Sequence[Replica], now: float = NOW) -> list[float]:
    counts = Counter(picker.pick(replicas, now).target for _ in range(MANY))
    return [counts[each.target] / MANY for each in replicas]


@pytest.mark.parametrize("kind", KINDS)
class TestEveryCandidate:
    def test_spreads_evenly_where_pressure_is_alike(self, kind: type[Flipped]) -> None:
        shares = _shares(kind(Random(1)), _replicas(0.4, 0.4, 0.4, 0.4))
        assert shares == pytest.approx([0.25] * 4, abs=0.04)

    def test_prefers_those_with_less(self, kind: type[Flipped]) -> None:
        low, _, high, _ = _shares(kind(Random(1)), _replicas(0.0, 0.0, 0.9, 0.9))
        assert low > 1.5 * high

    def test_does_not_take_what_is_not_known_for_bad(self, kind: type[Flipped]) -> None:
        shares = _shares(kind(Random(1)), _replicas(None, None))
        assert shares == pytest.approx([0.5, 0.5], abs=0.04)

    def test_believes_no_pressure_that_has_run_out(self, kind: type[Flipped]) -> None:
        replicas = _replicas(0.0, 0.9)
        assert _shares(kind(Random(1)), replicas, NOW + 1.0) == pytest.approx([0.5, 0.5], abs=0.04)

    def test_refuses_to_choose_among_none(self, kind: type[Flipped]) -> None:
        with pytest.raises(IndexError):
            kind(Random(1)).pick([], NOW)


def test_the_control_leaves_nothing_to_those_under_pressure_when_it_scans_all() -> None:
    picker = PressureTimes(Random(1), is_full_scan=True)
    assert _shares(picker, _replicas(0.0, 0.1, 0.9, 0.9))[1:] == [0.0, 0.0, 0.0]


def test_a_decision_is_turned_over_as_often_as_pressure_differs() -> None:
    replicas = _replicas(0.7, 0.3)
    replicas[1].open.add("ours")
    # By what is in flight 0 always wins; in 0.7 - 0.3 of the cases it does not.
    assert _shares(Flipped(Random(1)), replicas)[1] == pytest.approx(0.4, abs=0.04)


def test_a_decision_is_turned_over_no_more_often_than_the_bound() -> None:
    replicas = _replicas(1.0, 0.0)
    replicas[1].open.add("ours")
    assert _shares(Flipped(Random(1), bound=0.25), replicas)[1] == pytest.approx(0.25, abs=0.04)


def test_a_decision_for_the_calmer_one_stands() -> None:
    replicas = _replicas(0.0, 1.0)
    replicas[1].open.add("ours")
    assert _shares(Flipped(Random(1)), replicas) == [1.0, 0.0]


class TestShares:
    def test_are_in_proportion_to_head_room(self) -> None:
        assert Shares(0.1, 0.1).at(_replicas(0.2, 0.6), NOW) == pytest.approx([2 / 3, 1 / 3])

    def test_are_no_more_than_twice_an_even_one(self) -> None:
        assert max(Shares(0.1, 0.1).at(_replicas(0.0, 1.0, 1.0, 1.0), NOW)) == 0.5

    def test_leave_something_to_everybody(self) -> None:
        assert min(Shares(0.1, 0.1).at(_replicas(0.0, 1.0), NOW)) > 0.0

    def test_stay_for_the_interval(self) -> None:
        shares, replicas = Shares(0.1, 0.1), _replicas(0.0, 0.0)
        before = list(shares.at(replicas, NOW))
        replicas[0].pressure = 1.0
        assert list(shares.at(replicas, NOW + 0.05)) == before

    def test_change_after_it(self) -> None:
        shares, replicas = Shares(0.01, 0.1), _replicas(0.0, 0.0)
        before = list(shares.at(replicas, NOW))
        replicas[0].pressure = 1.0
        assert list(shares.at(replicas, NOW + 0.02)) != before

    def test_stay_while_little_would_change(self) -> None:
        shares, replicas = Shares(0.01, 0.1), _replicas(0.2, 0.2)
        before = list(shares.at(replicas, NOW))
        replicas[0].pressure = 0.3
        assert list(shares.at(replicas, NOW + 0.02)) == before

    def test_follow_a_list_that_changes(self) -> None:
        shares = Shares(10.0, 0.1)
        shares.at(_replicas(0.0, 0.0), NOW)
        assert len(shares.at(_replicas(0.0, 0.0, 0.0), NOW)) == 3


def test_the_expected_wait_is_longer_by_the_share_of_the_cpu_that_is_left() -> None:
    picker, (calm, busy) = ExpectedWait(Random(1)), _replicas(0.0, 0.75)
    assert picker.load(busy, NOW) == pytest.approx(4.0 * picker.load(calm, NOW))


def test_the_expected_wait_weighs_pressure_against_latency() -> None:
    replicas = _replicas(0.5, 0.0)
    replicas[1].cost_seconds = 0.003
    assert _shares(ExpectedWait(Random(1)), replicas) == [1.0, 0.0]
