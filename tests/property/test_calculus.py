# SPDX-License-Identifier: MIT
"""Laws of phases, placements, matrices and curves, whatever the numbers."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from resonance_core.calculus.arguments import Floats
from resonance_core.calculus.curves import RateLatency, TokenBucket, concatenate, delay_bound
from resonance_core.calculus.fitting import fit_burst
from resonance_core.calculus.log import log_sum_exp
from resonance_core.calculus.phasor import (
    debiased,
    discrepancy,
    effective_number,
    fold,
    folded_histogram,
    order_parameters,
    peak_to_peak,
    rayleigh,
    wrap,
)
from resonance_core.calculus.placement import (
    least_discrepancy,
    place_harmonic,
    rotate_to_least_delay,
    unfold,
    weighted_splay,
)
from resonance_core.calculus.trop import circular_lindley, cycle_mean, multiply, star

_TURN = 2.0 * math.pi
_ANGLES = st.floats(-100.0, 100.0)
_WEIGHTS = st.floats(1e-3, 1e3)
_BURSTS = st.lists(st.tuples(_ANGLES, _WEIGHTS), min_size=1, max_size=12)
_EDGES = st.one_of(st.just(-math.inf), st.integers(-9, 9).map(float))


@st.composite
def matrices(draw: st.DrawFn, count: int = 1) -> list[Floats]:
    size = draw(st.integers(1, 5))
    row = st.lists(_EDGES, min_size=size, max_size=size)
    return [
        np.array(draw(st.lists(row, min_size=size, max_size=size)), dtype=np.float64)
        for _ in range(count)
    ]


def split(bursts: list[tuple[float, float]]) -> tuple[Floats, Floats]:
    phases, weights = np.array(bursts, dtype=np.float64).T
    return phases, weights


@given(_BURSTS, st.integers(1, 8), _ANGLES)
def test_order_parameters_are_at_most_one_and_turn_with_the_phases(
    bursts: list[tuple[float, float]], harmonics: int, turn: float
) -> None:
    phases, weights = split(bursts)
    found = order_parameters(phases, harmonics, weights)
    assert (np.abs(found) <= 1.0 + 1e-12).all()
    turned = order_parameters(phases + turn, harmonics, weights)
    expected = found * np.exp(1j * turn * np.arange(1, harmonics + 1))
    assert np.allclose(turned, expected, atol=1e-9)
    assert 1.0 - 1e-9 <= effective_number(weights) <= weights.size + 1e-9


@given(_BURSTS)
def test_the_debiased_order_parameter_stays_in_its_range(bursts: list[tuple[float, float]]) -> None:
    phases, weights = split(bursts)
    assume(weights.size > 1 and weights.max() < 1e3 * weights.sum() / 1.001)
    assert debiased(phases, weights) <= 1.0 + 1e-9
    z, p = rayleigh(phases)
    assert 0.0 <= z <= phases.size + 1e-9
    assert 0.0 <= p <= 1.0


@given(_BURSTS, _ANGLES)
def test_the_discrepancy_lies_between_splayed_and_aligned_and_does_not_turn(
    bursts: list[tuple[float, float]], turn: float
) -> None:
    phases, weights = split(bursts)
    total = weights.sum()
    found = discrepancy(phases, weights)
    assert least_discrepancy(weights) - 1e-9 * total**2 <= found <= total**2 / 12.0 * (1 + 1e-9)
    assert math.isclose(discrepancy(phases + turn, weights), found, abs_tol=1e-9 * total**2)
    peak = peak_to_peak(phases, weights)
    assert weights.max() - 1e-9 * total <= peak <= total * (1.0 + 1e-9)
    splay = weighted_splay(weights)
    assert math.isclose(discrepancy(splay, weights), least_discrepancy(weights), rel_tol=1e-6)


@given(_BURSTS)
def test_the_backlog_of_one_server_never_exceeds_the_peak(
    bursts: list[tuple[float, float]],
) -> None:
    phases, weights = split(bursts)
    bins = 64
    edges = np.minimum((wrap(phases) / _TURN * bins).astype(int), bins - 1)
    work = np.bincount(edges, weights, bins)
    quantised = peak_to_peak(edges * (_TURN / bins), weights)
    backlog = circular_lindley(work, float(weights.sum()) / bins)
    assert backlog.max() <= quantised + 1e-9 * weights.sum()


@given(
    st.lists(
        st.tuples(_ANGLES, _WEIGHTS, st.integers(1, 16), st.booleans()), min_size=1, max_size=8
    )
)
def test_a_placement_moves_only_what_may_move_and_never_makes_it_worse(
    sources: list[tuple[float, float, int, bool]],
) -> None:
    phases, weights, multiples, fixed = (np.array(column) for column in zip(*sources, strict=True))
    placed = place_harmonic(phases, weights, multiples, fixed=fixed)
    before, after = (discrepancy(*unfold(at, weights, multiples)) for at in (phases, placed))
    assert after <= before * (1.0 + 1e-9) + 1e-12
    assert np.allclose(np.exp(1j * placed[fixed]), np.exp(1j * phases[fixed]), atol=1e-9)


@given(_BURSTS, st.data())
def test_a_rotation_keeps_the_shape_and_lets_someone_stay(
    bursts: list[tuple[float, float]], data: st.DataObject
) -> None:
    phases, weights = split(bursts)
    order = data.draw(st.permutations(range(weights.size)))
    targets = weighted_splay(weights, order)
    rotated = rotate_to_least_delay(targets, phases, weights)
    turns = np.exp(1j * (rotated - targets))
    assert np.allclose(turns, turns[0], atol=1e-9)
    off = np.abs(np.exp(1j * (rotated - phases)) - 1.0)
    assert off.min() < 1e-9


@given(st.lists(st.floats(0.0, 1e6), max_size=30), st.floats(1e-3, 1e3), st.integers(1, 64))
def test_folding_loses_no_event(times: list[float], period: float, bins: int) -> None:
    phases = fold(times, period)
    assert ((phases >= 0.0) & (phases < _TURN)).all()
    assert folded_histogram(times, period, bins).sum() == len(times)


@given(matrices(count=3))
def test_max_plus_products_are_associative_and_distribute_over_the_maximum(
    factors: list[Floats],
) -> None:
    a, b, c = factors
    assert (multiply(multiply(a, b), c) == multiply(a, multiply(b, c))).all()
    assert (multiply(a, np.maximum(b, c)) == np.maximum(multiply(a, b), multiply(a, c))).all()


@given(matrices())
def test_the_star_is_its_own_square_and_the_eigenvector_is_one(drawn: list[Floats]) -> None:
    matrix = drawn[0]
    found = cycle_mean(matrix)
    if not found.cycle:
        assert (star(matrix) == star(star(matrix))).all()
        return
    stretched = multiply(matrix, found.eigenvector[:, None])[:, 0]
    assert np.allclose(stretched, found.eigenvector + found.mean)
    ways = star(matrix - max(found.mean, 0.0) - 1.0)
    assert np.allclose(ways, multiply(ways, ways))


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20), st.floats(0.0, 1e3))
def test_log_sum_exp_lies_between_the_maximum_and_maslovs_bound(
    x: list[float], temperature: float
) -> None:
    found = log_sum_exp(x, temperature)
    assert max(x) <= found <= max(x) + temperature * math.log(len(x)) + 1e-9


@given(
    st.lists(st.tuples(st.floats(0.0, 100.0), st.floats(0.0, 10.0)), min_size=1, max_size=20),
    st.floats(0.0, 5.0),
)
def test_a_fitted_bucket_holds_and_shrinks_with_its_rate(
    arrivals: list[tuple[float, float]], rate: float
) -> None:
    times, work = np.array(sorted(arrivals), dtype=np.float64).T
    burst = fit_burst(times, work, rate)
    total = float(work.sum())
    assert work.max() - 1e-9 <= burst <= total + 1e-9
    assert total - rate * (times[-1] - times[0]) <= burst + 1e-9
    assert fit_burst(times, work, rate + 1.0) <= burst + 1e-9


@given(
    st.lists(
        st.builds(RateLatency, st.floats(1.0, 10.0), st.floats(0.0, 10.0)), min_size=1, max_size=5
    ),
    st.floats(0.0, 100.0),
    st.floats(0.0, 1.0),
)
def test_a_way_is_never_slower_than_its_slowest_hop_promises(
    hops: list[RateLatency], burst: float, rate: float
) -> None:
    bucket = TokenBucket(burst, rate)
    whole = delay_bound(bucket, concatenate(hops))
    alone = [delay_bound(bucket, hop) for hop in hops]
    assert max(alone) - 1e-9 <= whole <= sum(alone) + 1e-9
