# SPDX-License-Identifier: MIT
"""The catalogue of knobs: whole, in order, and cheap to import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import resonance_tuning.knobs as catalogue
from resonance_tuning.host import Host
from resonance_tuning.knobs import KNOBS, make_knobs
from resonance_tuning.planning.objections import OPT_IN

LADDER = {
    "task_idle": 1,
    "cpu_idle": 1,
    "cpu_bandwidth": 1,
    "congestion_control": 1,
    "notsent_lowat": 1,
    "pacing": 1,
    "cpu_weight": 2,
    "unit_cpu_weight": 2,
    "nice": 2,
    "autogroup": 2,
    "route_congestion": 2,
    "cpuset": 3,
    "unit_allowed_cpus": 3,
    "irq_affinity": 3,
    "rps_affinity": 3,
    "workqueue_affinity": 3,
    "cpu_dma_latency": 3,
    "cpuset_partition": 4,
    "qdisc": 4,
    "realtime": 5,
}


def test_every_knob_is_there_once_on_its_rung_and_in_order() -> None:
    names = [knob.name for knob in KNOBS]
    assert len(set(names)) == len(names)
    places = [(knob.rung, knob.name) for knob in KNOBS]
    assert places == sorted(places)
    sysctls = {knob.name: 3 for knob in KNOBS if knob.scope == "namespace"}
    assert "tcp_notsent_lowat" in sysctls
    assert {name: rung for rung, name in places} == LADDER | sysctls


def test_no_file_of_a_knob_is_forgotten() -> None:
    files = {path.stem for path in Path(catalogue.__file__).parent.glob("[a-z]*.py")}
    assert files == {knob.__module__.rpartition(".")[2] for knob in KNOBS}


def test_each_says_what_it_is_for() -> None:
    for knob in KNOBS:
        assert knob.summary.endswith(".")
        assert "\n" not in knob.summary


def test_one_of_each_is_made_in_the_same_order(tmp_path: Path) -> None:
    knobs = make_knobs(Host(tmp_path))
    assert list(knobs) == [knob.name for knob in KNOBS]
    assert knobs.keys() >= OPT_IN


def test_importing_them_brings_no_large_library() -> None:
    code = (
        "import sys, resonance_tuning.knobs\n"
        "print(*sorted({'jeepney', 'msgspec', 'numpy', 'pyroute2', 'ctypes.util'} & "
        "sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
