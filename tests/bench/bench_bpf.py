# SPDX-License-Identifier: MIT
"""What the probes cost, beside an empty program and runqlat.

Everything runs interleaved in one process: each arm is attached, measured and detached in
each round. Program time is what the kernel accounts to the programs (about 50 ns of it is
the accounting itself, for everyone); added time is wall time with that accounting off.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from typing import Final

import kernel
import memory
import paired
import segments
import switches
import variants
from kernel import Program, Variant, in_turn
from variants import Backend

SECTIONS: Final = ("pipe", "messaging", "tcp", "maps")
LOADS: Final = 4
BCC_LOADS: Final = 2
"""It compiles for seconds each time."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="of the pipe; others take as many")
    parser.add_argument("--only", choices=SECTIONS, action="append", help="leave the others out")
    arguments = parser.parse_args(argv)
    paired.end_by_exception()
    with kernel.private_bpffs() as bpffs:
        core, why = variants.load_backends("core", bpffs, LOADS)
        if not core:
            print(f"bench bpf: the CO-RE backend does not load: {why}", file=sys.stderr)
            return 1
        bcc, why = variants.load_backends("bcc", bpffs, BCC_LOADS)
        if not bcc:
            print(f"not measured: the bcc backend: {why}")
        results = _measure(core, bcc, arguments.only or SECTIONS, arguments.rounds)
    return paired.conclude("bpf", results)


def _measure(
    core: Sequence[Backend], bcc: Sequence[Backend], sections: Sequence[str], rounds: int
) -> list[paired.Result]:
    empties = [variants.load_empty() for _ in range(LOADS)]
    hooks = _switch_variants(core, bcc, [empty["empty_switch"] for empty in empties])
    results: list[paired.Result] = []
    if "pipe" in sections:
        results += switches.measure_hot(hooks, rounds)
    if "messaging" in sections:
        results += switches.measure_cold(hooks, rounds)
    if "tcp" in sections:
        sockets = {
            "empty": _attached_in_turn([empty["empty_segment"] for empty in empties]),
            "ours": in_turn([partial(each.attached, "socket") for each in core]),
        }
        results += segments.measure_segments(sockets, rounds)
    if "maps" in sections:
        results += memory.measure_memory(core[0])
        results += memory.measure_reads(core[0], 5 * rounds)
    return results


def _switch_variants(
    core: Sequence[Backend], bcc: Sequence[Backend], empties: Sequence[Program]
) -> dict[str, Variant]:
    ours = [partial(each.attached, "runqueue") for each in core]
    arms: dict[str, Variant] = {
        "none": variants.nothing,
        "empty": _attached_in_turn(empties),
        "ours": in_turn(ours),
        "ours, cgroup without a slot": in_turn([partial(each, has_slot=False) for each in ours]),
        "runqlat": variants.runqlat,
    }
    if bcc:
        arms["bcc backend"] = in_turn([partial(each.attached, "runqueue") for each in bcc])
    return arms


def _attached_in_turn(programs: Sequence[Program]) -> Variant:
    return in_turn([partial(kernel.attached, [program]) for program in programs])


if __name__ == "__main__":
    sys.exit(main())
