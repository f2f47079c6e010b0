# SPDX-License-Identifier: MIT
"""The programs' own C, compiled for this host: what they compute, without a kernel."""

from __future__ import annotations

import ctypes
import functools
import subprocess
import tempfile
from pathlib import Path

PROGRAMS = Path(__file__).parents[2] / "bpf" / "resonance_bpf" / "programs"

_KERNEL = """
#include <stddef.h>
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long s64;
#define __always_inline inline __attribute__((always_inline))
#include "layout.h"
static struct rs_slot_cell *cells;
static struct rs_candidate candidates[CANDIDATES];
static struct rs_slot_cell *slot_cell_at(u32 position) { return &cells[position]; }
static struct rs_candidate *candidate_at(u32 position) { return &candidates[position]; }
static u64 bpf_ktime_get_ns(void) { return 0; }
#include "common.h"
#include "wait.h"
void host_record(struct rs_histogram *histogram, u32 class, u64 wait_ns)
{
    record(histogram, class, wait_ns);
}
u32 host_slot_of(struct rs_slot_cell *table, u64 cgroup_id)
{
    cells = table;
    return slot_of(cgroup_id);
}
s64 host_wait_of(u64 run_delay_ns, u32 pid, s64 segment_ns, struct rs_baseline *baseline,
         int *has_collided)
{
    return wait_of(run_delay_ns, pid, segment_ns, baseline, has_collided);
}
"""


@functools.cache
def host_library() -> ctypes.CDLL:
    """Return the functions of common.h and wait.h, under their names with ``host_`` before."""
    with tempfile.TemporaryDirectory() as directory:
        library = Path(directory, "programs.so")
        _compile(_KERNEL, library, "-shared", "-fPIC", "-Wno-unused-function")
        functions = ctypes.CDLL(str(library))
    functions.host_record.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64]
    functions.host_slot_of.argtypes = [ctypes.c_void_p, ctypes.c_uint64]
    functions.host_slot_of.restype = ctypes.c_uint32
    functions.host_wait_of.argtypes = [
        ctypes.c_uint64,
        ctypes.c_uint32,
        ctypes.c_int64,
        ctypes.c_void_p,
        ctypes.POINTER(ctypes.c_int),
    ]
    functions.host_wait_of.restype = ctypes.c_int64
    return functions


def evaluate(expressions: list[str]) -> dict[str, int]:
    """Return what integer expressions over layout.h come to, by the compiler."""
    prints = "".join(f'printf("%lld\\n", (long long)({each}));\n' for each in expressions)
    includes = "#include <stddef.h>\n#include <stdio.h>\n#include <layout.h>\n"
    source = f"{includes}int main(void) {{ {prints} return 0; }}\n"
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory, "facts")
        _compile(source, program)
        said = subprocess.run([program], check=True, capture_output=True)
    return dict(zip(expressions, map(int, said.stdout.split()), strict=True))


def _compile(source: str, output: Path, *flags: str) -> None:
    command = ["clang", "-O2", *flags, f"-I{PROGRAMS}", "-x", "c", "-", "-o", str(output)]
    subprocess.run(command, input=source.encode(), check=True)
