# SPDX-License-Identifier: MIT
"""Which replicas are so much worse than the others that they get no calls for a while?

Four signs are watched: failures in a row, the share of failures, latency, and tasks that have
waited for a CPU for long. An outlier is one against the others: what all suffer from ejects
nobody. Never more than half of the replicas are out at once, so that the others get at most
twice what they had. A replica comes back slowly.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from random import Random
from typing import Final

from resonance.policies._records import EjectionPolicy
from resonance.policies._replica import Replica
from resonance.policies.choice._tally import Tally

__all__ = ["Ejector"]

_SWEEPS_PER_WINDOW: Final = 10
"""*Chosen*: ratios are looked at this often; both change little within a tenth of a window."""
_CLEARLY: Final = 2.0
"""*Chosen*: a share of failures or a pressure stands out when it is twice that of the others."""

_USUAL: Final = 0.5
_WORST: Final = 0.95
"""*Chosen*: who is slow as a rule is left out only when that is slower than the others at their
worst. In the simulation of two nodes, one of them starved, the median alone doubled the p99 of
the service: what the starved replicas had done well enough went to those whose bursts it met."""


class Ejector:
    """Keeps count of how each replica does, and leaves out those that do badly.

    Parameters
    ----------
    policy : EjectionPolicy
        What is bad, and for how long it has consequences.
    random : random.Random
        What decides, while a replica comes back, whether it is admitted to a call.

    Attributes
    ----------
    out_until : float
        Until when any replica is out, or coming back: when `admitted` need not be asked.
    """

    __slots__ = ("_draw", "_next_sweep_at", "_policy", "_tallies", "out_until")

    def __init__(self, policy: EjectionPolicy, random: Random) -> None:
        self._policy = policy
        self._draw = random.random
        self._tallies: dict[Replica, Tally] = {}
        self._next_sweep_at = -inf
        self.out_until = -inf  # from when on nobody is out or coming back

    def observe(
        self, replica: Replica, is_failure: bool, elapsed_seconds: float, now: float
    ) -> None:
        """Take note of how an attempt ended; one that was cancelled says nothing.

        Parameters
        ----------
        replica : Replica
            Where it was.
        is_failure : bool
            Whether it failed.
        elapsed_seconds : float
            What it took. Of failures this is not looked at: failing fast is no merit.
        now : float
            On the client's clock, in seconds.
        """
        tally = self._tallies.get(replica) or self._tally(replica, now)
        if is_failure:
            tally.calls += 1
            tally.failures += 1
            replica.failures_in_a_row += 1
            if replica.failures_in_a_row >= self._policy.consecutive_failures:
                self._check_failures_in_a_row(replica, now)
        else:
            replica.failures_in_a_row = 0
            tally.succeed((elapsed_seconds,))
        if now >= self._next_sweep_at:
            self._sweep(now)

    def absorb(self, replica: Replica, latencies: Sequence[float], now: float) -> None:
        """Take note of many successes at once, as `observe` of each would.

        Parameters
        ----------
        replica : Replica
            Where they were.
        latencies : sequence of float
            What each took, in seconds.
        now : float
            On the client's clock, in seconds.
        """
        tally = self._tallies.get(replica) or self._tally(replica, now)
        tally.succeed(latencies)
        if now >= self._next_sweep_at:
            self._sweep(now)

    def starving(self, replica: Replica, now: float) -> None:
        """Look at the pressure of a replica; to be called whenever it is refreshed.

        One that is out for starvation stays out while it is known to starve. It comes back at
        once when one that is not out starves too: nobody gains when calls are moved from one
        busy CPU to another.

        Parameters
        ----------
        replica : Replica
            Whose `Replica.pressure` may have changed.
        now : float
            On the client's clock, in seconds.
        """
        policy = self._policy
        pressure = replica.known_pressure(now)
        tally = self._tallies.get(replica)
        if pressure is None or pressure <= policy.starvation_pressure:
            if tally is not None:
                tally.starving_since = inf
            return
        tally = tally or self._tally(replica, now)
        tally.starve(now, policy.starvation_seconds)
        if now < replica.ejected_until:
            if tally.is_starved_out:
                self._leave_out(replica, tally, now + policy.starvation_seconds)
            return
        self._recall_starved(now)
        others = [each.known_pressure(now) or 0.0 for each in self._others(replica, now)]
        if now - tally.starving_since > policy.starvation_seconds and _is_alone(pressure, others):
            self._eject_starved(replica, tally, now)

    def admitted(self, replicas: Sequence[Replica], now: float) -> Sequence[Replica]:
        """Return those replicas that are not ejected; never fewer than half of them.

        Parameters
        ----------
        replicas : sequence of Replica
            Those that a call could go to.
        now : float
            On the client's clock, in seconds.

        Returns
        -------
        sequence of Replica
            The same object when nobody is left out.
        """
        if now >= self.out_until:
            return replicas
        out = sorted((each for each in replicas if self._is_out(each, now)), key=_return_time)
        if not out:
            return replicas
        left_out = out[max(0, len(out) - len(replicas) // 2) :]
        return [replica for replica in replicas if replica not in left_out]

    def _is_out(self, replica: Replica, now: float) -> bool:
        """Tell whether it is ejected, or coming back and not drawn for this call."""
        since = now - replica.ejected_until
        if since < 0.0:
            return True
        tally = self._tallies.get(replica)
        return tally is not None and self._draw() * tally.return_seconds > since

    def _check_failures_in_a_row(self, replica: Replica, now: float) -> None:
        others = self._others(replica, now)
        if others and _low_median([each.failures_in_a_row for each in others]) == 0:
            self._eject(replica, now)

    def _sweep(self, now: float) -> None:
        """Compare ratios, turn windows over, and forget replicas that are no longer called."""
        policy = self._policy
        self._next_sweep_at = now + policy.window / _SWEEPS_PER_WINDOW
        for replica, tally in list(self._tallies.items()):
            tally.turn(now)
            if not tally.all_calls and now >= replica.ejected_until + tally.return_seconds:
                del self._tallies[replica]
        judged = {
            replica: tally
            for replica, tally in self._tallies.items()
            if tally.all_calls >= policy.min_calls and now >= replica.ejected_until
        }
        for replica, tally in judged.items():
            others = [other for other in judged.values() if other is not tally]
            if self._fails(tally, others) or self._is_slow(tally, others, now):
                self._eject(replica, now)

    def _fails(self, tally: Tally, others: Sequence[Tally]) -> bool:
        ratio = tally.failure_ratio
        return ratio >= self._policy.failure_ratio and _is_alone(
            ratio, [other.failure_ratio for other in others]
        )

    def _is_slow(self, tally: Tally, others: Sequence[Tally], now: float) -> bool:
        most = self._policy.latency_ratio
        if not most or not tally.is_representative(now):
            return False
        own = tally.latency_seconds(_USUAL)
        if own is None:
            return False
        usual, worst = (
            [value for other in others if (value := other.latency_seconds(share)) is not None]
            for share in (_USUAL, _WORST)
        )
        return bool(usual) and own > most * _low_median(usual) and own > _low_median(worst)

    def _others(self, replica: Replica, now: float) -> list[Replica]:
        """Return those that it is compared with: called lately, and not ejected."""
        return [each for each in self._tallies if each is not replica and now >= each.ejected_until]

    def _eject(self, replica: Replica, now: float) -> None:
        """Eject for what it did, unless half are out already; longer when it just came back."""
        if not self._may_eject(replica, now):
            return
        policy = self._policy
        is_again = now - replica.ejected_until <= policy.base_seconds + policy.window
        replica.ejections = replica.ejections + 1 if is_again and replica.ejections else 1
        replica.failures_in_a_row = 0
        tally = self._tally(replica, now)  # what it did before is not held against it
        tally.return_seconds = policy.base_seconds
        for_seconds = min(policy.max_seconds, policy.base_seconds * replica.ejections)
        self._leave_out(replica, tally, now + for_seconds)

    def _eject_starved(self, replica: Replica, tally: Tally, now: float) -> None:
        """Eject for what was done to it: shortly, and with nothing forgotten."""
        if not self._may_eject(replica, now):
            return
        base_seconds = self._policy.starvation_seconds
        is_again = now - replica.ejected_until <= 3.0 * base_seconds  # came back, starved again
        tally.starvations = tally.starvations + 1 if is_again and tally.is_starved_out else 1
        tally.is_starved_out = True
        tally.return_seconds = base_seconds
        for_seconds = min(self._policy.base_seconds, base_seconds * tally.starvations)
        self._leave_out(replica, tally, now + for_seconds)

    def _may_eject(self, replica: Replica, now: float) -> bool:
        out = sum(now < each.ejected_until for each in self._tallies)
        return now >= replica.ejected_until and out + 1 <= len(self._tallies) // 2

    def _leave_out(self, replica: Replica, tally: Tally, until: float) -> None:
        replica.ejected_until = max(replica.ejected_until, until)
        self.out_until = max(self.out_until, replica.ejected_until + tally.return_seconds)

    def _recall_starved(self, now: float) -> None:
        for replica, tally in self._tallies.items():
            if tally.is_starved_out and now < replica.ejected_until:
                replica.ejected_until = now
                tally.return_seconds = 0.0

    def _tally(self, replica: Replica, now: float) -> Tally:
        tally = self._tallies[replica] = Tally(self._policy.window, now)
        return tally


def _is_alone(value: float, others: Sequence[float]) -> bool:
    return bool(others) and value >= _CLEARLY * _low_median(others)


def _return_time(replica: Replica) -> float:
    return replica.ejected_until


def _low_median(values: Sequence[float]) -> float:
    return sorted(values)[(len(values) - 1) // 2]
