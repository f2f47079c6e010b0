# SPDX-License-Identifier: MIT
"""What happens when calls are sent as they are due, whatever became of those before?

::

    measuring     one slot: the parent of the processes that send
    watching      how far a slot is, while it runs
    processes     children that write where their parent reads
    senders       the loop of one process: what is due, what came, what took too long
    pools         connections, and what becomes of calls when one ends
    waits         until the next moment or the next bytes, to the microsecond
    reaching      whether anybody is there who speaks the protocol
    connections   a socket, its TLS, and what it has not sent yet
    wires         protocols, without a socket
    sheets        moments by number of call, in memory that is shared
    schedules     when calls are due, and of which kind
    realtime      the scheduler's class, and the kernel's own account of waiting
    targets       what the text of a target means
"""

from __future__ import annotations

from resonance.bench.load.measuring import Measured, measure
from resonance.bench.load.targets import parse_target
from resonance.bench.load.watching import Progress

__all__ = ["Measured", "Progress", "measure", "parse_target"]
