# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest

from fakes.beats import BIN_SECONDS, neighbourhood
from resonance_core.errors import InvalidSampleError
from resonance_core.spectral.neighbours import NeighbourWatch, rank, waits_of_others

RUNS = 60


def judged(seed: int, **scene: object) -> tuple[float, float, list[float]]:
    """Return how often the culprit came first and was named, and the lags found."""
    generator = np.random.default_rng(seed)
    hits = named = 0
    lags = []
    for _ in range(RUNS):
        node = neighbourhood(generator, **scene)  # type: ignore[arg-type]
        best = rank(node.counts, node.queues, BIN_SECONDS)[0]
        hits += best.channel == node.culprit
        named += best.is_named and best.channel == node.culprit
        lags.append(best.lag_seconds)
    return hits / RUNS, named / RUNS, lags


@pytest.mark.parametrize(
    ("seconds", "noise", "lag_seconds"),
    [(5.0, 3.0, 0.0), (5.0, 3.0, 0.025), (10.0, 3.0, 0.025), (30.0, 6.0, 0.025)],
)
def test_the_culprit_among_four_decoys_comes_first(
    seconds: float, noise: float, lag_seconds: float
) -> None:
    hits, _, _ = judged(4, seconds=seconds, noise=noise, lag_seconds=lag_seconds)
    assert hits >= 0.95


def test_twenty_seconds_suffice_to_name_the_culprit_and_his_lag() -> None:
    hits, named, lags = judged(5, seconds=20.0, noise=3.0, lag_seconds=0.025)
    assert hits >= 0.95
    assert named >= 0.95
    assert np.median(lags) == pytest.approx(0.025, abs=0.001)


def test_nobody_is_named_for_a_queue_that_follows_nobody() -> None:
    generator = np.random.default_rng(6)
    named = 0
    for cgroups in (2, 5, 32):
        for _ in range(RUNS):
            periods = () if cgroups >= 5 else (0.1, 0.13)
            node = neighbourhood(
                generator,
                seconds=10.0,
                noise=1.0,
                cgroups=cgroups,
                periods_seconds=periods,
                is_guilty=False,
            )
            named += rank(node.counts, node.queues, BIN_SECONDS)[0].is_named
    assert named <= 0.02 * 3 * RUNS


@pytest.mark.parametrize("decoy", [0.05, 0.2])
def test_a_decoy_on_the_same_clock_does_not_get_the_blame(decoy: float) -> None:
    periods = (0.1, decoy, 0.15, 0.25, 0.3)
    hits, named, _ = judged(7, seconds=20.0, noise=1.0, periods_seconds=periods)
    assert hits == 1.0
    assert named >= 0.95


def test_two_in_lockstep_are_both_coherent_and_neither_is_named() -> None:
    generator = np.random.default_rng(8)
    node = neighbourhood(generator, seconds=20.0, noise=0.5)
    twin = (node.culprit + 1) % len(node.counts)
    node.counts[twin] = node.counts[node.culprit]
    ranking = rank(node.counts, node.queues, BIN_SECONDS)
    assert {score.channel for score in ranking[:2]} == {node.culprit, twin}
    assert ranking[0].score == pytest.approx(ranking[0].runner_up)
    assert not any(score.is_named for score in ranking)


def test_a_queue_that_echoes_a_cgroup_scores_almost_one() -> None:
    generator = np.random.default_rng(9)
    counts = generator.poisson(1.0, (3, 4096)).astype(np.float64)
    best = rank(counts, np.tile(counts[1], (3, 1)), BIN_SECONDS)[0]
    assert best.channel == 1
    assert best.score == pytest.approx(1.0, abs=0.01)
    assert best.is_named


def test_the_period_of_the_common_line_is_finer_than_a_bin_of_the_spectrum() -> None:
    times = np.arange(4096) * BIN_SECONDS
    counts = 2.0 + np.sin(2.0 * np.pi * times / 0.093)
    silent = np.zeros(4096)
    best = rank([counts, silent], [counts, counts], BIN_SECONDS)[0]
    assert best.period_seconds == pytest.approx(0.093, rel=0.002)


def test_known_lines_name_nobody() -> None:
    times = np.arange(4096) * BIN_SECONDS
    tick = 2.0 + np.sin(2.0 * np.pi * 50.0 * times)
    generator = np.random.default_rng(10)
    noise = generator.normal(size=(2, 4096))
    counts, queues = [tick, 2.0 + noise[0]], [tick + 0.1 * noise[1]] * 2
    assert rank(counts, queues, BIN_SECONDS)[0].is_named
    assert not rank(counts, queues, BIN_SECONDS, known_lines=[50.0])[0].is_named


def test_silence_scores_nothing_and_has_no_line() -> None:
    for best in rank(np.zeros((2, 1024)), np.zeros((2, 1024)), BIN_SECONDS):
        assert (best.score, best.p, best.is_named) == (0.0, 1.0, False)
        assert math.isnan(best.period_seconds)
        assert math.isnan(best.lag_seconds)


def test_less_than_a_window_scores_nothing() -> None:
    ranking = rank(np.ones((2, 100)), np.ones((2, 100)), BIN_SECONDS)
    assert [score.score for score in ranking] == [0.0, 0.0]


def test_one_channel_alone_is_no_neighbour_of_a_silent_queue() -> None:
    counts = np.random.default_rng(0).poisson(1.0, (1, 2048)).astype(np.float64)
    (only,) = rank(counts, waits_of_others(counts), BIN_SECONDS)
    assert (only.score, only.is_named) == (0.0, False)


def test_missing_bins_are_not_a_common_rhythm() -> None:
    generator = np.random.default_rng(11)
    counts = generator.poisson(5.0, (4, 4096)).astype(np.float64)
    queues = generator.poisson(5.0, (4, 4096)).astype(np.float64)
    for start in range(0, 4096, 20):  # a reader that misses 15 ms of every 100
        counts[:, start : start + 3] = queues[:, start : start + 3] = math.nan
    assert not rank(counts, queues, BIN_SECONDS)[0].is_named


def test_bins_that_come_in_pieces_give_the_ranking_of_the_whole() -> None:
    node = neighbourhood(np.random.default_rng(12), seconds=10.0, noise=1.0)
    watch = NeighbourWatch(32, BIN_SECONDS)
    start = 0
    for size in (1, 300, 64, 17, 700, 918):
        watch.push(node.counts[:, start : start + size], node.queues[:, start : start + size])
        start += size
    whole = rank(node.counts, node.queues, BIN_SECONDS)
    for piece, score in zip(watch.ranking(), whole, strict=True):
        assert piece.channel == score.channel
        assert piece.score == pytest.approx(score.score, abs=1e-5)


def test_an_old_culprit_is_forgotten() -> None:
    generator = np.random.default_rng(13)
    watch = NeighbourWatch(32, BIN_SECONDS, memory_frames=16)
    culprits = []
    for _ in range(2):
        node = neighbourhood(generator, seconds=40.0, noise=0.5)
        watch.push(node.counts, node.queues)
        culprits.append(node.culprit)
        best = watch.ranking()[0]
        assert (best.channel, best.is_named) == (node.culprit, True)
    assert culprits[0] != culprits[1]


def test_a_new_owner_of_a_channel_does_not_inherit_the_blame() -> None:
    node = neighbourhood(np.random.default_rng(14), seconds=20.0, noise=0.5)
    watch = NeighbourWatch(32, BIN_SECONDS)
    watch.push(node.counts, node.queues)
    assert watch.ranking()[0].channel == node.culprit
    watch.clear(node.culprit)
    scores = {score.channel: score.score for score in watch.ranking()}
    assert scores[node.culprit] == 0.0


def test_the_waits_of_others_leave_out_ones_own() -> None:
    waits = np.array([[1.0, 2.0, 0.0], [10.0, 0.0, math.nan]])
    assert np.array_equal(
        waits_of_others(waits), [[10.0, 0.0, math.nan], [1.0, 2.0, math.nan]], equal_nan=True
    )


def test_the_waits_of_others_keep_their_precision_beside_a_giant() -> None:
    waits = np.array([[1e3], [1e-3], [2e-3]], np.float32)
    others = waits_of_others(waits)
    assert others.dtype == np.float32
    assert others[0, 0] == pytest.approx(3e-3, rel=1e-5)


@pytest.mark.parametrize(
    ("counts", "queues"),
    [
        (np.ones(512), np.ones(512)),
        (np.ones((2, 512)), np.ones((3, 512))),
        (np.full((2, 512), math.inf), np.ones((2, 512))),
    ],
)
def test_what_cannot_be_ranked_is_refused(counts: np.ndarray, queues: np.ndarray) -> None:
    with pytest.raises(InvalidSampleError):
        rank(counts, queues, BIN_SECONDS)
    with pytest.raises(InvalidSampleError):
        NeighbourWatch(2, BIN_SECONDS).push(counts, queues)


def test_waits_without_channels_are_refused() -> None:
    with pytest.raises(InvalidSampleError, match="channels"):
        waits_of_others(np.ones(4))
