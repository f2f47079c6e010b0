# SPDX-License-Identifier: MIT
"""How the daemon talks to the actuator that the keeper started for it: on its event loop."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterable
from typing import Final

from resonance_tuning.actuator import wire
from resonance_tuning.actuator.link import TIMEOUT_SECONDS, decoded, plan_of, receipts_of
from resonance_tuning.errors import ActuatorError
from resonance_tuning.planning.planner import Plan
from resonance_tuning.records import Receipt, Setting

__all__ = ["AsyncActuator", "Note"]

_CHUNK_BYTES: Final = 1 << 16
_GONE: Final = "it is gone"

Note = dict[str, str | bool | int | float]


class AsyncActuator:
    """The daemon's end of an actuator that the keeper started.

    Parameters
    ----------
    connection : socket
    events : callable
        Told what happened by itself: drift, CPUs that came or went, a step down.
    ended : callable
        Told once, when the actuator is gone.

    Raises
    ------
    ActuatorError
        As `Actuator`.
    """

    def __init__(
        self,
        connection: socket.socket,
        events: Callable[[wire.Event], None],
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._events = events
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._lines = wire.Lines(wire.MAX_ANSWER_BYTES)
        self._waiting: dict[int, asyncio.Future[wire.Answer]] = {}
        self._last_id = os.getpid() << 16  # the keeper has spoken here, with small numbers
        self._is_gone = False
        self._turn = asyncio.Lock()
        self._loop.add_reader(connection, self._take)

    async def plan(self) -> Plan:
        """Return what would be changed now."""
        return plan_of(await self._ask(wire.PlanRequest))

    async def apply(self, settings: Iterable[Setting], reason: str) -> list[Receipt]:
        """Make these settings of the plan, all or none."""
        wanted = tuple(settings)
        return receipts_of(await self._ask(lambda number: wire.Apply(number, wanted, reason)))

    async def undo(self, settings: Iterable[Setting], reason: str) -> list[Receipt]:
        """Put back what was there before these settings; before all of them if none is named."""
        wanted = tuple(settings)
        return receipts_of(await self._ask(lambda number: wire.Undo(number, wanted, reason)))

    async def verify(self) -> list[Receipt]:
        """Return whether what is in force is still as it was written."""
        return receipts_of(await self._ask(wire.Verify))

    async def live(self) -> list[Receipt]:
        """Return the settings that are in force."""
        return receipts_of(await self._ask(wire.Live))

    async def record(self, kind: str, data: Note) -> None:
        """Keep a note in the journal, a verdict for one."""
        receipts_of(await self._ask(lambda number: wire.Record(number, kind, data)))

    def close(self) -> None:
        """Let it go: it puts back what it is to put back, and ends."""
        if not self._is_gone:
            self._is_gone = True
            self._loop.remove_reader(self._connection)
            self._fail()
        self._connection.close()

    async def _ask(self, make: Callable[[int], wire.Request]) -> wire.Answer:
        if self._is_gone:
            raise ActuatorError(_GONE)
        self._last_id += 1
        request = make(self._last_id)
        answer: asyncio.Future[wire.Answer] = self._loop.create_future()
        self._waiting[request.id] = answer
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                async with self._turn:  # one line must not be cut by another
                    await self._loop.sock_sendall(self._connection, wire.encode(request))
                return await answer
        except TimeoutError as error:
            raise ActuatorError(f"no answer in {TIMEOUT_SECONDS:.0f} s") from error
        except OSError as error:
            raise ActuatorError(_GONE) from error
        finally:
            self._waiting.pop(request.id, None)

    def _take(self) -> None:
        try:
            data = self._connection.recv(_CHUNK_BYTES)
            said = decoded(self._lines, data)
        except BlockingIOError:
            return
        except (OSError, ActuatorError):
            data, said = b"", []
        for message in said:
            if isinstance(message, wire.Event):
                self._events(message)
            elif (waiting := self._waiting.get(message.id)) and not waiting.done():
                waiting.set_result(message)
        if not data:
            self._is_gone = True
            self._loop.remove_reader(self._connection)
            self._fail()
            self._ended()

    def _fail(self) -> None:
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ActuatorError(_GONE))
