# SPDX-License-Identifier: MIT
"""The one process that writes to the kernel: small, alone, and gone with whoever drives it.

``python -m resonance_tuning.actuator --fd N`` speaks `wire` on an inherited socket. The end of
that connection, SIGTERM and its parent's death all mean the same: put back and exit. What may
be asked is in `session`; here are the order of things and the waiting.
"""

from __future__ import annotations

import argparse
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

from resonance_tuning import capabilities
from resonance_tuning.actuator import wire
from resonance_tuning.actuator.channel import Channel
from resonance_tuning.actuator.poller import Poller, Wakeup
from resonance_tuning.actuator.session import Session
from resonance_tuning.actuator.starvation import StarvationWatch
from resonance_tuning.actuator.uevents import Uevents
from resonance_tuning.errors import ActuatorError, TuningError
from resonance_tuning.host import Host
from resonance_tuning.knobs import make_knobs

__all__ = ["BAD_CLIENT", "NOT_ALL_RESTORED", "NOT_STARTED", "main"]

NOT_STARTED: Final = 1
BAD_CLIENT: Final = 2
NOT_ALL_RESTORED: Final = 3
"""Exit statuses; after 2 too everything that could be was put back."""
_BEGIN_SECONDS: Final = 10.0
"""What the parent gets to say how to begin."""


def main(argv: Sequence[str] | None = None) -> int:
    """Serve one client to its end; return the exit status."""
    parser = argparse.ArgumentParser(prog="resonance_tuning.actuator", description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="an inherited stream socket")
    channel = Channel(socket.socket(fileno=parser.parse_args(argv).fd))
    capabilities.end_with_parent()
    wakeup, host = Wakeup(), Host()
    begin, others = _first_requests(channel)
    if not begin:
        return NOT_STARTED
    try:
        session = Session(host, begin, make_knobs(host), log=_teller(begin))
        return _serve(session, _Loop(session, begin, channel, wakeup), host, others)
    except (OSError, TuningError) as error:
        channel.say(wire.Failed(begin.id, str(error)))
        return NOT_STARTED


def _first_requests(channel: Channel) -> tuple[wire.Begin | None, list[wire.Request]]:
    """Wait for the one that must come first, and return it and those that came with it."""
    deadline = time.monotonic() + _BEGIN_SECONDS
    requests: list[wire.Request] | None = []
    try:
        while requests == [] and (left := deadline - time.monotonic()) > 0:
            select.select([channel], [], [], left)
            requests = channel.receive()
    except ActuatorError as error:
        _log(f"client_refused reason={error.reason!r}")
        return None, []
    match requests:
        case [wire.Begin() as begin, *others]:
            return begin, others
        case _:
            return None, []


def _serve(session: Session, loop: _Loop, host: Host, others: list[wire.Request]) -> int:
    """Begin, give up what is not needed, serve, and put back."""
    status = NOT_STARTED
    try:
        recovered = session.begin()
        # Before the rest is given up: what is opened now may look more often.
        loop.watch(host)
        kept = capabilities.drop_all_but(session.capabilities())
        begun = wire.Begun(
            loop.begin.id,
            boot_id=host.boot_id,
            recovered=recovered,
            capabilities=tuple(sorted(kept)),
            is_shadow=session.is_shadow,
            reason=session.reason,
        )
        status = loop.run(begun, others)
    finally:
        for receipt in session.end():
            if receipt.outcome in {"refused", "conflict-left"}:
                what = f"knob={receipt.setting.knob} target={str(receipt.setting.target)!r}"
                _log(f"left {what} outcome={receipt.outcome} reason={receipt.reason!r}")
            if receipt.outcome == "refused":
                status = NOT_ALL_RESTORED
    return status


def _log(line: str) -> None:
    sys.stderr.write(f"level=INFO event={line}\n")
    sys.stderr.flush()


def _teller(begin: wire.Begin) -> Callable[[str], None]:
    """Return what is told of writes: a log where a service runs, else only the receipts."""
    return _log if begin.is_resident else lambda _line: None


class _Loop:
    """Waits for the client, signals, CPUs, pressure, and the time to look."""

    def __init__(
        self, session: Session, begin: wire.Begin, channel: Channel, wakeup: Wakeup
    ) -> None:
        self.begin = begin
        self._session, self._channel = session, channel
        self._poller = Poller()
        self._starvation: StarvationWatch | None = None
        self._requests: deque[wire.Request] = deque()
        self._status: int | None = None
        self._poller.add(channel, self._listen)
        self._poller.add(wakeup, self._end)

    def watch(self, host: Host) -> None:
        """Hear of CPUs and of starved batch work; the end of a command comes too soon for that."""
        if not self.begin.is_resident:
            return
        self._starvation = StarvationWatch(host, self._poller, self._starved, _log)
        self._watch_batch()
        try:
            uevents = Uevents()
        except OSError as error:
            _log(f"cpu_events_unavailable reason={error.strerror!r}")
        else:
            self._poller.add(uevents, lambda _mask: self._cpus_changed(uevents))

    def run(self, begun: wire.Begun, requests: Iterable[wire.Request]) -> int:
        """Serve until the end; return the exit status."""
        self._requests.extend(requests)
        look_at = time.monotonic() + self.begin.verify_seconds
        try:
            self._channel.say(begun)
            while self._status is None:
                mask = select.POLLIN | (select.POLLOUT if self._channel.has_unsent else 0)
                self._poller.change(self._channel, mask)
                self._poller.wait(0 if self._requests else look_at - time.monotonic())
                if self._requests and self._status is None:
                    self._answer(self._requests.popleft())
                if time.monotonic() >= look_at:
                    self._tell(self._session.look)
                    look_at = time.monotonic() + self.begin.verify_seconds
        except ActuatorError as error:
            _log(f"client_refused reason={error.reason!r}")
            return BAD_CLIENT
        return self._status

    def _listen(self, mask: int) -> None:
        if mask & select.POLLOUT:
            self._channel.flush()
        if mask & select.POLLHUP:
            self._status = 0  # whatever it still asks for, nobody would read the answer
        elif mask & select.POLLIN and not self._requests:
            requests = self._channel.receive()
            if requests is None:
                self._status = 0
            else:
                self._requests.extend(requests)

    def _answer(self, request: wire.Request) -> None:
        """Answer one; a signal must not have to wait for many."""
        self._channel.say(self._session.answer(request))
        self._watch_batch()

    def _end(self, _mask: int) -> None:
        self._status = 0

    def _tell(self, happen: Callable[[], Iterable[wire.Event]]) -> None:
        """Say what has happened; what goes wrong is logged, and tried again the next time."""
        try:
            events = list(happen())
        except (OSError, TuningError) as error:
            _log(f"not_watched reason={str(error)!r}")
            return
        for event in events:
            self._channel.say(event)

    def _cpus_changed(self, uevents: Uevents) -> None:
        events, is_lost = uevents.take()
        if events or is_lost:
            changes = ", ".join(f"CPU {event.cpu} is {event.action}" for event in events)
            what = changes or "CPUs may have come or gone"
            self._tell(partial(self._session.cpus_changed, what))

    def _watch_batch(self) -> None:
        """Watch the batch groups of the latest plan."""
        plan = self._session.plan
        if self._starvation and plan and not self._session.is_shadow:
            self._starvation.follow(plan.batch, plan.guard)

    def _starved(self, cgroup: str) -> None:
        self._tell(partial(self._session.step_down, cgroup))
