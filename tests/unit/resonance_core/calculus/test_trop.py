# SPDX-License-Identifier: MIT
from __future__ import annotations

import math
import sys
from importlib import import_module
from itertools import permutations
from types import ModuleType

import numpy as np
import pytest

from resonance_core.calculus.trop import circular_lindley, cycle_mean, multiply, star
from resonance_core.errors import InvalidSampleError, PositiveCycleError, UnstableQueueError

_NO = -math.inf
_A = [[3.0, 7.0], [2.0, 4.0]]
_B = [[-2.0, 1.0, _NO], [_NO, -1.0, 2.0], [-4.0, _NO, -3.0]]


def test_the_square_of_a_known_matrix() -> None:
    assert multiply(_A, _A).tolist() == [[9.0, 11.0], [6.0, 9.0]]


def test_the_slowest_cycle_and_its_eigenvector() -> None:
    found = cycle_mean(_A)
    assert (found.mean, found.cycle) == (4.5, (0, 1))
    v = found.eigenvector - found.eigenvector[1]
    assert v.tolist() == [2.5, 0.0]
    assert multiply(_A, v[:, None])[:, 0].tolist() == [7.0, 4.5]


def test_of_two_cycles_the_slower_one_is_named() -> None:
    found = cycle_mean([[_NO, 3.0, _NO], [_NO, _NO, 5.0], [1.0, 2.0, _NO]])
    assert (found.mean, found.cycle) == (3.5, (1, 2))


def test_the_star_of_a_known_matrix() -> None:
    assert star(_B).tolist() == [[0.0, 1.0, 3.0], [-2.0, 0.0, 2.0], [-4.0, -3.0, 0.0]]
    assert cycle_mean(_B).mean == pytest.approx(-1.0 / 3.0, abs=1e-12)


def test_a_positive_cycle_has_no_star_and_is_named() -> None:
    with pytest.raises(PositiveCycleError, match="0 -> 2 -> 0 has the mean 0.5 > 0") as caught:
        star([[_NO, _NO, 1.0], [_NO, -1.0, _NO], [0.0, _NO, _NO]])
    assert (caught.value.cycle, caught.value.mean) == ((0, 2), 0.5)


def test_a_cycle_that_is_zero_but_for_rounding_has_a_star() -> None:
    ways = star([[_NO, 0.1, _NO], [_NO, _NO, 0.2], [-0.3, _NO, _NO]])
    assert ways[0].tolist() == pytest.approx([0.0, 0.1, 0.3])


def test_a_graph_without_cycles_has_no_mean() -> None:
    found = cycle_mean([[_NO, 1.0], [_NO, _NO]])
    assert (found.mean, found.cycle) == (_NO, ())
    assert (found.eigenvector == _NO).all()


def random_matrix(seed: int, density: float = 0.6, size: int = 5) -> np.ndarray:
    generator = np.random.default_rng(seed)
    matrix = generator.normal(1e6, 3.0, (size, size))
    matrix[generator.random((size, size)) > density] = _NO
    return matrix


@pytest.mark.parametrize("seed", range(12))
def test_the_cycle_mean_is_the_largest_over_all_cycles(seed: int) -> None:
    matrix = random_matrix(seed)
    means = [
        np.mean([matrix[i, j] for i, j in zip(path, (*path[1:], path[0]), strict=True)])
        for length in range(1, 6)
        for path in permutations(range(5), length)
    ]
    found = cycle_mean(matrix)
    assert found.mean == pytest.approx(max(means), rel=1e-12)
    edges = zip(found.cycle, (*found.cycle[1:], found.cycle[0]), strict=True)
    assert np.mean([matrix[i, j] for i, j in edges]) == pytest.approx(found.mean, rel=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_the_eigenvector_is_stretched_by_the_cycle_mean(seed: int) -> None:
    matrix = random_matrix(seed)
    found = cycle_mean(matrix)
    stretched = multiply(matrix, found.eigenvector[:, None])[:, 0]
    assert stretched == pytest.approx(found.eigenvector + found.mean, rel=1e-12)


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import mplusa without its drawings, which name a class that they do not import."""
    for algebra in ("maxplus", "minplus"):
        drawings = f"mplusa.{algebra}.visualize"
        monkeypatch.setitem(sys.modules, drawings, ModuleType(drawings))
    return import_module("mplusa.maxplus")


@pytest.mark.parametrize("seed", range(5))
def test_products_and_stars_agree_with_mplusa(oracle: ModuleType, seed: int) -> None:
    left, right = random_matrix(seed) - 1e6, random_matrix(seed + 100) - 1e6
    assert multiply(left, right) == pytest.approx(oracle.mult_matrices(left, right))
    stable = left - 20.0
    assert star(stable) == pytest.approx(oracle.kleene_star(stable))


@pytest.mark.parametrize("bad", [[[math.nan]], [[math.inf]], [[1.0, 2.0]], [], [1.0]])
def test_what_is_no_square_matrix_is_refused(bad: list[list[float]]) -> None:
    for function in (star, cycle_mean):
        with pytest.raises(InvalidSampleError):
            function(bad)


def test_factors_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidSampleError, match="do not fit"):
        multiply([[1.0, 2.0]], [[1.0, 2.0]])


def test_a_periodic_queue_carries_its_backlog_around() -> None:
    assert circular_lindley([4.0, 0.0, 0.0, 0.0], 1.0).tolist() == [3.0, 2.0, 1.0, 0.0]
    assert circular_lindley([0.0, 0.0, 0.0, 4.0], 1.0).tolist() == [2.0, 1.0, 0.0, 3.0]
    assert circular_lindley([0.5, 0.5], 1.0).tolist() == [0.0, 0.0]


def test_a_periodic_queue_is_what_many_laps_of_an_ordinary_one_settle_to() -> None:
    work = np.random.default_rng(8).exponential(0.8, 64)
    backlog = 0.0
    settled: list[float] = []
    for lap in range(40):
        for arriving in work:
            backlog = max(0.0, backlog + arriving - 0.9)
            if lap == 39:
                settled.append(backlog)
    assert work.mean() < 0.9
    assert circular_lindley(work, 0.9) == pytest.approx(settled, abs=1e-9)


def test_a_full_queue_is_stable_and_an_overfull_one_is_called_unstable() -> None:
    assert circular_lindley([2.0, 0.0], 1.0).tolist() == [1.0, 0.0]
    with pytest.raises(UnstableQueueError, match="the bound is infinite") as caught:
        circular_lindley([2.0, 0.5], 1.0)
    assert (caught.value.arrival_rate, caught.value.service_rate) == (1.25, 1.0)


@pytest.mark.parametrize(("work", "service"), [([], 1.0), ([-1.0], 1.0), ([1.0], 0.0)])
def test_a_queue_without_sense_is_refused(work: list[float], service: float) -> None:
    with pytest.raises(InvalidSampleError):
        circular_lindley(work, service)
