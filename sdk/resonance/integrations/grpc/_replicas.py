# SPDX-License-Identifier: MIT
"""Which channels are there, one for each replica, and who closes them?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from resonance.client._base import AnyPolicy, ClientBase
from resonance.errors import PolicyError
from resonance.policies import ChoicePolicy, Policy

__all__ = ["CHANNEL_OPTIONS", "choice_of", "opened"]

C = TypeVar("C")

CHANNEL_OPTIONS: Final[tuple[tuple[str, Any], ...]] = (("grpc.enable_retries", 0),)
"""What every channel below a policy needs: gRPC's own retries, as a service config asks for
them, would multiply with ours, and nobody would count them."""


def opened(
    targets: Sequence[str] | Mapping[str, C], make: Callable[[str], C]
) -> tuple[dict[str, C], tuple[C, ...]]:
    """Return the channels by replica, and those of them that were made here.

    Parameters
    ----------
    targets : sequence of str, or mapping of str to channel
        Addresses, or channels.
    make : callable
        Makes a channel for an address.

    Returns
    -------
    tuple of dict and tuple
        The channels by replica; and those that are to be closed here.

    Raises
    ------
    PolicyError
        There are none, or one is named twice.
    """
    if isinstance(targets, str) or not targets:
        raise PolicyError("targets", f"must be one or more addresses or channels, not {targets!r}")
    if isinstance(targets, Mapping):
        return dict(targets), ()
    if len(set(targets)) < len(targets):
        raise PolicyError("targets", f"must differ from each other, not {list(targets)}")
    channels = {target: make(target) for target in targets}
    return channels, tuple(channels.values())


def choice_of(policy: AnyPolicy | None, client: ClientBase) -> ChoicePolicy:
    """Return how a replica is chosen where the client does not do it.

    Parameters
    ----------
    policy : Policy or part of one, or None
    client : Client or AsyncClient

    Returns
    -------
    ChoicePolicy
    """
    if policy is None:
        return client.default.choice
    whole = policy if isinstance(policy, Policy) else client.default | policy
    return whole.choice
