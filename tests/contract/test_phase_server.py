# SPDX-License-Identifier: MIT
"""The service of phases as any client meets it: over a Unix socket, polite or not."""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import REGISTRY

from fakes.phase_service import Fleet, PhaseService, Process, burst, flusher
from resonance_api.admin.v1.admin_pb2 import GetPhaseRequest, SetPhaseRequest
from resonance_api.admin.v1.admin_pb2_grpc import AdminStub
from resonance_api.phase.v1.phase_pb2 import (
    ExplainRequest,
    Order,
    Placement,
    Releases,
    Report,
    SpectrumRequest,
)
from resonance_api.phase.v1.phase_pb2_grpc import PhaseStub
from resonance_core.control.parameters import Parameters
from resonanced.phase.attendance import MOST_SOURCES
from resonanced.phase.spectrum import Spectrum

SERVICE = "resonance.phase.v1.Phase"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[PhaseService]:
    with PhaseService(tmp_path) as service:
        yield service


@pytest.fixture
def process(service: PhaseService) -> Iterator[Process]:
    with Process(service.socket) as process:
        yield process


@pytest.fixture
def operator(service: PhaseService) -> Iterator[AdminStub]:
    with grpc.insecure_channel(f"unix:{service.admin.path}") as channel:
        yield AdminStub(channel)


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_the_first_order_comes_at_once_and_says_what_holds(process: Process) -> None:
    order = next(process.orders)
    assert order == Order(report_interval_seconds=4.0, valid_for_seconds=5.0, mode="observe")


def test_a_source_is_attended_until_it_departs(service: PhaseService, process: Process) -> None:
    process.register(flusher(7, cgroup_id=99))
    eventually(lambda: len(service.registry) == 1)
    assert service.registry.cgroup_ids() == {99}
    process.report(Report(departed=[7, 8]))
    eventually(lambda: len(service.registry) == 0)
    assert service.registry.cgroup_ids() == set()


@pytest.mark.parametrize("ending", [Process.close, Process.end])
def test_the_sources_of_a_process_that_is_gone_are_attended_no_longer(
    service: PhaseService, process: Process, ending: Callable[[Process], None]
) -> None:
    process.register(flusher())
    eventually(lambda: len(service.registry) == 1)
    ending(process)
    eventually(lambda: len(service.registry) == service.registry.streams == 0)


def test_in_active_a_fleet_that_fires_in_step_is_moved(tmp_path: Path) -> None:
    """The whole way: reports in, the shipped controller, absolute offsets out."""
    parameters = Parameters(baseline_chunks=1, shadow_block_ratio=0.0)
    moved: dict[int, Placement] = {}
    with (
        PhaseService(tmp_path, "active", parameters) as service,
        Process(service.socket) as process,
        Fleet(process, range(1, 5)),
    ):
        for order in process.orders:
            assert not order.refusals
            moved |= {each.key: each for each in order.placements}
            if len({each.offset_seconds for each in moved.values()}) > 1:
                break
    assert all(0.0 <= each.offset_seconds < 0.02 for each in moved.values())
    assert all(0.0 < each.max_step_seconds <= 0.0014 + 1e-9 for each in moved.values())
    assert all(each.kind == Placement.KIND_SLEW and each.reason for each in moved.values())


def test_in_observe_nothing_is_placed(process: Process, service: PhaseService) -> None:
    with Fleet(process, range(1, 5)):
        eventually(lambda: any(state.releases > 60 for _, state in service.registry.find("")))
    process.end()
    assert not any(order.placements or order.refusals for order in process.orders)
    assert service.registry.commands == {"grant": 0, "slew": 0, "home": 0, "shadowed": 0}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"period_seconds": math.nan}, "period_seconds"),
        ({"period_seconds": math.inf}, "period_seconds"),
        ({"period_seconds": -1.0}, "period_seconds"),
        ({"period_seconds": 0.0}, ""),
        ({"period_seconds": 1e6}, "period_seconds"),
        ({"name": ""}, "name"),
        ({"name": "x" * 129}, "name"),
        ({"name": "\x1b[2J"}, "name"),
        ({"slack_seconds": math.nan}, "slack_seconds"),
        ({"offset_seconds": 0.02}, "offset_seconds"),
        ({"offset_seconds": -0.001}, "offset_seconds"),
        ({"origin_ns": 2**63}, "origin_ns"),
    ],
)
def test_a_source_that_cannot_be_is_refused_and_the_others_live_on(
    process: Process, service: PhaseService, fields: dict[str, object], reason: str
) -> None:
    process.register(flusher(1), flusher(2, **fields))
    order = process.wait_for(lambda order: len(order.refusals) > 0)
    assert [each.key for each in order.refusals] == [2]
    assert reason in order.refusals[0].reason
    assert len(service.registry) == 1


@pytest.mark.parametrize(
    "message",
    [
        Releases(key=1, at_ns=[2_000, 1_000]),
        Releases(key=1, at_ns=[2**63]),
        Releases(key=1, at_ns=[1_000], work_seconds=[math.inf]),
        Releases(key=1, at_ns=[1_000], work_seconds=[-1.0]),
        Releases(key=1, at_ns=[1_000], work_seconds=[0.1, 0.1]),
        Releases(key=1, at_ns=[1_000], completion_seconds=[-math.inf]),
        Releases(key=1, offset_seconds=math.nan),
        Releases(key=1, offset_seconds=-1.0),
    ],
    ids=["falling", "future", "endless", "negative", "too many", "never", "nan", "early"],
)
def test_a_source_whose_report_makes_no_sense_is_let_go(
    process: Process, service: PhaseService, message: Releases
) -> None:
    process.register(flusher(1), flusher(2))
    process.report(Report(releases=[message]))
    order = process.wait_for(lambda order: len(order.refusals) > 0)
    assert [each.key for each in order.refusals] == [1]
    assert [attended.client_key for attended, _ in service.registry.find("")] == [2]


def test_a_hold_from_before_a_restart_goes_on_in_active_and_goes_home_in_observe(
    process: Process, operator: AdminStub, service: PhaseService
) -> None:
    operator.SetPhase(SetPhaseRequest(mode="active"))
    process.register(flusher(1, offset_seconds=0.01))
    eventually(lambda: len(service.registry) == 1)
    operator.SetPhase(SetPhaseRequest(mode="active"))  # has decided meanwhile
    assert service.registry.commands["slew"] == service.registry.commands["home"] == 0
    operator.SetPhase(SetPhaseRequest(mode="observe"))
    order = process.wait_for(lambda order: len(order.placements) > 0)
    (placement,) = order.placements
    assert (placement.key, placement.kind) == (1, Placement.KIND_SLEW)
    assert placement.offset_seconds == 0.0


def test_two_sources_under_one_key_are_both_refused(
    process: Process, service: PhaseService
) -> None:
    process.register(flusher(1), flusher(1))
    order = process.wait_for(lambda order: len(order.refusals) > 0)
    assert order.refusals[0].reason == "key 1 is registered already"
    assert len(service.registry) == 0


def test_ten_thousand_sources_of_one_process_leave_room_for_others(
    process: Process, service: PhaseService
) -> None:
    told = 0
    for start in range(0, 10_000, 1_000):
        process.register(*(flusher(key, name="x") for key in range(start, start + 1_000)))
    process.end()
    for order in process.orders:
        told += len(order.refusals)
        assert len(service.registry) <= MOST_SOURCES
    assert told >= 1_000
    with Process(service.socket) as other:
        other.register(flusher(1))
        eventually(lambda: len(service.registry) == 1)


def test_no_more_sources_than_allowed(tmp_path: Path) -> None:
    with (
        PhaseService(tmp_path, parameters=Parameters(max_sources=3)) as service,
        Process(service.socket) as first,
        Process(service.socket) as second,
    ):
        first.register(flusher(1), flusher(2))
        eventually(lambda: len(service.registry) == 2)
        second.register(flusher(1), flusher(2))
        order = second.wait_for(lambda order: len(order.refusals) > 0)
        assert [each.key for each in order.refusals] == [2]
        assert len(service.registry) == 3


def test_one_stream_too_many_is_refused_with_the_reason(tmp_path: Path) -> None:
    with PhaseService(tmp_path, parameters=Parameters(max_sources=1)) as service:
        with Process(service.socket) as first:
            next(first.orders)
            with Process(service.socket) as second, pytest.raises(grpc.RpcError) as refused:
                next(second.orders)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert refused.value.details() == "1 streams are served; max_sources allows no more"


def test_garbage_ends_the_stream_that_sent_it_and_no_other(
    process: Process, service: PhaseService
) -> None:
    process.register(flusher())
    eventually(lambda: len(service.registry) == 1)
    before = metric("resonance_phase_requests_total", method="Attend", code="INVALID_ARGUMENT")
    with grpc.insecure_channel(f"unix:{service.socket}") as channel:
        attend = channel.stream_stream(f"/{SERVICE}/Attend")
        # Often, for it is refused while its stream still begins.
        for _ in range(200):
            with pytest.raises(grpc.RpcError) as refused:
                list(attend(iter([b"\xff" * 10]), timeout=20))
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert refused.value.details() == "not a Report"
    after = metric("resonance_phase_requests_total", method="Attend", code="INVALID_ARGUMENT")
    assert after == before + 200
    assert len(service.registry) == 1


def test_an_oversized_report_ends_its_stream(service: PhaseService, process: Process) -> None:
    process.register(*(flusher(key, name="x" * 100) for key in range(1_000)))
    with pytest.raises(grpc.RpcError) as refused:
        list(process.orders)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    eventually(lambda: service.registry.streams == 0)


def test_a_flood_of_reports_is_read_no_faster_than_asked_for(service: PhaseService) -> None:
    before, started = metric("resonance_phase_reports_total"), time.monotonic()
    with Process(service.socket) as flood, Process(service.socket) as polite:
        for _ in range(5_000):
            flood.report(Report(releases=[burst(1, range(50))]))
        polite.register(flusher())
        eventually(lambda: len(service.registry) == 1)
        # The flood's first 32 are taken as they come, the others two per half second.
        eventually(lambda: metric("resonance_phase_reports_total") - before > 34)
        taken = metric("resonance_phase_reports_total") - before
        assert taken <= 34 + 4 * (time.monotonic() - started)


def test_a_stream_on_which_nothing_is_said_for_long_is_ended(
    service: PhaseService, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resonanced.phase.conversation._SILENCE_SECONDS", 0.2)
    monkeypatch.setattr("resonanced.phase.conversation._SILENT_INTERVALS", 0.0)
    process.register(flusher())
    with pytest.raises(grpc.RpcError) as ended:
        list(process.orders)
    assert ended.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert ended.value.details() == "nothing was reported for too long"
    assert len(service.registry) == service.registry.streams == 0


def test_a_client_that_does_not_read_gets_the_latest_when_it_does(service: PhaseService) -> None:
    """Nothing queues behind it but what fills its flow-control window."""
    changes = 10_000

    async def change_often() -> None:
        for number in range(changes):
            service.registry.set_mode("shadow" if number % 2 else "observe", time.monotonic())
            await asyncio.sleep(0)  # lets the stream write as often as it can
        service.registry.set_mode("adaptive", time.monotonic())

    with Process(service.socket) as process:
        next(process.orders)
        service.run(change_often())
        waiting = itertools.takewhile(lambda order: order.mode != "adaptive", process.orders)
        assert sum(1 for _ in waiting) < changes / 2


def test_the_end_of_the_daemon_is_told(service: PhaseService, process: Process) -> None:
    process.register(flusher())
    eventually(lambda: len(service.registry) == 1)
    service.run(service.hints.stop())
    with pytest.raises(grpc.RpcError) as ended:
        list(process.orders)
    assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
    assert ended.value.details() == "the daemon is stopping"


def test_reflection_names_the_guest(service: PhaseService) -> None:
    with grpc.insecure_channel(f"unix:{service.socket}") as channel:
        ask = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
        answer = next(iter(ask(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))))
    assert SERVICE in {each.name for each in answer.list_services_response.service}


def test_explain_answers_for_the_sources_that_match(
    service: PhaseService, process: Process
) -> None:
    process.register(*(flusher(key) for key in range(1, 51)), flusher(51, name="scrape"))
    eventually(lambda: len(service.registry) == 51)
    ask = PhaseStub(process.channel).Explain
    one = ask(ExplainRequest(source="scrape"))
    assert [(each.source, each.pid) for each in one.explanations] == [("scrape", 77)]
    assert one.explanations[0].sentences
    assert one.explanations[0].numbers["reported_offset_seconds"] == 0.0
    assert "The mode is observe" in one.sentences[0]
    every = ask(ExplainRequest())
    assert (len(every.explanations), every.left_out) == (32, 19)
    assert len(ask(ExplainRequest(source="nobody")).explanations) == 0


def test_spectrum_returns_the_series_bit_by_bit(service: PhaseService, process: Process) -> None:
    chosen = np.random.default_rng(3)
    events = chosen.random((2, 4_096), np.float32)
    waits = chosen.random((2, 4_096), np.float32)
    missing = np.zeros(4_096, np.bool_)
    missing[[3, 4_095]] = True
    service.spectrum = Spectrum(123, 0.005, ("/web", "/hogs"), events, waits, missing)
    process.register(flusher())
    eventually(lambda: len(service.registry) == 1)
    answer = PhaseStub(process.channel).Spectrum(SpectrumRequest(cgroups=["/ho*"]))
    assert (answer.bin_seconds, answer.start_ns) == (0.005, 123)
    assert list(answer.missing_bins) == [3, 4_095]
    assert [each.cgroup for each in answer.series] == ["/hogs"]
    assert np.array_equal(np.asarray(answer.series[0].events, np.float32), events[1])
    assert np.array_equal(np.asarray(answer.series[0].wait_seconds, np.float32), waits[1])
    assert [(each.name, each.period_seconds) for each in answer.sources] == [("flush-1", 0.02)]


def test_spectrum_where_nothing_is_analysed_has_the_sources_alone(
    service: PhaseService, process: Process
) -> None:
    process.register(flusher())
    eventually(lambda: len(service.registry) == 1)
    answer = PhaseStub(process.channel).Spectrum(SpectrumRequest())
    assert (len(answer.series), len(answer.sources)) == (0, 1)


def test_the_operators_socket_is_for_its_owner_alone(service: PhaseService) -> None:
    assert stat.S_IMODE(service.admin.path.stat().st_mode) == 0o600
    assert service.admin.path.stat().st_uid == os.geteuid()


def test_what_is_for_the_operator_is_not_served_to_everybody(service: PhaseService) -> None:
    with (
        grpc.insecure_channel(f"unix:{service.socket}") as channel,
        pytest.raises(grpc.RpcError) as refused,
    ):
        AdminStub(channel).SetPhase(SetPhaseRequest(mode="active"))
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_mode_that_is_set_is_in_force_and_told_to_all(
    process: Process, operator: AdminStub
) -> None:
    assert next(process.orders).mode == "observe"
    status = operator.SetPhase(SetPhaseRequest(mode="shadow"))
    assert (status.mode, status.configured_mode) == ("shadow", "observe")
    assert operator.GetPhase(GetPhaseRequest()).mode == "shadow"
    process.wait_for(lambda order: order.mode == "shadow")


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (SetPhaseRequest(), "'' is no mode: observe, shadow, adaptive, active"),
        (SetPhaseRequest(mode="on"), "'on' is no mode: observe, shadow, adaptive, active"),
        (SetPhaseRequest(mode="active", stop=True), "stop sets the mode to observe; name no other"),
    ],
)
def test_a_mode_that_is_none_is_refused_and_changes_nothing(
    operator: AdminStub, request_: SetPhaseRequest, reason: str
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        operator.SetPhase(request_)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details() == reason
    assert operator.GetPhase(GetPhaseRequest()).mode == "observe"


def test_the_kill_switch_sends_every_source_home_at_once(
    process: Process, operator: AdminStub, service: PhaseService
) -> None:
    operator.SetPhase(SetPhaseRequest(mode="active"))
    process.register(*(flusher(key, offset_seconds=0.01) for key in range(1, 4)))
    eventually(lambda: len(service.registry) == 3)
    assert operator.GetPhase(GetPhaseRequest()).held == 3
    status = operator.SetPhase(SetPhaseRequest(stop=True))
    assert status.mode == "observe"
    order = process.wait_for(
        lambda order: any(each.kind == Placement.KIND_HOME for each in order.placements)
    )
    assert {each.key for each in order.placements} == {1, 2, 3}
    assert {(each.kind, each.offset_seconds) for each in order.placements} == {
        (Placement.KIND_HOME, 0.0)
    }
    assert order.mode == "observe"
