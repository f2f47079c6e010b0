# SPDX-License-Identifier: MIT
"""The simulation by which choices are ordered: against what queueing theory says, and itself."""

from __future__ import annotations

import statistics
from dataclasses import replace
from functools import partial
from random import Random

import pytest

from bench.sdk.balance_simulation import Arm, Scene, simulate
from resonance.policies import EjectionPolicy
from resonance.policies.choice import Ejector, PeakEwma, Prequal, TwoChoices, Uniform
from resonance.policies.choice.candidates import ExpectedWait, PressureTimes

QUIET = Scene(clients=1, batch_load=0.0, duration_seconds=20.0)
BURSTS = Scene(clients=20, duration_seconds=10.0)
SLICES = replace(BURSTS, slice_seconds=0.004)
RANDOM = Arm(Uniform)


def _p99(latencies: list[float]) -> float:
    return sorted(latencies)[int(0.99 * len(latencies))]


@pytest.mark.parametrize("scene", [BURSTS, SLICES], ids=["shared", "slices"])
@pytest.mark.parametrize(
    "arm",
    [
        RANDOM,
        Arm(Prequal),
        Arm(ExpectedWait, "queue"),
        Arm(TwoChoices, "own", partial(Ejector, EjectionPolicy())),
    ],
    ids=["random", "prequal", "expected wait", "ejection"],
)
def test_the_same_seed_gives_the_same_latencies(scene: Scene, arm: Arm) -> None:
    assert simulate(scene, arm, 1) == simulate(scene, arm, 1)


def test_another_seed_gives_others() -> None:
    assert simulate(BURSTS, RANDOM, 1) != simulate(BURSTS, RANDOM, 2)


@pytest.mark.parametrize("slice_seconds", [0.0, 0.004])
def test_a_request_alone_takes_its_service_time(slice_seconds: float) -> None:
    scene = replace(QUIET, rate_per_second=1.0, slice_seconds=slice_seconds)
    assert statistics.median(simulate(scene, RANDOM, 1)) == pytest.approx(0.0007)


def test_one_replica_to_a_cpu_waits_as_long_as_the_formula_of_pollaczek_and_khinchine_says() -> (
    None
):
    # Two replicas on a CPU that serves both at full speed would each be M/D/1; with one slice
    # at a time and slices longer than a request, both together are: of load 0.63.
    scene = replace(QUIET, cpus=1, rate_per_second=900.0, duration_seconds=400.0, slice_seconds=1.0)
    load, service = 0.63, 0.0007
    expected = service * (1.0 + load / (2.0 * (1.0 - load)))
    assert statistics.fmean(simulate(scene, RANDOM, 1)) == pytest.approx(expected, rel=0.05)


def test_no_time_is_lost_or_found_beside_a_neighbour_that_never_sleeps() -> None:
    # Alone beside three threads of its own weight a request gets a quarter of the CPU.
    scene = replace(QUIET, rate_per_second=1.0, saturated=(0, 1), batch_weight=1.0)
    assert statistics.median(simulate(scene, RANDOM, 1)) == pytest.approx(4 * 0.0007)


def test_a_neighbour_that_is_grouped_takes_half() -> None:
    scene = replace(QUIET, rate_per_second=1.0, saturated=(0, 1))
    assert statistics.median(simulate(scene, RANDOM, 1)) == pytest.approx(2 * 0.0007)


@pytest.mark.parametrize("scene", [BURSTS, SLICES], ids=["shared", "slices"])
def test_nearly_every_request_ends(scene: Scene) -> None:
    requests = scene.rate_per_second * scene.duration_seconds
    assert len(simulate(scene, RANDOM, 1)) == pytest.approx(requests, rel=0.05)


def test_bursts_make_a_tail() -> None:
    assert _p99(simulate(BURSTS, RANDOM, 1)) > 2.0 * _p99(simulate(QUIET, RANDOM, 1))


def test_one_client_gains_by_counting_what_is_in_flight_and_twenty_do_not() -> None:
    seeds = range(4)
    ratios = {
        clients: statistics.median(
            _p99(simulate(scene, Arm(TwoChoices), seed)) / _p99(simulate(scene, RANDOM, seed))
            for seed in seeds
        )
        for clients, scene in ((1, replace(BURSTS, clients=1)), (20, BURSTS))
    }
    assert ratios[1] < 0.85 < ratios[20]


def test_the_control_herds_as_it_did_on_a_kernel() -> None:
    herding = Arm(partial(PressureTimes, is_full_scan=True), "own")
    ratios = [
        _p99(simulate(BURSTS, herding, seed)) / _p99(simulate(BURSTS, RANDOM, seed))
        for seed in range(4)
    ]
    assert statistics.median(ratios) > 1.2


def test_ejection_does_not_move_the_load_of_a_starved_node_to_where_it_harms() -> None:
    # It did, up to 15 times the p99 of two choices, before ejected replicas came back when
    # those that were left began to starve, and while the last second alone was the median.
    scene = replace(BURSTS, clients=1, batch_weight=1.0, duration_seconds=20.0)
    ejection = partial(Ejector, EjectionPolicy())
    ratios = [
        _p99(simulate(scene, Arm(TwoChoices, "cpu", ejection), seed))
        / _p99(simulate(scene, Arm(TwoChoices, "cpu"), seed))
        for seed in range(4)
    ]
    assert max(ratios) < 1.5


def test_clients_have_chance_of_their_own() -> None:
    first = []

    def make(random: Random) -> PeakEwma:
        first.append(random.random())
        return PeakEwma(random)

    simulate(replace(BURSTS, duration_seconds=0.1), Arm(make), 1)
    assert len(set(first)) == 20
