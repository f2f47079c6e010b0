# SPDX-License-Identifier: MIT
from __future__ import annotations

import numpy as np
import pytest

from resonance_core.control.sequence import arm, boundary, difference


def test_a_boundary_is_wider_than_that_of_a_test_at_a_fixed_size() -> None:
    assert boundary(12.0, 0.05) > 1.96
    assert boundary(12.0, 0.01) > boundary(12.0, 0.05)


def test_a_boundary_is_narrowest_at_a_dozen_pairs() -> None:
    widths = {pairs: boundary(pairs, 0.01) for pairs in (2.0, 12.0, 500.0)}
    assert widths[12.0] < widths[2.0]
    assert widths[12.0] < widths[500.0]


def test_looking_after_every_chunk_seldom_finds_what_is_not_there() -> None:
    random = np.random.default_rng(11)
    false = 0
    for _ in range(200):
        shadow = random.binomial(700, 0.05, 6) / 700.0
        active = random.binomial(700, 0.05, 48) / 700.0
        control = arm(list(shadow), [700.0] * 6)
        for chunks in range(6, 49):
            low, high = difference(arm(list(active[:chunks]), [700.0] * chunks), control, 1.0, 0.01)
            if low > 0.0 or high < 0.0:
                false += 1
                break
    assert false <= 6  # 1 % of 200, and three standard errors


def test_a_halved_share_is_found() -> None:
    random = np.random.default_rng(12)
    shadow = arm(list(random.binomial(2000, 0.2, 12) / 2000.0), [2000.0] * 12)
    active = arm(list(random.binomial(2000, 0.1, 12) / 2000.0), [2000.0] * 12)
    assert difference(active, shadow, 1.0, 0.01)[1] < 0.0


def test_a_doubled_share_is_more_than_a_tenth_of_harm() -> None:
    random = np.random.default_rng(13)
    shadow = arm(list(random.binomial(2000, 0.05, 12) / 2000.0), [2000.0] * 12)
    active = arm(list(random.binomial(2000, 0.15, 12) / 2000.0), [2000.0] * 12)
    assert difference(active, shadow, 1.1, 0.01)[0] > 0.0


def test_shares_of_nothing_still_have_a_variance() -> None:
    assert arm([0.0] * 6, [10.0] * 6).variance > 0.0


def test_few_waits_make_a_wide_prior() -> None:
    few, many = arm([0.05] * 6, [20.0] * 6), arm([0.05] * 6, [20_000.0] * 6)
    assert few.variance > 10.0 * many.variance
    assert few.mean == pytest.approx(many.mean)
