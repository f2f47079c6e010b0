# SPDX-License-Identifier: MIT
"""How does a verb ask the running service what only the operator may ask?"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import grpc

from resonance_api.admin.v1.admin_pb2_grpc import AdminStub
from resonanced import config
from resonanced.errors import StartError
from resonanced.sockets import ADMIN_SOCKET, is_served
from resonanced.verbs import options

__all__ = ["PATIENCE_SECONDS", "ask"]

PATIENCE_SECONDS: Final = 5.0
"""*Chosen*: the service answers in a tick; one that is stuck is told as that."""

_R = TypeVar("_R")


def ask(arguments: argparse.Namespace, call: Callable[[AdminStub], _R]) -> _R:
    """Return what the running service answers.

    Parameters
    ----------
    arguments : Namespace
        Its configuration and its runtime directory say where the service is.
    call : callable
        Asks, for `PATIENCE_SECONDS` at most.

    Raises
    ------
    StartError
        No service runs there, it may not be asked, or it did not answer.
    """
    path = _socket(arguments)
    with grpc.insecure_channel(f"unix:{path}") as channel:
        try:
            return call(AdminStub(channel))
        except grpc.RpcError as error:
            # grpcio's stubs know no common type of what a failed call raises.
            reason = error.details() or error.code().name
            hint = "resonanced's log may say why"
            raise StartError(str(path), f"not answered: {reason}", hint) from error


def _socket(arguments: argparse.Namespace) -> Path:
    directory = options.absolute(arguments.runtime_directory)
    flags = {"service": {"runtime_directory": directory}} if directory else {}
    path = Path(config.load(arguments.config, flags).service.runtime_directory) / ADMIN_SOCKET
    is_hidden = path.parent.exists() and not os.access(path.parent, os.X_OK)
    if is_hidden or (path.exists() and not os.access(path, os.W_OK)):
        raise StartError(str(path), "only its owner and root may ask here", "run it with sudo")
    if not is_served(path):
        hint = "start resonanced, or name its --runtime-directory"
        raise StartError(str(path), "nobody answers there", hint)
    return path
