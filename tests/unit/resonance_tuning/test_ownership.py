# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
from pathlib import Path

import pytest

from resonance_tuning.journal import Journal
from resonance_tuning.ownership import note_owner, steps_left_by_services
from resonance_tuning.records import Change, Setting, State, Target

BOOT = "0" * 36


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal", BOOT)


def _turn(journal: Journal, name: str) -> int:
    journal.begin("p", "r")
    setting = Setting("k", Target("cgroup", name), "1")
    step = journal.intent(Change(setting, "1:1", State("0"), "1", "r"), "boot")
    journal.done(step, "1")
    return step


def _as(pid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getpid", lambda: pid)


def test_what_a_dead_service_left_is_found_and_what_a_hand_did_is_not(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with journal:
        _as(100, monkeypatch)
        note_owner(journal, at_end="restore")
        ours = _turn(journal, "/service")
        _as(101, monkeypatch)
        note_owner(journal, at_end="keep")
        _turn(journal, "/hand")
        _as(102, monkeypatch)
        assert steps_left_by_services(journal) == {ours}


def test_what_a_dead_one_of_our_own_number_left_is_found_too(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with journal:
        _as(100, monkeypatch)
        note_owner(journal, at_end="restore")
        step = _turn(journal, "/service")
        assert steps_left_by_services(journal) == {step}


def test_the_number_of_a_process_may_come_again(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter(range(1_000, 2_000))
    monkeypatch.setattr("time.time", lambda: float(next(moments)))
    with journal:
        _as(100, monkeypatch)
        note_owner(journal, at_end="restore")
        service = _turn(journal, "/service")
        note_owner(journal, at_end="keep")
        _turn(journal, "/hand")
        _as(101, monkeypatch)
        assert steps_left_by_services(journal) == {service}


def test_a_clock_that_was_set_back_hides_nothing(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter(range(2_000, 1_000, -1))
    monkeypatch.setattr("time.time", lambda: float(next(moments)))
    with journal:
        _as(100, monkeypatch)
        note_owner(journal, at_end="keep")
        _turn(journal, "/hand")
        _as(101, monkeypatch)
        assert steps_left_by_services(journal) == set()


def test_a_clock_that_was_set_back_does_not_give_a_services_change_to_a_hand(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter(range(2_000, 1_000, -1))
    monkeypatch.setattr("time.time", lambda: float(next(moments)))
    with journal:
        _as(100, monkeypatch)
        note_owner(journal, at_end="restore")
        service = _turn(journal, "/service")
        note_owner(journal, at_end="keep")  # another of that number
        _turn(journal, "/hand")
        assert steps_left_by_services(journal) == {service}


def test_a_change_without_a_note_is_put_back(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with journal:
        _as(100, monkeypatch)
        step = _turn(journal, "/x")
        _as(101, monkeypatch)
        assert steps_left_by_services(journal) == {step}
