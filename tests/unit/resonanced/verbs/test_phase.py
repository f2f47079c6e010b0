# SPDX-License-Identifier: MIT
"""The operator's verb, against the service it asks."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.phase_service import PhaseService, Process, flusher
from resonance_api.admin.v1.admin_pb2 import PhaseStatus
from resonanced import cli
from resonanced.verbs import phase as verb


@pytest.fixture
def service(tmp_path: Path) -> Iterator[PhaseService]:
    with PhaseService(tmp_path) as service:
        yield service


def _phase(directory: Path, *arguments: str) -> int:
    config = directory / "resonanced.toml"
    config.touch()
    return cli.main(
        ["phase", *arguments, "--config", str(config), "--runtime-directory", str(directory)]
    )


def test_where_no_service_ever_was_is_not_a_matter_of_rights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "resonanced.toml").touch()
    nowhere = tmp_path / "nowhere"
    arguments = ["--config", str(tmp_path / "resonanced.toml"), "--runtime-directory", str(nowhere)]
    assert cli.main(["phase", *arguments]) != 0
    assert (
        f"{nowhere}/admin.sock: nobody answers there; start resonanced" in capsys.readouterr().err
    )


@pytest.mark.usefixtures("service")
def test_without_a_mode_it_tells_what_is_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _phase(tmp_path) == 0
    assert capsys.readouterr().out == (
        "mode       observe\n"
        "sources    0 registered, 0 may be moved, 0 held\n"
        "guards     none has acted\n"
        "withheld   0 commands, because of the mode\n"
    )


def test_a_mode_is_set_and_told_beside_the_configured_one(
    service: PhaseService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for mode in ("shadow", "adaptive", "active", "observe"):
        assert _phase(tmp_path, mode) == 0
        assert service.registry.mode == mode
    assert "mode       shadow (configured: observe)\n" in capsys.readouterr().out


def test_stop_sends_every_source_home(
    service: PhaseService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _phase(tmp_path, "active")
    with Process(service.socket) as process:
        process.register(flusher(offset_seconds=0.01))
        process.wait_for(lambda _: len(service.registry) == 1)
        capsys.readouterr()
        assert _phase(tmp_path, "stop", "--output", "json") == 0
        status = json.loads(capsys.readouterr().out)
        assert (status["mode"], status["sources"]) == ("observe", 1)
        assert status["trips"]["kill_switch"] == 1
        order = process.wait_for(lambda order: len(order.placements) > 0)
        assert order.placements[0].offset_seconds == 0.0


def test_a_long_line_is_wrapped_and_a_name_cannot_steer_the_terminal() -> None:
    status = PhaseStatus(mode="active", configured_mode="active", groups=["why\x1b[2J " * 20])
    lines = verb._lines(status)
    assert max(map(len, lines)) < 80
    assert "\x1b" not in "".join(lines)


def test_where_no_service_runs_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _phase(tmp_path) == 1
    assert capsys.readouterr().err == (
        f"resonanced: {tmp_path}/admin.sock: nobody answers there; "
        "start resonanced, or name its --runtime-directory\n"
    )


def test_who_may_not_ask_is_told_so(
    service: PhaseService,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(os, "access", lambda _path, mode: mode != os.W_OK)
    assert _phase(tmp_path, "active") == 1
    assert "only its owner and root may ask here; run it with sudo" in capsys.readouterr().err
    assert service.registry.mode == "observe"


def test_a_service_that_does_not_answer_is_told_as_that(
    service: PhaseService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "admin.sock").unlink()
    os.link(tmp_path / "hints.sock", tmp_path / "admin.sock")
    assert _phase(tmp_path) == 1
    assert "not answered: Method not found!" in capsys.readouterr().err
    assert service.registry.mode == "observe"
