# SPDX-License-Identifier: MIT
from __future__ import annotations

import dataclasses
import math
import random

import pytest

from fakes.hint_daemon import state
from fakes.rhythm import BIN_SECONDS, FLUSHERS, RHYTHM, aligned, series, source
from resonance.cli.spectrum.findings import beat_findings, wheel_findings
from resonance.cli.spectrum.view import View, view_of
from resonance_api.phase.v1.phase_pb2 import Series, SourcePhase, SpectrumResponse

QUIET = state()


def _heard(*of: Series, missing_bins: range = range(0)) -> str:
    answer = SpectrumResponse(bin_seconds=BIN_SECONDS, series=of, missing_bins=missing_bins)
    return " ".join(beat_findings(view_of(answer, QUIET)))


def _seen(*sources: SourcePhase, mode: str = "shadow") -> str:
    view = view_of(SpectrumResponse(bin_seconds=BIN_SECONDS, sources=sources), QUIET)
    return " ".join(wheel_findings(dataclasses.replace(view, mode=mode)))


def _constant(value: float) -> Series:
    return Series(cgroup="/web", wait_seconds=[value] * 4096)


def test_a_rhythm_and_the_neighbour_who_makes_it_are_named() -> None:
    found = " ".join(beat_findings(view_of(aligned(), state(rhythm=RHYTHM))))
    assert found.startswith("A rhythm every 100ms (10 Hz): ")
    assert "The others queue 5.00ms after /flush.slice does; coherence 0.93." in found
    assert "other" not in found.partition("/flush.slice")[2]


def test_noise_has_no_rhythm() -> None:
    assert _heard(series("/web")).startswith("No rhythm in the queue: ")


def _beat(**changes: object) -> str:
    view = view_of(aligned(), QUIET)
    assert view.beat is not None
    beat = dataclasses.replace(view.beat, is_confirmed=False, **changes)  # type: ignore[arg-type]
    return next(beat_findings(dataclasses.replace(view, beat=beat)))


def test_what_just_does_not_count_is_not_rounded_up() -> None:
    found = _beat(entropy_excess=0.149)
    assert found == "No rhythm in the queue: 14% less random than noise; from 15% it counts."


def test_why_a_line_is_nobodys_is_told() -> None:
    found = _beat(entropy_excess=0.3, reason="it is a line of the kernel's tick")
    assert found.endswith("30% less random than noise: it is a line of the kernel's tick.")


def test_what_cannot_be_told_is_said() -> None:
    assert _beat(entropy_excess=math.nan).startswith("Too little was recorded")


def test_silence_is_told_from_blindness() -> None:
    assert "No task waited" in _heard(_constant(0.0))
    assert "no time bins" in _heard()
    assert "No bin could be read" in _heard(_constant(0.0), missing_bins=range(4096))
    assert "Too short" in _heard(Series(cgroup="/web", wait_seconds=[0.1, 0.2]))


def test_gaps_are_told() -> None:
    found = _heard(series("/web", period_bins=20), missing_bins=range(400))
    assert found.startswith("10% of the time was not recorded and is left blank.")
    assert "A rhythm every 100ms" in found


@pytest.mark.parametrize(
    ("mode", "sentence"),
    [
        ("shadow", "Mode shadow moves nothing; the plan would leave"),
        ("observe", "Mode observe moves nothing; the plan would leave"),
        ("", "Mode observe moves nothing; the plan would leave"),
        ("active", "They are being moved; the plan leaves"),
    ],
)
def test_the_gain_is_told_by_mode(mode: str, sentence: str) -> None:
    found = _seen(*FLUSHERS, mode=mode)
    assert found.startswith("In step (R 1.00; 1 is in step, 0 is chance): they pile up 29.5ms")
    assert f"{sentence} 3.75ms of 29.5ms (x0.13)." in found


def test_who_is_left_alone_in_an_active_mode_is_not_said_to_be_moved() -> None:
    view = view_of(SpectrumResponse(bin_seconds=BIN_SECONDS, sources=FLUSHERS), QUIET)
    view = dataclasses.replace(
        view, mode="active", guard_state="shadow", guard_reason="the node is overloaded"
    )
    found = " ".join(wheel_findings(view))
    assert "Left alone (the node is overloaded); the plan would leave" in found
    assert "being moved" not in found


def test_a_spread_beyond_chance_is_told_what_it_is() -> None:
    spread = [SourcePhase() for _ in FLUSHERS]
    for turn, (each, before) in enumerate(zip(spread, FLUSHERS, strict=True)):
        each.CopyFrom(before)
        each.phase_rad = math.tau * turn / len(spread)
    assert "; 0 is chance, less is more even)" in _seen(*spread)


def test_what_the_holds_brought_is_told() -> None:
    held = [source(f"{at}", 0.0, phase_rad=math.tau * at / 4) for at in range(4)]
    found = _seen(*held, mode="active")
    assert found.startswith("Spread out (R -0.")
    assert "The holds in force leave 3.75ms of 15.0ms (x0.25)." in found


def test_a_gain_too_small_is_not_praised() -> None:
    dice = random.Random(2)
    spread = [source(f"{at}", at / 8 + 0.02 * dice.random(), at / 8) for at in range(8)]
    assert "Moving them is not worth it" in _seen(*spread)


def test_clusters_that_fool_the_order_parameter_still_pile_up() -> None:
    clusters = [source(f"{at}", at % 2 / 2, at / 8) for at in range(8)]
    found = _seen(*clusters)
    assert found.startswith("Spread out")
    assert "the plan would leave 3.75ms of 15.0ms (x0.25)" in found


def test_what_is_not_on_the_wheel_is_counted() -> None:
    found = _seen(
        *FLUSHERS,
        source("slow", 0.1, period_seconds=7.3),
        source("new", 0.0, phase_rad=math.nan, natural_phase_rad=math.nan),
    )
    assert found.endswith("Not on this wheel: 1 of another period, 1 of no phase yet.")


def test_unknown_work_and_single_sources_are_told() -> None:
    assert "not known yet" in _seen(*(source(f"{at}", 0, work_seconds=math.nan) for at in range(3)))
    assert _seen(source("one", 0.2)) == "A single source has nobody to be in step with."
    assert "resonance.every(...)" in _seen()


def test_a_view_adds_up_what_waited() -> None:
    answer = SpectrumResponse(bin_seconds=0.005, series=[_constant(0.005), _constant(0.0025)])
    view: View = view_of(answer, QUIET)
    assert view.waiting == pytest.approx(1.5)
    assert (view.whose, view.duration_seconds) == ("2 cgroups", pytest.approx(20.48))


def test_a_cgroup_that_came_later_hides_nobody() -> None:
    late = Series(cgroup="/late", wait_seconds=[math.nan] * 2048 + [0.0025] * 2048)
    answer = SpectrumResponse(bin_seconds=0.005, series=[_constant(0.005), late])
    view = view_of(answer, QUIET)
    assert view.missing_ratio == 0.0
    assert view.waiting == pytest.approx(1.25)
