# SPDX-License-Identifier: MIT
"""What do the HTTP adapters have in common, whichever library they are for?"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from resonance import deadlines
from resonance.client import AsyncClient, Client, current_attempt
from resonance.errors import (
    ClientClosedError,
    DeadlineExceededError,
    NoReplicaError,
    OverloadedError,
)
from resonance.integrations._http import Replicas, Routes
from resonance.policies import Attempt, Policy, TaskHint, load
from resonance.server._load import LOAD_HEADER, parse_load

if TYPE_CHECKING:
    from resonance.client._base import AnyPolicy

__all__ = ["LOAD_HEADER", "OWN_ERRORS", "Options", "attempt_here", "bounded", "take_report"]

C = TypeVar("C", Client, AsyncClient)

OWN_ERRORS: Final = (ClientClosedError, DeadlineExceededError, NoReplicaError, OverloadedError)
"""What a call can end with besides the library's own errors; adapters translate them."""
_LEAST_SECONDS: Final = 0.001
"""*Chosen*: libraries take 0 for "do not wait", or for "wait for ever"."""


class Options(Generic[C]):
    """What an adapter was told when it was made.

    Parameters
    ----------
    client : Client or AsyncClient or None
    make_client : type
        What to make where there is none; the adapter then closes it.
    policy : Policy, a part of one, the name of a profile, or None
    replicas : mapping or None
        As `Replicas`.
    hint : TaskHint
    keep_host : bool
    """

    def __init__(
        self,
        client: C | None,
        make_client: type[C],
        policy: AnyPolicy | str | None,
        replicas: Replicas | None,
        hint: TaskHint,
        *,
        keep_host: bool,
    ) -> None:
        self.routes = Routes(replicas)
        self.is_own_client = client is None
        self.client: C = make_client() if client is None else client
        self._policy: AnyPolicy | None = load(policy) if isinstance(policy, str) else policy
        self._policy_for_once = self._without_copies()
        self.hint = hint
        self.keep_host = keep_host

    def policy(self, hint: TaskHint) -> AnyPolicy | None:
        """Return the policy for a request.

        Parameters
        ----------
        hint : TaskHint
            What is surely not idempotent, such as a body that is gone when it is sent, is not
            copied, even if the policy would copy what it knows nothing of.

        Returns
        -------
        Policy, a part of one, or None
            ``None``: the client's.
        """
        return self._policy_for_once if hint.idempotent is False else self._policy

    def _without_copies(self) -> AnyPolicy | None:
        whole = self._policy or self.client.default
        if not isinstance(whole, Policy):
            whole = self.client.default | whole
        if whole.hedge is None or whole.hedge.idempotent_only:
            return self._policy
        return whole.replace(hedge=None)


def attempt_here() -> Attempt:
    """Return the attempt this code runs in; adapters send nothing outside of one."""
    attempt = current_attempt()
    assert attempt is not None
    return attempt


def bounded(seconds: float | None) -> float | None:
    """Return a library's own timeout, shortened to what is left until the deadline.

    Parameters
    ----------
    seconds : float or None
        ``None`` waits for ever.

    Returns
    -------
    float or None
        Above 0, so that it never means "do not wait".
    """
    left = deadlines.remaining()
    if left is None:
        return seconds
    left = max(left, _LEAST_SECONDS)
    return left if seconds is None else min(seconds, left)


def take_report(attempt: Attempt, value: str | None) -> None:
    """Hand on the load report that came with a reply, if there is one that can be read.

    Parameters
    ----------
    attempt : Attempt
    value : str or None
        Of `LOAD_HEADER`.
    """
    report = None if value is None else parse_load(value)
    if report is not None:
        attempt.call.service.cluster.report(
            attempt.target, report.runqueue_pressure, report.utilization, monotonic()
        )
