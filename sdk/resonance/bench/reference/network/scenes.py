# SPDX-License-Identifier: MIT
"""Requests over a slow link, by CUBIC and by BBR: where it helps, and what it costs.

A server answers requests with 24 KB; they come by chance, 60 a second, over 40 Mbit/s and 20 ms.
In three sub-scenes the link is idle and loses one packet in a hundred; a bulk transfer of the same
server fills a buffer ten times what is under way; it fills one of two thirds of that. The last is
where BBR is known to do harm, and is here so that the price is seen.

The kernel's own default may be BBR, so CUBIC is asked for by each socket; where the route chooses,
the namespace's default is a third one. Which one the connections had is looked at in each slot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from random import Random
from typing import Final

from resonance.bench.errors import ExperimentError
from resonance.bench.machine import this_machine
from resonance.bench.records import Run, Scene, Slot
from resonance.bench.reference.network.links import Link, namespaces
from resonance.bench.reference.network.slots import (
    BBR,
    CUBIC,
    RATE_PER_SECOND,
    REPLY_BYTES,
    RULE,
    Round,
)

__all__ = ["ARMS", "NAMES", "check_kernel", "measure"]

ARMS: Final = {"cubic": CUBIC, "cubic again": CUBIC, "bbr": BBR}
"""By name, the first the baseline and the second the placebo: the congestion control."""
_RATE_BITS_PER_SECOND: Final = 40e6
_DELAY_SECONDS: Final = 0.010
_UNDER_WAY_BYTES: Final = round(_RATE_BITS_PER_SECOND / 8 * 2 * _DELAY_SECONDS)
"""The product of rate and round trip: what fills the link and leaves its buffer empty."""
_DEEP_BYTES: Final = 10 * _UNDER_WAY_BYTES
_SMALL_BYTES: Final = 2 * _UNDER_WAY_BYTES // 3


@dataclass(frozen=True, slots=True)
class _Site:
    summary: str
    link: Link
    bulk_flows: int = 0


def _link(buffer_bytes: int, loss_ratio: float = 0.0) -> Link:
    return Link(_RATE_BITS_PER_SECOND, _DELAY_SECONDS, buffer_bytes, loss_ratio)


_SITES: Final = {
    "network, lossy": _Site(
        "Replies of 24 KB, 60 a second, over an otherwise idle link of 40 Mbit/s and 20 ms "
        "that loses 1 % of the packets.",
        _link(_DEEP_BYTES, 0.01),
    ),
    "network, deep buffer": _Site(
        "Replies of 24 KB, 60 a second, beside a bulk transfer of the same server, over a link "
        "of 40 Mbit/s and 20 ms with a buffer of 1 MB.",
        _link(_DEEP_BYTES),
        bulk_flows=1,
    ),
    "network, small buffer": _Site(
        "The same with a buffer of 67 KB, where BBR, the bulk's too, is known to do harm.",
        _link(_SMALL_BYTES),
        bulk_flows=1,
    ),
}
NAMES: Final = tuple(_SITES)
"""Of the sub-scenes."""


def measure(
    repetitions: int,
    slot_seconds: float,
    progress: Callable[[str, int, int], None],
    *,
    names: Sequence[str] = NAMES,
    warm_up_seconds: float = 2.0,
    seed: int = 0,
) -> list[Scene]:
    """Measure CUBIC, CUBIC again and BBR, in a random order in each repetition.

    Parameters
    ----------
    repetitions : int
    slot_seconds : float
        What is measured of a slot; there are three in each sub-scene and repetition.
    progress : callable
        Told which sub-scene and arm is next, and how many slots are done, of how many.
    names : sequence of str
        Which of the sub-scenes `NAMES`.
    warm_up_seconds : float
        Before that, in which a bulk transfer finds its rate.
    seed : int
        Calls of a repetition are due at the same moments in all arms.

    Returns
    -------
    list of Scene

    Raises
    ------
    ExperimentError
        The machine lacks something, the daemon could not choose BBR, or something is left.
    """
    check_kernel()
    slots: dict[tuple[str, str], list[Slot]] = {(name, arm): [] for name in names for arm in ARMS}
    with namespaces() as where:
        for repetition in range(repetitions):
            order = list(slots)
            Random(f"{seed} {repetition}").shuffle(order)  # noqa: S311 - it is no secret
            for place, (name, arm) in enumerate(order):
                done = repetition * len(order) + place
                progress(f"{name}: {arm}", done, repetitions * len(order))
                one = Round(
                    link=_SITES[name].link,
                    bulk_flows=_SITES[name].bulk_flows,
                    repetition=repetition,
                    seconds=slot_seconds,
                    warm_up_seconds=warm_up_seconds,
                    seed=f"{seed} {repetition}",
                )
                slots[name, arm].append(one.slot(where, ARMS[arm]))
    baseline, placebo, *_ = ARMS
    return [
        Scene(
            name=name,
            summary=_SITES[name].summary,
            baseline=baseline,
            placebo=placebo,
            runs=[_run(_SITES[name], arm, slots[name, arm], warm_up_seconds, seed) for arm in ARMS],
        )
        for name in names
    ]


def _run(site: _Site, arm: str, slots: list[Slot], warm_up_seconds: float, seed: int) -> Run:
    return Run(
        version=metadata.version("resonance-runtime"),
        name=arm,
        target=f"replies of {REPLY_BYTES} bytes over a link of our own",
        arrival="poisson",
        rate_per_second=RATE_PER_SECOND,
        machine=this_machine(),
        rule=RULE,
        asked={
            "seed": seed,
            "warm_up_seconds": warm_up_seconds,
            "reply_bytes": REPLY_BYTES,
            "bulk_flows": site.bulk_flows,
            "link_bits_per_second": site.link.rate_bits_per_second,
            "delay_seconds": site.link.delay_seconds,
            "buffer_bytes": site.link.buffer_bytes,
            "loss_ratio": site.link.loss_ratio,
        },
        slots=slots,
    )


def check_kernel(root: Path = Path("/")) -> None:
    """See that the kernel has both algorithms.

    Parameters
    ----------
    root : Path
        The directory that holds ``proc``; another one in tests.

    Raises
    ------
    ExperimentError
        It has not.
    """
    there = (root / "proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()
    if missing := [name for name in (CUBIC, BBR) if name not in there]:
        modules = " ".join(f"tcp_{name}" for name in missing)
        raise ExperimentError(
            "the network scenes", f"this kernel has no {missing[0]} loaded: modprobe -a {modules}"
        )
