# SPDX-License-Identifier: MIT
"""One log line is an event name and fields, ``key=value``, on standard error.

The journal adds time and process; a terminal gets the time from us.
"""

from __future__ import annotations

import logging
import os
import sys

__all__ = ["configure", "set_level"]


def configure(level: str) -> None:
    """Send every log line to standard error."""
    # The journal stamps lines itself.
    is_journal = "JOURNAL_STREAM" in os.environ
    line = "level=%(levelname)s event=%(message)s"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(line if is_journal else f"time=%(asctime)s {line}"))
    logging.basicConfig(handlers=[handler], force=True)
    set_level(level)


def set_level(level: str) -> None:
    """Change the least severe level that is logged."""
    logging.getLogger().setLevel(level.upper())
