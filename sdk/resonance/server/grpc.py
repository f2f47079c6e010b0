# SPDX-License-Identifier: MIT
"""What a gRPC server can do for its own tail: interceptors for threads and for asyncio.

::

    grpc.server(ThreadPoolExecutor(64), interceptors=[Interceptor(AdmissionPolicy(limit=8))])
    grpc.aio.server(interceptors=[AioInterceptor(AdmissionPolicy(limit=64))])

They refuse with ``RESOURCE_EXHAUSTED`` and ``grpc-retry-pushback-ms``, or, when the time of a
call is over, with ``DEADLINE_EXCEEDED``; in both cases ``resonance-reason`` tells the `Refusal`.
"""

from __future__ import annotations

from resonance.server._grpc_aio import AioInterceptor
from resonance.server._grpc_threads import Interceptor

__all__ = ["AioInterceptor", "Interceptor"]
