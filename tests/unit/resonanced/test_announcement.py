# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest

from resonance_bpf.report import LoadReport, ProgramReport, Rejection
from resonance_tuning.actuator.wire import Begun
from resonance_tuning.settings import TuningSettings
from resonanced.announcement import announcement
from resonanced.config import Settings
from resonanced.hints.settings import PoliciesSettings
from resonanced.link import Ready
from resonanced.phase.settings import PhaseSettings
from resonanced.privileges import Identity

REPORT = LoadReport(
    backend="bcc",
    tier="bcc",
    hierarchy="v2",
    programs=(
        ProgramReport(name="runqueue_switch", attached=True),
        ProgramReport(name="socket_ready", attached=False, reason="no such tracepoint"),
    ),
    rejected=(Rejection(backend="core", reason="the verifier said no"),),
)
NO_BPF = LoadReport(backend="none", tier="procfs", hierarchy="v2")
READY = Ready(metrics="http://127.0.0.1:1/metrics", hints="unix:///x.sock")
NOBODY = Identity("nobody", "nogroup", 1, 1, is_fallback=True)


def _begun(*, is_shadow: bool = False, reason: str = "") -> Begun:
    return Begun(1, boot_id="", recovered=(), capabilities=(), is_shadow=is_shadow, reason=reason)


def _text(mode: str = "observe", begun: Begun | None = None, report: LoadReport = REPORT) -> str:
    tuning = TuningSettings(mode=mode)  # type: ignore[arg-type]
    lines = announcement(report, READY, NOBODY, Settings(tuning=tuning), begun)
    assert max(map(len, lines)) < 100
    return "\n".join(lines)


def test_it_names_tier_fallbacks_missing_programs_and_places() -> None:
    text = _text()
    assert text.startswith("resonanced: observe mode, nothing on this host is changed\n")
    assert "backend  bcc, tier bcc" in text
    assert "1 of 2 programs" in text
    assert "not core: the verifier said no" in text
    assert "without socket_ready: no such tracepoint" in text
    assert "http://127.0.0.1:1/metrics" in text
    assert "unix:///x.sock" in text
    assert (
        "user     nobody, group nogroup (there is no user resonance here: run systemd-sysusers)"
        in text
    )


def test_shadow_says_that_it_changes_nothing() -> None:
    text = _text("shadow", _begun(is_shadow=True))
    assert "shadow mode, profile balanced: says what it would change, changes nothing" in text
    assert "not shadow" not in text


@pytest.mark.parametrize(
    ("mode", "how_far"), [("adaptive", "rungs 1 and 2 of"), ("active", "all of")]
)
def test_a_mode_that_changes_says_how_far_it_goes(mode: str, how_far: str) -> None:
    text = _text(mode, _begun())
    assert f"{mode} mode, {how_far} profile balanced: one knob at a time" in text
    assert "nothing on this host is changed" not in text
    assert "at the end all of it is put back, unless the profile says otherwise" in text


@pytest.mark.parametrize(
    ("mode", "what"),
    [
        ("observe", "no periodic work is moved"),
        ("shadow", "moves none"),
        ("adaptive", "a share of the sources that allow it is moved"),
        ("active", "sources that allow it are moved"),
    ],
)
def test_it_says_whether_periodic_work_is_moved(mode: str, what: str) -> None:
    settings = Settings(phase=PhaseSettings(mode=mode))  # type: ignore[arg-type]
    text = "\n".join(announcement(REPORT, READY, NOBODY, settings, None))
    assert f"  phases   {mode}: " in text
    assert what in text


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("observe", "  policies observe: clients of the SDK only count"),
        ("advise", "  policies advise: clients of the SDK say"),
    ],
)
def test_it_says_where_clients_may_not_do_what_they_choose(mode: str, said: str) -> None:
    settings = Settings(policies=PoliciesSettings(mode=mode))  # type: ignore[arg-type]
    lines = announcement(REPORT, READY, NOBODY, settings, None)
    assert any(line.startswith(said) for line in lines)
    assert not any(
        "policies" in line for line in announcement(REPORT, READY, NOBODY, Settings(), None)
    )


def test_what_is_kept_at_the_end_is_said() -> None:
    tuning = TuningSettings(mode="active", on_stop="keep")
    text = "\n".join(announcement(REPORT, READY, NOBODY, Settings(tuning=tuning), _begun()))
    assert "at the end it stays, until resonanced rollback" in text


def test_a_mode_that_cannot_be_had_is_not_claimed() -> None:
    text = _text("active", _begun(is_shadow=True, reason="this is a container"))
    assert text.startswith("resonanced: shadow mode")
    assert "not active: this is a container" in text


def test_without_histograms_nothing_can_be_proven_so_nothing_is_changed() -> None:
    text = _text("adaptive", _begun(), NO_BPF)
    assert text.startswith("resonanced: shadow mode")
    assert "not adaptive: this tier counts no histograms" in text
