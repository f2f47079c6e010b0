# SPDX-License-Identifier: MIT
from __future__ import annotations

import numpy as np
import pytest

from fakes.tuned_node import waits
from resonance_bpf.layouts import BUCKET_UPPER_NS
from resonance_tuning.guard import Guard
from resonance_tuning.trials.evidence import Counts, Reading
from resonance_tuning.trials.trial import Gathering, Sample
from resonance_tuning.trials.view import View, Viewer

NOTHING = np.zeros(len(BUCKET_UPPER_NS), np.uint64)


def view(viewer: Viewer, **groups: tuple[float, float]) -> View:
    """Look at a window of groups with these p99 of waits and round trips."""
    generator = np.random.default_rng(1)

    def counts(p99: float) -> Counts:
        return waits(generator, p99, 1_000) if p99 else NOTHING

    gathering = Gathering(20.0)
    for _ in range(20):
        readings = {
            f"/{name}": Reading(counts(runqueue), counts(srtt))
            for name, (runqueue, srtt) in groups.items()
        }
        gathering.add(Sample(1.0, readings, busy_cpus=0.5))
    assert gathering.is_full
    return viewer.view(gathering)


def test_the_worst_group_is_the_one_furthest_from_its_objective() -> None:
    guard = Guard(slo_runqueue_p99_seconds=0.002)
    shown = view(Viewer(guard, BUCKET_UPPER_NS), web=(0.004, 0.0), db=(0.006, 0.0), idle=(0.0, 0.0))
    assert shown.worst("runqueue") == "/db"
    assert shown.loads["runqueue"]["/web"] == pytest.approx(2.0, rel=0.1)
    assert "/idle" not in shown.loads["runqueue"]
    assert shown.worst("srtt") == ""
    assert shown.busy_cpus == 0.5


def test_a_standing_queue_does_not_hide_how_short_the_path_is() -> None:
    viewer = Viewer(Guard(), BUCKET_UPPER_NS)
    short = view(viewer, web=(0.0, 0.02)).paths["/web"]
    now, shortest = view(viewer, web=(0.0, 0.4)).paths["/web"]
    assert shortest == short[1]
    assert now.shortest_seconds > 10 * shortest
    assert view(viewer, web=(0.0, 0.4)).loads["srtt"]["/web"] > 1.0


def test_a_group_that_went_away_is_forgotten() -> None:
    viewer = Viewer(Guard(), BUCKET_UPPER_NS)
    view(viewer, web=(0.0, 0.02))
    view(viewer, db=(0.0, 0.02))
    _, shortest = view(viewer, web=(0.0, 0.4)).paths["/web"]
    assert shortest > 0.01


def test_a_group_that_was_there_too_shortly_has_no_window() -> None:
    gathering = Gathering(10.0)
    reading = Reading(NOTHING)
    for second in range(10):
        groups = {"/web": reading} | ({"/new": reading} if second > 2 else {})
        gathering.add(Sample(1.0, groups))
    assert list(gathering.windows()) == ["/web"]
    assert Gathering(10.0).windows() == {}
