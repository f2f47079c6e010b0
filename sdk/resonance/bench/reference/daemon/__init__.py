# SPDX-License-Identifier: MIT
"""How does the experiment have the daemon do something? As an operator does: by its command.

::

    profiles    a profile in force for a while
    running     the service for a while

Both leave the host as they found it, and say so where they could not. Nothing of the daemon is
imported.
"""

from __future__ import annotations

from resonance.bench.reference.daemon.profiles import applied
from resonance.bench.reference.daemon.running import Daemon, command, service

__all__ = ["Daemon", "applied", "command", "service"]
