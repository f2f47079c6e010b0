# SPDX-License-Identifier: MIT
"""What every verb of tuning looks at: the configuration, the host, its knobs, the journal."""

from __future__ import annotations

import argparse
from pathlib import Path

from resonance_tuning import journal
from resonance_tuning.host import Host
from resonance_tuning.journal import Journal
from resonance_tuning.knobs import make_knobs
from resonance_tuning.records import Receipt
from resonance_tuning.settings import TuningSettings
from resonance_tuning.tuner import Tuner
from resonanced import config
from resonanced.verbs import options

__all__ = ["Desk"]


class Desk:
    """The node as a verb finds it.

    Parameters
    ----------
    arguments : Namespace
        Its flags win over the configuration.

    Attributes
    ----------
    same_place : str
        Flags that lead another command to the same journal.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        flags = {"tuning": options.flags(arguments)}
        self.settings: TuningSettings = config.load(arguments.config, flags).tuning
        self.host = Host()
        self.knobs = make_knobs(self.host)
        self.directory = Path(self.settings.journal_directory)
        self.same_place = options.same_place(arguments)

    def journal(self) -> Journal:
        """Read the journal, without holding it.

        Raises
        ------
        JournalError
            It may not be read.
        """
        return journal.read(self.directory, self.host.boot_id)

    def verified(self, past: Journal) -> list[Receipt]:
        """Compare what the journal says is in force with what is there."""
        return Tuner(self.host, past, self.knobs).verify()
