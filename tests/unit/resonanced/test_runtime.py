# SPDX-License-Identifier: MIT
from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from resonanced.config import ServiceSettings, Settings
from resonanced.errors import StartError
from resonanced.privileges import Identity
from resonanced.runtime import directory, held_back_log, sweep_after_death

ME = Identity("me", "mine", os.getuid(), os.getgid(), is_fallback=False)
ROOT, OTHER = 54_321, 12_345
"""A user and a group that are nobody's here."""


def _settings(path: Path) -> Settings:
    return Settings(service=ServiceSettings(runtime_directory=str(path)))


def test_a_directory_of_ours_is_made_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "resonance"
    with directory(_settings(path), ME) as made:
        assert made == path
        assert path.stat().st_mode & 0o777 == 0o755
        assert (path / "resonanced.lock").read_text(encoding="ascii") == f"{os.getpid()}\n"
    assert not path.exists()


def test_a_directory_that_was_there_stays_and_is_empty_afterwards(tmp_path: Path) -> None:
    with directory(_settings(tmp_path), ME):
        (tmp_path / "hints.page").touch()
        (tmp_path / ".hints.page").touch()
        for name in ("hints.sock", "admin.sock"):
            with socket.socket(socket.AF_UNIX) as dead:
                dead.bind(str(tmp_path / name))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("at", ["pwrite", "open"])
@pytest.mark.parametrize("was_there", [False, True])
def test_where_there_is_no_room_nothing_is_half_made(
    at: str, *, was_there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "resonance"
    if was_there:
        path.mkdir()
    really = getattr(os, at)

    def fail(first: object, *rest: object, **named: object) -> object:
        if at == "open" and first != "resonanced.lock":
            return really(first, *rest, **named)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, at, fail)
    with (
        pytest.raises(StartError, match=f"No space left on device; make room in {tmp_path}"),
        directory(_settings(path), ME),
    ):
        pass
    assert path.exists() == was_there
    assert not was_there or list(path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.EROFS, errno.EBUSY])
def test_a_directory_of_the_service_managers_is_swept_and_left_to_it(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("resonanced.lock", "hints.page"):
        (tmp_path / name).touch()

    def refuse(_: Path) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "rmdir", refuse)
    removed, holder = sweep_after_death(_settings(tmp_path))
    assert sorted(path.name for path in removed) == ["hints.page", "resonanced.lock"]
    assert holder is None


def test_what_a_service_that_was_killed_left_does_not_hinder_the_next(tmp_path: Path) -> None:
    path = tmp_path / "resonance"
    path.mkdir()
    for name in ("resonanced.lock", "hints.page"):
        (path / name).touch()
    with directory(_settings(path), ME):
        pass
    assert not path.exists()


Owner = Callable[[int, int], list[tuple[str, ...]]]


@pytest.fixture
def owned(monkeypatch: pytest.MonkeyPatch) -> Owner:
    """Be a root of another number, to whom our own files belong to whom a test says."""

    def own(group_of_root: int, group_of_daemon: int) -> list[tuple[str, ...]]:
        calls: list[tuple[str, ...]] = []
        really = os.fchmod

        def fchmod(descriptor: int, mode: int) -> None:
            calls.append(("mode", f"{mode:o}"))
            really(descriptor, mode)

        def fchown(_: int, user: int, group: int) -> None:
            names = {ROOT: "root", ME.uid: "daemon", -1: "as it is"}
            groups = {group_of_daemon: "daemon", group_of_root: "root", -1: "as it is"}
            calls.append(("owner", names[user], groups[group]))

        monkeypatch.setattr(os, "geteuid", lambda: ROOT)
        monkeypatch.setattr(os, "getegid", lambda: group_of_root)
        monkeypatch.setattr(os, "fchmod", fchmod)
        monkeypatch.setattr(os, "fchown", fchown)
        return calls

    return own


def test_a_directory_that_lost_its_lock_with_its_service_is_removed_by_the_next(
    owned: Owner, tmp_path: Path
) -> None:
    """Killed between the two last steps of its end, it leaves the daemon's, of root's group."""
    path = tmp_path / "resonance"
    path.mkdir(mode=0o755)
    path.chmod(0o755)
    owned(ME.gid, OTHER)
    with directory(_settings(path), Identity("me", "mine", ME.uid, OTHER, is_fallback=False)):
        pass
    assert not path.exists()


@pytest.mark.parametrize("what", ["used before", "another mode"])
def test_an_empty_directory_that_somebody_gave_us_stays(
    what: str, owned: Owner, tmp_path: Path
) -> None:
    path = tmp_path / "resonance"
    path.mkdir()
    path.chmod(0o750 if what == "another mode" else 0o755)
    group = ME.gid if what == "used before" else OTHER
    owned(OTHER if what == "used before" else ME.gid, group)
    with directory(_settings(path), Identity("me", "mine", ME.uid, group, is_fallback=False)):
        pass
    assert path.exists()


def test_an_empty_directory_of_roots_own_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "resonance"
    path.mkdir()
    path.chmod(0o755)
    monkeypatch.setattr(os, "fchown", lambda *_: None)
    with directory(_settings(path), Identity("me", "mine", OTHER, OTHER, is_fallback=False)):
        pass
    assert path.exists()


def test_the_mode_of_one_that_was_left_is_set_while_it_is_roots(
    owned: Owner, tmp_path: Path
) -> None:
    """Else it takes CAP_FOWNER, which the unit has not."""
    (tmp_path / "resonanced.lock").touch()
    calls = owned(ME.gid, OTHER)
    identity = Identity("me", "mine", ME.uid, OTHER, is_fallback=False)
    with directory(_settings(tmp_path), identity):
        pass
    assert calls == [
        ("owner", "root", "root"),
        ("mode", "755"),
        ("owner", "daemon", "as it is"),
    ]


def test_a_second_service_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    with (
        directory(settings, ME),
        pytest.raises(StartError, match=f"in use by resonanced, pid {os.getpid()}"),
        directory(settings, ME),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_holds_what_is_not_ours_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mysqld.sock").touch()
    before = tmp_path.stat()
    with (
        pytest.raises(StartError, match=r"holds what is not ours: mysqld\.sock"),
        directory(_settings(tmp_path), Identity("x", "y", 12_345, 12_345, is_fallback=False)),
    ):
        pass
    assert tmp_path.stat() == before
    assert [path.name for path in tmp_path.iterdir()] == ["mysqld.sock"]


def test_a_socket_that_somebody_serves_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "hints.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        with directory(_settings(tmp_path), ME):
            pass
        assert path.is_socket()


def test_what_a_stranger_put_there_meanwhile_keeps_the_directory(tmp_path: Path) -> None:
    path = tmp_path / "resonance"
    with directory(_settings(path), ME):
        (path / "stranger").touch()
    assert [entry.name for entry in path.iterdir()] == ["stranger"]


@pytest.mark.parametrize("name", ["resonanced.lock", "hints.page"])
def test_a_link_where_a_file_belongs_is_not_followed(name: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious", encoding="ascii")
    path = tmp_path / "resonance"
    path.mkdir()
    (path / name).symlink_to(victim)
    with suppress(StartError), directory(_settings(path), ME):
        pass
    assert victim.read_text(encoding="ascii") == "precious"


def test_a_pipe_where_the_lock_belongs_is_refused_and_holds_nothing_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "resonanced.lock")
    with (
        pytest.raises(StartError, match="is not the file that we make"),
        directory(_settings(tmp_path), ME),
    ):
        pass


def test_a_directory_that_everybody_may_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with (
        pytest.raises(StartError, match="everybody may write there"),
        directory(_settings(tmp_path), ME),
    ):
        pass


def test_after_death_what_was_left_is_removed_and_named(tmp_path: Path) -> None:
    path = tmp_path / "resonance"
    path.mkdir()
    for name in ("resonanced.lock", "hints.page"):
        (path / name).touch()
    removed, holder = sweep_after_death(_settings(path))
    assert set(removed) == {path / "resonanced.lock", path / "hints.page", path}
    assert holder is None
    assert not path.exists()
    assert sweep_after_death(_settings(path)) == ([], None)


def test_what_a_living_service_holds_is_not_swept(tmp_path: Path) -> None:
    path = tmp_path / "resonance"
    with directory(_settings(path), ME):
        (path / "hints.page").touch()
        assert sweep_after_death(_settings(path)) == ([], os.getpid())
        assert (path / "hints.page").exists()


def test_a_directory_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "resonance"
    with pytest.raises(StartError) as caught, directory(_settings(path), ME):
        pass
    assert str(caught.value) == (
        f"{path}: No such file or directory;"
        " set service.runtime_directory to a directory that can be made"
    )


def test_everything_is_taken_back_when_the_start_fails_later(tmp_path: Path) -> None:
    path = tmp_path / "resonance"
    with pytest.raises(StartError, match="port"), directory(_settings(path), ME):
        raise StartError("port", "taken")
    assert not path.exists()


def test_what_was_logged_while_the_terminal_was_drawn_on_is_shown_afterwards(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with held_back_log():
        os.write(2, b"event=1\n")
        assert capfd.readouterr().err == ""
    sys.stderr.flush()
    assert capfd.readouterr().err == "event=1\n"


def test_whatever_the_umask_clients_reach_the_socket_and_nobody_else_the_lock(
    tmp_path: Path,
) -> None:
    path = tmp_path / "resonance"
    for mask in (0o077, 0o000):
        before = os.umask(mask)
        try:
            with directory(_settings(path), ME):
                assert path.stat().st_mode & 0o777 == 0o755
                # Whoever can open a file can lock it.
                assert (path / "resonanced.lock").stat().st_mode & 0o777 == 0o600
        finally:
            os.umask(before)


def test_a_second_name_of_another_file_is_not_taken_for_the_lock(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious", encoding="ascii")
    path = tmp_path / "resonance"
    path.mkdir()
    (path / "resonanced.lock").hardlink_to(tmp_path / "victim")
    with (
        pytest.raises(StartError, match="not the file that we make"),
        directory(_settings(path), ME),
    ):
        pass
    assert (tmp_path / "victim").read_text(encoding="ascii") == "precious"


def test_a_link_to_a_directory_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "resonance").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StartError), directory(_settings(tmp_path / "resonance"), ME):
        pass
    assert list((tmp_path / "elsewhere").iterdir()) == []
