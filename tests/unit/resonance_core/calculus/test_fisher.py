# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest

from resonance_core.calculus.fisher import (
    poisson_information,
    sinusoid_frequency_bound_hz,
    sinusoid_phase_bound_rad,
    von_mises_information,
    von_mises_resultant,
    wrapped_normal_resultant,
)
from resonance_core.calculus.phasor import mean_phase, spread
from resonance_core.errors import InvalidSampleError


def test_information_of_events_around_a_phase() -> None:
    found = [von_mises_information(kappa) for kappa in (1.0, 2.0, 5.0, 10.0)]
    assert found == pytest.approx([0.446390, 1.395549, 4.466916, 9.485998], abs=1e-6)
    assert von_mises_resultant(2.0) == pytest.approx(0.697775, abs=1e-6)
    assert von_mises_information(0.0) == 0.0
    assert von_mises_resultant(1e6) == pytest.approx(1.0, abs=1e-6)


def test_information_of_a_modulated_rate() -> None:
    found = [poisson_information(depth) for depth in (0.3, 0.6, 0.9)]
    assert found == pytest.approx([0.046061, 0.2, 0.564110], abs=1e-6)
    assert (poisson_information(0.0), poisson_information(1.0)) == (0.0, 1.0)


def test_the_resultant_of_a_wrapped_normal_and_back() -> None:
    assert wrapped_normal_resultant(0.5) == pytest.approx(0.882497, abs=1e-6)
    assert spread(wrapped_normal_resultant(0.7)) == pytest.approx(0.7, abs=1e-12)


def test_bounds_of_a_sinusoid() -> None:
    assert sinusoid_frequency_bound_hz(4096, 1.0, 1_000.0) == pytest.approx(0.0021033, abs=1e-6)
    assert sinusoid_phase_bound_rad(4096, 1.0) == pytest.approx(0.03124, abs=5e-6)
    quiet = sinusoid_frequency_bound_hz(4096, 100.0, 1_000.0)
    assert quiet == pytest.approx(sinusoid_frequency_bound_hz(4096, 1.0, 1_000.0) / 10.0)


@pytest.mark.parametrize(("kappa", "n"), [(2.0, 16), (5.0, 8), (50.0, 64)])
def test_the_mean_phase_attains_the_bound(kappa: float, n: int) -> None:
    generator = np.random.default_rng(n)
    draws = 3_000
    found = np.array([mean_phase(each) for each in generator.vonmises(1.0, kappa, (draws, n))])
    rmse = math.sqrt(np.mean((found - 1.0) ** 2))
    bound = 1.0 / math.sqrt(n * von_mises_information(kappa))
    assert 1.0 - 3.0 / math.sqrt(2.0 * draws) < rmse / bound <= 1.08


@pytest.mark.parametrize("jitter", [0.005, 0.02, 0.05, 0.1])
def test_the_mean_of_sixteen_cycles_is_a_quarter_of_the_jitter(jitter: float) -> None:
    generator = np.random.default_rng(7)
    deviation = 2.0 * math.pi * jitter  # of a period, up to a tenth
    draws = 3_000
    phases = 1.0 + deviation * generator.standard_normal((draws, 16))
    rmse = math.sqrt(np.mean([(mean_phase(each) - 1.0) ** 2 for each in phases]))
    assert rmse / (deviation / 4.0) <= 1.05


def test_what_has_no_information_is_refused() -> None:
    for call in (
        lambda: von_mises_information(-1.0),
        lambda: von_mises_resultant(math.inf),
        lambda: poisson_information(1.1),
        lambda: poisson_information(math.nan),
        lambda: wrapped_normal_resultant(-0.1),
        lambda: sinusoid_frequency_bound_hz(1, 1.0, 1.0),
        lambda: sinusoid_frequency_bound_hz(8, 0.0, 1.0),
        lambda: sinusoid_phase_bound_rad(8, math.nan),
    ):
        with pytest.raises(InvalidSampleError):
            call()
