# SPDX-License-Identifier: MIT
"""What does a caller tell in headers, and how is it refused? For ASGI and WSGI alike."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from math import ceil
from typing import Final

import msgspec

from resonance.deadlines import (
    ATTEMPT_HEADER,
    DEADLINE_HEADER,
    ENVOY_TIMEOUT_HEADER,
    GRPC_ATTEMPT_HEADER,
    GRPC_TIMEOUT_HEADER,
    parse_attempts,
    parse_timeout,
)
from resonance.policies._records import Importance
from resonance.server._line import RANKS
from resonance.server._load import LOAD_FORMAT_HEADER
from resonance.server._refusals import SENTENCES, Refusal

__all__ = [
    "IMPORTANCE_HEADER",
    "INBOUND_HEADERS",
    "NOTHING_TOLD",
    "REASON_HEADER",
    "Reply",
    "Told",
    "refusal_reply",
    "told",
]

IMPORTANCE_HEADER: Final = "resonance-importance"
"""In a request: ``low``, ``normal``, ``high`` or ``critical``; absent for ``normal``."""
REASON_HEADER: Final = "resonance-reason"
"""In a reply that refuses: a `Refusal`."""
INBOUND_HEADERS: Final = (
    ATTEMPT_HEADER,
    DEADLINE_HEADER,
    ENVOY_TIMEOUT_HEADER,
    GRPC_ATTEMPT_HEADER,
    GRPC_TIMEOUT_HEADER,
    IMPORTANCE_HEADER,
    LOAD_FORMAT_HEADER,
)
"""All that is read here."""


class Told(msgspec.Struct, frozen=True):
    """What a caller says about its request.

    Attributes
    ----------
    timeout : float or None
        Seconds it will wait.
    attempts : int
        How often it tried before.
    importance : {"low", "normal", "high", "critical"}
    wants_text : bool
        It wants the load report as text.
    """

    timeout: float | None = None
    attempts: int = 0
    importance: Importance = "normal"
    wants_text: bool = False


NOTHING_TOLD: Final = Told()


def told(headers: Mapping[str, str]) -> Told:
    """Read the headers of a request; one that cannot be read counts as absent.

    Parameters
    ----------
    headers : mapping of str
        Names in lower case.

    Returns
    -------
    Told

    Examples
    --------
    >>> told({"resonance-timeout": "0.25", "resonance-importance": "high"})
    Told(timeout=0.25, attempts=0, importance='high', wants_text=False)
    """
    importance = headers.get(IMPORTANCE_HEADER, "normal").lower()
    return Told(
        timeout=parse_timeout(headers),
        attempts=parse_attempts(headers),
        importance=importance if importance in RANKS else "normal",
        wants_text=headers.get(LOAD_FORMAT_HEADER, "").lower() == "text",
    )


class Reply(msgspec.Struct, frozen=True):
    """An answer of ours, in place of the application's.

    Attributes
    ----------
    status : http.HTTPStatus
    headers : list of pairs of str
        Names in lower case.
    body : bytes
    """

    status: HTTPStatus
    headers: list[tuple[str, str]]
    body: bytes


def refusal_reply(refusal: Refusal, retry_after_seconds: float) -> Reply:
    """Return how a request is refused.

    With 504 when its deadline is over, since nobody waits for it any more; else with 503 and
    a ``Retry-After`` in whole seconds, at least one, as RFC 9110 section 10.2.3 has it.

    Parameters
    ----------
    refusal : Refusal
    retry_after_seconds : float
        When it is worth another try; rounded up.

    Returns
    -------
    Reply
    """
    body = f"refused: {SENTENCES[refusal]}\n".encode()
    headers = [
        ("content-type", "text/plain; charset=utf-8"),
        ("content-length", str(len(body))),
        (REASON_HEADER, refusal.value),
    ]
    if refusal is Refusal.DEADLINE_OVER:
        return Reply(HTTPStatus.GATEWAY_TIMEOUT, headers, body)
    headers.append(("retry-after", str(max(1, ceil(retry_after_seconds)))))
    return Reply(HTTPStatus.SERVICE_UNAVAILABLE, headers, body)
