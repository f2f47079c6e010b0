# SPDX-License-Identifier: MIT
"""The keeper's side of the actuator: start it, and take back what a dead one left.

Where nothing is tuned and nothing was, this imports nothing of the tuning and starts nothing.
"""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from resonance_tuning.settings import TuningSettings
from resonanced.errors import StartError

if TYPE_CHECKING:
    from resonance_tuning.actuator.wire import Begun

__all__ = ["Actuator", "roll_back", "start"]

_log = logging.getLogger("resonanced.actuator")
_HIGHEST_RUNG: Final = {"shadow": 5, "adaptive": 2, "active": 5}
"""How far up the ladder a mode may go by itself; shadow only says so."""
_ROLLBACK_SECONDS: Final = 30.0
"""An interpreter has to start for it, which takes seconds on a node full of hogs; cut short, it
would leave the node as it is until the next start."""


@dataclass(frozen=True, slots=True)
class Actuator:
    """A running actuator.

    Attributes
    ----------
    process : Popen
    connection : socket
        Our end of it; who holds it drives it, and its last copy closed ends it.
    begun : Begun
        What it found, and what it may do.
    """

    process: subprocess.Popen[bytes]
    connection: socket.socket
    begun: Begun


def start(settings: TuningSettings) -> Actuator | None:
    """Start the actuator, unless the mode is one that needs none.

    Raises
    ------
    StartError
        It cannot begin: a profile is wrong, or the journal cannot be had.
    """
    if settings.mode == "observe":
        return None
    from resonance_tuning.actuator import link
    from resonance_tuning.errors import ActuatorError

    try:
        process, connection, begun = link.spawn(
            settings,
            is_resident=True,
            is_shadow=settings.mode == "shadow",
            max_rung=_HIGHEST_RUNG[settings.mode],
        )
    except ActuatorError as error:
        hint = "see: resonanced plan; or set tuning.mode to observe"
        raise StartError("tuning", error.reason, hint) from error
    for receipt in begun.recovered:
        setting, outcome = receipt.setting, receipt.outcome
        _log.warning(
            "recovered knob=%s target=%r outcome=%s", setting.knob, str(setting.target), outcome
        )
    return Actuator(process, connection, begun)


def roll_back(settings: TuningSettings) -> None:
    """Put back what services left that are gone; what an operator applied stays.

    In a process of its own, which needs the journal and the standard library only. That it
    failed is logged; the next start and ``resonanced rollback`` try again.
    """
    if not Path(settings.journal_directory).is_dir():
        return
    command = [sys.executable, "-I", "-m", "resonance_tuning", "--left-by-services"]
    command += ["--journal-directory", settings.journal_directory]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
            timeout=_ROLLBACK_SECONDS,
        )
    except subprocess.TimeoutExpired:
        _log.warning("rollback_incomplete reason=%r", "it did not end in time")
        return
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        _log.warning("rollback_incomplete status=%d said=%r", done.returncode, said)
