# SPDX-License-Identifier: MIT
"""Where does a stream go? To a replica that is chosen once; then nobody interferes.

Nothing is repeated and nothing copied here: how much of a stream has been done, only the
application knows. The same holds for futures of unary calls.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any, TypeVar

from resonance.deadlines import remaining
from resonance.policies import ChoicePolicy, Replica
from resonance.policies.choice import make

__all__ = ["Passed", "PassedStreamUnary", "Passing", "Watch", "nearest", "watch", "watch_task"]

T = TypeVar("T")
Watch = Callable[[Any, Callable[[], None]], bool]
"""Has a function called at the end of a call; tells whether that is still to come."""


class Passing:
    """Chooses replicas by the streams that are open at each; for any thread.

    Parameters
    ----------
    targets : sequence of str
    policy : ChoicePolicy
        Its algorithm; nobody is ejected here.
    watch : callable
        How to hear of the end of a call.
    """

    def __init__(self, targets: Sequence[str], policy: ChoicePolicy, watch: Watch) -> None:
        chance = random.Random()  # noqa: S311 -- chance, not secrets
        self._picker = make(policy, chance)
        self._replicas = [Replica(target) for target in targets]
        self._lock = threading.Lock()
        self._watch = watch

    @property
    def inflight(self) -> dict[object, int]:
        """How many are open, by replica."""
        return {replica.target: replica.inflight for replica in self._replicas}

    def open(self, start: Callable[[str], T]) -> T:
        """Begin a call that goes on by itself, and return it.

        Parameters
        ----------
        start : callable
            Gets the replica.

        Returns
        -------
        object
            What `start` returned.
        """
        replica, stream = self._begin()
        try:
            call = start(str(replica.target))
            is_open = self._watch(call, lambda: replica.open.discard(stream))
        except BaseException:
            replica.open.discard(stream)
            raise
        if not is_open:
            replica.open.discard(stream)
        return call

    def run(self, start: Callable[[str], T]) -> T:
        """Make a call that is over when this returns, and return its result.

        Parameters
        ----------
        start : callable
            Gets the replica.

        Returns
        -------
        object
            What `start` returned.
        """
        replica, stream = self._begin()
        try:
            return start(str(replica.target))
        finally:
            replica.open.discard(stream)

    def _begin(self) -> tuple[Replica, object]:
        stream = object()
        with self._lock:
            replica = self._picker.pick(self._replicas, monotonic())
            replica.open.add(stream)
        return replica, stream


class Passed:
    """A method with a stream of replies, as gRPC's stubs call it.

    Parameters
    ----------
    callables : mapping of str to callable
        gRPC's own, by replica.
    passing : Passing
    """

    def __init__(self, callables: Mapping[str, Any], passing: Passing) -> None:
        self._callables = callables
        self._passing = passing

    def __call__(self, *request: Any, **how: Any) -> Any:
        """Begin the stream.

        Parameters
        ----------
        *request, **how
            As gRPC has them.
        """
        request, how = _in_time(request, how)
        return self._passing.open(lambda target: self._callables[target](*request, **how))


class PassedStreamUnary(Passed):
    """A method with a stream of requests and one reply; parameters as `Passed`."""

    def __call__(self, *request: Any, **how: Any) -> Any:
        """Send the stream, and return the reply.

        Parameters
        ----------
        *request, **how
            As gRPC has them.
        """
        request, how = _in_time(request, how)
        return self._passing.run(lambda target: self._callables[target](*request, **how))

    def with_call(self, *request: Any, **how: Any) -> Any:
        """Send the stream, and return the reply and its call.

        Parameters
        ----------
        *request, **how
            As gRPC has them.

        Returns
        -------
        tuple
            The reply, and the call of gRPC that brought it.
        """
        request, how = _in_time(request, how)
        return self._passing.run(lambda target: self._callables[target].with_call(*request, **how))

    def future(self, *request: Any, **how: Any) -> Any:
        """Begin to send the stream, and return the call.

        Parameters
        ----------
        *request, **how
            As gRPC has them.

        Returns
        -------
        grpc.Future
            As gRPC has it.
        """
        request, how = _in_time(request, how)
        return self._passing.open(lambda target: self._callables[target].future(*request, **how))


def _in_time(
    request: tuple[Any, ...], how: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call with a time-out that keeps to the deadline."""
    if len(request) > 1:
        return (request[0], nearest(request[1]), *request[2:]), how
    return request, {**how, "timeout": nearest(how.get("timeout"))}


def nearest(timeout: float | None) -> float | None:
    """Return the smaller of a time-out and what is left of the deadline, in seconds.

    Parameters
    ----------
    timeout : float or None
        Seconds; ``None`` for none.

    Returns
    -------
    float or None
        ``None``: there is neither.
    """
    left = remaining()
    if timeout is None or left is None:
        return left if timeout is None else timeout
    return min(timeout, left)


def watch(call: Any, at_end: Callable[[], None]) -> bool:
    """See `Watch`; for calls of threads.

    Parameters
    ----------
    call : grpc.Call
    at_end : callable
    """
    return bool(call.add_callback(at_end))


def watch_task(call: Any, at_end: Callable[[], None]) -> bool:
    """See `Watch`; for calls of an event loop, which call at once what comes too late.

    Parameters
    ----------
    call : grpc.aio.Call
    at_end : callable
    """

    def ended(_: object) -> None:
        at_end()

    call.add_done_callback(ended)
    return True
