# SPDX-License-Identifier: MIT
"""A cap on the pacing rate of the new TCP connections of a cgroup.

It needs no qdisc ``fq``: TCP paces itself since Linux 4.13.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from resonance_tuning.knobs.socket_ops import SocketOptionKnob, parse_amount

if TYPE_CHECKING:
    from resonance_bpf.socket_options import SocketOption

__all__ = ["Pacing"]


class Pacing(SocketOptionKnob):
    """SO_MAX_PACING_RATE."""

    name: ClassVar[str] = "pacing"
    summary: ClassVar[str] = (
        "Bytes per second at which a new connection of the cgroup may send at most: set just "
        "under a known bottleneck, its buffer stays empty."
    )
    option_key: ClassVar[str] = "bytes_per_second"

    def parse_option(self, value: object) -> str:
        """Return the bytes per second."""
        return parse_amount(value, "bytes per second")

    def option(self, text: str, canary_ratio: float, min_rtt_seconds: float) -> SocketOption:
        """Return the option to attach."""
        from resonance_bpf.socket_options import SO_MAX_PACING_RATE, SocketOption

        return SocketOption(
            SO_MAX_PACING_RATE,
            value=int(text),
            canary_ratio=canary_ratio,
            min_rtt_seconds=min_rtt_seconds,
        )
