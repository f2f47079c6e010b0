# SPDX-License-Identifier: MIT
"""What tuning gains and costs: CPU isolation beside hogs, BBR on a slow link, the actuator."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import paired
from tuning import bottleneck, cost, neighbours

MEASURES = {
    "neighbours": neighbours.measure,
    "bottleneck": bottleneck.measure,
    "cost": cost.measure,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6, help="of about two minutes each")
    parser.add_argument("--only", choices=MEASURES, action="append", help="one of the three")
    arguments = parser.parse_args(argv)
    paired.end_by_exception()
    results = [
        result for name in arguments.only or MEASURES for result in MEASURES[name](arguments.rounds)
    ]
    return paired.conclude("tuning", results)


if __name__ == "__main__":
    sys.exit(main())
