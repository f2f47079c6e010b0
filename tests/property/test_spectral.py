# SPDX-License-Identifier: MIT
"""Laws of the spectra: what a shift, a scale and a piecewise feed may not change."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from resonance_core.spectral.coupling import coupling_matrix, plv, ppc
from resonance_core.spectral.entropy import entropy_excess, spectral_entropy
from resonance_core.spectral.frames import OnlineFrames, frame, hann, stack_frames
from resonance_core.spectral.neighbours import rank
from resonance_core.spectral.period import dominant_period
from resonance_core.spectral.series import BinRing
from resonance_core.spectral.tone import aboutanios_mulgrew

VALUES = st.floats(-1e6, 1e6, width=32)
ANGLES = st.floats(-10.0, 10.0)
SEEDS = st.integers(0, 2**32)


@given(arrays(np.float64, 24, elements=ANGLES), arrays(np.float64, 24, elements=ANGLES), ANGLES)
def test_locking_is_bounded_symmetric_and_blind_to_a_common_shift(
    x: np.ndarray, y: np.ndarray, shift: float
) -> None:
    locked, consistent = plv(x, y), ppc(x, y)
    assert 0.0 <= locked <= 1.0 + 1e-12
    assert -1.0 / 23 - 1e-12 <= consistent <= 1.0 + 1e-12
    assert plv(y, x) == pytest.approx(locked)
    assert plv(x + shift, y) == pytest.approx(locked)


@given(SEEDS, st.sampled_from(["ppc", "plv", "coherence"]), ANGLES)
def test_a_matrix_does_not_notice_how_loud_or_late_a_channel_is(
    seed: int, kind: str, angle: float
) -> None:
    generator = np.random.default_rng(seed)
    frames = generator.normal(size=(3, 8)) + 1j * generator.normal(size=(3, 8))
    changed = frames.copy()
    changed[1] *= 7.0 * np.exp(1j * angle)
    before = coupling_matrix(frames, kind)  # type: ignore[arg-type]
    assert coupling_matrix(changed, kind) == pytest.approx(before)  # type: ignore[arg-type]
    assert (before <= 1.0 + 1e-9).all()


@given(arrays(np.float64, 16, elements=st.floats(0.0, 1e12)))
def test_entropy_is_between_none_and_one_or_unknown(power: np.ndarray) -> None:
    entropy = float(spectral_entropy(power))
    assert math.isnan(entropy) if not power.any() else -1e-12 <= entropy <= 1.0 + 1e-12
    assert not float(entropy_excess(power)) > 1.0 + 1e-12


@given(arrays(np.float32, (2, 64), elements=st.floats(-1e3, 1e3, width=32)))
def test_a_frame_keeps_the_energy_of_its_window(samples: np.ndarray) -> None:
    found = frame(samples)
    assert found is not None
    tapered = (samples - samples.mean(axis=1, keepdims=True, dtype=np.float64)) * hann(64)
    power = np.abs(found.astype(np.complex128)) ** 2
    both_sides = 2.0 * power.sum(axis=1) - power[:, 0] - power[:, -1]
    assert both_sides / 64 == pytest.approx((tapered**2).sum(axis=1), rel=1e-3, abs=1e-2)


@given(SEEDS, st.lists(st.integers(1, 300), min_size=1, max_size=12))
def test_frames_do_not_depend_on_how_the_bins_come_in(seed: int, sizes: list[int]) -> None:
    series = np.random.default_rng(seed).normal(size=(2, sum(sizes)))
    online, frames, start = OnlineFrames(2, 0.005, 64, 16), [], 0
    for size in sizes:
        frames += online.push(series[:, start : start + size])
        start += size
    whole = stack_frames(series, 64, 16)
    assert len(frames) == whole.shape[1]
    for place, each in enumerate(frames):
        assert np.array_equal(each, whole[:, place])


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), min_size=1, max_size=10))
def test_a_ring_says_of_every_bin_what_it_was(pieces: list[tuple[int, int]]) -> None:
    ring, truth, end = BinRing(1, 16, 0.001), {}, 0
    for gap, size in pieces:
        numbers = np.arange(end + gap, end + gap + size, dtype=np.float64)
        ring.append(end + gap, numbers[np.newaxis], numbers[np.newaxis])
        truth.update({int(number): number for number in numbers})
        end += gap + size
    bins = ring.latest(16)
    for place, (count, is_missing) in enumerate(
        zip(bins.counts[0].tolist(), bins.missing.tolist(), strict=True)
    ):
        index = bins.start_index + place
        assert is_missing == (index not in truth)
        assert is_missing or count == truth[index]


@given(st.floats(0.02, 0.48), st.floats(0.01, 1e6), st.floats(-3.0, 3.0), st.floats(-1e3, 1e3))
def test_a_tone_is_found_at_any_frequency_level_and_phase(
    cycles: float, amplitude: float, phase: float, level: float
) -> None:
    series = amplitude * np.cos(2.0 * np.pi * cycles * np.arange(500) + phase)
    tone = aboutanios_mulgrew(series + amplitude * level, iterations=6)
    assert tone.cycles_per_sample == pytest.approx(cycles, abs=1e-4)
    assert tone.amplitude == pytest.approx(amplitude, rel=0.02)


@given(
    arrays(
        np.float64,
        st.integers(0, 300),
        elements=st.one_of(st.just(0.0), st.just(math.nan), st.floats(0.0, 1e9)),
    )
)
def test_any_series_has_an_answer_and_a_reason(series: np.ndarray) -> None:
    found = dominant_period(series, 0.005)
    assert found.reason
    assert math.isnan(found.seconds) or found.seconds >= 2 * 0.005 * 0.99
    assert 0.0 <= found.rayleigh_p <= 1.0
    assert not (found.is_confirmed and math.isnan(found.seconds))


@given(SEEDS, st.floats(1e-6, 1e6))
def test_a_ranking_does_not_depend_on_units(seed: int, scale: float) -> None:
    generator = np.random.default_rng(seed)
    counts = generator.poisson(1.0, (3, 1024)).astype(np.float64)
    queue = np.roll(counts[0], 3) + generator.normal(size=1024)
    queues = np.tile(queue, (3, 1))
    before = rank(counts, queues, 0.005)
    after = rank(counts, queues * scale, 0.005)
    for one, other in zip(before, after, strict=True):
        assert 0.0 <= one.score <= 1.0
        assert one.score == pytest.approx(other.score, abs=1e-3)
