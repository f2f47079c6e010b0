# SPDX-License-Identifier: MIT
"""How does one make a generated stub of several replicas, in one line?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

import grpc

from resonance import AsyncClient, Client
from resonance.client._base import AnyPolicy
from resonance.integrations.grpc._aio_channel import AioHedgingChannel
from resonance.integrations.grpc._channel import HedgingChannel
from resonance.integrations.grpc._classify import RETRIABLE
from resonance.integrations.grpc._methods import check_names
from resonance.policies import TaskHint

__all__ = ["stub"]

S = TypeVar("S")


def stub(
    stub_class: Callable[[Any], S],
    targets: Sequence[str] | Mapping[str, Any],
    *,
    client: Client | AsyncClient,
    policy: AnyPolicy | None = None,
    methods: Mapping[str, TaskHint] | None = None,
    name: str = "",
    credentials: grpc.ChannelCredentials | None = None,
    options: Sequence[tuple[str, Any]] = (),
    codes: Collection[grpc.StatusCode] = RETRIABLE,
) -> S:
    """Return a stub whose unary calls are hedged and repeated over several replicas.

    Its channels live as long as it does. To close them earlier, make a `HedgingChannel` and
    give that to the stub's class.

    Parameters
    ----------
    stub_class : type
        As ``protoc`` has generated it.
    targets : sequence of str, or mapping of str to channel
        Addresses, or channels of the same kind as the client.
    client : Client or AsyncClient
        For threads, or for an event loop.
    policy, methods, name, credentials, options, codes
        As in `HedgingChannel`.

    Returns
    -------
    object
        Of the class that was given.

    Raises
    ------
    PolicyError
        There are no targets; or a method in `methods` does not exist.

    Examples
    --------
    >>> import resonance
    >>> from resonance.integrations.grpc import stub
    >>> from resonance_api.hints.v1.hints_pb2_grpc import HintsStub
    >>> with resonance.Client() as client:
    ...     hints = stub(
    ...         HintsStub,
    ...         ["127.0.0.1:50051", "127.0.0.1:50052"],
    ...         client=client,
    ...         methods={"Get": resonance.TaskHint(idempotent=True)},
    ...     )
    """
    make: Any = AioHedgingChannel if isinstance(client, AsyncClient) else HedgingChannel
    channel = make(
        targets,
        client=client,
        policy=policy,
        methods=methods,
        name=name,
        credentials=credentials,
        options=options,
        codes=codes,
    )
    made = stub_class(channel)
    check_names(methods or {}, channel.paths)
    return made
