# SPDX-License-Identifier: MIT
"""Make the box a kernel boots on: `build-box 6.1`, as root; nothing to do when it is there.

A build that was interrupted goes on where it stopped. The box comes to lie in build/vm/BOX.
"""

from __future__ import annotations

import argparse
import sys

from kernel_vms.building import build_box, pack_for_vagrant
from kernel_vms.commands import complain, interruptible, say, sole
from kernel_vms.errors import VmError
from kernel_vms.matrix import Place, read_matrix


def main(arguments: list[str] | None = None) -> int:
    """Build, and say what there is."""
    parser = argparse.ArgumentParser(prog="build-box", description=__doc__)
    parser.add_argument("kernel", help="its name in kernels.toml; the box has all kernels of it")
    parser.add_argument("--fresh", action="store_true", help="build anew, for today's packages")
    parser.add_argument("--vagrant", action="store_true", help="pack it for `vagrant box add`")
    options = parser.parse_args(arguments)
    place, matrix = Place(), read_matrix()
    try:
        box = matrix.box_of(options.kernel)
        with interruptible(), sole(place.lock):
            record = build_box(box, place, fresh=options.fresh)
            kernels = ", ".join(f"{name} is {got}" for name, got in record.kernels.items())
            say(f"{place.box(box.name)}: {kernels}; built {record.built}")
            if options.vagrant:
                say(str(pack_for_vagrant(matrix.kernel(options.kernel), record, place)))
    except VmError as error:
        return complain("build-box", error)
    except KeyboardInterrupt:
        print("build-box: interrupted; the next build goes on after the last step", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
