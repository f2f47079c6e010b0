# SPDX-License-Identifier: MIT
"""How is a channel to the daemon opened, and what did its failure mean?

Shared by all that speaks gRPC with the daemon; imported when it is first asked, and not before.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import grpc

from resonance.hints._link import FailedCallError, why_no_socket

__all__ = ["OPTIONS", "Fork", "check", "failed"]

OPTIONS: Final = (
    ("grpc.use_local_subchannel_pool", 1),  # a new channel connects at once, without a backoff
    ("grpc.http2.bdp_probe", 0),  # a wider window would only hold more old states
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
)


class Fork:
    """Whether this process was forked from one that had gRPC's event loop.

    Its thread is always inside of gRPC, so gRPC cannot make ready for a fork, and a call in
    the child ends the child (grpc/grpc, ``doc/fork_support.md``).
    """

    has_loop = False
    is_child = False

    @classmethod
    def after_in_child(cls) -> None:
        """Take note in the child."""
        cls.is_child = cls.has_loop


def check(path: Path) -> None:
    """Raise where gRPC would end this process or write to its log.

    Raises
    ------
    FailedCallError
        No call can be made from this process, or to this path.
    """
    if Fork.is_child:
        reason = "forked from a process that uses resonance.hints.aio; spawn it instead"
        raise FailedCallError("FAILED_PRECONDITION", reason)
    if reason := why_no_socket(path):
        raise FailedCallError("FAILED_PRECONDITION", reason)


def failed(error: grpc.RpcError) -> FailedCallError:
    """Return the error without gRPC in it."""
    return FailedCallError(error.code().name, error.details() or "")


os.register_at_fork(after_in_child=Fork.after_in_child)
