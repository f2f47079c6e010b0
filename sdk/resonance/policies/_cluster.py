# SPDX-License-Identifier: MIT
"""Which replicas are there, what is known of each, and which one gets the next attempt?"""

from __future__ import annotations

import random as random_module
from collections.abc import Hashable, Iterator, Sequence
from itertools import cycle
from math import inf
from typing import Final

from resonance.errors import NoReplicaError, PolicyError
from resonance.policies._call import Call
from resonance.policies._reasons import Reason
from resonance.policies._records import ChoicePolicy
from resonance.policies._replica import Replica
from resonance.policies._window import Window
from resonance.policies.choice import Ejector, Picker, Prequal, Uniform, make

__all__ = ["NO_LANE", "Cluster", "Lane"]

_MOST_FORMER: Final = 1_024
"""Replicas that are remembered though no longer named; those in use are never forgotten."""
_PAIRS: Final = 1_024
"""*Chosen*: drawn beforehand and used over and over, in an order of each client's own."""
_REPORT_VALID_SECONDS: Final = 0.5
"""*Chosen*: a load report comes with a reply, so it is older than the pressure of this host."""


Lane = tuple[object, Sequence[Replica], Iterator[tuple[int, int]]]
NO_LANE: Final[Lane] = (object(), (), iter(()))


class Cluster:
    """The replicas of one service, as one client knows them.

    Parameters
    ----------
    policy : ChoicePolicy
    name : str
        Of the service, for errors.
    random : random.Random

    Attributes
    ----------
    candidates : sequence of Replica
        As they were named last.
    lane : tuple
        How they were named; the candidates; and an endless iterator over pairs of their indexes
        at random. `NO_LANE` where choosing takes more than comparing such a pair.
    anonymous : Replica
        Stands for all of them where the function itself knows where to go.
    out_until : float
        Until when some are ejected, or coming back.
    learns : bool
        Whether `succeeded` must be told at once.
    asks : bool
        Whether replicas are to be asked how busy they are, by `whom_to_ask` and `told`.
    reason : Reason or None
        What was special about the last choice.
    """

    def __init__(self, policy: ChoicePolicy, name: str, random: random_module.Random) -> None:
        self.anonymous = Replica(None)
        self.candidates: Sequence[Replica] = (self.anonymous,)
        self.lane: Lane = NO_LANE
        self._pairs: dict[int, Iterator[tuple[int, int]]] = {}
        self.reason: Reason | None = None
        self.out_until = -inf
        self._name = name
        self._former_answered = 0
        self._random = random
        self._is_pairwise = policy.algorithm == "p2c"
        self._is_random = False
        self._last: Sequence[Hashable] | None = None
        self._replicas: dict[Hashable, Replica] = {}
        self._random_picker = Uniform(random)
        self._picker = make(policy, random)
        self.asks = isinstance(self._picker, Prequal)
        self._ejector = Ejector(policy.ejection, random) if policy.ejection else None
        self.set_random(is_random=False)

    @property
    def picker(self) -> Picker:
        """What chooses, unless the choice is by chance."""
        return self._picker

    def choose_by(self, picker: Picker) -> None:
        """Choose by something that no policy may name, so that it can be judged.

        Parameters
        ----------
        picker : Picker
        """
        self._picker = picker
        self._is_pairwise = False
        self.asks = isinstance(picker, Prequal)

    def set_random(self, *, is_random: bool) -> None:
        """Choose by chance alone from now on, as an application without a policy might, or not.

        Parameters
        ----------
        is_random : bool
        """
        self._is_random = is_random
        picker = self._random_picker if is_random else self._picker
        self._pick = picker.pick
        self.learns = picker.learns
        self.open_lane()

    def first(self, targets: Sequence[Hashable] | None, key: Hashable, now: float) -> Replica:
        """Return the replica for the first attempt of a call.

        Parameters
        ----------
        targets : sequence of hashable, or None
            The replicas, as the caller names them now.
        key : hashable
            What ``rendezvous`` chooses by.
        now : float
            On the client's clock in seconds.

        Returns
        -------
        Replica

        Raises
        ------
        NoReplicaError
            There is none.
        """
        self.reason = None
        if targets != self._last:
            self.learn(targets)
        return self.choose(self.candidates, key, now)

    def choose(self, candidates: Sequence[Replica], key: Hashable, now: float) -> Replica:
        """Return the best of some replicas; those that are ejected only when all are.

        Parameters
        ----------
        candidates : sequence of Replica
            One at least.
        key : hashable
        now : float
            On the client's clock in seconds.

        Returns
        -------
        Replica
        """
        self.reason = None
        if now < self.out_until and self._ejector is not None:
            admitted = self._ejector.admitted(candidates, now)
            if len(admitted) != len(candidates):
                self.reason = Reason.EJECTED_OTHERS
                if not self._is_random:
                    candidates = admitted
        return candidates[0] if len(candidates) == 1 else self._pick(candidates, now, key)

    def others(self, call: Call) -> list[Replica]:
        """Return the replicas that a call was not sent to, as they are named now.

        Parameters
        ----------
        call : Call

        Returns
        -------
        list of Replica
            Empty where it was sent to all; `anonymous` where the function knows where to go.
        """
        if call.targets is None:
            return [self.anonymous]
        tried = call.tried()
        return [each for each in self.named(call) if each not in tried]

    def named(self, call: Call) -> Sequence[Replica]:
        """Return the replicas of a call as they are named now.

        Parameters
        ----------
        call : Call
            The caller may have changed its list meanwhile; where he has emptied it, what was
            tried is all that is known.

        Returns
        -------
        sequence of Replica
        """
        targets = call.targets
        if targets is not None and not targets:
            return list(dict.fromkeys(call.tried()))
        if targets != self._last:
            self.learn(targets)
        return self.candidates

    def succeeded(self, replica: Replica, elapsed_seconds: float, now: float) -> None:
        """Let the choice learn from a reply, where it `learns`.

        Parameters
        ----------
        replica : Replica
        elapsed_seconds : float
            Of the attempt.
        now : float
            On the client's clock in seconds.
        """
        self._picker.observe(replica, elapsed_seconds, now)

    def failed(self, replica: Replica, elapsed_seconds: float, now: float) -> None:
        """Learn from a failure; its latency says nothing about how long a reply takes.

        Parameters
        ----------
        replica : Replica
        elapsed_seconds : float
            Of the attempt.
        now : float
            On the client's clock in seconds.
        """
        if self._ejector is not None:
            self._ejector.observe(replica, True, elapsed_seconds, now)
            self.out_until = self._ejector.out_until
            self.open_lane(now)

    def refresh(self, window: Window, now: float) -> None:
        """Learn from what was answered since the last time, and from pressure.

        Parameters
        ----------
        window : Window
            Gets the latencies of all replicas.
        now : float
            On the client's clock in seconds.
        """
        ejector = self._ejector
        for replica in (self.anonymous, *self._replicas.values()):
            if answers := replica.take_answers():
                window.pending += answers
                if ejector is not None:
                    ejector.absorb(replica, answers, now)
            if replica.pressure is not None and ejector is not None:
                ejector.starving(replica, now)
        if ejector is not None:
            self.out_until = ejector.out_until
        self.open_lane(now)

    @property
    def answered(self) -> int:
        """Answers of all replicas there ever were."""
        replicas = (self.anonymous, *self._replicas.values())
        return self._former_answered + sum(each.answered + len(each.answers) for each in replicas)

    @property
    def inflight(self) -> int:
        """Attempts that have begun and not ended."""
        return sum(len(each.open) for each in (self.anonymous, *self._replicas.values()))

    def open_lane(self, now: float = -inf) -> None:
        """Work out whether a pair of candidates is all that must be compared for now.

        Parameters
        ----------
        now : float
            On the client's clock in seconds; by default not known, so that it stays closed
            where anybody was ever ejected, until `refresh`.
        """
        if not self._is_pairwise or self._is_random or now < self.out_until:
            self.lane = NO_LANE
        elif self.lane[1] is not self.candidates:
            count = len(self.candidates)
            if count not in self._pairs:
                self._pairs[count] = cycle(_pairs(count, self._random))
            self.lane = (self._last, self.candidates, self._pairs[count])

    def report(
        self, target: Hashable, pressure: float | None, utilization: float | None, now: float
    ) -> None:
        """Take the load report that came with a reply.

        Parameters
        ----------
        target : hashable
            Which replica it speaks of; one that is not known is passed over.
        pressure : float or None
            Share of time its tasks wait for a CPU, 0 to 1.
        utilization : float or None
            0 to 1, above when overloaded.
        now : float
            On the client's clock in seconds.
        """
        replica = self._replicas.get(target)
        if replica is None:
            return
        replica.utilization = utilization
        if pressure is not None:
            replica.pressure = pressure
            replica.pressure_until = now + _REPORT_VALID_SECONDS

    def whom_to_ask(self, now: float) -> tuple[Hashable, ...]:
        """Return the replicas to ask now how busy they are.

        Parameters
        ----------
        now : float
            On the client's clock in seconds.

        Returns
        -------
        tuple of hashable
            Their targets.
        """
        return self._picker.probe_targets(now) if isinstance(self._picker, Prequal) else ()

    def told(self, target: Hashable, inflight: int, latency_seconds: float, now: float) -> None:
        """Take a replica's answer.

        Parameters
        ----------
        target : hashable
        inflight : int
            Requests it has, from all clients.
        latency_seconds : float
            What one takes there at present.
        now : float
            On the client's clock in seconds.
        """
        if isinstance(self._picker, Prequal):
            self._picker.probed(target, inflight, latency_seconds, now)

    def learn(self, targets: Sequence[Hashable] | None) -> None:
        """Take the replicas as they are named now; those that were known are kept as they are.

        Parameters
        ----------
        targets : sequence of hashable, or None
            ``None`` where the function itself knows where to go.

        Raises
        ------
        NoReplicaError
            There is none.
        PolicyError
            It is no sequence of replicas.
        """
        if targets is None:
            self._last, self.candidates = None, (self.anonymous,)
            self.open_lane()
            return
        if isinstance(targets, str | bytes) or not hasattr(targets, "__getitem__"):
            raise PolicyError("targets", f"must be a list or tuple of replicas, not {targets!r}")
        if not targets:
            raise NoReplicaError(self._name)
        last = targets[:]  # of a list a copy: the caller may change it while we are at it
        known = self._replicas
        self.candidates = [
            known.get(target) or known.setdefault(target, Replica(target))
            for target in dict.fromkeys(last)
        ]
        self._last = last
        self.open_lane()
        if len(known) > len(self.candidates) + _MOST_FORMER:
            named = set(last)
            for target in [t for t, each in known.items() if t not in named and not each.open]:
                self._former_answered += known[target].answered + len(known[target].answers)
                del known[target]


def _pairs(count: int, random: random_module.Random) -> list[tuple[int, int]]:
    """Draw pairs of different indexes, each as likely; of one replica there is one."""
    if count == 1:
        return [(0, 0)]
    firsts = [random.randrange(count) for _ in range(_PAIRS)]
    return [(first, (first + random.randrange(1, count)) % count) for first in firsts]
