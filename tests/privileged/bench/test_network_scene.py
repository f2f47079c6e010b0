# SPDX-License-Identifier: MIT
"""The network scene on this kernel, shortened: what must hold however fast it is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from resonance.bench.errors import ExperimentError
from resonance.bench.records import Scene
from resonance.bench.reference import network
from resonance.bench.reference.daemon import applied
from resonance.bench.reference.network.links import FAR, Link, enter, link, namespaces

pytestmark = [pytest.mark.privileged, pytest.mark.timeout(90)]
LINK = Link(rate_bits_per_second=40e6, delay_seconds=0.005, buffer_bytes=200_000)


def ours() -> list[Path]:
    return list(Path("/run/netns").glob(f"resonance-bench-{os.getpid()}-*"))


def route(namespace: str) -> str:
    command = [*enter(namespace), "ip", "route", "show", FAR]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module", params=["network, lossy", "network, small buffer"])
def scene(request: pytest.FixtureRequest) -> Scene:
    told: list[tuple[str, int, int]] = []
    (measured,) = network.measure(
        1, 1.0, lambda *each: told.append(each), names=[request.param], warm_up_seconds=0.5
    )
    assert [done for _, done, _ in told] == [0, 1, 2]
    assert {whole for *_, whole in told} == {3}
    assert ours() == []
    return measured


def test_all_arms_met_the_same_calls_and_every_call_is_accounted_for(scene: Scene) -> None:
    assert [run.name for run in scene.runs] == ["cubic", "cubic again", "bbr"]
    assert (scene.baseline, scene.placebo) == ("cubic", "cubic again")
    slots = [slot for run in scene.runs for slot in run.slots]
    assert len({slot.planned for slot in slots}) == 1
    for slot in slots:
        assert slot.answered + sum(slot.failed.values()) == slot.planned > 20
        assert slot.answered > 0.9 * slot.planned
        assert slot.generator.is_realtime
        response, service = slot.histogram("response"), slot.histogram("service")
        assert response.count == service.count == slot.answered
        assert (response.quantile(0.5) or 0.0) > 0.02


def test_costs_are_told_for_each_arm(scene: Scene) -> None:
    for run in scene.runs:
        costs = run.slots[0].costs
        assert 0.0 <= costs["dropped_ratio"] < 0.5
        has_bulk = bool(run.asked["bulk_flows"])
        assert (costs.get("bulk_bytes_per_second", 0.0) > 100_000.0) == has_bulk


def entered_and_broken() -> None:
    with namespaces() as where, link(where, LINK):
        assert len(ours()) == 2
        raise KeyError


def test_the_namespaces_go_with_a_block_that_raises() -> None:
    with pytest.raises(KeyError):
        entered_and_broken()
    assert ours() == []


def test_the_daemon_chooses_for_a_route_and_takes_it_back() -> None:
    profile = '[network]\nroute_congestion = "bbr"\n'
    with namespaces() as where, link(where, LINK):
        before = route(where.near)
        with applied(profile, routes=[FAR], network_namespace=where.near):
            assert "congctl bbr" in route(where.near)
        assert route(where.near) == before
    assert ours() == []


def test_a_link_without_its_namespaces_tells_why() -> None:
    gone = network.links.Namespaces("resonance-bench-none", "resonance-bench-none")
    with pytest.raises(ExperimentError, match="No such file"), link(gone, LINK):
        pytest.fail("there is no link")
