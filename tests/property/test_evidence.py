# SPDX-License-Identifier: MIT
"""Laws of the judgement: a placebo is not kept, a gain is, and the interval means what it says.

The trials are seeded, so what is printed (``pytest -rP``) is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from fakes.tuned_node import window
from resonance_bpf.layouts import BUCKET_UPPER_NS, bucket_index
from resonance_tuning.trials.evidence import Verdict, compare, quantile_ns

TRIALS = 200
PARTS = 20
P99_SECONDS = 0.004

Noise = Callable[[np.random.Generator, int], np.ndarray]


def none(_: np.random.Generator, seconds: int) -> np.ndarray:
    return np.ones(seconds)


def remembering(generator: np.random.Generator, seconds: int) -> np.ndarray:
    """A level that wanders by a third and forgets in three seconds, as neighbours' load does."""
    level, levels = 0.0, []
    for step in generator.normal(0.0, 0.3, seconds):
        level = 0.7 * level + step
        levels.append(level)
    return np.exp(levels)


def bursts(generator: np.random.Generator, seconds: int) -> np.ndarray:
    """One second in ten is twenty times worse."""
    return np.where(generator.random(seconds) < 0.1, 20.0, 1.0)


def fading(_: np.random.Generator, seconds: int) -> np.ndarray:
    """The load fades to a third on the way, so that whatever comes later looks better."""
    return np.exp(-np.linspace(0.0, 1.1, seconds))


def jump(_: np.random.Generator, seconds: int) -> np.ndarray:
    """The load halves at the moment of the change, and stays so."""
    return np.where(np.arange(seconds) < PARTS, 1.0, 0.5)


def trial(seed: int, noise: Noise, ratio: float = 1.0) -> Verdict:
    """Judge a change that makes the p99 this much of what it was."""
    generator = np.random.default_rng(seed)
    levels = P99_SECONDS * noise(generator, 3 * PARTS)
    levels[PARTS : 2 * PARTS] *= ratio
    before, during, after = (
        window(generator, levels[at : at + PARTS]) for at in (0, PARTS, 2 * PARTS)
    )
    return compare(before, during, after, BUCKET_UPPER_NS, seed=seed)


@pytest.mark.parametrize("noise", [none, remembering, bursts, fading, jump])
def test_a_placebo_is_kept_less_than_once_in_twenty(noise: Noise) -> None:
    kept = sum(trial(seed, noise).is_kept for seed in range(TRIALS))
    print(f"A/A, noise {noise.__name__}: {kept} of {TRIALS} kept ({kept / TRIALS:.1%})")
    assert kept < 0.05 * TRIALS


@pytest.mark.parametrize(("noise", "ratio", "share"), [(none, 0.7, 0.9), (remembering, 0.3, 0.9)])
def test_a_gain_is_kept(noise: Noise, ratio: float, share: float) -> None:
    kept = sum(trial(seed, noise, ratio).is_kept for seed in range(TRIALS))
    print(f"p99 {ratio} of what it was, noise {noise.__name__}: {kept} of {TRIALS} kept")
    assert kept >= share * TRIALS


@pytest.mark.parametrize(("noise", "share"), [(none, 0.93), (remembering, 0.80)])
@pytest.mark.parametrize("ratio", [1.0, 0.7])
def test_the_interval_holds_the_truth(noise: Noise, share: float, ratio: float) -> None:
    verdicts = [trial(seed, noise, ratio) for seed in range(TRIALS)]
    covered = sum(each.low <= ratio <= each.high for each in verdicts)
    print(f"ratio {ratio}, noise {noise.__name__}: {covered} of {TRIALS} intervals hold it")
    assert covered >= share * TRIALS


@given(st.integers(0, 2**32), st.sampled_from([0.2, 0.5, 1.0, 2.0]))
def test_an_estimate_lies_in_its_interval_and_a_seed_decides_it(seed: int, ratio: float) -> None:
    verdict = trial(seed, remembering, ratio)
    assert 0.0 < verdict.low <= verdict.ratio <= verdict.high
    assert verdict == trial(seed, remembering, ratio)
    if verdict.is_kept:
        assert verdict.ratio <= 0.9
        assert verdict.high < 1.0


@given(st.lists(st.integers(1, 2**42), min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_a_quantile_lies_in_the_bucket_of_its_wait(waits_ns: list[int], quantile: float) -> None:
    index = sorted(bucket_index(wait) for wait in waits_ns)
    counts = np.bincount(index, minlength=len(BUCKET_UPPER_NS))
    value = float(quantile_ns(counts, BUCKET_UPPER_NS, quantile))
    rank = max(int(np.ceil(quantile * len(index) - 1e-6)), 1)
    bucket = index[rank - 1]
    lower = int(BUCKET_UPPER_NS[bucket - 1]) if bucket else 0
    assert lower <= value <= int(BUCKET_UPPER_NS[bucket])
