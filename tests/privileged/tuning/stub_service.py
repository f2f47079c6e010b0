# SPDX-License-Identifier: MIT
"""A service whose daemon applies the whole plan at once: keeper and actuator are the real ones.

Started with a configuration file; says ``ready DAEMON ACTUATOR`` with the two's pids.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from resonance_tuning.actuator import wire
from resonanced import config, link, logs, privileges
from resonanced.errors import DaemonError
from resonanced.keeper import Inheritance, Keeper


def become_daemon(inheritance: Inheritance) -> int:
    """Apply what is planned, then do nothing until the keeper ends."""
    privileges.drop(inheritance.identity)
    started = inheritance.actuator
    assert started
    with started.connection.makefile("rb") as lines:
        started.connection.sendall(wire.encode(wire.PlanRequest(2)))
        planned = wire.decode_said(lines.readline())
        assert isinstance(planned, wire.Planned)
        settings = tuple(change.setting for change in planned.plan.changes)
        started.connection.sendall(wire.encode(wire.Apply(3, settings, "a test")))
        applied = wire.decode_said(lines.readline())
        assert isinstance(applied, wire.Receipts), applied
    sys.stdout.write(f"ready {os.getpid()} {started.process.pid}\n")
    sys.stdout.flush()
    link.KeeperLink(inheritance.requests).ask(link.Ready(metrics="", hints=""))
    inheritance.orders.recv(1)
    return 0


def main() -> int:
    """Run it; return the exit status."""
    settings = config.load(Path(sys.argv[1]))
    logs.configure("info")
    try:
        return Keeper(lambda: settings, become_daemon, lambda *_: None).run()
    except DaemonError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
