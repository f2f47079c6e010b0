# SPDX-License-Identifier: MIT
"""Which replicas are there, and which one gets the next attempt?"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from resonance.errors import NoReplicaError, PolicyError
from resonance.policies import (
    ChoicePolicy,
    EjectionPolicy,
    Failure,
    Policy,
    Reason,
    Service,
)
from resonance.policies._cluster import NO_LANE, Cluster

NOW = 1_000.0
CHOICE = ChoicePolicy(ejection=EjectionPolicy(consecutive_failures=2))


def made(choice: ChoicePolicy = CHOICE) -> Cluster:
    return Cluster(choice, "search", Random(1))


def fail(service: Service, target: str, times: int) -> None:
    """Have calls to one replica fail, and those to others answer."""
    while times:
        call = service.open(["a", "b", "c"], NOW)
        if call.target == target:
            service.fail(call, NOW, Failure())
            times -= 1
        else:
            service.finish(call, None, NOW)


def ejecting() -> Service:
    """Return a service that has ejected ``a``."""
    service = Service(Policy(choice=CHOICE), random=Random(1))
    for _ in range(30):
        service.finish(service.open(["a", "b", "c"], NOW), None, NOW)
    service.refresh(NOW)
    fail(service, "a", 2)
    return service


def test_without_replicas_there_is_nobody_to_send_to() -> None:
    with pytest.raises(NoReplicaError, match="search has no replicas"):
        made().first([], None, NOW)


@pytest.mark.parametrize("targets", ["ab", b"ab", {"a"}, iter("ab"), 1])
def test_what_is_no_sequence_is_refused(targets: Any) -> None:
    with pytest.raises(PolicyError, match="targets: must be a list or tuple"):
        made().first(targets, None, NOW)


def test_a_list_that_cannot_be_taken_leaves_the_one_before() -> None:
    cluster = made()
    cluster.first(["a"], None, NOW)
    with pytest.raises(TypeError):
        cluster.first(["b", ["unhashable"]], None, NOW)
    assert cluster.first(["a"], None, NOW).target == "a"


def test_who_is_named_twice_is_one() -> None:
    cluster = made()
    cluster.first(["a", "a", "b"], None, NOW)
    assert [each.target for each in cluster.candidates] == ["a", "b"]


def test_who_comes_back_is_known() -> None:
    cluster = made()
    first = cluster.first(["a"], None, NOW)
    cluster.first(["b"], None, NOW)
    assert cluster.first(("a",), None, NOW) is first


def test_a_change_of_the_callers_own_list_is_seen() -> None:
    cluster, targets = made(), ["a"]
    cluster.first(targets, None, NOW)
    targets[0] = "b"
    assert cluster.first(targets, None, NOW).target == "b"


def test_former_replicas_are_forgotten_in_the_end_but_not_their_answers() -> None:
    service = Service(Policy(), random=Random(1))
    kept = service.open(["kept"], NOW)
    for number in range(3_000):
        service.finish(service.open([str(number)], NOW), None, NOW)
    assert len(service.cluster._replicas) < 1_100
    assert service.successes == 3_000
    assert service.inflight == 1
    service.finish(kept, None, NOW)
    assert (service.calls, service.inflight) == (3_001, 0)


def test_an_ejected_replica_gets_nothing() -> None:
    service = ejecting()
    calls = [service.open(["a", "b", "c"], NOW) for _ in range(50)]
    assert {call.target for call in calls} == {"b", "c"}
    assert service.finish(calls[0], None, NOW).reasons == (Reason.CHOSEN, Reason.EJECTED_OTHERS)


def test_an_ejected_replica_gets_nothing_though_the_list_changes() -> None:
    service = ejecting()
    targets = set[object]()
    for number in range(50):
        names = ["a", "b", "c"] if number % 4 < 2 else ["c", "b", "a"]
        targets.add(service.open(names, NOW).target)
    assert targets == {"b", "c"}


def test_an_ejected_replica_gets_its_share_where_nothing_may_be_done() -> None:
    service = ejecting()
    service.set_mode("advise")
    calls = [service.open(["a", "b", "c"], NOW) for _ in range(50)]
    assert {call.target for call in calls} == {"a", "b", "c"}
    assert service.finish(calls[0], None, NOW).reasons == (
        Reason.CHOSEN,
        Reason.ADVISED,
        Reason.EJECTED_OTHERS,
    )


def test_the_lane_is_open_while_nobody_is_out() -> None:
    cluster = made()
    cluster.first(["a", "b"], None, NOW)
    assert cluster.lane is not NO_LANE
    cluster.set_random(is_random=True)
    assert cluster.lane is NO_LANE
    cluster.set_random(is_random=False)
    assert cluster.lane is not NO_LANE


@pytest.mark.parametrize("algorithm", ["round_robin", "random", "least_inflight", "rendezvous"])
def test_other_algorithms_have_no_lane(algorithm: Any) -> None:
    cluster = made(ChoicePolicy(algorithm=algorithm))
    cluster.first(["a", "b"], "key", NOW)
    assert cluster.lane is NO_LANE


def test_the_lane_is_fair() -> None:
    cluster = made()
    cluster.first(["a", "b", "c"], None, NOW)
    _, candidates, pairs = cluster.lane
    firsts = [next(pairs) for _ in range(1_024)]
    assert all(first != second for first, second in firsts)
    for number in range(len(candidates)):
        assert 250 < sum(first == number for first, _ in firsts) < 450


def test_who_was_tried_is_left_out() -> None:
    service = Service(Policy(), random=Random(1))
    call = service.open(["a", "b"], NOW)
    (other,) = service.cluster.others(call)
    assert {call.target, other.target} == {"a", "b"}


def test_a_list_that_was_emptied_leaves_what_was_tried() -> None:
    service, targets = Service(Policy(), random=Random(1)), ["a", "b"]
    call = service.open(targets, NOW)
    service.open(["x", "y"], NOW)
    targets.clear()
    assert service.cluster.others(call) == []
    assert service.cluster.named(call) == [call.replica]


def test_a_function_that_knows_where_to_go_is_its_own_other() -> None:
    service = Service(Policy(), random=Random(1))
    call = service.open(None, NOW)
    assert service.cluster.others(call) == [call.replica]


def test_a_load_report_counts_for_half_a_second() -> None:
    service = Service(Policy(), random=Random(1))
    call = service.open(["a", "b"], NOW)
    service.cluster.report(call.target, 0.8, 1.5, NOW)
    assert call.replica.known_pressure(NOW + 0.5) == 0.8
    assert call.replica.known_pressure(NOW + 0.6) is None
    assert call.replica.utilization == 1.5
    service.cluster.report("nobody", 0.8, None, NOW)
