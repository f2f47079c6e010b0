# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest

from resonance.cli.units import count_text, cpus_text, duration_text, path_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0ns"),
        (1e-9, "1ns"),
        (999e-9, "999ns"),
        (999.6e-9, "1.00us"),
        (1.024e-6, "1.02us"),
        (9.999e-6, "10.0us"),
        (99.99e-6, "100us"),
        (999.9e-6, "1.00ms"),
        (1.0, "1.00s"),
        (1099.5, "1100s"),
        (20_000.0, "6h"),
        (None, "-"),
    ],
)
def test_durations(value: float | None, text: str) -> None:
    assert duration_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (7, "7"), (0.5, "0.50"), (999.9, "1.00k"), (12_345, "12.3k"), (2e9, "2G")],
)
def test_counts(value: float, text: str) -> None:
    assert count_text(value) == text


@pytest.mark.parametrize(
    ("cpus", "text"),
    [((), ""), ((3,), "3"), ((0, 1, 2, 5), "0-2,5"), (tuple(range(0, 16, 2)), "0,2,4,6,8…")],
)
def test_cpus(cpus: tuple[int, ...], text: str) -> None:
    assert cpus_text(cpus, 10) == text


@pytest.mark.parametrize("exponent", range(-9, 5))
@pytest.mark.parametrize("mantissa", [1.0, 1.0049, 9.994, 9.996, 9.9951])
def test_no_duration_is_wider_than_its_column(exponent: int, mantissa: float) -> None:
    assert len(duration_text(mantissa * 10.0**exponent)) <= 6


def test_a_path_keeps_its_end() -> None:
    assert path_text("/system.slice/web.service", 12) == "…web.service"
    assert path_text("/short", 12) == "/short"
