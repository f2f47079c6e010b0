# SPDX-License-Identifier: MIT
from __future__ import annotations

import math
from typing import Any

import pytest

from resonance_core.control.parameters import Parameters
from resonance_core.errors import InvalidSampleError


def test_the_defaults_are_allowed() -> None:
    assert Parameters().floor_seconds == pytest.approx(0.00015)


@pytest.mark.parametrize(
    "wrong",
    [
        {"r_band": (0.7, 0.3)},
        {"r_band": (math.nan, 0.5)},
        {"k_min": 0.0},
        {"k_max": 2.0},
        {"k_min": 0.5, "k_max": 0.1},
        {"max_slew_seconds": -1.0},
        {"max_slew_ratio": math.nan},
        {"cores": 0.0},
        {"confidence": 1.0},
        {"canary_ratio": 0.0},
        {"act_ratio": 1.5},
        {"shadow_block_ratio": -0.1},
        {"harm_ratio": 0.5},
        {"harm_ratio": math.inf},
        {"estimate_cycles": 1},
        {"chunk_cycles": 0},
        {"baseline_chunks": 0},
        {"max_sources": 0},
        {"min_period_seconds": 10.0, "max_period_seconds": 1.0},
        {"max_period_seconds": math.inf},
    ],
    ids=str,
)
def test_parameters_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidSampleError, match="|".join(wrong)):
        Parameters(**wrong)
