# SPDX-License-Identifier: MIT
from __future__ import annotations

import socket
from pathlib import Path

import pytest

from resonanced.errors import StartError
from resonanced.notify import notify, watchdog_seconds


def test_without_a_service_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")


@pytest.mark.parametrize("is_abstract", [False, True])
def test_the_service_manager_is_told(
    is_abstract: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}" if is_abstract else name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}" if is_abstract else name)
        notify("READY=1")
        assert manager.recv(64) == b"READY=1"


@pytest.mark.parametrize("address", ["/nowhere/notify", "@nobody", "/" + "x" * 200])
def test_a_manager_that_does_not_listen_is_one_clear_line(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    with pytest.raises(StartError, match="unset NOTIFY_SOCKET"):
        notify("READY=1")


@pytest.mark.parametrize(("text", "seconds"), [("", None), ("soon", None), ("10000000", 10.0)])
def test_how_often_a_sign_of_life_is_wanted(
    text: str, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", text)
    assert watchdog_seconds() == seconds
