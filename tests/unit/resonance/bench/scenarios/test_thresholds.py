# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest

from fakes.bench_measuring import measured
from resonance.bench.digest import Outcome
from resonance.bench.errors import PlanError
from resonance.bench.scenarios import parse_threshold


@pytest.mark.parametrize(
    ("text", "name", "comparison", "bar"),
    [
        ("p99<20ms", "p99", "<", 0.020),
        ("p99.9 <= 0.1s", "p99.9", "<=", 0.1),
        ("p50<0.01", "p50", "<", 0.01),
        ("max<=1s", "max", "<=", 1.0),
        ("failed<1%", "failed", "<", 0.01),
        ("failed<=0", "failed", "<=", 0.0),
        ("achieved >= 99.5%", "achieved", ">=", 0.995),
        ("p50>1ms", "p50", ">", 0.001),
    ],
)
def test_what_people_write_is_understood(text: str, name: str, comparison: str, bar: float) -> None:
    threshold = parse_threshold(text)
    assert (threshold.name, threshold.comparison) == (name, comparison)
    assert threshold.bar == pytest.approx(bar)
    assert " " not in threshold.text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no threshold"),
        ("p99", "no threshold"),
        ("p99=20ms", "no threshold"),
        ("p99<20ms and more", "no threshold"),
        ("p98<20ms", "p98 is not measured; known: p50, p90"),
        ("p99<soon", "no duration"),
        ("p99<1%", "no duration"),
        ("failed<20ms", "no share"),
        ("failed<101%", "no share"),
        ("failed<-1", "no share"),
        ("achieved>nan", "no share"),
    ],
)
def test_what_is_none_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(PlanError, match=reason) as raised:
        parse_threshold(text, "thresholds[0]")
    assert raised.value.key == "thresholds[0]"


def test_the_comparison_is_strict_where_it_says_so() -> None:
    assert not parse_threshold("failed<1%").is_met(0.01)
    assert parse_threshold("failed<=1%").is_met(0.01)
    assert not parse_threshold("achieved>99%").is_met(0.99)
    assert parse_threshold("achieved>=99%").is_met(0.99)


def test_the_number_is_that_of_the_slot() -> None:
    slot = measured(outcomes=(Outcome.OK,) * 99 + (Outcome.RESET,)).slot
    assert parse_threshold("failed<1").value(slot) == pytest.approx(0.01)
    assert parse_threshold("achieved>0").value(slot) == 1.0
    assert parse_threshold("p99<1s").value(slot) == slot.quantile(0.99)
    assert parse_threshold("max<1s").value(slot) == slot.quantile(1.0)


@pytest.mark.parametrize(("name", "needed"), [("p50", 2), ("p99", 100), ("p99.9", 1_000)])
def test_a_quantile_without_an_answer_beyond_it_is_not_known(name: str, needed: int) -> None:
    threshold = parse_threshold(f"{name}<1s")
    assert threshold.value(measured(calls=needed - 1).slot) is None
    assert threshold.value(measured(calls=needed).slot) is not None
