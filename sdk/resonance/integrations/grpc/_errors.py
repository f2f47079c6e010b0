# SPDX-License-Identifier: MIT
"""What gRPC's callers expect to catch, where it was us who ended a call.

Each is both: the error of `resonance.errors`, and one of gRPC with its status code.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import grpc
import grpc.aio

from resonance.errors import DeadlineExceededError, OverloadedError

__all__ = ["DeadlineExceededRpcError", "OverloadedRpcError", "as_rpc_errors", "check_timeout"]


class DeadlineExceededRpcError(DeadlineExceededError, grpc.aio.AioRpcError):
    """The time of a call is over; with the code ``DEADLINE_EXCEEDED``.

    Parameters
    ----------
    timeout_seconds : float
        How long it was given.
    attempts : int
        How many attempts were made in it.
    """

    def __init__(self, timeout_seconds: float, attempts: int) -> None:
        DeadlineExceededError.__init__(self, timeout_seconds, attempts)
        _be_status(self, grpc.StatusCode.DEADLINE_EXCEEDED)


class OverloadedRpcError(OverloadedError, grpc.aio.AioRpcError):
    """Refused here, before it was sent; with the code ``RESOURCE_EXHAUSTED``.

    Parameters
    ----------
    service : str
        Which one.
    reason : str
        By which rule.
    retry_after_seconds : float or None
        When it is worth another try, where that is known.
    """

    def __init__(self, service: str, reason: str, retry_after_seconds: float | None = None) -> None:
        OverloadedError.__init__(self, service, reason, retry_after_seconds)
        _be_status(self, grpc.StatusCode.RESOURCE_EXHAUSTED)


@contextmanager
def as_rpc_errors() -> Generator[None, None, None]:
    """Raise what ends inside for a reason of ours as an error of gRPC too.

    Raises
    ------
    DeadlineExceededRpcError
        The time of a call inside is over.
    OverloadedRpcError
        A call inside was refused before it was sent.
    """
    try:
        yield
    except DeadlineExceededError as error:
        raise DeadlineExceededRpcError(error.timeout_seconds, error.attempts) from error
    except OverloadedError as error:
        raise OverloadedRpcError(error.service, error.reason, error.retry_after_seconds) from error


def check_timeout(timeout: float | None) -> None:
    """Refuse to begin what is late already, as gRPC does.

    Parameters
    ----------
    timeout : float or None
        Seconds.

    Raises
    ------
    DeadlineExceededRpcError
        It is 0 or below.
    """
    if timeout is not None and timeout <= 0.0:
        raise DeadlineExceededRpcError(timeout, 0)


def _be_status(error: grpc.aio.AioRpcError, code: grpc.StatusCode) -> None:
    """Give an error what gRPC's have, and leave its arguments as they are."""
    nothing = grpc.aio.Metadata()
    arguments = error.args
    grpc.aio.AioRpcError.__init__(error, code, nothing, nothing, str(error))
    error.args = arguments
