# SPDX-License-Identifier: MIT
"""What do the attempts of one call share, and what does each add to it?

Threads and tasks send differently; what they send with an attempt, what its end means and what
its reply says about the server is the same, and here.
"""

from __future__ import annotations

from collections.abc import Collection
from time import monotonic
from typing import Any, Final, cast

import grpc
import msgspec

from resonance.client._base import AnyPolicy
from resonance.deadlines import ATTEMPT_HEADER, GRPC_ATTEMPT_HEADER, attempt_value
from resonance.integrations.grpc._classify import Classifier
from resonance.integrations.grpc._methods import hint_of
from resonance.policies import Attempt, Failure, TaskHint
from resonance.policies._hedging import may_copy
from resonance.server import IMPORTANCE_HEADER
from resonance.server._grpc_metadata import STARTED, TIED, WANTS_LOAD, Pairs, from_wire, value_of

__all__ = ["Method", "Methods", "Pair", "Round", "is_tied", "may_be_left"]

Pair = tuple[str, str | bytes]
_WANTS_LOAD: Final[Pair] = (WANTS_LOAD, "1")
_TIED: Final[tuple[Pair, ...]] = ((TIED, "1"),)
_FATAL: Final = Failure("fatal")


class Method(msgspec.Struct, frozen=True):
    """A unary method of all replicas.

    Attributes
    ----------
    service : str
        Under which name its latencies are learned.
    policy : Policy or part of one, or None
        ``None``: the client's.
    hint : TaskHint
        What is known about it.
    unary, stream : dict of str to callable
        gRPC's own, by replica: the method as it is, and as one with a stream of replies, which
        is the same on the wire, and shows the initial metadata as soon as it comes.
    quick : dict of str to callable
        As `stream`, and read without a thread of gRPC's; empty for channels of the caller's.
    classifiers : dict of str to Classifier
        By replica.
    targets : tuple of str
        All replicas.
    owner : object
        Whose end would close the channels; so it is kept.
    """

    service: str
    policy: AnyPolicy | None
    hint: TaskHint
    classifiers: dict[str, Classifier]
    targets: tuple[str, ...]
    unary: dict[str, Any] = {}
    stream: dict[str, Any] = {}
    quick: dict[str, Any] = {}
    owner: object = None


class Methods:
    """The methods of one channel, each known from its first call on.

    Parameters
    ----------
    target : str
        Its address, if only in reports.
    policy : Policy or part of one, or None
    hints : dict of str to TaskHint
        By the names of methods.
    codes : collection of grpc.StatusCode
        What another attempt may cure.
    """

    def __init__(
        self,
        target: str,
        policy: AnyPolicy | None,
        hints: dict[str, TaskHint],
        codes: Collection[grpc.StatusCode],
    ) -> None:
        self._target = target
        self._policy = policy
        self._hints = hints
        self._classifiers = {target: Classifier(target, codes)}
        self._known: dict[str | bytes, Method] = {}

    def of(self, path: str | bytes) -> Method:
        """Return a method.

        Parameters
        ----------
        path : str or bytes
            ``/package.Service/Method``.

        Returns
        -------
        Method
        """
        return self._known.get(path) or self._learn(path)

    def _learn(self, path: str | bytes) -> Method:
        text = path.decode() if isinstance(path, bytes) else path
        method = Method(
            service=text,
            policy=self._policy,
            hint=hint_of(text, self._hints),
            classifiers=self._classifiers,
            targets=(self._target,),
        )
        self._known[path] = method
        return method


class Round:
    """The attempts of one call.

    Parameters
    ----------
    metadata : iterable of pairs, or None
        What the caller sends with each.
    method : Method
    """

    __slots__ = ("_begun", "_classifiers", "_failures", "_metadata")

    def __init__(self, metadata: Pairs | None, method: Method) -> None:
        self._metadata: tuple[Pair, ...] = (*(metadata or ()), _WANTS_LOAD)
        if method.hint.importance != "normal":
            self._metadata += ((IMPORTANCE_HEADER, method.hint.importance),)
        self._classifiers = method.classifiers
        self._failures: dict[BaseException, Failure | None] = {}
        self._begun: Attempt | None = None

    def metadata(self, attempt: Attempt) -> tuple[Pair, ...]:
        """Return what is sent with an attempt.

        Parameters
        ----------
        attempt : Attempt

        Returns
        -------
        tuple of pairs
        """
        told = self._metadata
        before = attempt_value(attempt.number - 1)
        if before is not None:
            # A channel with gRPC's own retries takes the standard name out again.
            told = (*told, (GRPC_ATTEMPT_HEADER, before), (ATTEMPT_HEADER, before))
        return (*told, *_TIED) if is_tied(attempt) else told

    def failed(self, attempt: Attempt, error: BaseException) -> None:
        """Take note of what an attempt raised; only here it is known where it was sent.

        Parameters
        ----------
        attempt : Attempt
        error : BaseException
        """
        self._failures[error] = self._classifiers[attempt.target](error)
        if isinstance(error, grpc.RpcError) and hasattr(error, "trailing_metadata"):
            self.replied(attempt, cast("Pairs", error.trailing_metadata()))

    def classify(self, value: object) -> Failure | None:
        """See `resonance.policies.Classify`.

        Parameters
        ----------
        value : object

        Returns
        -------
        Failure or None
        """
        return self._failures.get(value, _FATAL) if isinstance(value, BaseException) else None

    def replied(self, attempt: Attempt, trailing: Pairs | None) -> None:
        """Take what a reply says about its server.

        Parameters
        ----------
        attempt : Attempt
        trailing : iterable of pairs, or None
            Its trailing metadata.
        """
        report = from_wire(trailing)
        if report is not None:
            service = attempt.call.service
            with service.guard:
                service.cluster.report(
                    attempt.target, report.runqueue_pressure, report.utilization, monotonic()
                )

    def began(self, attempt: Attempt, initial: Pairs | None) -> None:
        """Cancel the twin of an attempt whose server has begun it.

        When both begin, because word of the first came too late, the one heard of first goes on.

        Parameters
        ----------
        attempt : Attempt
        initial : iterable of pairs, or None
            Its initial metadata.
        """
        if value_of(initial, STARTED) is None:
            return
        service = attempt.call.service
        with service.guard:
            if self._begun is not None and self._begun.is_open:
                return
            self._begun = attempt
            twins: list[Attempt] = service.started(attempt, monotonic())
        for twin in twins:
            twin.cancel()


def may_be_left(attempt: Attempt) -> bool:
    """Tell whether somebody may cancel an attempt because another one has answered.

    Parameters
    ----------
    attempt : Attempt
    """
    call = attempt.call
    return len(call.targets or ()) > 1 and may_copy(call.service.policy, call.hint)


def is_tied(attempt: Attempt) -> bool:
    """Tell whether an attempt wants to know when its server begins it.

    Parameters
    ----------
    attempt : Attempt
    """
    hedge = attempt.call.service.policy.hedge
    return hedge is not None and hedge.tied and may_be_left(attempt)
