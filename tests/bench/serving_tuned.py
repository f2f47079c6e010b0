# SPDX-License-Identifier: MIT
"""The service as it ships, but that all of its plan is in force before it serves.

Which otherwise takes the evidence of minutes. Keeper, daemon and actuator are the real ones; used
by bench_service.py, as ``serving_tuned.py CONFIGURATION``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from resonance_tuning.actuator import wire
from resonanced import config, logs
from resonanced.keeper import Inheritance, Keeper


def become_daemon(inheritance: Inheritance) -> int:
    """Have the actuator apply what it plans, then serve as always."""
    from resonanced import service

    started = inheritance.actuator
    if started is None:
        raise SystemExit("this needs a mode that tunes")
    with started.connection.makefile("rb") as lines:
        started.connection.sendall(wire.encode(wire.PlanRequest(2)))
        planned = wire.decode_said(lines.readline())
        if not isinstance(planned, wire.Planned) or not planned.plan.changes:
            raise SystemExit(f"there is nothing to turn: {planned}")
        settings = tuple(change.setting for change in planned.plan.changes)
        started.connection.sendall(wire.encode(wire.Apply(3, settings, "a bench")))
        applied = wire.decode_said(lines.readline())
        if not isinstance(applied, wire.Receipts):
            raise SystemExit(f"it was not turned: {applied}")
    return service.run(inheritance)


def main() -> int:
    """Run it; return the exit status."""
    settings = config.load(Path(sys.argv[1]))
    logs.configure("warning")
    return Keeper(lambda: settings, become_daemon, lambda *_: None).run()


if __name__ == "__main__":
    sys.exit(main())
