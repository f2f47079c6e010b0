# SPDX-License-Identifier: MIT
"""The client: policies, put to work in threads and in asyncio.

The layers, top first::

    _threads, _aio          Client and AsyncClient: the same names for both
    _batcher, _aio_batcher  many small tasks as one
    _tasks, _aio_tasks      what was submitted, to be run now, together or a little later
    _flight, _aio_flight    a call that needs more than its first attempt
    _base                   services, policies and modes
    _kernel                 what the daemon of this host says about replicas, and its switch
    _wheel, _workers        one timer for all calls; threads for what may have to be left
    _current                in which attempt am I
    _report, _explain       what was done, in numbers and in sentences
"""

from __future__ import annotations

from resonance.client._aio import AsyncClient
from resonance.client._base import AnyPolicy
from resonance.client._current import current_attempt
from resonance.client._explain import explain
from resonance.client._report import ReplicaReport, ServiceReport
from resonance.client._threads import Client

__all__ = [
    "AnyPolicy",
    "AsyncClient",
    "Client",
    "ReplicaReport",
    "ServiceReport",
    "current_attempt",
    "explain",
]
