# SPDX-License-Identifier: MIT
"""What the probes cost, beside an empty program and libbpf-tools runqlat.

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
from kernel import Program, Variant
from variants import Backend

SECTIONS: Final = ("pipe", "messaging", "tcp", "maps")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="of the pipe; others take as many")
    parser.add_argument("--only", choices=SECTIONS, action="append", help="leave the others out")
    arguments = parser.parse_args(argv)
    paired.end_by_exception()
    with kernel.private_bpffs() as bpffs:
        core, bcc = (variants.load_backend(name, bpffs) for name in ("core", "bcc"))
        if isinstance(core, str):
            print(f"bench bpf: the CO-RE backend does not load: {core}", file=sys.stderr)
            return 1
        if isinstance(bcc, str):
            print(f"not measured: the bcc backend: {bcc}")
        results = _measure(core, bcc, arguments.only or SECTIONS, arguments.rounds)
    return paired.conclude("bpf", results)


def _measure(
    core: Backend, bcc: Backend | str, sections: Sequence[str], rounds: int
) -> list[paired.Result]:
    empty = variants.load_empty()
    hooks = _switch_variants(core, bcc, empty["empty_switch"])
    results: list[paired.Result] = []
    if "pipe" in sections:
        results += switches.measure_hot(hooks, rounds)
    if "messaging" in sections:
        results += switches.measure_cold(hooks, rounds)
    if "tcp" in sections:
        sockets: dict[str, Variant] = {
            "empty": partial(kernel.attached, [empty["empty_segment"]]),
            "ours": partial(core.attached, "socket"),
        }
        results += segments.measure_segments(sockets, rounds)
    if "maps" in sections:
        results += memory.measure_memory(core)
        results += memory.measure_reads(core, 5 * rounds)
    return results


def _switch_variants(core: Backend, bcc: Backend | str, empty: Program) -> dict[str, Variant]:
    arms: dict[str, Variant] = {
        "none": variants.nothing,
        "empty": partial(kernel.attached, [empty]),
        "ours": partial(core.attached, "runqueue"),
        "ours, cgroup without a slot": partial(core.attached, "runqueue", has_slot=False),
        "runqlat": variants.runqlat,
    }
    if not isinstance(bcc, str):
        arms["bcc backend"] = partial(bcc.attached, "runqueue")
    return arms


if __name__ == "__main__":
    sys.exit(main())
