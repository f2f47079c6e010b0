# SPDX-License-Identifier: MIT
"""What a client for threads and one for asyncio have in common: everything but waiting."""

from __future__ import annotations

import os
import random
import weakref
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from math import inf
from time import monotonic
from typing import Any, Final, cast, get_args

from resonance import deadlines
from resonance.client._current import CURRENT, OVERRIDE
from resonance.client._explain import Explained, explain
from resonance.client._kernel import Kernel
from resonance.client._report import ServiceReport, report_of
from resonance.errors import ClientClosedError, DeadlineExceededError, PolicyError, ResonanceError
from resonance.hints import Hints, connect
from resonance.periodic import next_valley
from resonance.policies import (
    BatchPolicy,
    BudgetPolicy,
    Call,
    ChoicePolicy,
    Classify,
    EjectionPolicy,
    Failure,
    HedgePolicy,
    LimitPolicy,
    Mode,
    Outcome,
    Policy,
    RetryPolicy,
    Service,
    ThrottlePolicy,
    load,
)

__all__ = ["AnyPolicy", "ClientBase", "failure_of", "relate"]

AnyPolicy = (
    Policy
    | HedgePolicy
    | RetryPolicy
    | BudgetPolicy
    | ChoicePolicy
    | EjectionPolicy
    | LimitPolicy
    | ThrottlePolicy
    | BatchPolicy
)
"""A policy, or one part of it, which takes the place of that part of the client's."""

_MOST_SERVICES: Final = 1_024
"""Services a client remembers; the oldest idle one goes first."""
_LOOK_SECONDS: Final = 0.25
"""*Chosen*: the operator's switch is obeyed within a second, with room to spare."""
_RETRY_ON: Final = RetryPolicy().retry_on
_UNSENT: Final = Failure("unsent")
_RETRIABLE: Final = Failure("retriable")
_FATAL: Final = Failure("fatal")


def failure_of(policy: Policy, classify: Classify | None, error: BaseException) -> Failure:
    """Return what an exception means to a policy.

    Parameters
    ----------
    policy : Policy
    classify : callable, optional
        The application's own opinion; one of ``None`` leaves it to the policy.
    error : BaseException

    Returns
    -------
    Failure
    """
    if classify is not None:
        failure = classify(error)
        if failure is not None:
            return failure
    if isinstance(error, ConnectionRefusedError):
        return _UNSENT
    retry_on = policy.retry.retry_on if policy.retry else _RETRY_ON
    if isinstance(error, ResonanceError) or not isinstance(error, retry_on):
        return _FATAL
    return _RETRIABLE


class ClientBase:
    """Services by what is called, under which policy; and who may say what about them.

    Parameters as `Client`.
    """

    def __init__(
        self,
        policy: AnyPolicy | str | os.PathLike[str] = "balanced",
        *,
        mode: Mode = "active",
        hints: Hints | None = None,
        name: str = "client",
        seed: int | None = None,
    ) -> None:
        if isinstance(policy, Policy):
            self.default = policy
        elif isinstance(policy, AnyPolicy):
            self.default = Policy() | policy
        else:
            self.default = load(policy)
        self.name = name
        self.mode: Mode = _checked(mode)
        self._owned_hints = connect() if hints is None else None
        self._kernel = Kernel(hints or self._owned_hints)
        self._seed = seed
        self._is_closed = False
        self._can_ask = False
        self._guard: AbstractContextManager[object] = nullcontext()
        """What a service is entered with where more than one thread may be in it."""
        self._forget_services()
        _clients.add(self)

    def _own_pressure(self) -> float | None:
        return self._kernel.own_pressure(monotonic())

    @staticmethod
    def _next_valley(within_seconds: float) -> float:
        return next_valley(within=within_seconds)

    def _shut(self) -> None:
        """Refuse calls from now on."""
        self._is_closed = True
        self._look_at = -inf
        with self._guard:
            for service in self._services.values():
                service.stop()

    def _close_kernel(self) -> None:
        self._kernel.close()
        if self._owned_hints is not None:
            self._owned_hints.close()

    def begin_in_child(self) -> None:
        """Begin anew in a forked child."""
        raise NotImplementedError

    def _forget_services(self) -> None:
        self._services: dict[tuple[object, ...], Service] = {}
        self._recent: dict[str, dict[str, tuple[object, object, Service]]] = {
            verb: {} for verb in ("call", "hedge", "retry")
        }
        self._look_at = -inf
        self._ceiling: Mode = "active"
        # A forked child must not draw what its parent and its siblings draw.
        self._random = random.Random(self._seed)  # noqa: S311 - chance, not secrets

    # ---- services ------------------------------------------------------------------------------

    def _service(
        self, verb: str, service: str | None, fn: Callable[..., object], policy: AnyPolicy | None
    ) -> Service:
        """Return the state of what is called, made when it is first called."""
        overrides = OVERRIDE.get()
        if overrides is not None and policy is None:
            policy = overrides.get(self)
        what: object = None
        if service is not None:
            name = service
        else:
            try:  # one alone is not enough: decorated functions share code, others a name
                name, what = fn.__qualname__, fn.__code__
            except AttributeError:  # a partial, or an object that is called
                name, what = _identity(fn)
        known = self._recent[verb].get(name)
        if known is not None and known[0] is policy and known[1] is what:
            return known[2]
        self._check(fn)
        with self._guard:
            found = self._find(verb, name, what, policy)
            self._recent[verb][name] = (policy, what, found)
        return found

    def _check(self, fn: Callable[..., object]) -> None:
        """Refuse what this client cannot call."""

    def _find(self, verb: str, name: str, what: object, policy: AnyPolicy | None) -> Service:
        key = (verb, name, what, policy)
        found = self._services.get(key)
        if found is not None:
            return found
        if len(self._services) >= _MOST_SERVICES:
            self._forget_oldest()
        whole = _for_verb(verb, self._whole(policy))
        if whole.choice.algorithm == "prequal" and not self._can_ask:
            wanted = "prequal asks the replicas how busy they are: make the client with probe=..."
            raise PolicyError("ChoicePolicy.algorithm", wanted)
        found = Service(
            whole,
            name=name,
            mode=self.mode,
            random=random.Random(self._random.random()),  # noqa: S311 - chance
        )
        found.sense = self._kernel.refresh
        found.guard = self._guard
        self._limit_mode(found)
        self._services[key] = found
        return found

    def _whole(self, policy: AnyPolicy | None) -> Policy:
        """Return a policy with all its parts."""
        if policy is None:
            return self.default
        given = cast("object", policy)
        if not isinstance(given, AnyPolicy):
            wanted = "must be a Policy or a part of one; resonance.policies.load reads a profile"
            raise PolicyError("policy", f"{wanted}, not {given!r}")
        return policy if isinstance(policy, Policy) else self.default | policy

    def _forget_oldest(self) -> None:
        for key, service in self._services.items():
            if not service.inflight and not service.calls_inflight:
                del self._services[key]
                for verb, recent in self._recent.items():
                    kept = {key: each for key, each in recent.items() if each[2] is not service}
                    self._recent[verb] = kept
                return

    # ---- modes ---------------------------------------------------------------------------------

    def set_mode(self, mode: Mode) -> None:
        """Change what this client may do from now on.

        Parameters
        ----------
        mode : {"observe", "advise", "active"}
            Count what would be done; say it with each result as well; do it. The operator of
            the host may allow less.

        Raises
        ------
        PolicyError
            It is none of these.
        """
        self.mode = _checked(mode)
        self._limit_modes()

    def _look(self, now: float) -> None:
        """See now and then what the operator allows, and whether the client is closed."""
        self._look_at = now + _LOOK_SECONDS  # before what may be closed at this moment
        if self._is_closed:
            self._look_at = -inf
            raise ClientClosedError("the client is closed")
        ceiling = self._kernel.mode_ceiling(now)
        if ceiling != self._ceiling:
            self._ceiling = ceiling
            self._limit_modes()

    def _limit_modes(self) -> None:
        with self._guard:
            for service in self._services.values():
                self._limit_mode(service)
                if self._is_closed:
                    service.stop()

    def _allowed(self) -> Mode:
        """Return the lower of the client's mode and the operator's."""
        rank = get_args(Mode).index
        return self.mode if rank(self.mode) <= rank(self._ceiling) else self._ceiling

    def _look_now(self) -> None:
        now = monotonic()
        if now >= self._look_at:
            self._look(now)

    def _limit_mode(self, service: Service) -> None:
        allowed = self._allowed()
        service.set_mode(allowed, is_killed=allowed != self.mode)

    @contextmanager
    def using(self, policy: AnyPolicy) -> Generator[None]:
        """Use another policy, or a part of one, for what this client calls inside without one.

        Parameters
        ----------
        policy : Policy or a part of one

        Yields
        ------
        None

        Examples
        --------
        >>> import resonance
        >>> client = resonance.Client()
        >>> with client.using(resonance.RetryPolicy(max_attempts=2)):
        ...     client.retry(lambda: "done").result
        'done'
        """
        token = OVERRIDE.set({**(OVERRIDE.get() or {}), self: policy})
        try:
            yield
        finally:
            OVERRIDE.reset(token)

    # ---- looking at it -------------------------------------------------------------------------

    def explain(self, subject: Outcome[Any] | Explained) -> str:
        """Return what happened to a task or a call, one line per decision.

        Parameters
        ----------
        subject : Outcome or Task

        Returns
        -------
        str
        """
        return explain(subject)

    def report(self) -> tuple[ServiceReport, ...]:
        """Return what was done for each service so far, and what is known of it."""
        now = monotonic()
        with self._guard:
            return tuple([report_of(service, now) for service in self._services.values()])

    @staticmethod
    def _deadline(service: Service, timeout: float | None, now: float) -> float:
        """Return when a call is over: the earliest of its own, its policy's and its caller's."""
        ambient = deadlines.absolute()
        if timeout is None:
            timeout = service.policy.timeout
        elif not timeout > 0:
            raise PolicyError("timeout", f"must be seconds, above 0, not {timeout!r}")
        own = inf if timeout is None else now + timeout
        if ambient is None or own < ambient:
            return own
        if ambient <= now:
            raise DeadlineExceededError(0.0, 0)
        return ambient


def relate(call: Call, verb: str) -> None:
    """Tell a call what surrounds it; to be called where its caller's context is.

    Parameters
    ----------
    call : Call
    verb : str
        By which it was begun.
    """
    call.is_asked_to_repeat = verb == "retry"
    above = CURRENT.get()
    if above is not None:
        service = above.call.service
        # A task or a thread that it began may outlive it; that is not tried again.
        may_retry = service.policy.retry is not None and service.is_active
        call.is_retried_above = may_retry and above.is_open
    call.is_repeated = deadlines.inbound_attempts() > 0


def _for_verb(verb: str, policy: Policy) -> Policy:
    """Return the parts of a policy that a verb is about."""
    if verb == "hedge":
        return policy.replace(retry=None, hedge=policy.hedge or HedgePolicy())
    if verb == "retry":
        return policy.replace(hedge=None, retry=policy.retry or RetryPolicy())
    return policy


def _checked(mode: Mode) -> Mode:
    if mode not in get_args(Mode):
        raise PolicyError("mode", f"must be one of {', '.join(get_args(Mode))}, not {mode!r}")
    return mode


def _identity(fn: Callable[..., object]) -> tuple[str, object]:
    """Return what stays the same when the same thing is called again: its name and its code."""
    while isinstance(fn, partial):
        fn = fn.func
    kind = type(fn)
    name: str = getattr(fn, "__qualname__", kind.__qualname__)
    return name, getattr(fn, "__code__", kind)


_clients: weakref.WeakSet[ClientBase] = weakref.WeakSet()


def _begin_in_child() -> None:
    for client in _clients:
        client.begin_in_child()


os.register_at_fork(after_in_child=_begin_in_child)
