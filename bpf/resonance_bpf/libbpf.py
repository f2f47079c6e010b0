# SPDX-License-Identifier: MIT
"""libbpf by ctypes: the dozen calls that open, load, pin and attach an object.

Loaded only in the short-lived loader, and by `vmlinux`. libbpf's own words are kept in
`last_messages`, because its return values say only that something failed.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final

from resonance_bpf.errors import ToolchainError

__all__ = ["Library", "open_library"]

_HINT: Final = "install it with: apt-get install libbpf1"
_VOID: Final = ctypes.c_void_p
_PRINT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p, _VOID)
_libc = ctypes.CDLL(None)
_libc.vsnprintf.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, _VOID]

_SIGNATURES: Final[dict[str, tuple[Any, list[Any]]]] = {
    "libbpf_set_print": (_VOID, [_PRINT]),
    "bpf_object__open_file": (_VOID, [ctypes.c_char_p, _VOID]),
    "bpf_object__load": (ctypes.c_int, [_VOID]),
    "bpf_object__close": (None, [_VOID]),
    "bpf_object__next_map": (_VOID, [_VOID, _VOID]),
    "bpf_object__next_program": (_VOID, [_VOID, _VOID]),
    "bpf_map__name": (ctypes.c_char_p, [_VOID]),
    "bpf_map__fd": (ctypes.c_int, [_VOID]),
    "bpf_map__set_max_entries": (ctypes.c_int, [_VOID, ctypes.c_uint32]),
    "bpf_map__set_initial_value": (ctypes.c_int, [_VOID, _VOID, ctypes.c_size_t]),
    "bpf_map__reuse_fd": (ctypes.c_int, [_VOID, ctypes.c_int]),
    "bpf_program__name": (ctypes.c_char_p, [_VOID]),
    "bpf_program__fd": (ctypes.c_int, [_VOID]),
    "bpf_program__set_autoload": (ctypes.c_int, [_VOID, ctypes.c_bool]),
    "bpf_program__attach": (_VOID, [_VOID]),
    "bpf_link__fd": (ctypes.c_int, [_VOID]),
    "bpf_link__destroy": (ctypes.c_int, [_VOID]),
    "btf__load_vmlinux_btf": (_VOID, []),
    "btf__find_by_name": (ctypes.c_int, [_VOID, ctypes.c_char_p]),
    "btf__type_cnt": (ctypes.c_uint32, [_VOID]),
    "btf_dump__new": (_VOID, [_VOID, _VOID, _VOID, _VOID]),
    "btf_dump__dump_type": (ctypes.c_int, [_VOID, ctypes.c_uint32]),
}

DumpCallback = ctypes.CFUNCTYPE(None, _VOID, ctypes.c_char_p, _VOID)


def format_message(template: bytes, arguments: int) -> str:
    """Expand a C format with its ``va_list``, as handed to a callback.

    A ``va_list`` parameter is passed as an address on every ABI we support, so that
    address can be handed on.
    """
    buffer = ctypes.create_string_buffer(1 << 16)
    _libc.vsnprintf(buffer, len(buffer), template, arguments)
    return buffer.value.decode(errors="replace")


class Library:
    """An open libbpf, version 1 or later."""

    def __init__(self, handle: ctypes.CDLL) -> None:
        self._handle = handle
        self.last_messages: deque[str] = deque(maxlen=40)
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(handle, name)
            function.restype, function.argtypes = result, arguments
        self._print = _PRINT(self._keep)
        handle.libbpf_set_print(self._print)

    def _keep(self, level: int, template: bytes, arguments: int) -> int:
        if level == 0:
            self.last_messages.extend(format_message(template, arguments).splitlines())
        return 0

    def call(self, name: str, *arguments: object) -> Any:
        """Call a function of `_SIGNATURES`; raise OSError where it returns NULL or negative."""
        ctypes.set_errno(0)
        function: Callable[..., Any] = getattr(self._handle, name)
        result = function(*arguments)
        if result is None and function.restype is _VOID:  # type: ignore[attr-defined]
            number = ctypes.get_errno() or errno.EINVAL
            raise OSError(number, os.strerror(number), name)
        if isinstance(result, int) and result < 0:
            raise OSError(-result, os.strerror(-result), name)
        return result

    def children(self, bpf_object: int, kind: str) -> Iterator[tuple[str, int]]:
        """Yield (name, handle) of the maps or programs of an object; kind is "map" or "program"."""
        step: Callable[..., Any] = getattr(self._handle, f"bpf_object__next_{kind}")
        child = step(bpf_object, None)
        while child:
            name: bytes = getattr(self._handle, f"bpf_{kind}__name")(child)
            yield name.decode(), child
            child = step(bpf_object, child)

    def has_type(self, btf: int, name: str) -> bool:
        """Return whether BTF holds a type of this name."""
        try:
            self.call("btf__find_by_name", btf, name.encode())
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            return False
        return True

    def words(self) -> str:
        """Return what libbpf and the verifier last said, in one line."""
        said = [line.strip() for line in self.last_messages if line.strip()]
        telling = [
            line for line in said if "processed" not in line and "BPF PROG LOAD LOG" not in line
        ]
        return " | ".join(telling[-4:])


def open_library() -> Library:
    """Open the system's libbpf.

    Raises
    ------
    ToolchainError
        It is not installed, or older than version 1.
    """
    try:
        handle = ctypes.CDLL("libbpf.so.1", use_errno=True)
    except OSError as error:
        raise ToolchainError("libbpf", "libbpf.so.1 was not found", _HINT) from error
    return Library(handle)
