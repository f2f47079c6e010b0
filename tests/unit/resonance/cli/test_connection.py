# SPDX-License-Identifier: MIT
from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from fakes.hint_daemon import HintDaemon, serve
from resonance.cli import connection
from resonance.cli.connection import CommandError, connect
from resonance_api.hints.v1.hints_pb2 import GetRequest, GetResponse
from resonance_api.hints.v1.hints_pb2_grpc import HintsServicer


class _Refusing(HintsServicer):
    def Get(self, request: GetRequest, context: grpc.ServicerContext) -> GetResponse:  # noqa: N802
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many streams")


def _complaint(socket: Path) -> str:
    with pytest.raises(CommandError) as raised, connect(socket) as daemon:
        daemon.state()
    return str(raised.value)


def test_a_daemon_that_speaks_another_version(socket: Path) -> None:
    with serve(socket, HintsServicer()):
        assert "speaks another version" in _complaint(socket)


def test_a_daemon_that_refuses_is_quoted(socket: Path) -> None:
    with serve(socket, _Refusing()):
        assert _complaint(socket) == f"{socket}: too many streams"


def test_a_stopped_daemon_is_not_waited_for_long(
    socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(HintDaemon):
        def Get(self, request: GetRequest, context: grpc.ServicerContext) -> GetResponse:  # noqa: N802
            context.is_active()
            import time

            time.sleep(1)
            return GetResponse()

    monkeypatch.setattr(connection, "_ANSWER_SECONDS", 0.2)
    with serve(socket, Stopped([])):
        assert "no answer within" in _complaint(socket)


def test_permission_denied_names_the_group(socket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    socket.touch()
    monkeypatch.setattr("resonance.cli.connection.os.access", lambda *_: False)
    assert "permission denied; join the group" in _complaint(socket)
