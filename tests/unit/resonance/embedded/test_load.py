# SPDX-License-Identifier: MIT
from __future__ import annotations

from pathlib import Path

import pytest

from resonance.embedded._load import Load


@pytest.fixture
def stat(tmp_path: Path) -> Path:
    path = tmp_path / "stat"
    path.write_text("cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 2 3\n")
    return path


def test_the_share_of_time_that_was_not_idle(stat: Path) -> None:
    load = Load(stat)
    stat.write_text("cpu  130 10 120 730 110 0 0 0 60 0\n")
    assert load.busy_ratio() == pytest.approx(0.6)


def test_no_time_has_no_share(stat: Path) -> None:
    assert Load(stat).busy_ratio() is None


@pytest.mark.parametrize("text", ["", "cpu\n", "cpu 1 2 x 4 5\n", "intr 1"])
def test_what_cannot_be_read_is_not_known(stat: Path, text: str) -> None:
    load = Load(stat)
    stat.write_text(text)
    assert load.busy_ratio() is None
    assert load.busy_ratio() is None


def test_a_host_without_the_file_is_not_known(tmp_path: Path) -> None:
    assert Load(tmp_path / "nothing").busy_ratio() is None


def test_this_host_is_known() -> None:
    load = Load()
    while (ratio := load.busy_ratio()) is None:
        pass
    assert 0.0 <= ratio <= 1.0
