# SPDX-License-Identifier: MIT
"""Boot a kernel of the matrix and run the tests in it: `run-vm 6.1`.

Exit status: 0 all passed, 1 a test failed, 2 wrong usage, 3 the machine did not come up or was
lost. What it said lies in build/vm/results/KERNEL. In the environment: VM_ACCEL=kvm|tcg instead
of a probe; VM_TESTS=vm|all for more than kernels.toml names for emulation, VM_TESTS=WORD for less.
"""

from __future__ import annotations

import argparse
import os
import sys

from kernel_vms.commands import complain, interruptible, say, sole
from kernel_vms.errors import VmError
from kernel_vms.machine import BOOT_SECONDS, Shape
from kernel_vms.matrix import Place, read_matrix
from kernel_vms.running import Run, check_inputs, report


def main(arguments: list[str] | None = None) -> int:
    """Run one machine."""
    parser = argparse.ArgumentParser(
        prog="run-vm", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kernel", help="its name in kernels.toml")
    parser.add_argument("--shell", action="store_true", help="no tests: a shell in the machine")
    parser.add_argument("--cpus", type=int, default=4, help="how many (default %(default)s)")
    parser.add_argument("--memory", type=int, default=2048, metavar="MIB", help="how much")
    parser.add_argument(
        "--boot-seconds", type=float, default=BOOT_SECONDS, help="how long to wait for it"
    )
    options = parser.parse_args(arguments)
    place, matrix = Place(), read_matrix()
    shape = Shape(options.cpus, options.memory, options.boot_seconds)
    try:
        kernel = matrix.kernel(options.kernel)
        check_inputs(matrix.boxes[kernel.box], place)
        with interruptible(), sole(place.lock):
            run = Run(kernel, matrix, place, shape)
            if options.shell:
                return run.shell()
            status = run.test(os.environ.get("VM_TESTS", ""))
            say(report(kernel.name, place))
    except VmError as error:
        return complain("run-vm", error)
    except KeyboardInterrupt:
        print("run-vm: interrupted; nothing is left running", file=sys.stderr)
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
