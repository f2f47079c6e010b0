# SPDX-License-Identifier: MIT
"""How root talks to the actuator: starts one, and asks it. `async_link` is for the daemon."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Self

import msgspec

from resonance_tuning.actuator import wire
from resonance_tuning.errors import ActuatorError, ActuatorRefusedError
from resonance_tuning.planning.planner import Plan
from resonance_tuning.records import Receipt, Setting
from resonance_tuning.settings import TuningSettings

__all__ = ["TIMEOUT_SECONDS", "Actuator", "decoded", "plan_of", "receipts_of", "spawn"]

_CHUNK_BYTES: Final = 1 << 16
TIMEOUT_SECONDS: Final = 30.0
"""For one answer: a profile of many targets on a slow disk, each write synchronised."""
_END_SECONDS: Final = 30.0
_GONE: Final = "it is gone"
_OFF_TOPIC: Final = "it answers what was not asked"


def spawn(
    settings: TuningSettings,
    *,
    is_resident: bool,
    is_shadow: bool = False,
    max_rung: int = 5,
    verify_seconds: float = 2.5,
) -> tuple[subprocess.Popen[bytes], socket.socket, wire.Begun]:
    """Start an actuator and wait until it is ready.

    Parameters
    ----------
    settings, is_resident, is_shadow, max_rung, verify_seconds
        As in `wire.Begin`.

    Returns
    -------
    process : Popen
    connection : socket
        Our end; closing it ends the actuator.
    begun : Begun
        What it found, and what it may do.

    Raises
    ------
    ActuatorError
        It cannot begin; it has ended.
    """
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    # -I: neither the current directory nor the environment may put code into a root process.
    command = [sys.executable, "-I", "-m", "resonance_tuning.actuator", "--fd", str(its.fileno())]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=(its.fileno(),))
    its.close()
    conversation = _Conversation(ours)
    begin = wire.Begin(
        id=conversation.next_id(),
        settings=settings,
        is_resident=is_resident,
        is_shadow=is_shadow,
        max_rung=max_rung,
        verify_seconds=verify_seconds,
    )
    try:
        begun = _begun(conversation.ask(begin))
    except BaseException:
        ours.close()
        _wait(process)
        raise
    return process, ours, begun


def _begun(answer: wire.Answer) -> wire.Begun:
    match answer:
        case wire.Begun():
            return answer
        case wire.Failed(reason=reason):
            raise ActuatorRefusedError(reason)
        case _:
            raise ActuatorError(_OFF_TOPIC)


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for an end that was asked for; one that does not come is made."""
    try:
        return process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


class _Conversation:
    """One question, one answer, over a blocking socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines = wire.Lines(wire.MAX_ANSWER_BYTES)
        self._said: deque[wire.Answer | wire.Event] = deque()
        self._last_id = 0

    def next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def ask(self, request: wire.Request) -> wire.Answer:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        try:
            self._connection.settimeout(TIMEOUT_SECONDS)
            self._connection.sendall(wire.encode(request))
            while True:
                said = self._next(deadline)
                if getattr(said, "id", None) == request.id:
                    assert isinstance(said, wire.Answer)
                    return said
        except TimeoutError as error:
            raise ActuatorError(f"no answer in {TIMEOUT_SECONDS:.0f} s") from error
        except OSError as error:
            raise ActuatorError(_GONE) from error

    def _next(self, deadline: float) -> wire.Answer | wire.Event:
        while not self._said:
            self._connection.settimeout(max(deadline - time.monotonic(), 1e-3))
            data = self._connection.recv(_CHUNK_BYTES)
            if not data:
                raise ActuatorError(_GONE)
            self._said.extend(decoded(self._lines, data))
        return self._said.popleft()


def decoded(lines: wire.Lines, data: bytes) -> list[wire.Answer | wire.Event]:
    """Return what has arrived whole; raises `ActuatorError` for what is none of ours."""
    try:
        return [wire.decode_said(line) for line in lines.feed(data)]
    except msgspec.MsgspecError as error:
        raise ActuatorError(f"it speaks nonsense: {error}") from error


def receipts_of(answer: wire.Answer) -> list[Receipt]:
    """Return an answer's receipts; raises `ActuatorError` where it has none."""
    match answer:
        case wire.Receipts(receipts=receipts):
            return list(receipts)
        case wire.Failed(reason=reason, receipts=receipts):
            raise ActuatorRefusedError(reason, receipts)
        case _:
            raise ActuatorError(_OFF_TOPIC)


def plan_of(answer: wire.Answer) -> Plan:
    """Return an answer's plan; raises `ActuatorError` where it has none."""
    match answer:
        case wire.Planned(plan=plan):
            return plan
        case wire.Failed(reason=reason):
            raise ActuatorRefusedError(reason)
        case _:
            raise ActuatorError(_OFF_TOPIC)


class Actuator:
    """An actuator of one's own, for a command.

    Parameters
    ----------
    settings, is_resident, is_shadow, max_rung
        As in `wire.Begin`.

    Attributes
    ----------
    begun : Begun

    Raises
    ------
    ActuatorError
        From every call: it is gone or does not answer. `ActuatorRefusedError` when it will
        not or could not; then nothing of that request is left.
    """

    def __init__(
        self,
        settings: TuningSettings,
        *,
        is_resident: bool = False,
        is_shadow: bool = False,
        max_rung: int = 5,
    ) -> None:
        self._process, self._connection, self.begun = spawn(
            settings, is_resident=is_resident, is_shadow=is_shadow, max_rung=max_rung
        )
        self._conversation = _Conversation(self._connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process that writes to the kernel."""
        return self._process.pid

    def plan(self) -> Plan:
        """Return what would be changed now."""
        return plan_of(self._conversation.ask(wire.PlanRequest(self._conversation.next_id())))

    def apply(self, settings: Iterable[Setting], reason: str) -> list[Receipt]:
        """Make these settings of the plan, all or none."""
        return self._ask(lambda number: wire.Apply(number, tuple(settings), reason))

    def undo(self, settings: Iterable[Setting], reason: str) -> list[Receipt]:
        """Put back what was there before these settings; before all of them if none is named."""
        return self._ask(lambda number: wire.Undo(number, tuple(settings), reason))

    def verify(self) -> list[Receipt]:
        """Return whether what is in force is still as it was written."""
        return self._ask(wire.Verify)

    def live(self) -> list[Receipt]:
        """Return the settings that are in force."""
        return self._ask(wire.Live)

    def _ask(self, make: Callable[[int], wire.Request]) -> list[Receipt]:
        return receipts_of(self._conversation.ask(make(self._conversation.next_id())))

    def close(self) -> int:
        """End it; return its exit status."""
        self._connection.close()
        return _wait(self._process)
