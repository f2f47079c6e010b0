# SPDX-License-Identifier: MIT
"""Which replica each picker takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import get_args

import pytest

from resonance.errors import PolicyError
from resonance.policies import ChoicePolicy, Replica
from resonance.policies._records import Algorithm
from resonance.policies.choice import (
    InTurn,
    LeastInflight,
    PeakEwma,
    Picker,
    Prequal,
    Rendezvous,
    TwoChoices,
    Uniform,
    make,
)

NOW = 1_000.0
MANY = 3_000


def _replicas(*inflight: int) -> list[Replica]:
    replicas = [Replica(index) for index in range(len(inflight))]
    for replica, count in zip(replicas, inflight, strict=True):
        replica.open.update(range(count))
    return replicas


def _picked(picker: Picker, replicas: Sequence[Replica]) -> Counter[object]:
    return Counter(picker.pick(replicas, NOW, key).target for key in range(MANY))


def _is_even(counts: Counter[object], among: int) -> bool:
    # Five standard deviations of a binomial share: the seeds are fixed, so this never wavers.
    fair = MANY / among
    return len(counts) == among and all(
        abs(count - fair) < 5.0 * (fair * (1.0 - 1.0 / among)) ** 0.5 for count in counts.values()
    )


ALL = [make(ChoicePolicy(algorithm=name), Random(1)) for name in get_args(Algorithm)]


@pytest.mark.parametrize("picker", ALL, ids=lambda picker: type(picker).__name__)
class TestEveryPicker:
    def test_takes_the_only_candidate(self, picker: Picker) -> None:
        only = _replicas(7)
        assert picker.pick(only, NOW, "key") is only[0]

    def test_refuses_to_choose_among_none(self, picker: Picker) -> None:
        with pytest.raises(IndexError):
            picker.pick([], NOW, "key")

    def test_spreads_over_replicas_that_are_alike(self, picker: Picker) -> None:
        assert _is_even(_picked(picker, _replicas(0, 0, 0)), 3)

    def test_takes_a_tuple_of_candidates_too(self, picker: Picker) -> None:
        replicas = tuple(_replicas(0, 0))
        assert picker.pick(replicas, NOW, "key") in replicas

    def test_changes_no_replica_by_choosing(self, picker: Picker) -> None:
        replicas = _replicas(1, 0, 2)
        before = [[getattr(each, name) for name in Replica.__slots__] for each in replicas]
        _picked(picker, replicas)
        after = [[getattr(each, name) for name in Replica.__slots__] for each in replicas]
        assert after == before

    def test_follows_a_list_that_changes(self, picker: Picker) -> None:
        picker.pick(_replicas(0, 0, 0), NOW, "key")
        fewer = _replicas(0, 0)
        assert picker.pick(fewer, NOW, "key") in fewer


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [
        ("p2c", TwoChoices),
        ("round_robin", InTurn),
        ("random", Uniform),
        ("least_inflight", LeastInflight),
        ("peak_ewma", PeakEwma),
        ("rendezvous", Rendezvous),
        ("prequal", Prequal),
    ],
)
def test_a_policy_names_its_picker(algorithm: Algorithm, kind: type) -> None:
    assert type(make(ChoicePolicy(algorithm=algorithm), Random(1))) is kind


def test_of_two_choices_the_one_with_fewer_in_flight_is_taken() -> None:
    assert set(_picked(TwoChoices(Random(1)), _replicas(1, 0))) == {1}


def test_two_choices_never_take_the_busiest_and_sometimes_not_the_idlest() -> None:
    counts = _picked(TwoChoices(Random(1)), _replicas(2, 1, 0))
    # Of three pairs, two have the idlest and one has only the other two.
    assert set(counts) == {1, 2}
    assert counts[2] == pytest.approx(MANY * 2 / 3, rel=0.1)


def test_two_choices_draw_every_pair_in_both_orders_alike() -> None:
    replicas = _replicas(0, 0, 0, 1)
    assert _is_even(_picked(TwoChoices(Random(2)), replicas), 3)


def test_least_in_flight_takes_no_other() -> None:
    assert set(_picked(LeastInflight(Random(1)), _replicas(3, 1, 2))) == {1}


def test_least_in_flight_breaks_ties_evenly() -> None:
    assert _is_even(_picked(LeastInflight(Random(1)), _replicas(1, 0, 0, 2, 0)), 3)


def test_in_turn_goes_round() -> None:
    picker, replicas = InTurn(Random(1)), _replicas(0, 5, 0)
    first = [picker.pick(replicas, NOW).target for _ in range(3)]
    assert sorted(map(str, first)) == ["0", "1", "2"]
    assert [picker.pick(replicas, NOW).target for _ in range(3)] == first


def test_clients_that_go_round_do_not_all_begin_with_the_same() -> None:
    replicas = _replicas(0, 0, 0)
    begins = {InTurn(Random(seed)).pick(replicas, NOW).target for seed in range(20)}
    assert begins == {0, 1, 2}


class TestPeakEwma:
    def test_takes_the_faster_of_two(self) -> None:
        picker, replicas = PeakEwma(Random(1)), _replicas(0, 0)
        picker.observe(replicas[0], 0.010, NOW)
        picker.observe(replicas[1], 0.001, NOW)
        assert set(_picked(picker, replicas)) == {1}

    def test_weighs_the_cost_with_what_is_in_flight(self) -> None:
        picker, replicas = PeakEwma(Random(1)), _replicas(0, 4)
        picker.observe(replicas[0], 0.004, NOW)
        picker.observe(replicas[1], 0.001, NOW)
        assert set(_picked(picker, replicas)) == {0}

    def test_jumps_up_to_a_slower_answer(self) -> None:
        picker, (replica,) = PeakEwma(Random(1)), _replicas(0)
        picker.observe(replica, 0.001, NOW)
        picker.observe(replica, 0.050, NOW)
        assert replica.cost_seconds == 0.050

    def test_follows_a_faster_answer_with_its_time_constant(self) -> None:
        picker, (replica,) = PeakEwma(Random(1), ewma_seconds=0.5), _replicas(0)
        picker.observe(replica, 0.100, NOW)
        picker.observe(replica, 0.0, NOW + 0.5)
        assert replica.cost_seconds == pytest.approx(0.100 / 2.718281828)

    def test_forgets_a_slow_answer_when_nothing_is_heard(self) -> None:
        picker, replicas = PeakEwma(Random(1), ewma_seconds=0.5), _replicas(0, 0)
        picker.observe(replicas[0], 1.0, NOW)
        picker.observe(replicas[1], 0.001, NOW + 5.0)
        assert picker.pick(replicas, NOW + 5.0) is replicas[0]

    def test_tries_one_that_never_answered_once_and_then_waits(self) -> None:
        picker, replicas = PeakEwma(Random(1)), _replicas(0, 0)
        picker.observe(replicas[1], 0.001, NOW)
        assert set(_picked(picker, replicas)) == {0}
        replicas[0].open.add("its first")
        assert set(_picked(picker, replicas)) == {1}

    def test_lives_with_a_clock_that_stands_still_or_goes_back(self) -> None:
        picker, replicas = PeakEwma(Random(1)), _replicas(0, 0)
        for now in (NOW, NOW, NOW - 1.0):
            picker.observe(replicas[0], 0.010, now)
            assert picker.pick(replicas, now - 1e6) in replicas
        assert replicas[0].cost_seconds == pytest.approx(0.010)


class TestRendezvous:
    def test_gives_a_key_the_same_replica_whatever_the_order(self) -> None:
        picker, replicas = Rendezvous(), _replicas(0, 0, 0, 0)
        for key in ("a", b"b", 3, ("d", 4)):
            assert picker.pick(replicas, NOW, key) is picker.pick(replicas[::-1], NOW, key)

    def test_is_the_same_after_every_restart(self) -> None:
        replicas = [Replica(f"10.0.0.{host}:80") for host in range(4)]
        picked = [Rendezvous().pick(replicas, NOW, f"user {user}").target for user in range(4)]
        assert picked == ["10.0.0.0:80", "10.0.0.3:80", "10.0.0.3:80", "10.0.0.0:80"]

    def test_tells_no_key_from_an_empty_one(self) -> None:
        replicas = _replicas(0, 0)
        assert Rendezvous().pick(replicas, NOW, "") in replicas
        with pytest.raises(PolicyError, match="pass one"):
            Rendezvous().pick(replicas, NOW, None)
