# SPDX-License-Identifier: MIT
"""The network scene without a network of its own: when calls are due, and what becomes of them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from resonance.bench.digest import Outcome
from resonance.bench.errors import ExperimentError
from resonance.bench.reference.network import ends, scenes
from resonance.bench.reference.network.ends import Asker, Call, Connection
from resonance.bench.reference.network.links import Passed
from resonance.bench.reference.network.slots import RATE_PER_SECOND, due_seconds

REQUEST, REPLY = b"?" * 8, b"!" * 300_000


class Server:
    """Answers each request, except those it was told to lose or to forget."""

    def __init__(self, lost: int = -1, forgotten: int = -1) -> None:
        self._lost, self._forgotten = lost, forgotten
        self._answered = 0
        self._lock = threading.Lock()

    def serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while connection.recv(len(REQUEST), socket.MSG_WAITALL):
                with self._lock:
                    number, self._answered = self._answered, self._answered + 1
                if number == self._lost:
                    return
                if number != self._forgotten:
                    connection.sendall(REPLY)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def asked(stack: ExitStack, server: Server, due: list[float], connections: int = 2) -> Asker:
    ours: list[Connection] = []
    for _ in range(connections):
        mine, theirs = socket.socketpair()
        stack.enter_context(mine)
        thread = threading.Thread(target=server.serve, args=(theirs,), daemon=True)
        thread.start()
        stack.callback(thread.join)
        stack.callback(mine.close)
        ours.append(Connection(mine))
    asker = Asker(ours, REQUEST, len(REPLY), timeout=1.0)
    asker.run([Call(each) for each in due])
    return asker


def test_each_call_is_answered_once_and_its_moments_are_in_order(stack: ExitStack) -> None:
    asker = asked(stack, Server(), [0.001 * place for place in range(20)])
    rows = [call.row(asker.start) for call in asker.calls]
    assert [outcome for *_, outcome in rows] == [Outcome.OK] * 20
    for due, reached, sent, ended, _ in rows:
        assert due <= reached <= sent <= ended


def test_a_call_that_finds_no_idle_connection_waits_and_is_counted(stack: ExitStack) -> None:
    asker = asked(stack, Server(), [0.0] * 10, connections=1)
    assert asker.waited == 9
    assert {call.outcome for call in asker.calls} == {Outcome.OK}


def test_a_connection_that_is_lost_costs_its_own_call_only(stack: ExitStack) -> None:
    asker = asked(stack, Server(lost=3), [0.001 * place for place in range(10)])
    outcomes = [call.outcome for call in asker.calls]
    assert sorted(outcomes) == [Outcome.OK] * 9 + [Outcome.RESET]


def test_where_all_connections_are_lost_the_rest_is_not_sent(stack: ExitStack) -> None:
    asker = asked(stack, Server(lost=1), [0.0] * 4, connections=1)
    outcomes = [call.outcome for call in asker.calls]
    assert outcomes == [Outcome.OK, Outcome.RESET, Outcome.NONE, Outcome.NONE]
    assert asker.calls[-1].row(asker.start)[2:4] == [-1, -1]


def test_what_is_never_answered_timed_out(stack: ExitStack) -> None:
    asker = asked(stack, Server(forgotten=0), [0.0, 0.001])
    assert sorted(call.outcome for call in asker.calls) == [Outcome.OK, Outcome.TIMEOUT]
    (late,) = [call for call in asker.calls if call.outcome == Outcome.TIMEOUT]
    due, *_, ended, _ = late.row(asker.start)
    assert ended - due == pytest.approx(1e9)


def test_calls_are_due_by_chance_and_the_same_for_the_same_seed() -> None:
    due = due_seconds(100.0, "0 3")
    assert due == due_seconds(100.0, "0 3") != due_seconds(100.0, "0 4")
    assert due == sorted(due)
    assert due[0] > 0.0
    assert due[-1] < 100.0
    assert len(due) == pytest.approx(100.0 * RATE_PER_SECOND, rel=0.1)


def test_a_slot_too_short_for_chance_has_a_call_all_the_same() -> None:
    assert due_seconds(1e-9, 0) == [0.0]


def test_what_the_buffer_had_no_room_for_is_a_share_of_what_came() -> None:
    assert Passed(packets=200, dropped=3).dropped_ratio == pytest.approx(0.015)
    assert Passed().dropped_ratio == 0.0


def test_outcomes_are_those_of_the_digest() -> None:
    told = (ends.NONE, ends.OK, ends.RESET, ends.TIMEOUT)
    assert told == (Outcome.NONE, Outcome.OK, Outcome.RESET, Outcome.TIMEOUT)


def test_a_kernel_without_bbr_is_told_how_to_get_it(tmp_path: Path) -> None:
    file = tmp_path / "proc/sys/net/ipv4/tcp_available_congestion_control"
    file.parent.mkdir(parents=True)
    file.write_text("reno cubic\n")
    with pytest.raises(ExperimentError, match="no bbr loaded: modprobe -a tcp_bbr"):
        scenes.check_kernel(tmp_path)
    file.write_text("reno bbr cubic\n")
    scenes.check_kernel(tmp_path)
