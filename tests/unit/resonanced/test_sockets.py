# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from resonanced.errors import StartError
from resonanced.sockets import check_socket_path, socket_mode


def bound(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    return listener


def test_a_free_path_is_fine(tmp_path: Path) -> None:
    check_socket_path(tmp_path / "hints.sock")


def test_a_served_socket_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "hints.sock"
    with bound(path) as listener:
        listener.listen()
        with pytest.raises(StartError, match="socket taken"):
            check_socket_path(path)
    assert path.exists()


def test_a_dead_daemons_socket_is_free(tmp_path: Path) -> None:
    path = tmp_path / "hints.sock"
    bound(path).close()
    check_socket_path(path)


def test_a_file_that_is_no_socket_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "hints.sock"
    path.write_text("precious")
    with pytest.raises(StartError, match="not a socket"):
        check_socket_path(path)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="no such directory"):
        check_socket_path(tmp_path / "missing" / "hints.sock")


def test_a_directory_we_may_not_write_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(StartError, match="not writable; give it to user"):
        check_socket_path(tmp_path / "hints.sock")


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="107 bytes"):
        check_socket_path(tmp_path / ("x" * 120))


def test_a_socket_is_never_wider_than_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "hints.sock"
    with socket_mode(0o660):
        bound(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    with_usual_mask = tmp_path / "usual"
    with_usual_mask.touch()
    assert stat.S_IMODE(with_usual_mask.stat().st_mode) & 0o400
