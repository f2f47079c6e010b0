# SPDX-License-Identifier: MIT
"""How do several replicas look like one channel in an event loop?"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, Self

import grpc
import grpc.aio

from resonance import AsyncClient
from resonance.client._base import AnyPolicy
from resonance.integrations.grpc._aio_unary import AioHedgedUnaryUnary
from resonance.integrations.grpc._classify import RETRIABLE, Classifier
from resonance.integrations.grpc._methods import hint_of
from resonance.integrations.grpc._passing import Passed, Passing, watch_task
from resonance.integrations.grpc._replicas import CHANNEL_OPTIONS, choice_of, opened
from resonance.integrations.grpc._round import Method
from resonance.policies import TaskHint

__all__ = ["AioHedgingChannel"]


class AioHedgingChannel(grpc.aio.Channel):
    """All replicas of a service; to be given to gRPC's stubs in place of a channel.

    As `HedgingChannel`, for ``grpc.aio``: ``stub.Method(request)`` begins a call at once and
    returns it; awaited it gives the reply, and its ``outcome()`` tells what was done.

    Parameters
    ----------
    targets : sequence of str, or mapping of str to grpc.aio.Channel
        As in `HedgingChannel`.
    client : AsyncClient
    policy, methods, name, credentials, options, codes
        As in `HedgingChannel`.

    Raises
    ------
    PolicyError
        There are no targets, or one is named twice.
    """

    def __init__(
        self,
        targets: Sequence[str] | Mapping[str, grpc.aio.Channel],
        *,
        client: AsyncClient,
        policy: AnyPolicy | None = None,
        methods: Mapping[str, TaskHint] | None = None,
        name: str = "",
        credentials: grpc.ChannelCredentials | None = None,
        options: Sequence[tuple[str, Any]] = (),
        codes: Collection[grpc.StatusCode] = RETRIABLE,
    ) -> None:
        make = partial(_channel, credentials, (*CHANNEL_OPTIONS, *options))
        self.channels, self._own = opened(targets, make)
        self.paths: set[str] = set()
        self._client = client
        self._policy = policy
        self._methods = dict(methods or {})
        self._name = name
        self._classifiers = {target: Classifier(target, codes) for target in self.channels}
        self._passing = Passing(tuple(self.channels), choice_of(policy, client), watch_task)

    def unary_unary(self, method: str, *serializers: Any, **more: Any) -> Any:
        """See `grpc.aio.Channel`.

        Parameters
        ----------
        method : str
        *serializers, **more
            As gRPC has them.

        Returns
        -------
        callable
            As gRPC has it.
        """
        self.paths.add(method)
        return AioHedgedUnaryUnary(
            self._client,
            Method(
                service=self._name + method,
                policy=self._policy,
                hint=hint_of(method, self._methods),
                unary=self._each("unary_unary", method, serializers, more),
                stream=self._each("unary_stream", method, serializers, more),
                classifiers=self._classifiers,
                targets=tuple(self.channels),
                owner=self,
            ),
        )

    def unary_stream(self, method: str, *serializers: Any, **more: Any) -> Any:
        """See `grpc.aio.Channel`.

        Parameters
        ----------
        method : str
        *serializers, **more
            As gRPC has them.

        Returns
        -------
        callable
            As gRPC has it.
        """
        return self._passed("unary_stream", method, serializers, more)

    def stream_unary(self, method: str, *serializers: Any, **more: Any) -> Any:
        """See `grpc.aio.Channel`.

        Parameters
        ----------
        method : str
        *serializers, **more
            As gRPC has them.

        Returns
        -------
        callable
            As gRPC has it.
        """
        return self._passed("stream_unary", method, serializers, more)

    def stream_stream(self, method: str, *serializers: Any, **more: Any) -> Any:
        """See `grpc.aio.Channel`.

        Parameters
        ----------
        method : str
        *serializers, **more
            As gRPC has them.

        Returns
        -------
        callable
            As gRPC has it.
        """
        return self._passed("stream_stream", method, serializers, more)

    async def close(self, grace: float | None = None) -> None:
        """Close the channels that were made here.

        Parameters
        ----------
        grace : float, optional
            Seconds for what goes on in them; without it that is cancelled.
        """
        await asyncio.gather(*(channel.close(grace) for channel in self._own))

    async def channel_ready(self) -> None:
        """Wait until every replica is connected."""
        await asyncio.gather(*(channel.channel_ready() for channel in self.channels.values()))

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Refuse: several channels have no one state; ask those in `channels`.

        Parameters
        ----------
        try_to_connect : bool
            As gRPC has it.

        Returns
        -------
        grpc.ChannelConnectivity
            Never.

        Raises
        ------
        NotImplementedError
            Always.
        """
        raise NotImplementedError("ask each of AioHedgingChannel.channels for its state")

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Refuse, as `get_state` does.

        Parameters
        ----------
        last_observed_state
            As gRPC has it.

        Raises
        ------
        NotImplementedError
            Always.
        """
        raise NotImplementedError("ask each of AioHedgingChannel.channels for its state")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _passed(self, kind: str, method: str, serializers: Any, more: Any) -> Passed:
        self.paths.add(method)
        return Passed(self._each(kind, method, serializers, more), self._passing)

    def _each(self, kind: str, method: str, serializers: Any, more: Any) -> dict[str, Any]:
        """Return a method of each replica."""
        return {
            target: getattr(channel, kind)(method, *serializers, **more)
            for target, channel in self.channels.items()
        }


def _channel(
    credentials: grpc.ChannelCredentials | None, options: Sequence[tuple[str, Any]], target: str
) -> grpc.aio.Channel:
    if credentials is None:
        return grpc.aio.insecure_channel(target, options)
    return grpc.aio.secure_channel(target, credentials, options)
