# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest

from resonance_bpf import pins
from resonance_bpf.catalogue import map_bytes
from resonance_bpf.errors import PinError
from resonance_bpf.report import LoadReport
from resonance_bpf.slot_table import SlotTable
from resonance_tuning import capabilities
from resonanced import link
from resonanced.config import ProbesSettings, ServiceSettings, Settings
from resonanced.errors import ConfigError, RefusedError, StartError
from resonanced.keeper import (
    Inheritance,
    Keeper,
    _exit_with,
    _is_told_to_stop,
    _signal_wakeup,
    possible_cpus,
)
from resonanced.privileges import Identity, find_identity
from resonanced.signals.settings import SignalsSettings

REPORT = LoadReport(backend="core", tier="core", hierarchy="v2")
ME = Identity("me", "mine", 1, 1, is_fallback=False)


def _never(_: Inheritance) -> NoReturn:
    raise AssertionError


class Announcements(list[link.Ready]):
    def __call__(self, report: LoadReport, ready: link.Ready, identity: Identity) -> None:
        self.append(ready)


def _keeper(settings: Settings | None = None, for_seconds: float | None = None) -> Keeper:
    return Keeper(lambda: settings or Settings(), _never, Announcements(), for_seconds=for_seconds)


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("0\n", 1), ("0-1\n", 2), ("0-3,5\n", 6), ("0,2-127\n", 128), ("0-3,8-11\n", 12)],
)
def test_arrays_reach_to_the_last_possible_cpu_whatever_is_missing_or_offline(
    text: str, cpus: int, tmp_path: Path
) -> None:
    path = tmp_path / "possible"
    path.write_text(text, encoding="ascii")
    assert possible_cpus(path) == cpus


def test_without_root_it_says_so_before_it_touches_anything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    runtime = tmp_path / "resonance"
    settings = Settings(service=ServiceSettings(runtime_directory=str(runtime)))
    with pytest.raises(StartError, match="not root"):
        _keeper(settings).run()
    assert not runtime.exists()


def test_without_a_capability_it_says_so_before_it_touches_anything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(capabilities, "current", lambda: {"CapEff": frozenset({"CAP_BPF"})})
    runtime = tmp_path / "resonance"
    settings = Settings(service=ServiceSettings(runtime_directory=str(runtime)))
    with pytest.raises(StartError, match="CAP_KILL"):
        _keeper(settings).run()
    assert not runtime.exists()


def test_ready_is_announced_once_and_starts_the_clock() -> None:
    announced = Announcements()
    keeper = Keeper(Settings, _never, announced, for_seconds=5.0)
    ready = link.Ready(metrics="http://x", hints="unix:///y")
    assert keeper._answer(ready, REPORT, ME) == link.Answer()
    assert announced == [ready]
    assert keeper._stop_at is not None


def test_a_failed_daemon_ends_the_keeper_with_its_reason_and_status() -> None:
    with pytest.raises(RefusedError, match="port taken") as caught:
        _keeper()._answer(link.Failed(reason="port taken", exit_code=7), REPORT, ME)
    assert caught.value.exit_code == 7


def test_without_a_slot_table_no_cgroup_is_assigned() -> None:
    keeper = _keeper()
    assert keeper._answer(link.Assign(1, 4_711), REPORT, ME) == link.Answer(is_done=False)
    assert keeper._answer(link.Release(4_711), REPORT, ME) is None
    assert keeper._answer(link.Misses(), REPORT, ME) == link.Answer(misses={})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_polite_signal_ends_with_0(number: int) -> None:
    keeper = _keeper()
    with socket.socket() as orders:
        keeper._take_signals(bytes([number]), orders)
    assert keeper._status == 0


def test_a_bite_of_the_watchdog_ends_with_1_and_leaves_the_end_to_us() -> None:
    keeper = _keeper()
    with _signal_wakeup() as wakeup, socket.socket() as orders:
        os.kill(os.getpid(), signal.SIGABRT)
        keeper._take_signals(wakeup.recv(8), orders)
    assert keeper._status == 1


def _load(settings: ProbesSettings) -> LoadReport:
    with ExitStack() as stack:
        return _keeper(Settings(probes=settings))._load(stack, bool)


def test_where_nothing_can_be_pinned_auto_measures_without_bpf_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: Path) -> NoReturn:
        raise PinError("/sys/fs/bpf", "not here")

    monkeypatch.setattr(pins, "ensure_bpffs", refuse)
    report = _load(ProbesSettings(backend="auto"))
    assert (report.backend, report.tier) == ("none", "procfs")
    assert [(each.backend, each.reason) for each in report.rejected] == [
        ("core", "/sys/fs/bpf: not here"),
        ("bcc", "/sys/fs/bpf: not here"),
    ]
    with pytest.raises(PinError, match="not here"):
        _load(ProbesSettings(backend="core"))


def _reload(before: Settings, after: Settings | ConfigError) -> link.Reload:
    """Return what the daemon is told when the file changes so."""
    answers: list[Settings | ConfigError] = [before, after]

    def read() -> Settings:
        answer = answers.pop(0)
        if isinstance(answer, ConfigError):
            raise answer
        return answer

    keeper = Keeper(read, _never, Announcements())
    told, orders = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with told, orders:
        keeper._take_signals(bytes([signal.SIGHUP]), orders)
        return msgspec.json.decode(told.recv(65_536), type=link.Reload)


def test_a_good_file_is_handed_on_with_what_it_cannot_change() -> None:
    new = Settings(
        service=ServiceSettings(user="other"), signals=SignalsSettings(cgroups=("/web",))
    )
    order = _reload(Settings(), new)
    assert (order.settings, order.refused) == (new, "")
    assert order.needs_restart == ["service.user"]


def test_a_bad_file_hands_on_the_old_settings_and_the_reason() -> None:
    order = _reload(Settings(), ConfigError("/etc/x.toml", "signals.cgroups", "must be a list"))
    assert order.settings == Settings()
    assert order.refused == "/etc/x.toml: signals.cgroups: must be a list"
    assert order.needs_restart == []


@pytest.mark.parametrize("has_answer_unread", [False, True])
def test_a_daemon_that_dies_in_the_middle_of_a_request_is_no_crash(
    *, has_answer_unread: bool
) -> None:
    requests, daemon = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with requests, daemon:
        if has_answer_unread:
            requests.send(b"{}")
        daemon.send(msgspec.json.encode(link.Misses()))
        daemon.close()
        listens = [_keeper()._take_request(requests, REPORT, ME) for _ in range(2)]
    assert listens[-1] is False


@pytest.mark.parametrize("raw", [b"nonsense", b'{"type":"assign","slot":64,"cgroup_id":1}'])
def test_a_daemon_that_says_what_ours_never_would_ends_the_service(raw: bytes) -> None:
    requests, daemon = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    keeper = _keeper()
    memory = os.memfd_create("cgroup_slots")
    os.ftruncate(memory, map_bytes("cgroup_slots", 1))
    keeper._table = SlotTable(memory)
    os.close(memory)
    with requests, daemon:
        daemon.send(raw)
        with pytest.raises(RefusedError, match="nonsense"):
            keeper._take_request(requests, REPORT, ME)


def test_a_daemon_that_has_died_is_not_told_of_a_reload() -> None:
    orders, daemon = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    daemon.close()
    with orders:
        keeper = _keeper()
        keeper._take_signals(bytes([signal.SIGHUP]), orders)
    assert keeper._status is None


def test_an_ended_daemon_ends_the_keeper_with_1_and_an_ended_view_with_0() -> None:
    for role, status in (("daemon", 1), ("loader", 1), ("view", 0)):
        keeper = _keeper()
        pid = os.posix_spawn("/bin/true", ["true"], {})
        keeper._children[pid] = role
        while keeper._status is None:
            keeper._reap()
        assert keeper._status == status
        assert keeper._children == {}


def test_a_child_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resonanced.keeper._STOP_SECONDS", 0.05)
    keeper = _keeper()
    deaf = "trap '' TERM; while :; do read -r _ < /dev/zero; done"
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", f"{deaf}"], {})
    keeper._children[pid] = "daemon"
    keeper._end_children()
    assert keeper._children == {}
    assert not Path(f"/proc/{pid}").exists()


def test_the_default_user_falls_back_to_nobody_and_a_chosen_one_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import pwd

    nobody = pwd.getpwnam("nobody")

    def only_nobody(name: str) -> pwd.struct_passwd:
        if name != "nobody":
            raise KeyError(name)
        return nobody

    monkeypatch.setattr(pwd, "getpwnam", only_nobody)
    identity = find_identity(ServiceSettings())
    assert (identity.user, identity.uid, identity.is_fallback) == ("nobody", nobody.pw_uid, True)
    with pytest.raises(StartError, match="no such user"):
        find_identity(ServiceSettings(user="somebody"))


def test_a_child_that_fails_leaves_without_unwinding_what_its_parent_made() -> None:
    def fail() -> int:
        raise ImportError("numpy")

    pid = os.fork()
    if pid == 0:
        try:
            sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
            _exit_with(fail)
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1


def test_a_signal_that_waits_is_seen_and_left_where_it_is() -> None:
    read, write = socket.socketpair()
    with read, write:
        read.setblocking(False)
        assert not _is_told_to_stop(read)
        write.send(bytes([signal.SIGCHLD]))
        assert not _is_told_to_stop(read)
        write.send(bytes([signal.SIGTERM]))
        assert _is_told_to_stop(read)
        assert read.recv(8) == bytes([signal.SIGCHLD, signal.SIGTERM])


def test_the_daemon_must_not_be_root() -> None:
    with pytest.raises(StartError, match="is root"):
        find_identity(ServiceSettings(user="root"))
