# SPDX-License-Identifier: MIT
"""What if pressure told how much longer the next request takes?

A request that needs a CPU for a second, where a task gets only one second in four, is there for
four. So what a replica's answers have taken lately, for all that is in flight and one more, is
divided by the share of a CPU that its tasks get: one less pressure. For that the pressure should
be the state of the run queue, whether or not the replica has anything in it: of n tasks that
want a CPU each waits for 1 - 1/n of the time. A replica's own pressure, which is zero while it
has nothing to do, says the same only when it is late.
"""

from __future__ import annotations

from typing import Final

from resonance.policies._replica import Replica
from resonance.policies.choice._peak_ewma import PeakEwma

__all__ = ["ExpectedWait"]

_LEAST: Final = 0.05
"""*Chosen*: of the share that is left, so that nothing is divided by 0."""


class ExpectedWait(PeakEwma):
    """Of two replicas drawn take the one with the shorter expected wait.

    Parameters
    ----------
    random : random.Random
        What it draws with.
    ewma_seconds : float
        Time constant of the latency average, above 0.
    """

    __slots__ = ()

    def load(self, replica: Replica, now: float) -> float:
        """Return the expected wait; as of `PeakEwma.load`.

        Parameters
        ----------
        replica : Replica
        now : float
            On the client's clock, in seconds.

        Returns
        -------
        float
            Seconds.
        """
        left = max(_LEAST, 1.0 - (replica.known_pressure(now) or 0.0))
        return super().load(replica, now) / left
