# SPDX-License-Identifier: MIT
"""CPUs as the kernel's bit masks: ``ff,00000003`` is CPUs 0, 1 and 32 to 39."""

from __future__ import annotations

from resonance_tuning.host import Host, parse_cpus

__all__ = ["format_mask", "parse_mask", "possible_cpus", "wanted_cpus"]


def parse_mask(text: str) -> frozenset[int]:
    """Parse a mask.

    >>> sorted(parse_mask("1,00000003"))
    [0, 1, 32]
    """
    bits = int(text.replace(",", ""), 16)
    return frozenset(cpu for cpu in range(bits.bit_length()) if bits >> cpu & 1)


def format_mask(cpus: frozenset[int], possible: int) -> str:
    """Write a mask as the kernel does that may have so many CPUs: ``%*pb``.

    >>> format_mask(frozenset({0, 1, 32}), 40)
    '01,00000003'
    """
    bits = sum(1 << cpu for cpu in cpus)
    words = range((possible - 1) // 32, -1, -1)
    first = ((possible - 1) % 32) // 4 + 1
    widths = [first] + [8] * (len(words) - 1)
    parts = zip(words, widths, strict=True)
    return ",".join(f"{bits >> 32 * word & 0xFFFF_FFFF:0{width}x}" for word, width in parts)


def possible_cpus(host: Host) -> int:
    """Return how many CPUs the kernel may ever have."""
    return max(parse_cpus(host.read(host.path("/sys/devices/system/cpu/possible")))) + 1


def wanted_cpus(host: Host, value: object) -> frozenset[int]:
    """Return the CPUs of a profile's value: a cpulist, or one number.

    Raises
    ------
    ValueError
        It is something else, empty, or holds no CPU that is online.
    """
    text = str(value) if type(value) in {int, str} else "?"
    try:
        cpus = parse_cpus(text)
    except ValueError as error:
        raise ValueError(f"CPUs are a list as '0-3,8', not {value!r}") from error
    if not cpus & host.online_cpus() or max(cpus) >= possible_cpus(host):
        online = host.read(host.path("/sys/devices/system/cpu/online"))
        raise ValueError(f"none of the CPUs {text!r} can be used here; online are {online}")
    return cpus
