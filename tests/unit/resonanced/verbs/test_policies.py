# SPDX-License-Identifier: MIT
"""The operator's switch for the SDK's policies, against the service it asks."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from prometheus_client import REGISTRY

from fakes.phase_service import PhaseService
from resonance_api.admin.v1.admin_pb2 import (
    GetPoliciesRequest,
    PoliciesStatus,
    SetPoliciesRequest,
)
from resonance_api.admin.v1.admin_pb2_grpc import AdminStub
from resonanced import cli
from resonanced.verbs import policies as verb


@pytest.fixture
def service(tmp_path: Path) -> Iterator[PhaseService]:
    with PhaseService(tmp_path) as service:
        yield service


@pytest.fixture
def operator(service: PhaseService) -> Iterator[AdminStub]:
    with grpc.insecure_channel(f"unix:{service.admin.path}") as channel:
        yield AdminStub(channel)


def _policies(directory: Path, *arguments: str) -> int:
    config = directory / "resonanced.toml"
    config.touch()
    return cli.main(
        ["policies", *arguments, "--config", str(config), "--runtime-directory", str(directory)]
    )


@pytest.mark.usefixtures("service")
def test_without_a_mode_it_tells_what_is_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _policies(tmp_path) == 0
    assert capsys.readouterr().out == (
        "mode       active\nmeaning    every client does what it is set to\n"
    )


def test_a_mode_is_set_and_told_beside_the_configured_one(
    service: PhaseService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for mode in ("observe", "advise", "active", "observe"):
        assert _policies(tmp_path, mode) == 0
        assert service.policies.mode == mode
    assert service.ceilings == ["observe", "advise", "active", "observe"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == [
        "mode       observe (configured: active)",
        "meaning    every client counts what it would do, and does nothing",
    ]
    assert max(map(len, lines)) < 80


@pytest.mark.usefixtures("service")
def test_a_program_is_told_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _policies(tmp_path, "advise", "--output", "json") == 0
    status = json.loads(capsys.readouterr().out)
    assert status == {"mode": "advise", "configured_mode": "active"}


def test_a_word_that_is_no_mode_is_refused_by_the_command(
    service: PhaseService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        _policies(tmp_path, "off")
    assert "observe" in capsys.readouterr().err
    assert service.ceilings == []


@pytest.mark.parametrize("word", ["", "off", "ACTIVE"])
def test_a_word_that_is_no_mode_is_refused_by_the_service(
    service: PhaseService, operator: AdminStub, word: str
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        operator.SetPolicies(SetPoliciesRequest(mode=word))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details() == f"{word!r} is no mode: observe, advise, active"
    assert service.ceilings == []
    assert operator.GetPolicies(GetPoliciesRequest()).mode == "active"


def test_garbage_is_refused_in_words(service: PhaseService) -> None:
    with grpc.insecure_channel(f"unix:{service.admin.path}") as channel:
        set_policies = channel.unary_unary("/resonance.admin.v1.Admin/SetPolicies")
        with pytest.raises(grpc.RpcError) as refused:
            set_policies(b"\xff\xff", timeout=20)
    assert refused.value.details() == "not a SetPoliciesRequest"


def test_each_change_is_logged_and_requests_are_counted_from_zero(
    operator: AdminStub, caplog: pytest.LogCaptureFixture
) -> None:
    labels = {"method": "SetPolicies", "code": "OK"}
    before = REGISTRY.get_sample_value("resonance_admin_requests_total", labels)
    assert before is not None
    with caplog.at_level(logging.INFO):
        operator.SetPolicies(SetPoliciesRequest(mode="observe"))
    assert "policies_set mode=observe before=active" in caplog.text
    assert REGISTRY.get_sample_value("resonance_admin_requests_total", labels) == before + 1


def test_where_no_service_runs_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _policies(tmp_path) == 1
    assert "nobody answers there; start resonanced" in capsys.readouterr().err


def test_what_a_later_service_says_is_shown_as_it_is() -> None:
    status = PoliciesStatus(mode="later", configured_mode="later")
    assert verb._lines(status) == ["mode       later", "meaning    not known"]
