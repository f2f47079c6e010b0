# SPDX-License-Identifier: MIT
from __future__ import annotations

import doctest
import re
from dataclasses import asdict
from importlib import resources
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resonance.bench.report import labels
from resonance.bench.report.labels import apart, decades, shortened
from resonance.bench.report.palette import LIGHT, MARKED, with_variables


@given(st.lists(st.floats(-1.0, 2.0), min_size=1, max_size=14))
def test_labels_keep_apart_in_order_and_in_their_room(places: list[float]) -> None:
    gap = 0.05
    found = apart(places, gap, 0.0, 1.0)
    assert all(-1e-9 <= place <= 1.0 + 1e-9 for place in found)
    assert all(after - before >= gap - 1e-9 for before, after in pairwise(sorted(found)))
    pairs = sorted(zip(places, found, strict=True))
    assert [place for _, place in pairs] == sorted(found)


def test_labels_that_have_room_stand_where_they_want_to() -> None:
    assert apart([0.9, 0.1, 0.5], 0.1, 0.0, 1.0) == [0.9, 0.1, 0.5]


def test_too_many_labels_share_the_room_evenly() -> None:
    assert apart([0.5] * 5, 1.0, 0.0, 1.0) == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0])


@given(st.floats(1e-6, 1e3), st.floats(1.2, 1e7))
def test_ticks_are_few_and_within_their_axis(low: float, times: float) -> None:
    found = decades(low, low * times, most=5)
    assert len(found) <= 5
    assert all(low <= tick <= low * times for tick in found)


@pytest.mark.parametrize(
    ("name", "cut"),
    [
        ("p2c", "p2c"),
        ("pressure, own cgroup", "pressur…cgroup"),
        ("a" * 14, "a" * 14),
        ("line\nbreak", "line?break"),
    ],
)
def test_names_keep_both_their_ends(name: str, cut: str) -> None:
    assert shortened(name, 14) == cut


def test_numbers_are_written_as_their_examples_say() -> None:
    assert doctest.testmod(labels).failed == 0


def _declared(css: str) -> dict[str, str]:
    return dict(re.findall(r"--(\w+): (#\w+);", css))


def test_pictures_have_the_colours_of_the_light_page() -> None:
    css = resources.files("resonance.bench.report").joinpath("style.css").read_text("utf-8")
    assert _declared(css[: css.index("@media")]) == asdict(LIGHT)
    dark, print_ = re.findall(r"@media [^{]*\{\s*:root \{(.*?)\}", css, re.DOTALL)[:2]
    assert _declared(dark).keys() == _declared(print_).keys() == asdict(LIGHT).keys()


def test_each_marked_colour_becomes_its_variable() -> None:
    drawn = "".join(f"fill: {colour};" for colour in asdict(MARKED).values())
    assert with_variables(drawn) == "".join(f"fill: var(--{name});" for name in asdict(LIGHT))
