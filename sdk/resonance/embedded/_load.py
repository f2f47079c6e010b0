# SPDX-License-Identifier: MIT
"""How busy are the CPUs of this host?"""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["Load"]

_STAT: Final = Path("/proc/stat")


class Load:
    """The share of CPU time that was not idle, between two questions.

    Parameters
    ----------
    stat : pathlib.Path
        In the format of proc_stat(5).
    """

    def __init__(self, stat: Path = _STAT) -> None:
        self._stat = stat
        self._before = self._read()

    def busy_ratio(self) -> float | None:
        """Return the share since this was last asked, 0 to 1; ``None`` where not known."""
        before, self._before = self._before, self._read()
        if before is None or self._before is None:
            return None
        busy, total = (new - old for new, old in zip(self._before, before, strict=True))
        return min(max(busy / total, 0.0), 1.0) if total > 0 else None

    def _read(self) -> tuple[int, int] | None:
        """Return busy and all CPU time, in clock ticks: user nice system idle iowait and more."""
        try:
            first = self._stat.read_text(encoding="ascii").partition("\n")[0]
            # Guest time, the last two columns, is in user and nice already.
            columns = [int(column) for column in first.split()[1:9]]
        except (OSError, ValueError):
            return None
        if len(columns) < 5:
            return None
        return sum(columns) - columns[3] - columns[4], sum(columns)
