# SPDX-License-Identifier: MIT
"""Who chooses the phases where there is no daemon? The application itself.

::

    core = resonance.Core()
    core.set_mode("active")
    for tick in core.every(0.1, name="flush", phase_free=True):
        flush()

The same controller as the daemon's, in a thread of the application: it sees the timers of this
process only, and judges by the latencies the application tells it. Where a daemon is there it
wins, since it sees the whole node. It needs numpy: ``pip install 'resonance-runtime[core]'``.

::

    _core      the core: what an application calls, and its thread
    _placing   its timers, and where they are sent
    _feed      the application's latencies until the controller takes them
    _load      how busy the CPUs are
    _errors    what is missing
"""

from __future__ import annotations

from resonance.embedded._core import Core
from resonance.errors import MissingExtraError

__all__ = ["Core", "MissingExtraError"]
