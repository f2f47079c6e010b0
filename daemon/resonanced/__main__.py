# SPDX-License-Identifier: MIT
"""``python -m resonanced``, and the command: one quiet end for Ctrl-C, however early it comes."""

from __future__ import annotations

import signal
import sys

__all__ = ["main"]


def main() -> int:
    """Run the command; return the exit status."""
    # One who started us may have it ignored, as `nohup` and a shell's `&` do; so it stays.
    is_heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_heard:
        # Nothing is begun while modules are read, so there is nothing to take back or tell.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from resonanced import cli

    if is_heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return cli.main()
    finally:
        if is_heard:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main())
