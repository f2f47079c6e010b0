# SPDX-License-Identifier: MIT
"""Who is left out, for how long, and who never is."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from resonance.policies import EjectionPolicy, Replica
from resonance.policies.choice import Ejector

NOW = 1_000.0
POLICY = EjectionPolicy()


class Service:
    """Replicas, and an ejector that is told how they do."""

    def __init__(self, count: int, policy: EjectionPolicy = POLICY) -> None:
        self.replicas = [Replica(index) for index in range(count)]
        self.ejector = Ejector(policy, Random(1))

    def answer(self, *latencies: float, times: int = 1, at: float = NOW) -> None:
        for _ in range(times):
            for replica, latency in zip(self.replicas, latencies, strict=False):
                self.ejector.observe(replica, False, latency, at)

    def fail(self, *indexes: int, times: int = 1, at: float = NOW) -> None:
        for _ in range(times):
            for index in indexes:
                self.ejector.observe(self.replicas[index], True, 0.001, at)

    def press(self, *pressures: float | None, at: float) -> None:
        for replica, pressure in zip(self.replicas, pressures, strict=True):
            replica.pressure = pressure
            replica.pressure_until = at + 0.05
        for replica in self.replicas:
            self.ejector.starving(replica, at)

    def out(self, at: float = NOW) -> list[object]:
        admitted = self.ejector.admitted(self.replicas, at)
        return [each.target for each in self.replicas if each not in admitted]


def test_everybody_is_admitted_at_first_without_a_copy() -> None:
    service = Service(3)
    assert service.ejector.admitted(service.replicas, NOW) is service.replicas


class TestFailuresInARow:
    def test_five_eject(self) -> None:
        service = Service(3)
        service.answer(0.001, 0.001, 0.001)
        service.fail(1, times=4)
        assert service.out() == []
        service.fail(1)
        assert service.out() == [1]

    def test_a_success_between_them_begins_anew(self) -> None:
        service = Service(3)
        service.answer(0.001, 0.001, 0.001)
        service.fail(1, times=4)
        service.answer(0.001, 0.001)
        service.fail(1, times=4)
        assert service.out() == []

    def test_what_all_suffer_from_ejects_nobody(self) -> None:
        service = Service(4)
        service.answer(0.001, 0.001, 0.001, 0.001)
        service.fail(0, 1, 2, 3, times=50)
        assert service.out() == []

    def test_two_of_three_that_fail_eject_one(self) -> None:
        service = Service(3)
        for _ in range(20):
            service.answer(0.001)
            service.fail(1, 2)
        assert len(service.out()) == 1
        assert 0 not in service.out()

    def test_one_that_nobody_is_compared_with_stays(self) -> None:
        service = Service(3)
        service.fail(0, times=50)
        assert service.out() == []


class TestRatios:
    def test_half_of_the_calls_failing_ejects(self) -> None:
        service = Service(3)
        for _ in range(20):
            service.answer(0.001, 0.001, 0.001)
            service.fail(2)
        service.answer(0.001, at=NOW + 1.1)
        assert service.out(NOW + 1.1) == [2]

    def test_few_calls_say_nothing(self) -> None:
        service = Service(3)
        for _ in range(9):
            service.answer(0.001, 0.001, 0.001)
            service.fail(2)
        service.answer(0.001, 0.001, times=20)
        service.answer(0.001, at=NOW + 1.1)
        assert service.out(NOW + 1.1) == []

    def test_failures_that_all_have_alike_eject_nobody(self) -> None:
        service = Service(3)
        for _ in range(40):
            service.answer(0.001, 0.001, 0.001)
            service.fail(0, 1, 2)
        service.answer(0.001, at=NOW + 1.1)
        assert service.out(NOW + 1.1) == []

    def test_a_median_above_five_times_that_of_the_others_ejects(self) -> None:
        service = Service(3)
        service.answer(0.001, 0.006, 0.001, times=20)
        service.answer(0.001, at=NOW + 5.1)
        assert service.out(NOW + 5.1) == [1]

    def test_a_few_slow_answers_are_no_slow_replica(self) -> None:
        service = Service(3)
        service.answer(0.001, 0.001, 0.001, times=20)
        service.answer(0.001, 1.0, 0.001, times=15)
        service.answer(0.001, at=NOW + 5.1)
        assert service.out(NOW + 5.1) == []

    def test_a_slow_second_among_ten_is_no_slow_replica(self) -> None:
        # In the simulation of bursts a median over the last hundred answers, one second of
        # them, ejected a replica for a burst that was over by then.
        service = Service(2)
        service.answer(0.001, 0.001, times=2_000, at=NOW)
        service.answer(0.001, 0.020, times=400, at=NOW + 4.0)
        service.answer(0.001, at=NOW + 5.1)
        assert service.out(NOW + 5.1) == []

    def test_most_of_very_many_answers_being_slow_ejects(self) -> None:
        service = Service(2)
        service.answer(0.001, 0.001, times=2_000, at=NOW)
        service.answer(0.001, 0.020, times=2_400, at=NOW + 4.0)
        service.answer(0.001, at=NOW + 5.1)
        assert service.out(NOW + 5.1) == [1]

    def test_who_is_slow_as_a_rule_stays_while_the_others_are_as_slow_at_their_worst(self) -> None:
        service = Service(2)
        service.answer(0.001, 0.010, times=90)
        service.answer(0.020, 0.010, times=10)
        service.answer(0.001, at=NOW + 5.1)
        assert service.out(NOW + 5.1) == []

    def test_a_passing_burst_right_at_the_start_is_no_slow_replica(self) -> None:
        service = Service(2)
        service.answer(0.001, 0.020, times=100, at=NOW)
        service.answer(0.001, at=NOW + 1.1)
        assert service.out(NOW + 1.1) == []

    def test_failing_fast_is_no_merit(self) -> None:
        service = Service(2)
        service.answer(0.001, 0.006, times=20)
        service.fail(1, times=4)
        service.answer(0.001, at=NOW + 5.1)
        assert service.out(NOW + 5.1) == [1]

    def test_a_ratio_of_zero_ejects_nobody_for_latency(self) -> None:
        service = Service(3, POLICY.replace(latency_ratio=0.0))
        service.answer(0.001, 9.0, 0.001, times=50)
        service.answer(0.001, at=NOW + 5.1)
        assert service.out(NOW + 5.1) == []

    def test_answers_older_than_the_window_are_forgotten(self) -> None:
        service = Service(3)
        service.answer(0.001, 0.006, 0.001, times=19)
        service.answer(0.001, 0.001, 0.001, times=20, at=NOW + 11.0)
        service.answer(0.001, at=NOW + 12.1)
        assert service.out(NOW + 12.1) == []

    def test_many_answers_at_once_count_like_each(self) -> None:
        service = Service(2)
        for replica, latency in zip(service.replicas, (0.001, 0.006), strict=True):
            service.ejector.absorb(replica, [latency] * 20, NOW)
        service.ejector.absorb(service.replicas[0], [0.001], NOW + 5.1)
        assert service.out(NOW + 5.1) == [1]


class TestStarvation:
    def _starve(self, service: Service, *pressures: float | None, seconds: float = 0.3) -> float:
        at = NOW
        for step in range(round(seconds / 0.02) + 1):
            at = NOW + 0.02 * step
            service.press(*pressures, at=at)
        return at

    def test_ejects_when_it_lasts(self) -> None:
        service = Service(2)
        service.answer(0.001, 0.001)
        at = self._starve(service, 0.9, 0.1)
        assert service.out(at) == [0]

    def test_does_not_when_it_passes(self) -> None:
        service = Service(2)
        service.answer(0.001, 0.001)
        at = self._starve(service, 0.9, 0.1, seconds=0.18)
        service.press(0.5, 0.1, at=at + 0.02)
        service.press(0.9, 0.1, at=at + 0.04)
        assert service.out(at + 0.04) == []

    def test_a_break_in_what_is_known_begins_anew(self) -> None:
        service = Service(2)
        service.answer(0.001, 0.001)
        at = self._starve(service, 0.9, 0.1, seconds=0.18)
        service.press(0.9, 0.1, at=at + 1.0)
        assert service.out(at + 1.0) == []

    def test_not_when_the_others_are_busy_too(self) -> None:
        service = Service(2)
        service.answer(0.001, 0.001)
        at = self._starve(service, 0.9, 0.6)
        assert service.out(at) == []

    def test_pressure_that_is_not_known_ejects_nobody(self) -> None:
        service = Service(2)
        service.answer(0.001, 0.001)
        at = self._starve(service, None, None)
        assert service.out(at) == []

    def test_pressure_that_has_run_out_is_not_known(self) -> None:
        service = Service(2)
        service.answer(0.001, 0.001)
        self._starve(service, 0.9, 0.1, seconds=0.1)
        for step in range(20):
            for replica in service.replicas:
                service.ejector.starving(replica, NOW + 0.5 + 0.02 * step)
        assert service.out(NOW + 0.9) == []

    def test_lasts_as_long_as_the_replica_is_known_to_starve(self) -> None:
        service = Service(2)
        service.answer(0.001, 0.001)
        at = self._starve(service, 0.9, 0.1, seconds=3.0)
        assert service.out(at + 0.1) == [0]

    def test_ends_within_a_second_after_that(self) -> None:
        service = Service(2)
        service.answer(0.001, 0.001)
        at = self._starve(service, 0.9, 0.1, seconds=3.0)
        assert service.out(at + 1.0) == []

    def test_leaves_what_was_learned_before_as_it_was(self) -> None:
        # Once it did not: what was seen of the burst alone then was the latency, and what had
        # been a fifth of a second out for starvation became ten seconds for being slow.
        service = Service(2)
        service.answer(0.001, 0.001, times=300, at=NOW - 4.0)
        at = self._starve(service, 0.9, 0.1)
        service.answer(0.020, 0.001, times=30, at=at)
        service.answer(0.001, 0.001, at=NOW + 2.0)
        assert service.out(NOW + 2.0) == []
        assert service.replicas[0].ejections == 0

    def test_lasts_longer_when_it_is_in_a_row(self) -> None:
        service, at, lengths = Service(2), NOW, []
        service.answer(0.001, 0.001)
        for _ in range(3):
            while service.replicas[0].ejected_until <= at:
                service.press(0.9, 0.1, at=at)
                at += 0.02
            lengths.append(service.replicas[0].ejected_until - at)
            service.press(0.1, 0.1, at=at)
            at = service.replicas[0].ejected_until + 0.02
        assert lengths == pytest.approx([0.2, 0.4, 0.6], abs=0.03)

    def test_ends_at_once_when_another_begins_to_starve(self) -> None:
        # In the simulation of two nodes a fixed time out of seconds cost up to 15 times the p99:
        # the next burst of batch work met all of the load on the one node that was left.
        service = Service(2)
        service.answer(0.001, 0.001)
        at = self._starve(service, 0.9, 0.1)
        assert service.out(at) == [0]
        service.press(0.9, 0.9, at=at + 0.02)
        assert service.out(at + 0.02) == []


class TestReturn:
    def _ejected(self, service: Service, at: float) -> None:
        service.answer(0.001, 0.001, at=at)
        service.fail(0, times=5, at=at)

    def test_the_first_time_out_is_the_base(self) -> None:
        service = Service(2)
        self._ejected(service, NOW)
        assert service.replicas[0].ejected_until == NOW + 5.0

    def test_each_further_one_in_a_row_is_longer_by_the_base(self) -> None:
        service = Service(2)
        at, lengths = NOW, []
        for _ in range(4):
            self._ejected(service, at)
            lengths.append(service.replicas[0].ejected_until - at)
            at = service.replicas[0].ejected_until + 1.0
        assert lengths == pytest.approx([5.0, 10.0, 15.0, 20.0])

    def test_none_is_longer_than_the_most(self) -> None:
        service = Service(2, POLICY.replace(max_seconds=12.0))
        at, lengths = NOW, []
        for _ in range(4):
            self._ejected(service, at)
            lengths.append(service.replicas[0].ejected_until - at)
            at = service.replicas[0].ejected_until + 1.0
        assert lengths == pytest.approx([5.0, 10.0, 12.0, 12.0])

    def test_after_a_good_time_it_begins_anew(self) -> None:
        service = Service(2)
        self._ejected(service, NOW)
        self._ejected(service, NOW + 100.0)
        assert service.replicas[0].ejected_until == NOW + 105.0

    def test_comes_back_slowly(self) -> None:
        service = Service(2)
        self._ejected(service, NOW)

        def share(at: float) -> float:
            return sum(service.out(at) == [] for _ in range(1_000)) / 1_000

        assert share(NOW + 4.9) == 0.0
        assert share(NOW + 6.0) == pytest.approx(0.2, abs=0.06)
        assert share(NOW + 9.0) == pytest.approx(0.8, abs=0.06)
        assert share(NOW + 10.0) == 1.0

    def test_when_all_are_back_the_list_is_not_copied(self) -> None:
        service = Service(2)
        self._ejected(service, NOW)
        assert service.ejector.admitted(service.replicas, NOW + 10.0) is service.replicas

    def test_what_it_did_before_is_not_held_against_it(self) -> None:
        service = Service(2)
        self._ejected(service, NOW)
        service.fail(0, times=4, at=NOW + 20.0)
        assert service.out(NOW + 20.0) == []

    def test_a_clock_that_stands_still_keeps_it_out_and_harms_nothing(self) -> None:
        service = Service(4)
        self._ejected(service, NOW)
        service.answer(0.001, 0.001, 0.001, 0.001, times=50)
        service.fail(1, times=50)
        assert len(service.out()) <= 2


class TestHalf:
    def _failing(self, count: int, failing: Sequence[int]) -> Service:
        service = Service(count)
        for _ in range(30):
            for index, replica in enumerate(service.replicas):
                service.ejector.observe(replica, index in failing, 0.001, NOW)
        return service

    def test_the_only_replica_is_never_out(self) -> None:
        assert self._failing(1, [0]).out() == []

    def test_of_two_one_is_out_at_most(self) -> None:
        assert self._failing(2, [0]).out() == [0]

    def test_of_five_two_are_out_at_most(self) -> None:
        assert len(self._failing(5, [0, 1, 2]).out()) == 2

    def test_of_no_replicas_none_is_out(self) -> None:
        service = self._failing(2, [0])
        assert list(service.ejector.admitted([], NOW)) == []

    def test_a_list_of_ejected_ones_alone_is_admitted(self) -> None:
        service = self._failing(2, [0])
        only = service.replicas[:1]
        assert service.ejector.admitted(only, NOW) is only or list(
            service.ejector.admitted(only, NOW)
        ) == list(only)

    def test_when_others_are_gone_from_the_list_half_of_the_rest_stays(self) -> None:
        service = self._failing(6, [0, 1, 2])
        assert len(service.out()) == 3
        rest = service.replicas[:4]
        assert len(service.ejector.admitted(rest, NOW)) == 2

    def test_those_that_are_no_longer_called_are_forgotten(self) -> None:
        service = Service(4)
        service.answer(0.001, 0.001, 0.001, 0.001)
        for second in range(30):
            service.answer(0.001, 0.001, at=NOW + second)
        service.fail(0, times=5, at=NOW + 30.0)
        service.fail(1, times=5, at=NOW + 30.0)
        # Of the two that are left, one may be out; of four it would have been two.
        assert sum(each.ejected_until > NOW + 30.0 for each in service.replicas) == 1
