# SPDX-License-Identifier: MIT
"""The gRPC side of a call; imported when the daemon is first asked, and not before."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import grpc
import grpc.aio

from resonance.hints._link import FailedCallError, why_no_socket
from resonance.hints._records import Resolution, State, resolution_from_wire, state_from_wire
from resonance_api.hints.v1.hints_pb2 import GetRequest, ResolveRequest, WatchRequest
from resonance_api.hints.v1.hints_pb2_grpc import HintsStub

if TYPE_CHECKING:
    from resonance_api.hints.v1.hints_pb2_grpc import HintsAsyncStub

__all__ = ["AsyncDaemon", "Daemon"]

_OPTIONS: Final = (
    ("grpc.use_local_subchannel_pool", 1),  # a new channel connects at once, without a backoff
    ("grpc.http2.bdp_probe", 0),  # a wider window would only hold more old states
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
)
_ENDED: Final = "the daemon ended the stream"


class _Fork:
    """Whether this process was forked from one that had gRPC's event loop.

    Its thread is always inside of gRPC, so gRPC cannot make ready for a fork, and a call in
    the child ends the child (grpc/grpc, ``doc/fork_support.md``).
    """

    has_loop = False
    is_child = False

    @classmethod
    def after_in_child(cls) -> None:
        cls.is_child = cls.has_loop


def _check(path: Path) -> None:
    """Raise where gRPC would end this process or write to its log."""
    if _Fork.is_child:
        reason = "forked from a process that uses resonance.hints.aio; spawn it instead"
        raise FailedCallError("FAILED_PRECONDITION", reason)
    if reason := why_no_socket(path):
        raise FailedCallError("FAILED_PRECONDITION", reason)


os.register_at_fork(after_in_child=_Fork.after_in_child)


class Daemon:
    """An open way to the daemon, for threads.

    Every method raises `FailedCallError` when there is no answer.
    """

    def __init__(self, path: Path) -> None:
        _check(path)
        self._channel = grpc.insecure_channel(f"unix:{path}", options=_OPTIONS)
        self._stub = HintsStub(self._channel)

    def state(
        self, cgroups: tuple[str, ...], *, include_histograms: bool, timeout_seconds: float
    ) -> State:
        """Return the state now."""
        request = GetRequest(cgroups=cgroups, include_histograms=include_histograms)
        try:
            return state_from_wire(self._stub.Get(request, timeout=timeout_seconds).state)
        except grpc.RpcError as error:
            raise _failed(error) from error

    def watch(self, cgroups: tuple[str, ...], interval_seconds: float) -> Iterator[State]:
        """Yield the state now, and each that follows; ends only by raising."""
        request = WatchRequest(cgroups=cgroups, interval_seconds=interval_seconds)
        try:
            for response in self._stub.Watch(request):
                yield state_from_wire(response.state, is_heartbeat=response.is_heartbeat)
        except grpc.RpcError as error:
            raise _failed(error) from error
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
            raise _failed(error) from error

    def close(self) -> None:
        """End all calls."""
        self._channel.close()


class AsyncDaemon:
    """The same for the event loop it is made in, and no other."""

    def __init__(self, path: Path) -> None:
        _check(path)
        _Fork.has_loop = True
        self._loop = asyncio.get_running_loop()
        self._channel = grpc.aio.insecure_channel(f"unix:{path}", options=_OPTIONS)
        self._stub = cast("HintsAsyncStub", HintsStub(self._channel))

    async def state(
        self, cgroups: tuple[str, ...], *, include_histograms: bool, timeout_seconds: float
    ) -> State:
        """Return the state now."""
        request = GetRequest(cgroups=cgroups, include_histograms=include_histograms)
        try:
            return state_from_wire((await self._stub.Get(request, timeout=timeout_seconds)).state)
        except grpc.RpcError as error:
            raise _failed(error) from error

    async def watch(
        self, cgroups: tuple[str, ...], interval_seconds: float
    ) -> AsyncIterator[State]:
        """Yield the state now, and each that follows; ends only by raising."""
        request = WatchRequest(cgroups=cgroups, interval_seconds=interval_seconds)
        try:
            async for response in self._stub.Watch(request):
                yield state_from_wire(response.state, is_heartbeat=response.is_heartbeat)
        except grpc.RpcError as error:
            raise _failed(error) from error
        raise FailedCallError("UNAVAILABLE", _ENDED)

    async def resolve(self, subject: str | int, timeout_seconds: float) -> Resolution:
        """Return the cgroup of an endpoint or process."""
        try:
            return resolution_from_wire(
                await self._stub.Resolve(_resolve_request(subject), timeout=timeout_seconds)
            )
        except grpc.RpcError as error:
            raise _failed(error) from error

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


def _failed(error: grpc.RpcError) -> FailedCallError:
    return FailedCallError(error.code().name, error.details() or "")
