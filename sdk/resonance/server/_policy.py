# SPDX-License-Identifier: MIT
"""How much may a server take on, and how long may it let a request wait?"""

from __future__ import annotations

from math import isfinite

import msgspec

from resonance.errors import PolicyError
from resonance.policies._records import LimitPolicy

__all__ = ["AdmissionPolicy"]


class AdmissionPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a request is begun, made to wait, or refused.

    Parameters
    ----------
    limit : int or LimitPolicy
        Requests in service at once: a number, or how to learn one from how long they take.
    queue : int
        Requests that may wait, at most; 0 for none. By default 1,000. *Chosen*: what 10,000
        requests in a second leave within one `interval`.
    target : float
        Seconds a request may wait while there is a standing queue. By default 0.005.
    interval : float
        Seconds without an empty queue that make it a standing one; and how long a request may
        wait in any case. By default 0.1.

    Raises
    ------
    PolicyError
        For what cannot be, such as no request at all or an interval below the target.

    References
    ----------
    B. Maurer, "Fail at Scale", ACM Queue 13(8), 2015, doi:10.1145/2838344.2839461: both times,
    and last in, first out while the queue stands.
    K. Nichols, V. Jacobson, "Controlling Queue Delay", ACM Queue 10(5), 2012,
    doi:10.1145/2208917.2209336.
    """

    limit: int | LimitPolicy = LimitPolicy()
    queue: int = 1_000
    target: float = 0.005
    interval: float = 0.1

    def __post_init__(self) -> None:
        if not isinstance(self.limit, LimitPolicy):
            self._whole("limit", 1)
        self._whole("queue", 0)
        self._seconds("target")
        self._seconds("interval")
        if self.interval < self.target:
            raise PolicyError(
                "AdmissionPolicy.interval",
                f"must be at least the target of {self.target!r} s, not {self.interval!r}",
            )

    def _whole(self, name: str, least: int) -> None:
        value = getattr(self, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise PolicyError(
                f"AdmissionPolicy.{name}", f"must be a whole number, {least} or more, not {value!r}"
            )

    def _seconds(self, name: str) -> None:
        value = getattr(self, name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not isfinite(value) or value <= 0:
            raise PolicyError(f"AdmissionPolicy.{name}", f"must be seconds above 0, not {value!r}")
