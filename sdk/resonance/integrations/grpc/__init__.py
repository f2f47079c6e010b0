# SPDX-License-Identifier: MIT
"""gRPC calls with fewer slow ones among them: for threads and for asyncio.

::

    client = resonance.Client()
    reads = {"Get": TaskHint(idempotent=True)}
    with HedgingChannel(["10.0.0.1:50051", "10.0.0.2:50051"], client=client, methods=reads) as all_:
        reply = OrdersStub(all_).Get(request, timeout=0.5)

Several replicas behind one stub need `HedgingChannel` (`AioHedgingChannel`), or `stub`, which
makes one. Who has one channel and keeps it uses `ClientInterceptor` (`AioClientInterceptor`):
everything but copies and replica choice.

The layers, top first::

    _stub                           a generated stub of several replicas, in one line
    _interceptor, _aio_interceptor  a policy for a channel that is there
    _channel, _aio_channel          what looks like one channel and is one for each replica
    _unary, _aio_unary              a unary call, hedged and repeated
    _passing                        streams and futures: a replica is chosen, and that is all
    _round                          what the attempts of one call share
    _classify                       what the end of an RPC means
    _methods, _replicas, _errors    what is idempotent; who is there; what is raised
"""

from __future__ import annotations

from resonance.integrations.grpc._aio_channel import AioHedgingChannel
from resonance.integrations.grpc._aio_interceptor import AioClientInterceptor
from resonance.integrations.grpc._aio_unary import AioHedgedCall
from resonance.integrations.grpc._channel import HedgingChannel
from resonance.integrations.grpc._classify import RETRIABLE
from resonance.integrations.grpc._errors import DeadlineExceededRpcError, OverloadedRpcError
from resonance.integrations.grpc._interceptor import ClientInterceptor
from resonance.integrations.grpc._replicas import CHANNEL_OPTIONS
from resonance.integrations.grpc._stub import stub

__all__ = [
    "CHANNEL_OPTIONS",
    "RETRIABLE",
    "AioClientInterceptor",
    "AioHedgedCall",
    "AioHedgingChannel",
    "ClientInterceptor",
    "DeadlineExceededRpcError",
    "HedgingChannel",
    "OverloadedRpcError",
    "stub",
]
