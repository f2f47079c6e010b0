# SPDX-License-Identifier: MIT
from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from resonanced import link
from resonanced.config import Settings
from resonanced.errors import DaemonError


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The keeper's end and the daemon's."""
    keeper, daemon = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with keeper, daemon:
        yield keeper, daemon


@pytest.mark.parametrize(
    "request_",
    [
        link.Ready(metrics="http://x", hints="unix:///y"),
        link.Failed(reason="port taken", exit_code=1),
        link.Assign(slot=7, cgroup_id=2**63),
        link.Release(cgroup_id=4711),
        link.Misses(),
    ],
)
def test_every_request_arrives_as_it_was_sent(
    request_: link.Request, ends: tuple[socket.socket, socket.socket]
) -> None:
    keeper, daemon = ends
    link.KeeperLink(daemon).tell(request_)
    assert link.decode_request(keeper.recv(65_536)) == request_


def test_an_answer_reaches_the_one_who_asked(ends: tuple[socket.socket, socket.socket]) -> None:
    keeper, daemon = ends
    keeper.send(msgspec.json.encode(link.Answer(is_done=False, misses={"runqueue_switch": 3})))
    answer = link.KeeperLink(daemon).ask(link.Misses())
    assert (answer.is_done, answer.misses) == (False, {"runqueue_switch": 3})


def test_a_keeper_that_has_gone_is_an_error_that_says_so(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    keeper, daemon = ends
    keeper.close()
    with pytest.raises(DaemonError, match="the keeper does not listen"):
        link.KeeperLink(daemon).ask(link.Misses())


def test_a_keeper_that_goes_while_it_is_asked_is_an_error(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    keeper, daemon = ends
    keeper.shutdown(socket.SHUT_WR)
    with pytest.raises(DaemonError, match="the keeper is gone"):
        link.KeeperLink(daemon).ask(link.Misses())


def test_a_keeper_that_is_silent_does_not_hang_the_daemon(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    _, daemon = ends
    asking = link.KeeperLink(daemon)
    daemon.settimeout(0.01)
    with pytest.raises(DaemonError, match="the keeper does not answer"):
        asking.ask(link.Misses())


def test_a_keeper_that_waits_for_a_cpu_is_waited_for(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    keeper, daemon = ends
    answer = msgspec.json.encode(link.Answer(misses={"sched_switch": 7}))
    late = threading.Timer(2.5, keeper.send, [answer])
    late.start()
    assert link.KeeperLink(daemon).ask(link.Misses()).misses == {"sched_switch": 7}
    late.join()


def test_a_silent_keeper_is_told_before_the_watchdog_ends_us() -> None:
    unit = Path(__file__).parents[3] / "systemd" / "resonanced.service"
    (watchdog,) = re.findall(r"^WatchdogSec=(\d+)$", unit.read_text(), re.MULTILINE)
    # It was fed an eighth of its time ago at most (`service`), and no answer takes so long.
    assert link._TIMEOUT_SECONDS + int(watchdog) / 8 < int(watchdog)


@pytest.mark.parametrize(
    "raw",
    [b"", b"garbage", b"{}", b'{"type":"exec","argv":["sh"]}', b'{"type":"assign","slot":"7"}'],
)
def test_bytes_that_are_no_request_are_refused(raw: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        link.decode_request(raw)


def test_a_reload_carries_settings_reason_and_what_needs_a_restart() -> None:
    order = link.Reload(settings=Settings(), refused="why", needs_restart=["telemetry.port"])
    assert msgspec.json.decode(msgspec.json.encode(order), type=link.Reload) == order
