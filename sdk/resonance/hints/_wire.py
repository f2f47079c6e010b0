# SPDX-License-Identifier: MIT
"""The gRPC side of a call; imported when the daemon is first asked, and not before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import grpc
import grpc.aio

from resonance.hints._channel import OPTIONS, Fork, check, failed
from resonance.hints._link import FailedCallError
from resonance.hints._records import Resolution, State, resolution_from_wire, state_from_wire
from resonance_api.hints.v1.hints_pb2 import GetRequest, ResolveRequest, WatchRequest
from resonance_api.hints.v1.hints_pb2_grpc import HintsStub

if TYPE_CHECKING:
    from resonance_api.hints.v1.hints_pb2_grpc import HintsAsyncStub

__all__ = ["AsyncDaemon", "Daemon"]

_ENDED: Final = "the daemon ended the stream"


class Daemon:
    """An open way to the daemon, for threads.

    Every method raises `FailedCallError` when there is no answer.
    """

    def __init__(self, path: Path) -> None:
        check(path)
        self._channel = grpc.insecure_channel(f"unix:{path}", options=OPTIONS)
        self._stub = HintsStub(self._channel)

    def state(
        self, cgroups: tuple[str, ...], *, include_histograms: bool, timeout_seconds: float
    ) -> State:
        """Return the state now."""
        request = GetRequest(cgroups=cgroups, include_histograms=include_histograms)
        try:
            return state_from_wire(self._stub.Get(request, timeout=timeout_seconds).state)
        except grpc.RpcError as error:
            raise failed(error) from error

    def watch(self, cgroups: tuple[str, ...], interval_seconds: float) -> Iterator[State]:
        """Yield the state now, and each that follows; ends only by raising."""
        request = WatchRequest(cgroups=cgroups, interval_seconds=interval_seconds)
        try:
            for response in self._stub.Watch(request):
                yield state_from_wire(response.state, is_heartbeat=response.is_heartbeat)
        except grpc.RpcError as error:
            raise failed(error) from error
        except ValueError as error:  # what gRPC raises when another thread has closed the channel
            raise FailedCallError("CANCELLED", str(error)) from error
        raise FailedCallError("UNAVAILABLE", _ENDED)

    def resolve(self, subject: str | int, timeout_seconds: float) -> Resolution:
        """Return the cgroup of an endpoint or process."""
        try:
            return resolution_from_wire(
                self._stub.Resolve(_resolve_request(subject), timeout=timeout_seconds)
            )
        except grpc.RpcError as error:
            raise failed(error) from error

    def close(self) -> None:
        """End all calls."""
        self._channel.close()


class AsyncDaemon:
    """The same for the event loop it is made in, and no other."""

    def __init__(self, path: Path) -> None:
        check(path)
        Fork.has_loop = True
        self._loop = asyncio.get_running_loop()
        self._channel = grpc.aio.insecure_channel(f"unix:{path}", options=OPTIONS)
        self._stub = cast("HintsAsyncStub", HintsStub(self._channel))

    async def state(
        self, cgroups: tuple[str, ...], *, include_histograms: bool, timeout_seconds: float
    ) -> State:
        """Return the state now."""
        request = GetRequest(cgroups=cgroups, include_histograms=include_histograms)
        try:
            return state_from_wire((await self._stub.Get(request, timeout=timeout_seconds)).state)
        except grpc.RpcError as error:
            raise failed(error) from error

    async def watch(
        self, cgroups: tuple[str, ...], interval_seconds: float
    ) -> AsyncIterator[State]:
        """Yield the state now, and each that follows; ends only by raising."""
        request = WatchRequest(cgroups=cgroups, interval_seconds=interval_seconds)
        try:
            async for response in self._stub.Watch(request):
                yield state_from_wire(response.state, is_heartbeat=response.is_heartbeat)
        except grpc.RpcError as error:
            raise failed(error) from error
        raise FailedCallError("UNAVAILABLE", _ENDED)

    async def resolve(self, subject: str | int, timeout_seconds: float) -> Resolution:
        """Return the cgroup of an endpoint or process."""
        try:
            return resolution_from_wire(
                await self._stub.Resolve(_resolve_request(subject), timeout=timeout_seconds)
            )
        except grpc.RpcError as error:
            raise failed(error) from error

    @property
    def is_here(self) -> bool:
        """Whether it was made in the event loop that runs now."""
        return self._loop is asyncio.get_running_loop()

    async def close(self) -> None:
        """End all calls."""
        await self._channel.close()


def _resolve_request(subject: str | int) -> ResolveRequest:
    if isinstance(subject, str):
        return ResolveRequest(endpoint=subject)
    if not 0 < subject < 1 << 31:
        raise FailedCallError("INVALID_ARGUMENT", f"{subject} is no process id")
    return ResolveRequest(pid=subject)
