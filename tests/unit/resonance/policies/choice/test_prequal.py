# SPDX-License-Identifier: MIT
"""Whom Prequal asks, and what it makes of the answers."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from resonance.policies import Replica
from resonance.policies.choice import Prequal

NOW = 1_000.0


@pytest.fixture
def replicas() -> list[Replica]:
    return [Replica(index) for index in range(4)]


@pytest.fixture
def prequal() -> Prequal:
    return Prequal(Random(1))


def _answer(prequal: Prequal, *answers: tuple[int, float], at: float = NOW) -> None:
    for target, (rif, latency_seconds) in enumerate(answers):
        prequal.probed(target, rif, latency_seconds, at)


def test_asks_nobody_before_it_knows_anybody(prequal: Prequal) -> None:
    assert prequal.probe_targets(NOW) == ()


def test_asks_three_different_replicas_for_each_choice(
    prequal: Prequal, replicas: list[Replica]
) -> None:
    prequal.pick(replicas, NOW)
    assert len(set(prequal.probe_targets(NOW))) == 3
    assert prequal.probe_targets(NOW) == ()


def test_asks_everybody_at_most_once_however_many_calls_there_were(
    prequal: Prequal, replicas: list[Replica]
) -> None:
    for _ in range(100):
        prequal.pick(replicas, NOW)
    assert sorted(map(str, prequal.probe_targets(NOW))) == ["0", "1", "2", "3"]
    assert prequal.probe_targets(NOW) == ()


def test_asks_again_in_idle_times_before_its_answers_are_too_old(
    prequal: Prequal, replicas: list[Replica]
) -> None:
    prequal.pick(replicas, NOW)
    prequal.probe_targets(NOW)
    assert prequal.probe_targets(NOW + 0.4) == ()
    assert prequal.probe_targets(NOW + 0.5) != ()


def test_asks_all_replicas_in_the_long_run(prequal: Prequal, replicas: list[Replica]) -> None:
    asked: Counter[object] = Counter()
    for _ in range(200):
        prequal.pick(replicas, NOW)
        asked.update(prequal.probe_targets(NOW))
    assert set(asked) == {0, 1, 2, 3}


def test_takes_the_fastest_of_those_that_are_not_hot(
    prequal: Prequal, replicas: list[Replica]
) -> None:
    for _ in range(30):  # thirty times one: now whoever has more is hot
        prequal.probed(0, 1, 0.005, NOW)
    _answer(prequal, (1, 0.005), (1, 0.002), (1, 0.003), (9, 0.001))
    assert prequal.pick(replicas, NOW).target == 1


def test_takes_the_least_loaded_when_all_are_hot(prequal: Prequal, replicas: list[Replica]) -> None:
    _answer(prequal, *[(0, 0.001)] * 4)
    for _ in range(30):  # thirty times nothing to do: now whoever has anything is hot
        prequal.probed(0, 0, 0.001, NOW)
    _answer(prequal, (4, 0.001), (3, 0.009), (5, 0.001), (6, 0.001))
    assert prequal.pick(replicas, NOW).target == 1


def test_chooses_at_random_while_too_few_have_answered(
    prequal: Prequal, replicas: list[Replica]
) -> None:
    prequal.probed(2, 0, 0.001, NOW)
    assert len({prequal.pick(replicas, NOW).target for _ in range(50)}) == 4


def test_believes_no_answer_that_is_older_than_a_second(
    prequal: Prequal, replicas: list[Replica]
) -> None:
    _answer(prequal, (0, 0.001), (0, 0.002))
    assert len({prequal.pick(replicas, NOW + 1.1).target for _ in range(50)}) == 4


def test_knows_of_each_replica_its_newest_answer(prequal: Prequal, replicas: list[Replica]) -> None:
    _answer(prequal, (0, 0.001), (0, 0.002), (0, 0.003))
    prequal.probed(0, 0, 0.009, NOW)
    assert prequal.pick(replicas, NOW).target == 1


def test_counts_what_it_sent_on_the_word_of_an_answer(
    prequal: Prequal, replicas: list[Replica]
) -> None:
    _answer(prequal, (0, 0.001), (0, 0.002))
    assert [prequal.pick(replicas, NOW).target for _ in range(2)] == [0, 1]


def test_chooses_no_replica_that_is_not_a_candidate(
    prequal: Prequal, replicas: list[Replica]
) -> None:
    _answer(prequal, (0, 0.001), (0, 0.002), (0, 0.003), (0, 0.004))
    assert prequal.pick(replicas[1:], NOW) is replicas[1]


def test_an_answer_of_one_that_is_gone_is_harmless(
    prequal: Prequal, replicas: list[Replica]
) -> None:
    _answer(prequal, (0, 0.004), (0, 0.003))
    prequal.probed("gone", 0, 0.0, NOW)
    assert prequal.pick(replicas, NOW) in replicas


def test_keeps_no_more_than_sixteen_answers(prequal: Prequal) -> None:
    many = [Replica(index) for index in range(40)]
    _answer(prequal, *[(0, 0.001 * index) for index in range(40)])
    assert prequal.pick(many, NOW).target == 24


def test_an_answer_is_used_a_bounded_number_of_times() -> None:
    prequal, many = Prequal(Random(1)), [Replica(index) for index in range(100)]
    _answer(prequal, *[(100, 0.001)] * 8)
    uses = Counter(prequal.pick(many, NOW).target for _ in range(7))
    # (1 + 1) / ((1 - 16/100) * 3 - 1), rounded up
    assert max(uses.values()) <= 2


def test_drops_the_worst_and_the_oldest_by_turns(prequal: Prequal, replicas: list[Replica]) -> None:
    for _ in range(30):  # so that nobody is hot
        prequal.probed(0, 5, 0.005, NOW)
    _answer(prequal, (0, 0.003), (0, 0.009), (0, 0.004), (0, 0.005), at=NOW)
    prequal.probed(3, 0, 0.005, NOW - 0.5)
    prequal.pick(replicas, NOW)
    assert {probe.target for probe in prequal._pool} == {0, 2, 3}
    prequal.pick(replicas, NOW)
    assert {probe.target for probe in prequal._pool} == {0, 2}
