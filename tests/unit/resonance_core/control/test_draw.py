# SPDX-License-Identifier: MIT
from __future__ import annotations

import numpy as np

from resonance_core.control.draw import Draw


def test_the_first_words_are_those_of_the_published_generator() -> None:
    draw = Draw(0)
    words = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert [draw.random() for _ in words] == [(word >> 11) / 2.0**53 for word in words]


def test_a_seed_gives_the_same_numbers_again_and_another_gives_others() -> None:
    one, same, other = ([draw.random() for _ in range(4)] for draw in (Draw(7), Draw(7), Draw(8)))
    assert one == same != other


def test_numbers_are_spread_evenly_from_0_to_1() -> None:
    draw = Draw(3)
    counts, _ = np.histogram([draw.random() for _ in range(10_000)], 20, (0.0, 1.0))
    assert counts.sum() == 10_000
    assert np.abs(counts - 500.0).max() < 4.0 * np.sqrt(500.0)
