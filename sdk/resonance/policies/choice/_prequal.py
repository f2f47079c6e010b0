# SPDX-License-Identifier: MIT
"""Which replica says that it is fast and not yet full?

For replicas that are far away and shared with other clients. They are asked ahead of the calls,
off their path: how many requests are in flight there (RIF), and how long one takes at that.
This file only decides whom to ask and what to make of the answers; a driver does the asking.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import ceil, inf
from random import Random
from typing import Final

from resonance.policies._replica import Replica
from resonance.policies.choice._picker import Forgetful

__all__ = ["Prequal"]

_POOL: Final = 16
_MAX_AGE_SECONDS: Final = 1.0
_PROBES_PER_PICK: Final = 3
_REMOVED_PER_PICK: Final = 1
_HOT_QUANTILE: Final[float] = 2.0**-0.25
_EXCESS: Final = 1.0
"""By how much more probes may be used than arrive; the paper's delta."""
_FEWEST: Final = 2
"""Probes below which the choice is random."""
_RECENT: Final = 128
"""*Chosen*: RIF answers whose quantile parts hot from cold; eight pools full."""
_IDLE_SECONDS: Final = _MAX_AGE_SECONDS / 2
"""*Chosen*: ask again before the last answers are too old, when no call causes it."""


@dataclass(slots=True)
class _Probe:
    target: Hashable
    rif: int
    latency_seconds: float
    at: float
    uses: int = 0


class Prequal(Forgetful):
    """Choose by a pool of answers to probes: the fastest replica that is not hot.

    A probe is hot when its RIF is above the 0.84 quantile of recent ones. Of those that are
    cold the one of lowest latency is chosen; when all are hot, the one of lowest RIF. A probe
    is used a bounded number of times, and counts what was sent on its word; with each choice
    the worst or the oldest, by turns, is dropped.

    Parameters
    ----------
    random : random.Random
        What it draws with whom to ask, and replicas while too few have answered.

    References
    ----------
    B. Wydrowski, R. Kleinberg, S. Rumble, A. Archer, "Load is not what you should balance:
    Introducing Prequal", NSDI 2024.
    """

    __slots__ = ("_asked_at", "_known", "_owed", "_pool", "_random", "_rifs", "_takes_worst")

    def __init__(self, random: Random) -> None:
        self._random = random
        self._pool: list[_Probe] = []
        self._rifs: deque[int] = deque(maxlen=_RECENT)
        self._known: Sequence[Replica] = ()
        self._owed = 0
        self._asked_at = -inf
        self._takes_worst = False

    def pick(
        self,
        candidates: Sequence[Replica],
        now: float,
        key: object | None = None,  # noqa: ARG002 -- of `Picker`
    ) -> Replica:
        """See `Picker`."""
        self._known = candidates
        self._owed = min(self._owed + _PROBES_PER_PICK, _POOL)
        self._pool = [probe for probe in self._pool if now - probe.at <= _MAX_AGE_SECONDS]
        replicas = {replica.target: replica for replica in candidates}
        usable = [probe for probe in self._pool if probe.target in replicas]
        if len(usable) < _FEWEST:
            return candidates[int(self._random.random() * len(candidates))]
        best = self._best(usable)
        self._use(best, len(candidates))
        self._drop()
        return replicas[best.target]

    def probe_targets(self, now: float) -> tuple[Hashable, ...]:
        """Return whom to ask now: three for each choice since, and some when long idle.

        Parameters
        ----------
        now : float
            On the client's clock, in seconds.

        Returns
        -------
        tuple
            Targets, each once. Ask after each choice, and in idle times every half second.
        """
        if now - self._asked_at >= _IDLE_SECONDS:
            self._owed = max(self._owed, _PROBES_PER_PICK)
        count = min(self._owed, len(self._known))
        if not count:
            return ()
        self._owed = 0
        self._asked_at = now
        return tuple(replica.target for replica in self._random.sample(self._known, count))

    def probed(self, target: Hashable, rif: int, latency_seconds: float, now: float) -> None:
        """Take an answer. A load report that brings both numbers is as good as a probe's.

        Parameters
        ----------
        target : hashable
            Who answered.
        rif : int
            Requests in flight there, from all clients.
        latency_seconds : float
            What a request takes there at about that many in flight.
        now : float
            On the client's clock, in seconds.
        """
        self._pool = [probe for probe in self._pool if probe.target != target]
        if len(self._pool) >= _POOL:
            self._pool.remove(min(self._pool, key=_age))
        self._pool.append(_Probe(target, rif, latency_seconds, now))
        self._rifs.append(rif)

    def _best(self, usable: Sequence[_Probe]) -> _Probe:
        hot = self._hot_above()
        cold = [probe for probe in usable if probe.rif <= hot]
        return min(cold, key=_latency) if cold else min(usable, key=_rif)

    def _hot_above(self) -> int:
        rifs = sorted(self._rifs)
        return rifs[ceil(_HOT_QUANTILE * len(rifs)) - 1]

    def _use(self, probe: _Probe, replicas: int) -> None:
        probe.uses += 1
        probe.rif += 1
        if probe.uses >= _most_uses(replicas):
            self._pool.remove(probe)

    def _drop(self) -> None:
        if len(self._pool) <= _FEWEST:
            return
        self._takes_worst = not self._takes_worst
        self._pool.remove(self._worst() if self._takes_worst else min(self._pool, key=_age))

    def _worst(self) -> _Probe:
        hot = self._hot_above()
        hottest = max(self._pool, key=_rif)
        return hottest if hottest.rif > hot else max(self._pool, key=_latency)


def _most_uses(replicas: int) -> int:
    """Return how often a probe may be used, so that the pool neither runs dry nor grows old.

    The formula of the paper has a pole where the pool is two thirds of the replicas: with fewer
    replicas than that the pool's own size is the bound. *Chosen*; age and removal come first.
    """
    gained = (1.0 - _POOL / replicas) * _PROBES_PER_PICK - _REMOVED_PER_PICK
    if gained <= (1.0 + _EXCESS) / _POOL:
        return _POOL
    return max(1, ceil((1.0 + _EXCESS) / gained))


def _age(probe: _Probe) -> float:
    return probe.at


def _latency(probe: _Probe) -> float:
    return probe.latency_seconds


def _rif(probe: _Probe) -> int:
    return probe.rif
