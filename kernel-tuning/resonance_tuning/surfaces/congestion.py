# SPDX-License-Identifier: MIT
"""Names of congestion control algorithms: is it one, and does the kernel have it?

An algorithm that would have to be loaded as a module first is left to the operator: the kernel
would load it at the first mention, and it would stay.
"""

from __future__ import annotations

import re
from typing import Final

from resonance_tuning.host import Host

__all__ = ["not_loaded", "parse_algorithm"]

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,14}")
"""At most 15 characters, ``TCP_CA_NAME_MAX`` less the end of the string."""


def parse_algorithm(value: object) -> str:
    """Return a value that can be the name of an algorithm.

    Raises
    ------
    ValueError
        It cannot.
    """
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f'expected the name of a congestion control, as "bbr", not {value!r}')
    return value


def not_loaded(host: Host, algorithm: str) -> str:
    """Return why an algorithm cannot be chosen on this host, or nothing."""
    try:
        text = host.read(host.path("/proc/sys/net/ipv4/tcp_available_congestion_control"))
    except OSError as error:
        return f"the congestion controls cannot be listed: {error.strerror}"
    if algorithm in text.split():
        return ""
    return f"{algorithm} is not loaded; try: modprobe tcp_{algorithm}"
