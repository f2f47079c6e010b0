# SPDX-License-Identifier: MIT
"""An actuator that turns nothing: answers on the other end of a socket, as it is told to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from resonance_tuning.actuator import wire
from resonance_tuning.planning.planner import Plan
from resonance_tuning.records import Receipt, Setting

__all__ = ["BEGUN", "FakeActuator"]

BEGUN = wire.Begun(id=1, boot_id="boot", recovered=(), capabilities=(), is_shadow=False, reason="")


class FakeActuator:
    """Serve one client on the event loop that runs.

    Attributes
    ----------
    requests : list of Request
        In the order they came.
    refusal : str
        Why it refuses what would write; empty where it does not.
    live : list of Setting
        In force.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.refusal = ""
        self.requests: list[wire.Request] = []
        self.live: list[Setting] = []
        self.client, self._end = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._end.setblocking(False)
        self._lines = wire.Lines(wire.MAX_REQUEST_BYTES)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._end, self._take)

    def say(self, event: wire.Event) -> None:
        """Tell something that happened by itself."""
        self._end.sendall(wire.encode(event))

    def close(self) -> None:
        """Be gone."""
        self._loop.remove_reader(self._end)
        self._end.close()

    def asked(self, kind: type[wire.Request]) -> list[wire.Request]:
        """Return the requests of one kind."""
        return [each for each in self.requests if isinstance(each, kind)]

    @property
    def notes(self) -> list[tuple[str, dict[str, str | bool | int | float]]]:
        """What was recorded."""
        return [(each.kind, each.data) for each in self.requests if isinstance(each, wire.Record)]

    def _take(self) -> None:
        data = self._end.recv(1 << 16)
        if not data:
            self.close()
        for line in self._lines.feed(data):
            request = wire.decode_request(line)
            self.requests.append(request)
            self._end.sendall(wire.encode(self._answer(request)))

    def _answer(self, request: wire.Request) -> wire.Answer:
        match request:
            case wire.PlanRequest():
                return wire.Planned(request.id, self.plan)
            case wire.Live():
                return wire.Receipts(request.id, _receipts(self.live, "applied"))
            case wire.Apply(settings=settings) | wire.Undo(settings=settings):
                if self.refusal:
                    refused = _receipts(settings, "refused")
                    return wire.Failed(request.id, self.refusal, refused)
                outcome = "applied" if isinstance(request, wire.Apply) else "restored"
                return wire.Receipts(request.id, _receipts(settings, outcome))
            case wire.Record() if self.refusal:
                return wire.Failed(request.id, self.refusal)
            case _:
                return wire.Receipts(request.id, ())


def _receipts(settings: Sequence[Setting], outcome: str) -> tuple[Receipt, ...]:
    return tuple(
        Receipt(number, each, outcome)  # type: ignore[arg-type]
        for number, each in enumerate(settings, start=1)
    )
