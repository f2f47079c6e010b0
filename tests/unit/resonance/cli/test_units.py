# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import pytest

from resonance.cli.units import (
    count_text,
    cpus_text,
    duration_text,
    moment_text,
    path_text,
    quantity_text,
    safe_text,
)


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
        (math.nan, "-"),
        (math.inf, "inf"),
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


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (1e-16, "0"), (-1e-16, "0"), (-0.25, "-250ms"), (0.1, "100ms")]
)
def test_moments(value: float, text: str) -> None:
    assert moment_text(value) == text


@pytest.mark.parametrize(
    ("name", "value", "label_and_text"),
    [
        ("held_seconds", 0.0147, ("held", "14.7ms")),
        ("delay_bound_seconds", math.inf, ("delay bound", "inf")),
        ("target_phase_rad", math.nan, ("target phase", "-")),
        ("phase_rad", math.pi, ("phase", "180 deg")),
        ("natural_frequency_hz", 10.0, ("natural frequency", "10 Hz")),
        ("predicted_ratio", 0.123, ("predicted ratio", "0.12")),
        ("rayleigh_p", 1.9e-7, ("rayleigh p", "1.9e-07")),
        ("jitter", -0.0, ("jitter", "0")),
    ],
)
def test_quantities_are_read_by_their_unit(
    name: str, value: float, label_and_text: tuple[str, str]
) -> None:
    assert quantity_text(name, value) == label_and_text


def test_what_steers_the_terminal_is_not_written() -> None:
    assert safe_text("a\33[2J\rb\u202e") == "a?[2J?b?"
