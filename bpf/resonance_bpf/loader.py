# SPDX-License-Identifier: MIT
"""Which backend measures: tries them best first, each in a process that then exits.

A compiler or a verifier log costs memory that a fork gives back, and a crash in one is an
answer like any other: the next backend is tried and the report says why.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import traceback
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from resonance_bpf import pins
from resonance_bpf.errors import ProbeError
from resonance_bpf.report import BackendName, LoadReport, LoadRequest, Rejection

__all__ = ["Choice", "Stopped", "choose"]

Choice = Literal["auto", "core", "bcc", "none"]
_PR_SET_PDEATHSIG: Final = 1
_LOOK_SECONDS: Final = 0.05
"""How often a load is asked whether it is still wanted."""


class Stopped(BaseException):
    """The load was not wanted any more; a control signal, never an error."""


class _Failure(msgspec.Struct, frozen=True, tag="failure"):
    reason: str


class _Success(msgspec.Struct, frozen=True, tag="success"):
    report: LoadReport


def choose(
    wanted: Choice, request: LoadRequest, is_told_to_stop: Callable[[], bool] = bool
) -> LoadReport:
    """Load the wanted backend, or the best that works.

    Parameters
    ----------
    wanted : {"auto", "core", "bcc", "none"}
        A named backend is taken or refused; only ``auto`` goes on to the next.
    request : LoadRequest
        What to load, and where to pin it.
    is_told_to_stop : callable
        Asked again and again whether to give up.

    Returns
    -------
    LoadReport
        The backend in force, with every one rejected before it.

    Raises
    ------
    ProbeError
        The one named backend does not work here.
    Stopped
        It was told to; what is pinned already is the caller's to remove.
    """
    rejected: list[Rejection] = []
    candidates: tuple[BackendName, ...] = ("core", "bcc", "none") if wanted == "auto" else (wanted,)
    for backend in candidates:
        if backend == "none":
            return LoadReport(
                backend="none",
                tier="procfs",
                hierarchy=request.hierarchy,
                rejected=tuple(rejected),
            )
        answer = _attempt(backend, request, is_told_to_stop)
        if isinstance(answer, _Success):
            return msgspec.structs.replace(
                answer.report, rejected=(*rejected, *answer.report.rejected)
            )
        pins.clear(request.directory)
        rejected.append(Rejection(backend=backend, reason=answer.reason))
    raise ProbeError(
        f"backend {wanted}", rejected[-1].reason, "run: resonanced check, or use --backend auto"
    )


def _backend(name: BackendName) -> Callable[[LoadRequest], LoadReport]:
    if name == "core":
        from resonance_bpf.backends import core

        return core.load
    from resonance_bpf.backends import bcc

    load: Callable[[LoadRequest], LoadReport] = bcc.load
    return load


def _attempt(
    backend: BackendName, request: LoadRequest, is_told_to_stop: Callable[[], bool]
) -> _Success | _Failure:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _load_and_leave(backend, request, write)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        while not (is_told_to_stop() or select.select([pipe], [], [], _LOOK_SECONDS)[0]):
            pass
        if is_told_to_stop():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise Stopped
        raw = pipe.read()
    answer = _decode(raw) if raw else None
    if isinstance(answer, _Success) and answer.report.loader_pid:
        return answer
    _, status = os.waitpid(pid, 0)
    return answer or _Failure(f"the loader died: {_how(status)}")


def _decode(raw: bytes) -> _Success | _Failure:
    answer: _Success | _Failure = msgspec.json.decode(raw, type=_Success | _Failure)
    return answer


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return signal.Signals(-code).name if code < 0 else f"exit status {code}"


def _load_and_leave(backend: BackendName, request: LoadRequest, write: int) -> None:
    """Load in the forked child; never returns."""
    signal.set_wakeup_fd(-1)
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGABRT)
    for number in numbers:
        signal.signal(number, signal.SIG_DFL)
    status = 1
    try:
        report = _backend(backend)(request)
        os.write(write, msgspec.json.encode(_Success(report)))
        os.close(write)
        if report.loader_pid:
            _stay()
        status = 0
    except ProbeError as error:
        os.write(write, msgspec.json.encode(_Failure(str(error))))
        status = 0
    except BaseException:  # noqa: BLE001 - a defect of ours; the parent tries the next backend
        traceback.print_exc()
    finally:
        os._exit(status)


def _stay() -> None:
    """Keep what cannot be pinned attached until the parent ends us or dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.pause()
