# SPDX-License-Identifier: MIT
"""``python3 -I -m resonance_tuning``: put everything back, whatever state our house is in.

It needs Python 3.11, its standard library and this package, and neither a running daemon nor a
configuration. A knob that cannot be loaded costs its own entries only; those are printed with
the commands that an operator can paste.

Without ``-I`` the interpreter itself, before us, takes modules from where root happens to
stand, and whatever the environment names.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TextIO

from resonance_tuning.errors import TuningError
from resonance_tuning.host import Host
from resonance_tuning.records import Receipt
from resonance_tuning.rollback import roll_back

__all__ = ["DEFAULT_DIRECTORY", "lines", "main"]

DEFAULT_DIRECTORY: Final = Path("/run/resonance-tuning")
_ALL_BACK, _MAY_NOT, _SOMETHING_LEFT = 0, 1, 3
_BACK: Final = frozenset({"restored", "already", "vanished"})
_EXAMPLES: Final = """\
exit status:
  0  everything is as it was before
  1  it may not: not root, or the journal is held by a running process
  3  something was left as it is: somebody else changed it, the kernel
     refused, or the journal is damaged; each with commands to paste

examples:
  python3 -I -m resonance_tuning
  python3 -I -m resonance_tuning --output json
"""


def main(argv: Sequence[str] | None = None, host: Host | None = None) -> int:
    """Roll back and report; return the exit status. A host is given by tests only."""
    arguments = _parser().parse_args(argv)
    if host is None and os.geteuid():
        _print(sys.stderr, "rollback: only root may put the kernel's settings back\n")
        return _MAY_NOT
    try:
        receipts, damage = roll_back(
            arguments.journal_directory,
            host or Host(),
            left_by_services=arguments.left_by_services,
        )
    except (OSError, TuningError) as error:
        _print(sys.stderr, f"rollback: {error}\n")
        return _MAY_NOT
    if arguments.output == "json":
        _print(sys.stdout, json.dumps(_as_json(receipts, damage), indent=2) + "\n")
    else:
        _print(sys.stdout, "".join(f"{line}\n" for line in lines(receipts, damage)))
    is_back = not damage and all(receipt.outcome in _BACK for receipt in receipts)
    return _ALL_BACK if is_back else _SOMETHING_LEFT


def lines(receipts: Sequence[Receipt], damage: str = "") -> Iterator[str]:
    """Say what became of each setting, and what to paste where something is left."""
    if not receipts and not damage:
        yield "nothing to put back"
    for receipt in receipts:
        setting = receipt.setting
        words = (receipt.found and repr(receipt.found), receipt.reason)
        told = "; ".join(filter(None, words)) or "gone"
        yield f"{receipt.outcome:<14}{setting.knob} of {setting.target}: {told}"
        if receipt.commands:
            yield "  to put back what was there before:"
            yield from (f"    {command}" for command in receipt.commands)
    if damage:
        yield f"damaged       {damage}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -I -m resonance_tuning",
        description="Put back every kernel setting that the journal of this boot holds.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--journal-directory", type=Path, default=DEFAULT_DIRECTORY, metavar="DIR")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    parser.add_argument(
        "--left-by-services",
        action="store_true",
        help="only what services left that are gone; what was applied by hand stays",
    )
    return parser


def _as_json(receipts: Sequence[Receipt], damage: str) -> dict[str, Any]:
    return {"receipts": [asdict(receipt) for receipt in receipts], "damage": damage}


def _print(stream: TextIO | None, text: str) -> None:
    """Write what nobody may be there to read; the kernel was put back before."""
    if stream is None:
        return
    with suppress(OSError, ValueError):
        stream.buffer.write(text.encode(errors="surrogateescape"))  # a name may be any bytes
        stream.flush()
        return
    with suppress(OSError, ValueError):  # or the interpreter would try again, and exit with 120
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
