# SPDX-License-Identifier: MIT
"""What does BBR, chosen by the daemon, do for requests over a slow link, and what does it cost?

::

    scenes    the sub-scenes and their arms, measured
    ends      what runs at the ends of the link: server, generator, and who takes the bulk
    links     two namespaces of our own, and the link between them
    path.c    the link itself: a bottleneck with a buffer, a delay, loss

BBR is put in force as an operator would for a known destination: ``resonanced apply`` of the
knob ``route_congestion``. The knob of a cgroup lasts as long as the process that holds it, so no
command can do it; the service does, and measures by itself whether it keeps it.
"""

from __future__ import annotations

from resonance.bench.reference.network.scenes import NAMES, measure

__all__ = ["NAMES", "measure"]
