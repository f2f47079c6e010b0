# SPDX-License-Identifier: MIT
"""The records everybody passes on."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from resonance_tuning.records import HOST, Change, Setting, State, Target


def test_a_target_reads_as_kind_and_name() -> None:
    assert str(Target("cgroup", "/web")) == "cgroup /web"
    assert str(HOST) == "host"


@pytest.mark.parametrize(("prior", "is_needed"), [("700", True), ("2", False)])
def test_a_change_is_needed_unless_its_canonical_value_is_there(
    prior: str, is_needed: bool
) -> None:
    setting = Setting("cpu_weight", Target("cgroup", "/web"), "1")
    assert Change(setting, "1:2", State(prior), "2", "").is_needed is is_needed


def test_settings_can_be_keys_and_sorted() -> None:
    later, first = (Setting("nice", Target("process", name), "1") for name in ("9", "10"))
    assert sorted({later, first, later}) == [first, later]


def test_no_two_states_share_what_is_coupled() -> None:
    State("1").coupled["cpu.shares"] = "3"
    assert State("1").coupled == {}


def test_records_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        HOST.name = "other"  # type: ignore[misc]
