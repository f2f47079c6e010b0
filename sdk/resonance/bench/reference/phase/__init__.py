# SPDX-License-Identifier: MIT
"""What does phase control do for requests beside periodic work?

::

    scenes      the arms, measured: aligned, again, at random phases, controlled
    rounds      one repetition: all four arms with one start of the tasks
    timetable   when which arm is in force
    neighbours  the processes: periodic tasks, the server and who asks it
    flusher.py  one periodic task
    requests.c  the server, and requests that are due whatever became of those before
"""

from __future__ import annotations

from resonance.bench.reference.phase.scenes import SMOKE, measure
from resonance.bench.reference.phase.timetable import Timing

__all__ = ["SMOKE", "Timing", "measure"]
