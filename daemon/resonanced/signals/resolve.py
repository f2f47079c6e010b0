# SPDX-License-Identifier: MIT
"""Which cgroup holds a process, or serves a TCP endpoint of this host?

Processes are those of the daemon's own pid namespace. For endpoints the probes noted who
began to listen, by port and network namespace, since they were attached; whoever listened
before is known on cgroup v2 only, from the kernel's socket table. A listener in the daemon's
own network namespace goes before one in another, which must be the only one.

Not knowing is an answer with a reason, never an error: an address of another host, or a
port that several containers listen on, is not guessed.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from resonance_bpf.diag import listener_cgroups
from resonance_bpf.errors import ProbeError
from resonance_bpf.hierarchy import CgroupHierarchy, path_of_task
from resonance_bpf.reader import Records
from resonanced.model import Endpoint, Resolution, ResolveSubject, Slot
from resonanced.signals.cgroups import CgroupDirectory

__all__ = ["Resolver", "is_local_address", "listener_cell"]

_WALK_SECONDS: Final = 1.0
"""*Chosen*: a client that asks for what does not exist costs one walk a second at most."""
_ENDED_STATES: Final = frozenset("ZX")
_LISTEN: Final = "0A"
"""TCP_LISTEN, include/net/tcp_states.h, as /proc/net/tcp writes it."""
_TABLES: Final = ("tcp", "tcp6")


class Resolver:
    """Answers for one hierarchy.

    Parameters
    ----------
    hierarchy : CgroupHierarchy
        Where cgroups are looked up.
    listeners : (LISTENERS,) LISTENER or None
        What the probes saw listen; ``None`` where they are not attached.
    proc : Path
        The /proc to read.
    diag : callable
        Cgroups that listen on a port, by the kernel's socket table.
    is_local : callable
        Whether an address belongs to this host.
    """

    def __init__(
        self,
        hierarchy: CgroupHierarchy,
        listeners: Records | None,
        *,
        proc: Path = Path("/proc"),
        diag: Callable[[int], frozenset[int]] = listener_cgroups,
        is_local: Callable[[str], bool] | None = None,
    ) -> None:
        self._hierarchy = hierarchy
        self._listeners = listeners
        self._proc = proc
        self._diag = diag
        self._is_local = is_local or is_local_address
        self._network_namespace = os.stat(proc / "self/ns/net").st_ino
        self._directory = CgroupDirectory(hierarchy.mount)
        self._next_walk = 0.0

    def resolve(self, subject: ResolveSubject, slots: Iterable[Slot]) -> Resolution:
        """Return where an endpoint or process belongs.

        Parameters
        ----------
        subject : Endpoint or int
            The endpoint, or the process id.
        slots : iterable of Slot
            The slots assigned now, slot 0 among them: what a cgroup without one gets.
        """
        try:
            if isinstance(subject, Endpoint):
                cgroup_id, path = self._serving(subject)
            else:
                cgroup_id, path = self._holding(subject)
        except _UnknownError as error:
            return Resolution(is_known=False, reason=str(error))
        by_id = {slot.cgroup_id: slot for slot in slots}
        slot = by_id.get(cgroup_id) or by_id.get(0)
        return Resolution(is_known=True, slot=slot, cgroup=path, cgroup_id=cgroup_id)

    def _holding(self, pid: int) -> tuple[int, str]:
        """Return the cgroup of a process, id and path."""
        directory = self._proc / str(pid)
        try:
            state = (
                (directory / "stat")
                .read_text(errors="surrogateescape")
                .rpartition(")")[2]
                .split()[0]
            )
            path = path_of_task(directory, self._hierarchy)
        except (FileNotFoundError, ProcessLookupError):
            raise _UnknownError(f"no process {pid} in the daemon's pid namespace") from None
        except PermissionError:
            raise _UnknownError(f"process {pid} is hidden from the daemon (hidepid)") from None
        if state in _ENDED_STATES:
            raise _UnknownError(f"process {pid} has ended")
        if path is None:
            raise _UnknownError(f"the cgroup of process {pid} is outside of what the daemon sees")
        try:
            return self._hierarchy.directory(path).stat().st_ino, path
        except OSError:
            raise _UnknownError(f"the cgroup of process {pid} has been removed") from None

    def _serving(self, endpoint: Endpoint) -> tuple[int, str]:
        """Return the cgroup that listens on an endpoint, id and path."""
        self._check(endpoint)
        port = endpoint.port
        found = self._cgroups_on(port)
        if not found:
            raise _UnknownError(f"nobody is known to listen on port {port}")
        if len(found) > 1:
            raise _UnknownError(f"port {port} has listeners in {len(found)} cgroups")
        (cgroup_id,) = found
        path = self._path(cgroup_id)
        if path is None:
            raise _UnknownError(f"cgroup {cgroup_id}, which listens on port {port}, is not seen")
        return cgroup_id, path

    def _check(self, endpoint: Endpoint) -> None:
        if not 0 < endpoint.port < 1 << 16:
            raise _UnknownError(f"{endpoint.port} is no port")
        try:
            is_local = not endpoint.host or self._is_local(endpoint.host)
        except ValueError:
            raise _UnknownError(
                f"{endpoint.host!r} is no IP address; names are not looked up"
            ) from None
        if not is_local:
            raise _UnknownError(f"{endpoint.host} is no address of the daemon's network namespace")

    def _cgroups_on(self, port: int) -> frozenset[int]:
        """Return who listens on a port: here if anybody does, else in other namespaces."""
        if learnt := self._learnt_here(port):
            return frozenset({learnt})
        if any(port in _listening_ports(self._proc / "self/net" / name) for name in _TABLES):
            return self._listed(port)
        if self._listeners is None:
            return frozenset()
        elsewhere = self._listeners[self._listeners["port"] == port]["cgroup_id"]
        return frozenset(elsewhere[elsewhere != 0].tolist())

    def _learnt_here(self, port: int) -> int:
        if self._listeners is None:
            return 0
        cell = self._listeners[listener_cell(port, self._network_namespace)]
        is_ours = (cell["port"], cell["network_namespace"]) == (port, self._network_namespace)
        return int(cell["cgroup_id"]) if is_ours else 0

    def _listed(self, port: int) -> frozenset[int]:
        """Return whom the socket table names, for a listener the probes did not see begin."""
        if self._hierarchy.name != "v2":
            raise _UnknownError(
                f"port {port} was opened before the probes were attached, "
                "and v1 cgroups leave no trace on sockets"
            )
        try:
            return self._diag(port)
        except ProbeError as error:
            raise _UnknownError(str(error)) from error

    def _path(self, cgroup_id: int) -> str | None:
        now = time.monotonic()
        if self._directory.forget_removed([cgroup_id]) and now >= self._next_walk:
            self._next_walk = now + _WALK_SECONDS
            self._directory.walk()
        return self._directory.paths.get(cgroup_id)


class _UnknownError(Exception):
    """Ends a search; its words are the reason given to the client."""


def _listening_ports(table: Path) -> Iterator[int]:
    """Yield the ports in LISTEN, which the kernel lists first (proc_net_tcp.rst)."""
    try:
        with table.open() as lines:
            next(lines)
            for line in lines:
                _, local, _, state, *_ = line.split()
                if state != _LISTEN:
                    return
                yield int(local.rpartition(":")[2], 16)
    except FileNotFoundError:  # a kernel without IPv6
        return


def listener_cell(port: int, network_namespace: int) -> int:
    """Return the cell of a listener; the model of ``observe_listener`` in ``socket.h``."""
    position = (port * 0x9E3779B1) ^ (network_namespace * 0x85EBCA6B)
    return (position & 0xFFFF_FFFF) >> 20


def is_local_address(host: str) -> bool:
    """Return whether an address is one of this network namespace: whether one can bind to it.

    Raises
    ------
    ValueError
        When it is no numeric IP address.
    """
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if address.is_loopback or address.is_unspecified:
        return True
    if address.is_multicast:
        return False
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
