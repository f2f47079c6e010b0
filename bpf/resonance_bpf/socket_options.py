# SPDX-License-Identifier: MIT
"""Give new TCP connections of a cgroup a socket option, for as long as a file descriptor is open.

The program is attached by a `bpf_link` that is pinned nowhere: whoever holds it may be killed in
any way, and the kernel takes it off. Connections that have the option keep it until they close.

This file does not decide which option is good, and knows no knobs.
"""

from __future__ import annotations

import os
import struct
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

from resonance_bpf import capabilities, syscalls
from resonance_bpf.errors import ProbeRejectedError, ProbeUnsupportedError, ToolchainError
from resonance_bpf.libbpf import Library, open_library

__all__ = [
    "SO_MAX_PACING_RATE",
    "TCP_CONGESTION",
    "TCP_NOTSENT_LOWAT",
    "OptionCounts",
    "SocketOption",
    "SocketOptionLink",
    "attach",
    "missing",
]

SO_MAX_PACING_RATE: Final = 47
TCP_CONGESTION: Final = 13
TCP_NOTSENT_LOWAT: Final = 25
_BTF: Final = Path("/sys/kernel/btf/vmlinux")
_OBJECT: Final = "socket_options.bpf.o"
_NEEDED: Final = (*capabilities.FOR_PROBES, "CAP_NET_ADMIN")
_OPTION: Final = struct.Struct("=II16sQII")
"""``struct rs_socket_option`` in ``programs/socket_options.bpf.c``."""
_COUNTS: Final = struct.Struct("=6Q")


@dataclass(frozen=True, slots=True)
class SocketOption:
    """An option, and the new connections it is for.

    Attributes
    ----------
    name : int
        One of the three names of this module.
    algorithm : str
        The congestion control; empty for the other two.
    value : int
        Of the other two: bytes, or bytes per second.
    canary_ratio : float
        Share of new connections, in 0 to 1, that get it.
    min_rtt_seconds : float
        Connections whose handshake took less are left as they are.
    """

    name: int
    algorithm: str = ""
    value: int = 0
    canary_ratio: float = 1.0
    min_rtt_seconds: float = 0.0

    def pack(self) -> bytes:
        """Return it as the program's read-only data."""
        return _OPTION.pack(
            self.name,
            self.value,
            self.algorithm.encode(),
            round(self.canary_ratio * (1 << 32)),
            round(self.min_rtt_seconds * 1e6),
            0,
        )


@dataclass(frozen=True, slots=True)
class OptionCounts:
    """What became of the connections since the link was made.

    Attributes
    ----------
    taken : int
        They got the option.
    own_choice : int
        Their application, its listening socket or their route had chosen.
    too_near : int
        Their handshake took less than the floor.
    outside_canary : int
        They were not drawn.
    failed : int
        The kernel refused, the last time with the errno in `last_error`.
    """

    taken: int
    own_choice: int
    too_near: int
    outside_canary: int
    failed: int
    last_error: int

    def as_dict(self) -> dict[str, int]:
        """Return them by name."""
        return asdict(self)


class SocketOptionLink:
    """A program attached to a cgroup; closing it, or dying, takes it off."""

    def __init__(self, link: int, counts: int) -> None:
        self._link = link
        self._counts = counts

    @property
    def cgroup_id(self) -> int:
        """The cgroup it is attached to; 0 when the cgroup is gone or somebody took it off."""
        return syscalls.cgroup_of_link(self._link)

    def counts(self) -> OptionCounts:
        """Return what became of the connections so far."""
        raw = syscalls.map_lookup(self._counts, struct.pack("=I", 0), _COUNTS.size)
        return OptionCounts(*_COUNTS.unpack(raw))

    def close(self) -> None:
        """Take the program off; a second time does nothing."""
        for descriptor in (self._link, self._counts):
            if descriptor >= 0:
                os.close(descriptor)
        self._link = self._counts = -1


@cache
def _library() -> Library:
    # Kept: libbpf holds a pointer to its callback for messages.
    return open_library()


def missing() -> str:
    """Return what this host lacks to attach an option, or nothing."""
    if not _BTF.exists():
        return f"this kernel has no BTF ({_BTF})"
    if not resources.files("resonance_bpf").joinpath("objects", _OBJECT).is_file():
        return f"{_OBJECT} is not built; run: make bpf"
    try:
        _library()
    except ToolchainError as error:
        return str(error)
    return ""


def attach(option: SocketOption, directory: str | os.PathLike[str]) -> SocketOptionLink:
    """Attach an option to a cgroup of version 2.

    Raises
    ------
    ToolchainError
        libbpf or the compiled object is missing.
    ProbeUnsupportedError
        The kernel has no BTF.
    ProbeRejectedError
        The kernel refused the program.
    OSError
        ``ENOENT`` or ``ENODEV`` when the cgroup is gone; ``EBADF`` where it is no cgroup of
        version 2; ``EPERM`` where another program of the kind is attached exclusively.
    """
    if not _BTF.exists():
        raise ProbeUnsupportedError(str(_BTF), "this kernel has no BTF")
    library = _library()
    cgroup = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        handle = _open_object(library)
        try:
            return _link(library, handle, option, cgroup)
        finally:
            library.call("bpf_object__close", handle)
    finally:
        os.close(cgroup)


def _open_object(library: Library) -> int:
    path = resources.files("resonance_bpf").joinpath("objects", _OBJECT)
    if not path.is_file():
        raise ToolchainError(_OBJECT, "not built", "run: make bpf (needs clang and libbpf-dev)")
    handle: int = library.call("bpf_object__open_file", str(path).encode(), None)
    return handle


def _link(library: Library, handle: int, option: SocketOption, cgroup: int) -> SocketOptionLink:
    packed = option.pack()
    maps = dict(library.children(handle, "map"))
    for name, bpf_map in maps.items():
        if name.endswith(".rodata"):
            library.call("bpf_map__set_initial_value", bpf_map, packed, len(packed))
    try:
        library.call("bpf_object__load", handle)
    except OSError as error:
        words = f"{error.strerror}: {library.words()}"
        reason, hint = capabilities.explained(error.errno, words, _NEEDED)
        raise ProbeRejectedError(_OBJECT, reason, hint) from error
    _, program = next(library.children(handle, "program"))
    link = syscalls.link_sock_ops(library.call("bpf_program__fd", program), cgroup)
    return SocketOptionLink(link, os.dup(library.call("bpf_map__fd", maps["option_counts"])))
