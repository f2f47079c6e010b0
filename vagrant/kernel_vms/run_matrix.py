# SPDX-License-Identifier: MIT
"""Build and test each kernel of the matrix, one after the other: `run-matrix [KERNEL]...`, as root.

Packages and wheels are those of the checkout as it is, gathered by the interpreter $PYTHON.
Writes build/vm/results/matrix.md, a table of what each group of tests said on each kernel; with
`--table`, of the runs there were. A kernel that fails does not keep the next from its turn; the
exit status is that of the worst.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from kernel_vms.commands import complain
from kernel_vms.errors import VmError
from kernel_vms.matrix import CHECKOUT, Kernel, Place, read_matrix
from kernel_vms.running import write_table


def _test(kernel: Kernel) -> int:
    """Make what goes into its machine, and its box, and run it, as an operator would."""
    for program, what in (
        ("systemd/make-deb", kernel.box),
        ("vagrant/fetch-wheels", kernel.box),
        ("vagrant/build-box", kernel.name),
        ("vagrant/run-vm", kernel.name),
    ):
        status = subprocess.run([CHECKOUT / program, what], check=False).returncode
        if status:
            return status
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run them, and write the table."""
    parser = argparse.ArgumentParser(prog="run-matrix", description=__doc__)
    parser.add_argument("kernels", nargs="*", help="all of kernels.toml when none is named")
    parser.add_argument("--table", action="store_true", help="only write the table")
    options = parser.parse_args(arguments)
    place, matrix = Place(), read_matrix()
    try:
        kernels = [matrix.kernel(name) for name in options.kernels or matrix.kernels]
    except VmError as error:
        return complain("run-matrix", error)
    try:
        statuses = [] if options.table else [_test(kernel) for kernel in kernels]
    except KeyboardInterrupt:
        return 130
    path = write_table(matrix, place)
    print(f"{path}:\n{path.read_text(encoding='utf-8')}", end="")
    return max(statuses, default=0)


if __name__ == "__main__":
    sys.exit(main())
