# SPDX-License-Identifier: MIT
"""What holds for every choice of a replica, and for whom is left out of it."""

from __future__ import annotations

from random import Random
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resonance.policies import ChoicePolicy, EjectionPolicy, Replica
from resonance.policies._records import Algorithm
from resonance.policies.choice import Ejector, PeakEwma, Picker, Prequal, Rendezvous, make
from resonance.policies.choice.candidates import (
    ExpectedWait,
    Flipped,
    Headroom,
    PressureTimes,
    Shares,
)

CANDIDATES = (ExpectedWait, Flipped, Headroom, PressureTimes)
SECONDS = st.floats(0.0, 100.0)
KEYS = st.one_of(st.text(), st.binary(), st.integers(), st.tuples(st.integers(), st.text()))


def _pickers(seed: int) -> list[Picker]:
    shipped = [make(ChoicePolicy(algorithm=name), Random(seed)) for name in get_args(Algorithm)]
    return [*shipped, *(kind(Random(seed)) for kind in CANDIDATES)]


@st.composite
def _replicas(draw: st.DrawFn) -> list[Replica]:
    replicas = [Replica(index) for index in range(draw(st.integers(1, 12)))]
    for replica in replicas:
        replica.open.update(range(draw(st.integers(0, 5))))
        replica.cost_seconds = draw(SECONDS)
        replica.cost_at = draw(SECONDS)
        replica.pressure = draw(st.none() | st.floats(0.0, 1.0))
        replica.pressure_until = draw(SECONDS)
    return replicas


@given(replicas=_replicas(), now=SECONDS, key=KEYS, seed=st.integers(0, 999))
def test_every_picker_takes_one_of_the_candidates(
    replicas: list[Replica], now: float, key: object, seed: int
) -> None:
    for picker in _pickers(seed):
        assert picker.pick(replicas, now, key) in replicas


@given(replicas=_replicas(), now=SECONDS, key=KEYS, seed=st.integers(0, 999))
def test_every_picker_chooses_the_same_with_the_same_chance(
    replicas: list[Replica], now: float, key: object, seed: int
) -> None:
    first = [picker.pick(replicas, now, key) for picker in _pickers(seed)]
    assert [picker.pick(replicas, now, key) for picker in _pickers(seed)] == first


@pytest.mark.parametrize("name", ["p2c", "least_inflight"])
@given(replicas=_replicas(), seed=st.integers(0, 999))
def test_nobody_takes_the_only_busiest(name: Algorithm, replicas: list[Replica], seed: int) -> None:
    busiest = max(replicas, key=lambda each: each.inflight)
    is_alone = [each.inflight for each in replicas].count(busiest.inflight) == 1
    if len(replicas) > 1 and is_alone:
        assert make(ChoicePolicy(algorithm=name), Random(seed)).pick(replicas, 0.0) is not busiest


class TestRendezvous:
    @given(key=KEYS, targets=st.lists(st.text(), min_size=2, unique=True), data=st.data())
    def test_only_the_keys_of_one_that_is_gone_move(
        self, key: object, targets: list[str], data: st.DataObject
    ) -> None:
        picker, replicas = Rendezvous(), [Replica(target) for target in targets]
        gone = data.draw(st.sampled_from(replicas))
        before = picker.pick(replicas, 0.0, key)
        after = picker.pick([each for each in replicas if each is not gone], 0.0, key)
        assert after is before or before is gone

    @given(key=KEYS, targets=st.lists(st.text(), min_size=1, unique=True), new=st.text())
    def test_keys_move_to_one_that_is_new_and_to_no_other(
        self, key: object, targets: list[str], new: str
    ) -> None:
        picker, replicas = Rendezvous(), [Replica(target) for target in targets]
        before = picker.pick(replicas, 0.0, key)
        added = Replica(new)
        assert picker.pick([*replicas, added], 0.0, key) in {before, added}

    @given(key=KEYS, targets=st.lists(st.text(), min_size=1, unique=True), seed=st.integers())
    def test_the_order_of_the_replicas_does_not_matter(
        self, key: object, targets: list[str], seed: int
    ) -> None:
        picker, replicas = Rendezvous(), [Replica(target) for target in targets]
        shuffled = Random(seed).sample(replicas, len(replicas))
        assert picker.pick(shuffled, 0.0, key) is picker.pick(replicas, 0.0, key)


class TestPeakEwma:
    @given(observed=st.lists(st.tuples(SECONDS, SECONDS), min_size=1))
    def test_the_cost_stays_between_what_was_observed(
        self, observed: list[tuple[float, float]]
    ) -> None:
        picker, replica = PeakEwma(Random(1)), Replica("a")
        for elapsed, now in observed:
            picker.observe(replica, elapsed, now)
        latencies = [elapsed for elapsed, _ in observed]
        slack = 1e-9 * max(latencies)
        assert min(latencies) - slack <= replica.cost_seconds <= max(latencies) + slack

    @given(observed=st.lists(st.tuples(SECONDS, SECONDS)), last=SECONDS, now=SECONDS)
    def test_the_cost_is_never_below_the_last_observation(
        self, observed: list[tuple[float, float]], last: float, now: float
    ) -> None:
        picker, replica = PeakEwma(Random(1)), Replica("a")
        for elapsed, at in observed:
            picker.observe(replica, elapsed, at)
        picker.observe(replica, last, now)
        assert replica.cost_seconds >= last * (1.0 - 1e-12)


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("pick"), st.integers(1, 30), SECONDS),
            st.tuples(st.just("probed"), st.integers(0, 30), SECONDS),
            st.tuples(st.just("ask"), st.integers(0, 0), SECONDS),
        ),
        max_size=60,
    )
)
def test_prequal_holds_out_under_any_order_of_calls_and_answers(
    steps: list[tuple[str, int, float]],
) -> None:
    prequal, replicas = Prequal(Random(1)), [Replica(index) for index in range(31)]
    known: set[object] = set()
    for what, number, now in steps:
        if what == "pick":
            known = {each.target for each in replicas[:number]}
            assert prequal.pick(replicas[:number], now).target in known
        elif what == "probed":
            prequal.probed(number, number % 7, now, now)
        else:
            asked = prequal.probe_targets(now)
            assert len(asked) == len(set(asked))
            assert set(asked) <= known
        assert len(prequal._pool) <= 16


@given(replicas=_replicas(), nows=st.lists(SECONDS, min_size=1, max_size=5))
def test_no_share_of_the_load_is_more_than_twice_an_even_one(
    replicas: list[Replica], nows: list[float]
) -> None:
    shares = Shares(interval_seconds=0.1, hysteresis=0.1)
    for now in sorted(nows):
        handed_out = shares.at(replicas, now)
        assert len(handed_out) == len(replicas)
        assert all(0.0 < share <= 2.0 / len(replicas) for share in handed_out)
        assert sum(handed_out) <= 1.0 + 1e-9


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.sampled_from(["answer", "fail", "starve", "rest", "list"]),
        st.sampled_from([0.0, 0.0, 0.01, 0.1, 1.0, 7.0]),
    ),
    max_size=300,
)


@given(events=EVENTS, seed=st.integers(0, 99))
def test_never_fewer_than_half_are_admitted_whatever_happens(
    events: list[tuple[int, str, float]], seed: int
) -> None:
    everyone = [Replica(index) for index in range(6)]
    named = everyone
    policy = EjectionPolicy(consecutive_failures=2, min_calls=2, window=2.0, base_seconds=1.0)
    ejector, now = Ejector(policy, Random(seed)), 0.0
    for number, what, step in events:
        now += step
        replica = everyone[number]
        if what == "list":
            named = everyone[:number]
        elif what in {"answer", "fail"}:
            ejector.observe(replica, what == "fail", 0.001 * (number + 1), now)
        else:
            replica.pressure = 0.95 if what == "starve" else 0.1
            replica.pressure_until = now + 0.3
            ejector.starving(replica, now)
        admitted = ejector.admitted(named, now)
        assert len(admitted) >= len(named) - len(named) // 2
        assert all(each in named for each in admitted)
        assert len(admitted) == len(named) or now < ejector.out_until
