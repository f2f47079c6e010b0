# SPDX-License-Identifier: MIT
"""Network namespaces and connections of a test's own; asserts nothing.

What a test changes of the network it changes in a child process that left the host's namespace:
with its last process the namespace is gone, and all that was in it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from resonance_tuning.host import Host

T = TypeVar("T")

CLONE_NEWNET = 0x4000_0000
SOL_TCP = socket.IPPROTO_TCP
TCP_NOTSENT_LOWAT = 25
SO_MAX_PACING_RATE = 47
DEFAULT = "reno"
"""The one algorithm that every kernel has and every namespace may have as its default."""


def unshare_network() -> None:
    """Leave the host's network namespace for a new one, with a loopback device that is up."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET)")
    sh("ip link set lo up")
    Path("/proc/sys/net/ipv4/tcp_congestion_control").write_text(DEFAULT, encoding="ascii")


def sh(*commands: str) -> str:
    """Run commands of iproute2 and the like; return what they print."""
    return "".join(
        subprocess.run(
            command, shell=True, check=True, stdout=subprocess.PIPE, text=True, timeout=30
        ).stdout
        for command in commands
    )


def in_own_namespace(function: Callable[..., T], *arguments: object) -> T:
    """Return what a function returns in a child process with a network of its own.

    Raises
    ------
    AssertionError
        With the traceback of whatever went wrong there.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _answer(writing, function, arguments)
    os.close(writing)
    with open(reading, "rb") as pipe:
        raw = pipe.read()
    _, status = os.waitpid(child, 0)
    if status or not raw:
        raise AssertionError(raw.decode() or f"the child ended with status {status}")
    result: T = pickle.loads(raw)
    return result


def _answer(writing: int, function: Callable[..., object], arguments: tuple[object, ...]) -> None:
    status = 1
    try:
        unshare_network()
        raw = pickle.dumps(function(*arguments))
        status = 0
    except BaseException:  # noqa: BLE001  told in the parent
        raw = traceback.format_exc().encode()
    with open(writing, "wb") as pipe:
        pipe.write(raw)
    sys.stdout.flush()
    os._exit(status)


@contextlib.contextmanager
def neighbour(*commands: str) -> Iterator[int]:
    """Give the pid of a process in another network namespace, beside our own."""
    script = "ip link set lo up && echo && exec sleep 120"
    process = subprocess.Popen(["unshare", "-n", "sh", "-c", script], stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    try:
        for command in commands:
            sh(command.format(pid=process.pid))
        yield process.pid
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def host_with_namespace(root: Path, name: str, pid: int) -> Host:
    """Return a host whose ``/run/netns`` holds the namespace of a process, without a mount."""
    (root / "run/netns").mkdir(parents=True)
    (root / "run/netns" / name).symlink_to(f"/proc/{pid}/ns/net")
    (root / "proc").symlink_to("/proc")
    return Host(root)


@dataclass(frozen=True)
class Group:
    """A cgroup of version 2 to open sockets in; a socket stays of the group it was opened in."""

    directory: Path

    @property
    def name(self) -> str:
        """Its path below the hierarchy's root."""
        return f"/{self.directory.name}"

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Be in it for a while."""
        outside = self.directory.parent / "cgroup.procs"
        (self.directory / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
        try:
            yield
        finally:
            outside.write_text(str(os.getpid()), encoding="ascii")


@dataclass
class Pair:
    """The two ends of a connection on the loopback device."""

    client: socket.socket
    server: socket.socket

    def algorithms(self) -> tuple[str, str]:
        """Return the congestion control of both ends."""
        return algorithm(self.client), algorithm(self.server)

    def number(self, level: int, name: int) -> tuple[int, int]:
        """Return a socket option of both ends."""
        return self.client.getsockopt(level, name), self.server.getsockopt(level, name)

    def close(self) -> None:
        """Close both ends."""
        self.client.close()
        self.server.close()


def algorithm(end: socket.socket) -> str:
    """Return a socket's congestion control."""
    raw = end.getsockopt(SOL_TCP, socket.TCP_CONGESTION, 16)
    return raw.rstrip(b"\0").decode()


def listen(address: str = "127.0.0.1") -> socket.socket:
    """Return a listening socket."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family)
    listener.bind((address, 0))
    listener.listen(64)
    return listener


def connect(listener: socket.socket, client: socket.socket | None = None) -> Pair:
    """Connect to a listener."""
    client = client or socket.socket(listener.family)
    client.connect(listener.getsockname())
    server, _ = listener.accept()
    return Pair(client, server)


def connection(address: str = "127.0.0.1") -> Pair:
    """Return a new connection of which both ends are opened here and now."""
    with listen(address) as listener:
        return connect(listener)


def algorithms_of_new_connection(group: Group | None = None) -> tuple[str, str]:
    """Return what a new connection has, in a group or outside of it."""
    with group.entered() if group else contextlib.nullcontext():
        pair = connection()
    try:
        return pair.algorithms()
    finally:
        pair.close()


def kill(pid: int) -> None:
    """End a child in the hardest way, and wait until it is gone."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
