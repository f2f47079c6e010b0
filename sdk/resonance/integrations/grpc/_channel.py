# SPDX-License-Identifier: MIT
"""How do several replicas look like one channel, so that a copy provably goes elsewhere?

Behind one channel of gRPC's a copy goes where its balancer sends it, often to the replica that
is slow. So there is one channel for each replica, and gRPC's stubs are given something that
looks like a channel and is all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Final, Self

import grpc
from grpc.experimental import ChannelOptions

from resonance import Client
from resonance.client._base import AnyPolicy
from resonance.integrations.grpc._classify import RETRIABLE, Classifier
from resonance.integrations.grpc._methods import hint_of
from resonance.integrations.grpc._passing import Passed, PassedStreamUnary, Passing, watch
from resonance.integrations.grpc._replicas import CHANNEL_OPTIONS, choice_of, opened
from resonance.integrations.grpc._round import Method
from resonance.integrations.grpc._unary import HedgedUnaryUnary
from resonance.policies import TaskHint

__all__ = ["HedgingChannel"]

_QUICK: Final = ((ChannelOptions.SingleThreadedUnaryStream, 1),)
"""Streams of such a channel are read by the thread that waits for them, and can still be
cancelled from another one. So a unary call that may be left is quicker as such a stream: gRPC's
futures need a thread of gRPC's, at 0.1 ms a call. The option is read by gRPC's Python alone, so
both channels of a replica share its connection."""


class HedgingChannel(grpc.Channel):
    """All replicas of a service; to be given to gRPC's stubs in place of a channel.

    Unary calls are made by the client, under its policy: replica choice, hedging, retries,
    limits. Futures (``stub.Method.future``) and streams go to one chosen replica and are then
    left alone. All run under the deadline of `resonance.deadline`.

    ``stub.Method.outcome(request)`` makes a unary call and returns an `Outcome`.

    Parameters
    ----------
    targets : sequence of str, or mapping of str to grpc.Channel
        Addresses, for which channels are made here; or channels by any names, which the caller
        closes, and which should have been made with `CHANNEL_OPTIONS`.
    client : Client
    policy : Policy or part of one, optional
        By default the client's.
    methods : mapping of str to TaskHint
        What is known about methods, by their names or by ``/package.Service/Method``. Only what
        is said to be ``idempotent`` is ever copied, or repeated after it may have been done;
        ``option idempotency_level`` in the ``.proto`` says it too.
    name : str
        What these replicas together are called in reports; needed where one client has several
        such channels for the same methods.
    credentials : grpc.ChannelCredentials, optional
        For channels that are made here; without them they are insecure.
    options : sequence of pairs
        More options for them.
    codes : collection of grpc.StatusCode
        What another attempt may cure.

    Raises
    ------
    PolicyError
        There are no targets, or one is named twice.
    """

    def __init__(
        self,
        targets: Sequence[str] | Mapping[str, grpc.Channel],
        *,
        client: Client,
        policy: AnyPolicy | None = None,
        methods: Mapping[str, TaskHint] | None = None,
        name: str = "",
        credentials: grpc.ChannelCredentials | None = None,
        options: Sequence[tuple[str, Any]] = (),
        codes: Collection[grpc.StatusCode] = RETRIABLE,
    ) -> None:
        options = (*CHANNEL_OPTIONS, *options)
        self.channels, self._own = opened(targets, partial(_channel, credentials, options))
        self._quick = {
            target: _channel(credentials, (*options, *_QUICK), target)
            for target in (self.channels if self._own else ())
        }
        self.paths: set[str] = set()
        self._client = client
        self._policy = policy
        self._methods = dict(methods or {})
        self._name = name
        self._classifiers = {target: Classifier(target, codes) for target in self.channels}
        self._passing = Passing(tuple(self.channels), choice_of(policy, client), watch)

    def unary_unary(self, method: str, *serializers: Any, **more: Any) -> Any:
        """See `grpc.Channel`.

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
        return HedgedUnaryUnary(
            self._client,
            Method(
                service=self._name + method,
                policy=self._policy,
                hint=hint_of(method, self._methods),
                unary=self._each("unary_unary", method, serializers, more),
                stream=self._each("unary_stream", method, serializers, more),
                quick={
                    target: channel.unary_stream(method, *serializers, **more)
                    for target, channel in self._quick.items()
                },
                classifiers=self._classifiers,
                targets=tuple(self.channels),
                owner=self,
            ),
            self._passing,
        )

    def unary_stream(self, method: str, *serializers: Any, **more: Any) -> Any:
        """See `grpc.Channel`.

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

    def stream_stream(self, method: str, *serializers: Any, **more: Any) -> Any:
        """See `grpc.Channel`.

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

    def stream_unary(self, method: str, *serializers: Any, **more: Any) -> Any:
        """See `grpc.Channel`.

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
        callables = self._each("stream_unary", method, serializers, more)
        return PassedStreamUnary(callables, self._passing)

    def subscribe(
        self, callback: Callable[[grpc.ChannelConnectivity], None], try_to_connect: bool = False
    ) -> None:
        """Refuse: several channels have no one state; subscribe to those in `channels`.

        Parameters
        ----------
        callback, try_to_connect
            As gRPC has them.

        Raises
        ------
        NotImplementedError
            Always.
        """
        raise NotImplementedError("ask each of HedgingChannel.channels for its state")

    def unsubscribe(self, callback: Callable[[grpc.ChannelConnectivity], None]) -> None:
        """Do nothing, since nobody can have subscribed.

        Parameters
        ----------
        callback
            As gRPC has it.
        """

    def close(self) -> None:
        """Close the channels that were made here; what goes on in them is cancelled."""
        for channel in (*self._own, *self._quick.values()):
            channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
) -> grpc.Channel:
    if credentials is None:
        return grpc.insecure_channel(target, options)
    return grpc.secure_channel(target, credentials, options)
