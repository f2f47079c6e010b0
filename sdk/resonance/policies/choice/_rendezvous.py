# SPDX-License-Identifier: MIT
"""Which replica has seen this key before?

Every key ranks the replicas by a hash of both. The same key finds the same replica from every
client and after every restart; when that replica is gone its keys, and no others, go to the
second of their ranking, which are all of the others alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from resonance.errors import PolicyError
from resonance.policies._replica import Replica
from resonance.policies.choice._picker import Forgetful

__all__ = ["Rendezvous"]


class Rendezvous(Forgetful):
    """The replica that comes first in the ranking of the call's key.

    Keys and targets are told apart by text: ``str``, ``bytes`` as they are, anything else, and
    every target, by its ``repr``. That must not contain an address in memory, or the ranking
    changes with each start.

    References
    ----------
    D. Thaler, C. Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", IEEE/ACM
    Transactions on Networking 6(1), 1998, doi:10.1109/90.663936.
    """

    __slots__ = ()

    def pick(
        self,
        candidates: Sequence[Replica],
        now: float,  # noqa: ARG002 -- of `Picker`
        key: object | None = None,
    ) -> Replica:
        """Choose; where there is a choice, the key is not optional.

        See `Picker`.

        Raises
        ------
        PolicyError
            When there is a choice and no key.
        """
        if len(candidates) == 1:
            return candidates[0]
        if key is None:
            raise PolicyError("key", "rendezvous chooses by the call's key: pass one")
        hashed = blake2b(_bytes(key), digest_size=32).digest()
        best, best_rank = candidates[0], b""
        for replica in candidates:
            rank = blake2b(repr(replica.target).encode(), key=hashed, digest_size=8).digest()
            if rank > best_rank:
                best, best_rank = replica, rank
        return best


def _bytes(key: object) -> bytes:
    if isinstance(key, bytes):
        return key
    return (key if isinstance(key, str) else repr(key)).encode()
