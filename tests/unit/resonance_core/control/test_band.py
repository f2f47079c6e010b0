# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import pytest

from resonance_core.control.band import Band
from resonance_core.control.parameters import Parameters


def test_the_band_arms_above_and_clears_below_and_keeps_between() -> None:
    band = Band(Parameters())
    seen = []
    for order_parameter in (0.5, 0.7, 0.5, 0.3, 0.5):
        band.update(order_parameter, 16.0)
        seen.append(band.is_armed)
    assert seen == [False, True, True, False, False]


@pytest.mark.parametrize(("order_parameter", "sources"), [(1.0, 10.0), (math.nan, 16.0)])
def test_what_chance_explains_does_not_arm(order_parameter: float, sources: float) -> None:
    band = Band(Parameters())
    band.update(order_parameter, sources)
    assert not band.is_armed


def test_alignment_raises_the_coupling_to_its_limit_and_not_beyond() -> None:
    band = Band(Parameters())
    for _ in range(50):
        band.update(1.0, 16.0)
    assert band.coupling == 1.0


def test_spread_phases_let_the_coupling_fall_at_once_however_long_it_was_high() -> None:
    band = Band(Parameters())
    for _ in range(500):
        band.update(1.0, 16.0)
    for _ in range(6):
        band.update(-0.3, 16.0)
    assert band.coupling == pytest.approx(0.05)


def test_the_coupling_stays_within_other_limits_too() -> None:
    band = Band(Parameters(k_min=0.1, k_max=0.4))
    for order_parameter in (1.0, -1.0, 0.5, 1.0, math.nan):
        band.update(order_parameter, 16.0)
        assert 0.1 <= band.coupling <= 0.4
