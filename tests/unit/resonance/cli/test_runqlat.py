# SPDX-License-Identifier: MIT
from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from fakes.hint_daemon import latency, state
from resonance.cli.runqlat import subtract
from resonance_api.hints.v1.hints_pb2 import CgroupState

from .conftest import Command, Serve


def _cgroup(
    buckets: dict[int, int], slot: int = 1, generation: int = 1, cgroup: str = "/web"
) -> CgroupState:
    return CgroupState(
        slot=slot, slot_generation=generation, cgroup=cgroup, runqueue=latency(buckets)
    )


BEFORE = state(_cgroup({1_024: 100, 4_096: 5}))
AFTER = state(_cgroup({1_024: 140, 4_096: 65, 5_120: 9, 36_864: 1}), at_seconds=5.0)


def test_text(command: Command, serve_states: Serve, golden: Callable[[str, str], None]) -> None:
    serve_states(BEFORE, AFTER)
    code, output, error = command("runqlat", "--for", "0.01")
    assert (code, error) == (0, "")
    golden("cli/runqlat.txt", output)


def test_json_has_every_bucket(command: Command, serve_states: Serve) -> None:
    daemon = serve_states(BEFORE, AFTER)
    code, output, _ = command("runqlat", "--for", "0.01", "--cgroup", "/w*", "--output", "json")
    answer = json.loads(output)
    assert code == 0
    assert answer["buckets"] == [
        {"upper_ns": 1_024, "count": 40},
        {"upper_ns": 4_096, "count": 60},
        {"upper_ns": 5_120, "count": 9},
        {"upper_ns": 36_864, "count": 1},
    ]
    assert answer["count"] == 110
    assert answer["duration_seconds"] == 5.0
    assert answer["p50_seconds"] == 4.096e-06
    assert answer["cgroups"] == ["/web"]
    assert [list(request.cgroups) for request in daemon.requests] == [["/w*"]] * 2
    assert all(request.include_histograms for request in daemon.requests)


def test_a_slot_with_a_new_owner_counts_from_its_beginning() -> None:
    after = state(_cgroup({1_024: 7}, generation=2), at_seconds=1.0)
    assert subtract(BEFORE, after).buckets == {1_024: 7}


def test_cgroups_are_added_up() -> None:
    after = state(_cgroup({8: 1}), _cgroup({8: 2, 16: 1}, slot=2), at_seconds=1.0)
    interval = subtract(state(), after)
    assert interval.buckets == {8: 3, 16: 1}
    assert interval.sum_seconds == pytest.approx(40e-9)


def test_the_quantile_is_the_upper_edge_of_the_bucket_that_holds_it() -> None:
    interval = subtract(state(), state(_cgroup({10: 50, 20: 49, 40: 1}), at_seconds=1.0))
    edges = [interval.quantile_seconds(q) for q in (0.5, 0.51, 0.99, 0.999)]
    assert edges == [10e-9, 20e-9, 20e-9, 40e-9]


def test_nobody_waited(command: Command, serve_states: Serve) -> None:
    serve_states(BEFORE)
    code, output, _ = command("runqlat", "--for", "0.01")
    assert code == 0
    assert output == "run-queue latency of /web, 0.0 s, tier core\nno task waited for a CPU\n"


def test_no_cgroup_matches(command: Command, serve_states: Serve) -> None:
    serve_states(BEFORE, AFTER)
    assert command("runqlat", "--for", "60", "--cgroup", "/db*") == (
        1,
        "",
        "resonance: no cgroup matches; `resonance hints get` lists those with a slot\n",
    )


def test_a_restarted_daemon_is_one_clear_line(command: Command, serve_states: Serve) -> None:
    serve_states(BEFORE, state(_cgroup({1_024: 1}), instance=2, at_seconds=5.0))
    assert command("runqlat", "--for", "0.01") == (
        1,
        "",
        "resonance: the daemon restarted while it was measured; run this again\n",
    )


def test_without_bpf_there_is_no_histogram_and_it_says_so(
    command: Command, serve_states: Serve
) -> None:
    serve_states(state(_cgroup({}), backend="none", tier="procfs"))
    code, output, error = command("runqlat")
    assert (code, output) == (1, "")
    assert error.startswith("resonance: the daemon runs without BPF (tier procfs)")
    assert error.count("\n") == 1


def test_a_long_path_keeps_the_text_within_80_columns(
    command: Command, serve_states: Serve
) -> None:
    long = "/kubepods.slice" * 20
    after = state(_cgroup({2**40: 10**12, 1: 1}, cgroup=long), at_seconds=5.0)
    serve_states(state(_cgroup({}, cgroup=long)), after)
    _, output, _ = command("runqlat", "--for", "0.01")
    assert max(map(len, output.splitlines())) <= 80


def test_ctrl_c_ends_the_measurement_early_and_prints(
    command: Command, serve_states: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    serve_states(BEFORE, AFTER)
    monkeypatch.setattr("resonance.cli.runqlat.time.sleep", interrupt)
    code, output, _ = command("runqlat", "--for", "60")
    assert code == 0
    assert "110 waits" in output
