# SPDX-License-Identifier: MIT
"""How do the commands speak with the daemon, and what do they say when it is away."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterable
from pathlib import Path

import grpc

from resonance.hints._link import why_no_socket
from resonance_api.hints.v1.hints_pb2 import GetRequest, State
from resonance_api.hints.v1.hints_pb2_grpc import HintsStub
from resonance_api.phase.v1.phase_pb2 import (
    ExplainRequest,
    ExplainResponse,
    SpectrumRequest,
    SpectrumResponse,
)
from resonance_api.phase.v1.phase_pb2_grpc import PhaseStub

__all__ = ["CommandError", "Daemon", "connect", "needing"]

_ANSWER_SECONDS = 5.0
_OPTIONS = (("grpc.max_receive_message_length", 16 * 1024 * 1024),)
"""The series of 256 cgroups are 8 MiB; gRPC's own limit is 4."""


class CommandError(Exception):
    """Why a command cannot do what it was asked: one line, with what to do next."""


@contextlib.contextmanager
def needing(what: str) -> Generator[None]:
    """Say `what` where an import fails for a package that an extra would bring."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0].startswith("resonance"):
            raise
        raise CommandError(what) from error


class Daemon:
    """The daemon behind one open channel."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._hints = HintsStub(channel)
        self._phase = PhaseStub(channel)

    def state(self, cgroups: Iterable[str] = (), *, include_histograms: bool = False) -> State:
        """Return the state now, of the cgroups that match one of the patterns, or of all."""
        request = GetRequest(cgroups=cgroups, include_histograms=include_histograms)
        return self._hints.Get(request, timeout=_ANSWER_SECONDS).state

    def explain(self, source: str) -> ExplainResponse:
        """Return why the sources whose name matches are where they are."""
        return self._phase.Explain(ExplainRequest(source=source), timeout=_ANSWER_SECONDS)

    def spectrum(self, cgroups: Iterable[str] = ()) -> SpectrumResponse:
        """Return the series of the cgroups that match one of the patterns, and all phases."""
        return self._phase.Spectrum(SpectrumRequest(cgroups=cgroups), timeout=_ANSWER_SECONDS)


@contextlib.contextmanager
def connect(socket: Path) -> Generator[Daemon]:
    """Open the daemon's socket.

    Raises
    ------
    CommandError
        When the daemon is away, goes away meanwhile, or will not answer.
    """
    if reason := why_no_socket(socket):
        raise CommandError(f"{socket}: {reason}")
    with grpc.insecure_channel(f"unix:{socket}", options=_OPTIONS) as channel:
        try:
            yield Daemon(channel)
        except grpc.RpcError as error:
            raise CommandError(_explain(socket, error)) from error


def _explain(socket: Path, error: grpc.RpcError) -> str:
    code, details = error.code(), error.details()
    if code is grpc.StatusCode.UNAVAILABLE:
        return _explain_absence(socket)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"{socket}: no answer within {_ANSWER_SECONDS:.0f} s; is the daemon stopped?"
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return f"{socket}: the daemon speaks another version; update the older of the two"
    return f"{socket}: {details or code.name.lower()}"


def _explain_absence(socket: Path) -> str:
    if not socket.exists():
        return f"{socket}: no daemon here; start `resonanced run`, or say --socket PATH"
    if not os.access(socket, os.W_OK):
        return f"{socket}: permission denied; join the group that owns it (resonance)"
    return f"{socket}: the daemon has gone; start `resonanced run` again"
