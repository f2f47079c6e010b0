# SPDX-License-Identifier: MIT
"""What does HTTP itself say about doing a request again?

Shared by the adapters, and without any library: which requests may be repeated, which answers
and errors are failures, what to add to an attempt, and which replicas stand behind a name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from resonance import deadlines
from resonance.errors import PolicyError
from resonance.policies import Failure, TaskHint
from resonance.policies._pushback import retry_after

__all__ = [
    "IDEMPOTENT_METHODS",
    "LONGEST_WAIT_SECONDS",
    "Replicas",
    "Routes",
    "added_headers",
    "failure_of_status",
    "hint_for",
    "origin",
    "parts_of",
]

IDEMPOTENT_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PUT", "TRACE"})
"""RFC 9110, section 9.2.2."""
LONGEST_WAIT_SECONDS: Final = 60.0
"""*Chosen*: who is told to come back later than this gets the answer, instead of a call that
seems to hang; waiting for less than was asked would be against the server's word."""

_IDEMPOTENCY_KEY: Final = "idempotency-key"
_TOO_MANY_REQUESTS: Final = 429
_SERVICE_UNAVAILABLE: Final = 503
_RETRIABLE: Final = frozenset({_TOO_MANY_REQUESTS, 502, _SERVICE_UNAVAILABLE, 504})
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

Replicas: TypeAlias = Mapping[str, Sequence[str] | Callable[[], Sequence[str]]]
"""From a name, such as ``"http://search"``, to where it is served: base URLs, or a function that
returns them each time."""


def hint_for(hint: TaskHint, method: str, names: Iterable[str], *, is_replayable: bool) -> TaskHint:
    """Return what is known of one request.

    What cannot be sent twice is said to be not idempotent, so that it is not.

    Parameters
    ----------
    hint : TaskHint
        What is known of all of them; where it says whether they are idempotent, it is believed.
    method : str
    names : iterable of str
        Of its headers. An ``Idempotency-Key`` makes the server keep repetitions apart.
    is_replayable : bool
        Its body is at hand, and not read from somewhere while it is sent.

    Returns
    -------
    TaskHint
        The same, with what is known of whether it is idempotent.

    References
    ----------
    RFC 9110, section 9.2.2; draft-ietf-httpapi-idempotency-key-header.
    """
    if not is_replayable:
        return _with_idempotence(hint, is_idempotent=False)
    if hint.idempotent is not None:
        return hint
    is_idempotent = method.upper() in IDEMPOTENT_METHODS or any(
        name.lower() == _IDEMPOTENCY_KEY for name in names
    )
    return _with_idempotence(hint, is_idempotent=True) if is_idempotent else hint


@lru_cache(maxsize=64)
def _with_idempotence(hint: TaskHint, *, is_idempotent: bool) -> TaskHint:
    """Return what an adapter says of most of its requests, made once: it is checked each time."""
    return hint.replace(idempotent=is_idempotent)


def failure_of_status(status: int, retry_after_text: str | None, now: float) -> Failure | None:
    """Return what is wrong with an answer, or ``None`` where nothing is.

    502, 503, 504 and 429 are worth another try, at the time the server named, if it did; other
    answers from 500 on are failures that another try would only repeat; what is left is an
    answer, also where it says that the request is wrong.

    Parameters
    ----------
    status : int
    retry_after_text : str or None
        Its ``Retry-After`` header; it counts with 429 and 503.
    now : float
        Seconds since 1970, for one that names a date.

    Returns
    -------
    Failure or None
        ``None``: a success. Whether the request may be repeated is not looked at.

    References
    ----------
    RFC 9110, sections 10.2.3 and 15.6; RFC 6585, section 4.
    """
    if status not in _RETRIABLE:
        return Failure("fatal") if status >= 500 else None
    pushback = None
    if retry_after_text is not None and status in {_TOO_MANY_REQUESTS, _SERVICE_UNAVAILABLE}:
        pushback = retry_after(retry_after_text, now)
    is_too_long = pushback is not None and pushback > LONGEST_WAIT_SECONDS
    return Failure("retriable", pushback, stop=is_too_long)


def added_headers(names: Iterable[str], number: int) -> dict[str, str]:
    """Return what an attempt tells its server, besides what the caller does.

    Parameters
    ----------
    names : iterable of str
        Headers the caller set; they are left alone.
    number : int
        Of the attempt, from 1. The first one says nothing of it, so that nothing is added for a
        call without a deadline.

    Returns
    -------
    dict of str
        Headers; empty where there is nothing to tell.
    """
    told = {
        deadlines.DEADLINE_HEADER: deadlines.header_value(),
        deadlines.ATTEMPT_HEADER: deadlines.attempt_value(number - 1),
    }
    added = {name: value for name, value in told.items() if value is not None}
    if added:
        for name in names:
            added.pop(name.lower(), None)
    return added


def origin(scheme: str, host: str, port: int | None) -> str:
    """Return scheme, host and port as one text, without a port that goes without saying.

    Parameters
    ----------
    scheme, host : str
        An IPv6 address with or without its brackets.
    port : int or None

    Returns
    -------
    str
        In lower case.

    Examples
    --------
    >>> origin("HTTP", "Search", 80)
    'http://search'
    """
    scheme, host = scheme.lower(), host.lower()
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    is_default = port is None or port == _DEFAULT_PORTS.get(scheme)
    return f"{scheme}://{host}" if is_default else f"{scheme}://{host}:{port}"


def parts_of(text: str) -> tuple[str, str, int]:
    """Return scheme, host and port of an `origin`; the host without brackets.

    Parameters
    ----------
    text : str

    Returns
    -------
    (str, str, int)
        The port is known even where the text leaves it out.

    Examples
    --------
    >>> parts_of("http://[::1]")
    ('http', '::1', 80)
    """
    parts = urlsplit(text)
    return parts.scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme]


class Routes:
    """Which replicas stand behind which name.

    Parameters
    ----------
    replicas : mapping, optional
        As `Replicas`. What is not in it is its own only replica.

    Raises
    ------
    PolicyError
        A URL has no host, another scheme than ``http`` or ``https``, or more than scheme, host
        and port.
    """

    def __init__(self, replicas: Replicas | None = None) -> None:
        self._named: dict[str, tuple[str, ...] | Callable[[], Sequence[str]]] = {}
        for name, targets in (replicas or {}).items():
            known = targets if callable(targets) else _origins(name, targets)
            self._named[_origin_of(name, f"replicas[{name!r}]")] = known

    def targets(self, name: str) -> tuple[str, ...]:
        """Return where the requests to a name may go; each is an `origin`.

        Parameters
        ----------
        name : str
            An `origin`.

        Returns
        -------
        tuple of str
            The name itself where it has no replicas; empty where they are none at present.

        Raises
        ------
        PolicyError
            A function returned what is no base URL.
        """
        known = self._named.get(name)
        if known is None:
            return (name,)
        return _origins(name, known()) if callable(known) else known


def _origins(name: str, targets: Sequence[str]) -> tuple[str, ...]:
    where = f"replicas[{name!r}]"
    if isinstance(targets, str):
        raise PolicyError(where, f"must be a list of base URLs, not the text {targets!r}")
    return tuple(dict.fromkeys(_origin_of(target, where) for target in targets))


def _origin_of(text: str, where: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise PolicyError(where, f"{text!r} is no URL: {error}") from None
    is_more = parts.path not in {"", "/"} or parts.query or parts.fragment or parts.username
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or is_more:
        raise PolicyError(where, f"must be like 'http://10.0.0.1:8080', not {text!r}")
    return origin(parts.scheme, parts.hostname, port)
