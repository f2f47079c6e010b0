# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
from typing import NoReturn

import pytest

from resonance_tuning import capabilities
from resonanced.errors import StartError
from resonanced.privileges import UNIT_CAPABILITIES, Identity, demand_capabilities, drop


def _hold(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(capabilities, "current", lambda: {"CapEff": frozenset(names)})


def test_what_the_unit_has_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    _hold(monkeypatch, *UNIT_CAPABILITIES)
    demand_capabilities()


def test_what_only_costs_a_tier_or_a_knob_is_not_demanded(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = ("CAP_CHOWN", "CAP_SETGID", "CAP_SETUID", "CAP_KILL", "CAP_DAC_OVERRIDE")
    _hold(monkeypatch, *needed)
    demand_capabilities()


def test_all_that_is_missing_is_told_at_once_with_what_it_is_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _hold(monkeypatch, *set(UNIT_CAPABILITIES) - {"CAP_SETUID", "CAP_KILL"})
    with pytest.raises(StartError) as caught:
        demand_capabilities()
    assert str(caught.value) == (
        "CAP_SETUID, CAP_KILL: missing, and needed to become the daemon's user, end the daemon;"
        " grant it: CapabilityBoundingSet= of a unit, --cap-add of a container"
    )
    assert caught.value.exit_code == 1, "2 would keep the unit from being started again"


@pytest.mark.parametrize("call", ["setgroups", "setresgid", "setresuid"])
def test_a_user_that_cannot_be_become_is_one_line(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise PermissionError(1, "Operation not permitted")

    for name in ("setgroups", "setresgid", "setresuid"):
        monkeypatch.setattr(os, name, refuse if name == call else lambda *_: None)
    with pytest.raises(StartError, match=r"cannot become this user \(Operation not permitted\)"):
        drop(Identity("resonance", "resonance", 995, 995, is_fallback=False))
