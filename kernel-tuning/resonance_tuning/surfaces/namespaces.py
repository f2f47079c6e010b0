# SPDX-License-Identifier: MIT
"""Do something inside a network namespace: in a thread of its own, which is gone afterwards.

A namespace belongs to a task, so the thread enters it and the process stays where it is. The
thread also has no event loop, whatever the caller runs in.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from resonance_tuning.errors import TargetVanishedError
from resonance_tuning.host import Host

__all__ = ["identity_of", "namespace_file", "run_in"]

T = TypeVar("T")

_CLONE_NEWNET: Final = 0x4000_0000
_libc = ctypes.CDLL(None, use_errno=True)


def namespace_file(host: Host, name: str) -> Path:
    """Return the file that stands for a namespace; an empty name is our own."""
    return host.path(f"/run/netns/{name}" if name else "/proc/thread-self/ns/net")


def identity_of(host: Host, name: str) -> str:
    """Return what tells a namespace from another one under the same name.

    Raises
    ------
    TargetVanishedError
        It is gone.
    """
    try:
        found = os.stat(namespace_file(host, name))
    except FileNotFoundError as error:
        raise TargetVanishedError(f"namespace {name}") from error
    return f"{found.st_dev}:{found.st_ino}"


def run_in(host: Host, name: str, function: Callable[[], T]) -> T:
    """Return what a function returns, or raise what it raises, in a thread of its own.

    Parameters
    ----------
    name : str
        A namespace below ``/run/netns``; empty for the one we are in.

    Raises
    ------
    TargetVanishedError
        There is no such namespace.
    OSError
        It may not be entered: that needs CAP_SYS_ADMIN.
    """
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            if name:
                _enter(host, name)
            results.append(function())
        except BaseException as error:  # noqa: BLE001  it is raised in the caller
            failures.append(error)

    thread = threading.Thread(target=run, name=f"resonance-netns-{name}", daemon=True)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


def _enter(host: Host, name: str) -> None:
    try:
        descriptor = os.open(namespace_file(host, name), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise TargetVanishedError(f"namespace {name}") from error
    try:
        if _libc.setns(descriptor, _CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), f"setns({name})")
    finally:
        os.close(descriptor)
